package newrelicws

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/newrelic/go-agent/v3/newrelic"

	"github.com/apmws/go-apmws/apmws"
	"github.com/apmws/go-apmws/apmws/semconv"
)

// bareMessage is what a program does by hand for the same transaction: with the
// same attributes, user, ids for its log lines and context.
func bareMessage(ctx context.Context, app *newrelic.Application, opt newrelic.TraceOption, connect *apmws.SpanContext, id string, size int) {
	tx := app.StartTransaction("Message/chat.say", opt)
	idSink = tx.GetTraceMetadata()
	handlerSink = newrelic.NewContext(ctx, tx)
	tx.AddAttribute("websocket.event", "message")
	tx.AddAttribute("websocket.connection.id", id)
	tx.AddAttribute("http.route", "/ws")
	tx.AddAttribute("websocket.message.type", "text")
	tx.AddAttribute("websocket.message.length", size)
	tx.AddAttribute("websocket.message.direction", "inbound")
	tx.AddAttribute("websocket.connection.trace_id", connect.TraceIDString())
	tx.AddAttribute("websocket.connection.span_id", connect.SpanIDString())
	tx.AddAttribute("result", "ok")
	tx.AddAttribute("event.outcome", "success")
	tx.AddAttribute("user.id", "u1")
	tx.SetUserID("u1")
	tx.End()
}

var (
	handlerSink context.Context
	idSink      newrelic.TraceMetadata
)

// ourMessage is the same through the exporter.
func ourMessage(ctx context.Context, c *connSpan, attrs []slog.Attr) {
	ctx, m := c.StartMessage(ctx, apmws.MessageStart{Name: "chat.say", User: "u1", Attrs: attrs})
	handlerSink = ctx
	m.End(apmws.MessageEnd{Result: "ok", Outcome: apmws.OutcomeSuccess, User: "u1"})
}

// BenchmarkMessage starts and ends messages, through the exporter and by hand in
// turns, so that both meet the same machine. The time by hand contains waiting for
// the agent's only goroutine, and the dropped are messages that did not wait.
func BenchmarkMessage(b *testing.B) {
	c := newCollector()
	c.reply["sampling_target"] = 10 // New Relic's
	app := newApp(b, c)
	e := New(app)
	conn := openConn(b, e)
	ids := conn.SpanContext()
	ctx, attrs, none := b.Context(), messageStart("").Attrs, newrelic.WithoutCodeLevelMetrics()
	const turn = 100
	var ours, bare time.Duration
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		start := time.Now()
		for range turn {
			ourMessage(ctx, conn, attrs)
		}
		middle := time.Now()
		for range turn {
			bareMessage(ctx, app, none, &ids, connID, 321)
		}
		ours, bare, n = ours+middle.Sub(start), bare+time.Since(middle), n+turn
	}
	b.ReportMetric(float64(ours)/float64(n), "ns/message")
	b.ReportMetric(float64(bare)/float64(n), "ns/by-hand")
	b.ReportMetric(float64(dropped(e, "queue_full"))/float64(n), "dropped/message")
}

// BenchmarkThroughput is how many messages a second the exporter takes from all
// cores, and how many of them are dropped since the agent cannot follow.
func BenchmarkThroughput(b *testing.B) {
	c := newCollector()
	c.reply["sampling_target"] = 10
	app := newApp(b, c)
	e := New(app)
	conn := openConn(b, e)
	attrs := messageStart("").Attrs
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			_, m := conn.StartMessage(context.Background(), apmws.MessageStart{Name: "chat.say", Attrs: attrs})
			m.End(apmws.MessageEnd{Result: "ok", Outcome: apmws.OutcomeSuccess})
		}
	})
	if err := e.Flush(soon(b)); err != nil {
		b.Fatal(err)
	}
	taken := float64(b.N) - float64(dropped(e, "queue_full"))
	b.ReportMetric(taken/b.Elapsed().Seconds(), "taken/s")
	b.ReportMetric(1-taken/float64(b.N), "dropped/message")
}

// BenchmarkSpan starts and ends a span below a message.
func BenchmarkSpan(b *testing.B) {
	app := newApp(b, newCollector())
	ctx, m := startMessage(b, openConn(b, New(app)), messageStart("chat.say"))
	attrs := common(semconv.EventMessage)
	b.Run("exporter", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, s := m.StartSpan(ctx, apmws.SpanStart{Name: "PUBLISH", Type: "messaging.redis.publish", Destination: "redis", Attrs: attrs})
			s.End(apmws.SpanEnd{Outcome: apmws.OutcomeSuccess})
		}
	})
	b.Run("bare", func(b *testing.B) {
		tx := newrelic.FromContext(ctx)
		b.ReportAllocs()
		for b.Loop() {
			s := newrelic.MessageProducerSegment{
				StartTime: tx.StartSegmentNow(), Library: "Redis", DestinationType: newrelic.MessageTopic, DestinationName: "PUBLISH",
			}
			s.AddAttribute("websocket.event", "message")
			s.AddAttribute("websocket.connection.id", connID)
			s.AddAttribute("http.route", "/ws")
			s.AddAttribute("event.outcome", "success")
			s.End()
		}
	})
}

// TestMessageAllocations: no more than by hand, and the handle.
func TestMessageAllocations(t *testing.T) {
	c := newCollector()
	c.reply["sampling_target"] = 0 // as for nearly all messages
	app := newApp(t, c)
	e := New(app)
	conn := openConn(t, e)
	ids := conn.SpanContext()
	ctx, attrs, none := t.Context(), messageStart("").Attrs, newrelic.WithoutCodeLevelMetrics()
	// The agent's goroutine allocates meanwhile, hence the many runs.
	bare := testing.AllocsPerRun(2000, func() { bareMessage(ctx, app, none, &ids, connID, 321) })
	ours := testing.AllocsPerRun(2000, func() { ourMessage(ctx, conn, attrs) })
	t.Logf("%v allocations, by hand %v", ours, bare)
	if ours > bare {
		t.Errorf("%v allocations per message, by hand %v", ours, bare)
	}
}

// TestThroughput: many connections at once, and every message is either counted by
// New Relic or counted as dropped.
func TestThroughput(t *testing.T) {
	c := newCollector()
	app := newApp(t, c)
	e := New(app)
	const conns, messages = 8, 2000 // far more than both queues hold
	var wg sync.WaitGroup
	for range conns {
		conn := openConn(t, e)
		wg.Go(func() {
			for range messages {
				_, m := conn.StartMessage(t.Context(), messageStart("chat.say"))
				m.End(messageOK())
			}
		})
	}
	wg.Wait()
	if err := e.Flush(soon(t)); err != nil {
		t.Fatal(err)
	}
	lost := dropped(e, "queue_full")
	if got := c.harvest(t, app).count("OtherTransaction/Go/Message/chat.say"); int64(got)+lost != conns*messages {
		t.Errorf("%v counted and %d dropped of %d", got, lost, conns*messages)
	}
	t.Logf("%d of %d dropped", lost, conns*messages)
}
