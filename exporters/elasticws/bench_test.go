package elasticws

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"go.elastic.co/apm/v2"

	"github.com/apmws/go-apmws/apmws"
	"github.com/apmws/go-apmws/apmws/semconv"
)

// discardTransport takes everything.
type discardTransport struct{}

func (discardTransport) SendStream(_ context.Context, stream io.Reader) error {
	_, _ = io.Copy(io.Discard, stream)
	return nil
}

// bareMessage is what a program does by hand for the same document, with keys
// that the agent need not change.
func bareMessage(ctx context.Context, tracer *apm.Tracer, connect apm.SpanLink, id string, start time.Time, size int) {
	tx := tracer.StartTransactionOptions("chat.say", "Message", apm.TransactionOptions{
		Start: start, Links: []apm.SpanLink{connect},
	})
	tx.Context.SetLabel("websocket_event", "message")
	tx.Context.SetLabel("websocket_connection_id", id)
	tx.Context.SetLabel("http_route", "/ws")
	tx.Context.SetLabel("websocket_message_type", "text")
	tx.Context.SetLabel("websocket_message_length", size)
	tx.Context.SetLabel("websocket_message_direction", "inbound")
	tx.Context.SetUserID("u1")
	handlerSink = apm.ContextWithTransaction(ctx, tx)
	tx.Duration = time.Since(start)
	tx.Result, tx.Outcome = "ok", "success"
	tx.End()
}

var handlerSink context.Context

// undecided is a message on which the tracer's sampler decides.
func undecided(attrs []slog.Attr) apmws.MessageStart {
	return apmws.MessageStart{Name: "chat.say", User: "u1", Attrs: attrs}
}

// decided is one that the agent has chosen.
func decided(attrs []slog.Attr) apmws.MessageStart {
	start := undecided(attrs)
	start.Sampled, start.Weight = true, 100
	return start
}

// ourMessage is the same through the exporter.
func ourMessage(ctx context.Context, c *connSpan, message apmws.MessageStart, start time.Time) {
	message.Time = start
	ctx, m := c.StartMessage(ctx, message)
	handlerSink = ctx
	m.End(apmws.MessageEnd{Time: start.Add(time.Since(start)), Result: "ok", Outcome: apmws.OutcomeSuccess, User: "u1"})
}

func benchTracer(b testing.TB) *apm.Tracer {
	b.Helper()
	return newTracer(b, discardTransport{})
}

// BenchmarkMessage starts and ends a message, through the exporter and by hand
// with the same labels, link, user and context.
func BenchmarkMessage(b *testing.B) {
	attrs := messageStart("", 0).Attrs
	for _, ours := range []struct {
		name  string
		start apmws.MessageStart
	}{{"exporter", undecided(attrs)}, {"exporter, decided", decided(attrs)}} {
		b.Run(ours.name, func(b *testing.B) {
			c := openConn(b, New(benchTracer(b)))
			ctx := b.Context()
			b.ReportAllocs()
			for b.Loop() {
				ourMessage(ctx, c, ours.start, time.Now())
			}
		})
	}
	b.Run("bare", func(b *testing.B) {
		tracer := benchTracer(b)
		connect := openConn(b, New(tracer)).link[0]
		ctx := b.Context()
		b.ReportAllocs()
		for b.Loop() {
			bareMessage(ctx, tracer, connect, connID, time.Now(), 321)
		}
	})
	b.Run("not recording", func(b *testing.B) {
		tracer := benchTracer(b)
		c := openConn(b, New(tracer))
		tracer.SetRecording(false)
		ctx := b.Context()
		start := apmws.MessageStart{Time: begin, Name: "chat.say", Attrs: attrs}
		b.ReportAllocs()
		for b.Loop() {
			c.StartMessage(ctx, start)
		}
	})
}

