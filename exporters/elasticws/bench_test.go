package elasticws

import (
	"context"
	"io"
	"log/slog"
	"testing"
	"time"

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

// ourMessage is the same through the exporter.
func ourMessage(ctx context.Context, c *connSpan, attrs []slog.Attr, start time.Time) {
	ctx, m := c.StartMessage(ctx, apmws.MessageStart{Time: start, Name: "chat.say", User: "u1", Attrs: attrs})
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
	b.Run("exporter", func(b *testing.B) {
		c := openConn(b, New(benchTracer(b)))
		ctx := b.Context()
		b.ReportAllocs()
		for b.Loop() {
			ourMessage(ctx, c, attrs, time.Now())
		}
	})
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

// TestMessageAllocations: no more than by hand, the handle included.
func TestMessageAllocations(t *testing.T) {
	tracer := benchTracer(t)
	c := openConn(t, New(tracer))
	connect := c.link[0]
	ctx, attrs := t.Context(), messageStart("", 0).Attrs
	// The tracer's loop allocates meanwhile, hence the rounding of averages.
	bare := testing.AllocsPerRun(2000, func() { bareMessage(ctx, tracer, connect, connID, begin, 321) })
	ours := testing.AllocsPerRun(2000, func() { ourMessage(ctx, c, attrs, begin) })
	t.Logf("%v allocations, by hand %v", ours, bare)
	if ours > bare {
		t.Errorf("%v allocations per message, by hand %v", ours, bare)
	}

	tracer.SetRecording(false)
	start := apmws.MessageStart{Time: begin, Name: "chat.say", Attrs: attrs}
	if n := testing.AllocsPerRun(100, func() { c.StartMessage(ctx, start) }); n != 0 {
		t.Errorf("%v allocations per message that is not recorded", n)
	}
}
