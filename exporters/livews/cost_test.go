package livews

import (
	"log/slog"
	"runtime"
	"strings"
	"testing"

	"github.com/apmws/go-apmws/apmws"
	"github.com/apmws/go-apmws/apmws/semconv"
)

// messageAttrs are what the core gives a message.
func messageAttrs() []slog.Attr {
	return []slog.Attr{
		slog.String(semconv.Event, semconv.EventMessage), slog.String(semconv.ConnectionID, "0123456789abcdef"),
		slog.String(semconv.Route, "/ws"), slog.String(semconv.MessageType, "text"),
		slog.Int(semconv.MessageLength, 64), slog.String(semconv.MessageDirection, "inbound"),
	}
}

func TestAMessageAllocatesLittle(t *testing.T) {
	v := New(Options{})
	c := startConn(t, v, "1")
	c.Opened(apmws.OpenEnd{Time: t0})
	attrs, ctx := messageAttrs(), t.Context()
	allocs := testing.AllocsPerRun(1000, func() {
		_, m := c.StartMessage(ctx, apmws.MessageStart{Time: t0, Name: "m", User: "u", Attrs: attrs})
		m.End(apmws.MessageEnd{Time: t0, Result: "ok", Outcome: apmws.OutcomeSuccess, User: "u"})
	})
	if allocs > 1 {
		t.Errorf("%v allocations per message; want at most 1", allocs)
	}
	if n := v.document(0).FinishedTotal; n < 1000 {
		t.Errorf("only %d messages were recorded", n)
	}
}

func TestMemoryStaysBounded(t *testing.T) {
	v := New(Options{})
	c := startConn(t, v, "1")
	c.Opened(apmws.OpenEnd{Time: t0})
	attrs, ctx := messageAttrs(), t.Context()
	broken := &apmws.Failure{Message: strings.Repeat("x", 100000)}
	drive := func(n int) {
		for i := range n {
			_, m := c.StartMessage(ctx, apmws.MessageStart{Time: t0, Name: "m", Attrs: attrs})
			_, s := m.(apmws.SpanStarter).StartSpan(ctx, apmws.SpanStart{Time: t0, Name: "s", Attrs: attrs})
			s.End(apmws.SpanEnd{Time: t0})
			end := apmws.MessageEnd{Time: t0, Outcome: apmws.OutcomeSuccess}
			if i%10 == 0 {
				end.Outcome, end.Failure = apmws.OutcomeFailure, broken
			}
			m.End(end)
		}
	}
	drive(10000) // fills what is kept
	before := heap()
	const messages = 190000 // so many that a word kept of each would be noticed
	drive(messages)
	// One transaction weighs about 1 KB; 250 are kept.
	if grown := heap() - before; grown > 1<<20 {
		t.Errorf("the heap grew by %d bytes in %d messages", grown, messages)
	}
	if d := v.document(0); d.FinishedTotal != messages+10001 || len(d.Transactions) != 250 {
		t.Errorf("%d of %d kept", len(d.Transactions), d.FinishedTotal)
	}
}

// heap returns the bytes in use after a collection.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func TestAnIdleConnectionHoldsNoTransaction(t *testing.T) {
	v := New(Options{Transactions: 1})
	c := startConn(t, v, "1").(*connection)
	c.Opened(apmws.OpenEnd{Time: t0})
	if c.connect.Load() != nil {
		t.Error("CONNECT is held for as long as the connection")
	}
}

func BenchmarkMessage(b *testing.B) {
	v := New(Options{})
	c := startConn(b, v, "1")
	attrs, ctx := messageAttrs(), b.Context()
	b.ReportAllocs()
	for b.Loop() {
		_, m := c.StartMessage(ctx, apmws.MessageStart{Time: t0, Name: "m", User: "u", Attrs: attrs})
		m.End(apmws.MessageEnd{Time: t0, Result: "ok", Outcome: apmws.OutcomeSuccess, User: "u"})
	}
}

func BenchmarkMessageParallel(b *testing.B) {
	v := New(Options{})
	attrs, ctx := messageAttrs(), b.Context()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		c := startConn(b, v, "1")
		for pb.Next() {
			_, m := c.StartMessage(ctx, apmws.MessageStart{Time: t0, Name: "m", User: "u", Attrs: attrs})
			m.End(apmws.MessageEnd{Time: t0, Result: "ok", Outcome: apmws.OutcomeSuccess, User: "u"})
		}
	})
}

func BenchmarkMessageWithSpan(b *testing.B) {
	v := New(Options{})
	c := startConn(b, v, "1")
	attrs, ctx := messageAttrs(), b.Context()
	b.ReportAllocs()
	for b.Loop() {
		_, m := c.StartMessage(ctx, apmws.MessageStart{Time: t0, Name: "m", Attrs: attrs})
		_, s := m.(apmws.SpanStarter).StartSpan(ctx, apmws.SpanStart{Time: t0, Name: "s", Type: "app", Attrs: attrs[:3]})
		s.End(apmws.SpanEnd{Time: t0, Outcome: apmws.OutcomeSuccess})
		m.End(apmws.MessageEnd{Time: t0, Outcome: apmws.OutcomeSuccess})
	}
}

func BenchmarkDocument(b *testing.B) {
	v := New(Options{})
	c := startConn(b, v, "1")
	for range 200 {
		message(b.Context(), c, "m", nil)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.document(0).encode(); err != nil {
			b.Fatal(err)
		}
	}
}