// BenchmarkServe reads and handles a message in memory, through the agent and with
// the transaction made by hand.
func BenchmarkServe(b *testing.B) {
	frame := textFrame([]byte(`{"type":"chat.say"}` + strings.Repeat(" ", 45)))
	read := func(b *testing.B, wrap func(http.Handler) http.Handler, loop http.Handler) {
		b.Helper()
		n := b.N
		b.ReportAllocs()
		b.ResetTimer()
		p := &peer{next: func() []byte {
			if n--; n < 0 {
				return nil
			}
			return frame
		}}
		p.connect(wrap(loop))
	}
	agent := func(b *testing.B, sampling *apmws.Sampling) func(http.Handler) http.Handler {
		b.Helper()
		agent := apmws.New(apmws.Options{
			Exporters: []apmws.Exporter{New(benchTracer(b))},
			Messages:  apmws.MessageOptions{Name: apmws.JSONField("type"), Names: []string{"chat.say"}},
			Sampling:  sampling,
		})
		return func(h http.Handler) http.Handler { return agent.Handler("/ws", h) }
	}
	nothing := func(context.Context, apmws.Message) error { return nil }
	b.Run("agent", func(b *testing.B) { read(b, agent(b, nil), serve(b, nothing)) })
	b.Run("agent, decided", func(b *testing.B) { read(b, agent(b, &apmws.Sampling{Rate: 1}), serve(b, nothing)) })
	b.Run("bare", func(b *testing.B) {
		tracer := benchTracer(b)
		connect := openConn(b, New(tracer)).link[0]
		read(b, func(h http.Handler) http.Handler { return h }, readByHand(b, func(ctx context.Context, message []byte) {
			bareMessage(ctx, tracer, connect, connID, time.Now(), len(message))
		}))
	})
}

// readByHand returns a handler that reads messages as apmws.Serve does, into one
// buffer.
func readByHand(b *testing.B, handle func(ctx context.Context, message []byte)) http.Handler {
	b.Helper()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := (&websocket.Upgrader{}).Upgrade(w, r, nil)
		if err != nil {
			b.Error(err)
			return
		}
		var message bytes.Buffer
		for {
			_, from, err := conn.NextReader()
			if err != nil {
				return
			}
			message.Reset()
			if _, err := message.ReadFrom(from); err != nil {
				return
			}
			handle(r.Context(), message.Bytes())
		}
	})
}

// BenchmarkSpan starts and ends an exit span below a message.
func BenchmarkSpan(b *testing.B) {
	tracer := benchTracer(b)
	tracer.SetMaxSpans(-1)
	ctx, m := startMessage(b, openConn(b, New(tracer)), messageStart("chat.say", 0))
	attrs := common(semconv.EventMessage)
	b.Run("exporter", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, s := m.StartSpan(ctx, apmws.SpanStart{
				Time: time.Now(), Name: "PUBLISH", Type: "messaging.redis.publish", Destination: "redis", Attrs: attrs,
			})
			s.End(apmws.SpanEnd{Time: time.Now(), Outcome: apmws.OutcomeSuccess})
		}
	})
	b.Run("bare", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			s, _ := apm.StartSpanOptions(ctx, "PUBLISH", "messaging.redis.publish", apm.SpanOptions{ExitSpan: true})
			s.Context.SetLabel("websocket_event", "message")
			s.Context.SetLabel("websocket_connection_id", connID)
			s.Context.SetLabel("http_route", "/ws")
			s.Outcome = "success"
			s.End()
		}
	})
}

// TestMessageAllocations: no more than by hand, the handle included; even less
// when the agent has decided, since the tracer makes a trace state for each
// decision of its own.
func TestMessageAllocations(t *testing.T) {
	tracer := benchTracer(t)
	c := openConn(t, New(tracer))
	connect := c.link[0]
	ctx, attrs := t.Context(), messageStart("", 0).Attrs
	// The tracer's loop allocates meanwhile, hence the rounding of averages.
	bare := testing.AllocsPerRun(2000, func() { bareMessage(ctx, tracer, connect, connID, begin, 321) })
	ours := testing.AllocsPerRun(2000, func() { ourMessage(ctx, c, undecided(attrs), begin) })
	chosen := testing.AllocsPerRun(2000, func() { ourMessage(ctx, c, decided(attrs), begin) })
	t.Logf("%v allocations, %v when the agent has decided, by hand %v", ours, chosen, bare)
	if ours > bare || chosen >= ours {
		t.Errorf("%v allocations per message, %v when the agent has decided, by hand %v", ours, chosen, bare)
	}

	tracer.SetRecording(false)
	start := apmws.MessageStart{Time: begin, Name: "chat.say", Attrs: attrs}
	if n := testing.AllocsPerRun(100, func() { c.StartMessage(ctx, start) }); n != 0 {
		t.Errorf("%v allocations per message that is not recorded", n)
	}
}
