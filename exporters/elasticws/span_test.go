package elasticws

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"go.elastic.co/apm/v2"

	"github.com/apmws/go-apmws/apmws"
)

func spanStart(name, typ string) apmws.SpanStart {
	return apmws.SpanStart{Time: after(100 * time.Millisecond), Name: name, Type: typ}
}

// below starts a span that must be recorded below a handle.
func below(ctx context.Context, t testing.TB, parent any, start apmws.SpanStart) (context.Context, *childSpan) {
	t.Helper()
	ctx, s := parent.(apmws.SpanStarter).StartSpan(ctx, start)
	if s == nil {
		t.Fatalf("span %q is not recorded", start.Name)
	}
	return ctx, s.(*childSpan)
}

func endSpan(s *childSpan, d time.Duration) {
	s.End(apmws.SpanEnd{Time: s.start.Add(d), Outcome: apmws.OutcomeSuccess})
}

func TestSpan(t *testing.T) {
	rec := newRecorder(t)
	ctx, m := startMessage(t, openConn(t, New(rec.Tracer)), messageStart("chat.say", 0))
	_, s := below(ctx, t, m, spanStart("SELECT", "db.postgresql.query"))
	s.End(apmws.SpanEnd{Time: after(107 * time.Millisecond), Outcome: apmws.OutcomeFailure})
	m.End(messageOK(time.Second))
	docs := rec.collect(t)
	span, tx := docs.span(t, "SELECT"), docs.transaction(t, "chat.say")
	if span.Type != "db" || span.Subtype != "postgresql" || span.Action != "query" {
		t.Errorf("type %q, %q, %q", span.Type, span.Subtype, span.Action)
	}
	if !time.Time(span.Timestamp).Equal(after(100*time.Millisecond)) || span.Duration != 7 || span.Outcome != "failure" {
		t.Errorf("%v for %v ms: %s", time.Time(span.Timestamp), span.Duration, span.Outcome)
	}
	if span.ParentID != tx.ID || span.TransactionID != tx.ID || span.TraceID != tx.TraceID {
		t.Errorf("below %x of %x, want %x", span.ParentID, span.TransactionID, tx.ID)
	}
	if span.Context != nil && (span.Context.Destination != nil || span.Context.Service != nil) {
		t.Errorf("destination %v of a span without one", span.Context.Destination)
	}
}

// TestSpanContext: what a span calls can go on from it, and from what is above it where
// the span itself is dropped.
func TestSpanContext(t *testing.T) {
	rec := newRecorder(t)
	ctx, m := startMessage(t, openConn(t, New(rec.Tracer)), messageStart("chat.say", 0))
	_, s := below(ctx, t, m, spanStart("GET billing.example", "external.http"))
	told := s.SpanContext()
	endSpan(s, time.Millisecond)
	rec.Tracer.SetMaxSpans(0)
	ctx, n := startMessage(t, openConn(t, New(rec.Tracer)), messageStart("too many", 0))
	_, dropped := below(ctx, t, n, spanStart("GET stock.example", "external.http"))
	instead := dropped.SpanContext()
	m.End(messageOK(time.Second))
	n.End(messageOK(time.Second))
	docs := rec.collect(t)
	span, tx := docs.span(t, "GET billing.example"), docs.transaction(t, "too many")
	if told.TraceID != span.TraceID || told.SpanID != span.ID || !told.Sampled() || told.State != "es=s:1" {
		t.Errorf("the span tells %+v, but is %x of %x", told, span.ID, span.TraceID)
	}
	if instead.TraceID != tx.TraceID || instead.SpanID != tx.ID {
		t.Errorf("the span that is dropped tells %+v, want %x of %x", instead, tx.ID, tx.TraceID)
	}
}

// TestSpanParents: our spans and those of Elastic's API below each other.
func TestSpanParents(t *testing.T) {
	rec := newRecorder(t)
	cctx, c := startConn(t.Context(), t, New(rec.Tracer))
	actx, authenticate := below(cctx, t, c, spanStart("authenticate", "app"))
	lookup, _ := apm.StartSpan(actx, "lookup", "db.redis.query")
	lookup.End()
	endSpan(authenticate, time.Millisecond)
	c.Opened(accepted(time.Second))

	ctx, m := startMessage(t, c, messageStart("chat.say", 0))
	ctx1, s1 := below(ctx, t, m, spanStart("one", "app"))
	ctx2, s2 := below(ctx1, t, s1, spanStart("two", "app"))
	n3, ctx3 := apm.StartSpan(ctx2, "three", "app")
	ctx4, s4 := below(ctx3, t, s2, spanStart("four", "app"))
	n5, _ := apm.StartSpan(ctx4, "five", "app")
	n5.End()
	endSpan(s4, time.Millisecond)
	n3.End()
	endSpan(s2, time.Millisecond)
	endSpan(s1, time.Millisecond)
	n6, ctx6 := apm.StartSpan(ctx, "six", "app")
	_, s7 := below(ctx6, t, m, spanStart("seven", "app"))
	endSpan(s7, time.Millisecond)
	n6.End()
	// A context that knows nothing of the message.
	_, s8 := below(t.Context(), t, m, spanStart("eight", "app"))
	endSpan(s8, time.Millisecond)
	m.End(messageOK(time.Second))

	docs := rec.collect(t)
	connect, message := docs.transaction(t, "CONNECT /ws"), docs.transaction(t, "chat.say")
	for child, parent := range map[string]string{
		"lookup": "authenticate", "two": "one", "three": "two", "four": "three", "five": "four", "seven": "six",
	} {
		if got, want := docs.span(t, child).ParentID, docs.span(t, parent).ID; got != want {
			t.Errorf("%s is below %x, want %s, %x", child, got, parent, want)
		}
	}
	if got := docs.span(t, "authenticate").ParentID; got != connect.ID {
		t.Errorf("authenticate is below %x, want CONNECT, %x", got, connect.ID)
	}
	for _, child := range []string{"one", "six", "eight"} {
		if got := docs.span(t, child); got.ParentID != message.ID || got.TransactionID != message.ID {
			t.Errorf("%s is below %x, want the message, %x", child, got.ParentID, message.ID)
		}
	}
}

// TestTwoTracers: two exporters behind one agent, each with its own tracer.
func TestTwoTracers(t *testing.T) {
	first, second := newRecorder(t), newRecorder(t)
	ctx := t.Context()
	a, b := openConn(t, New(first.Tracer)), openConn(t, New(second.Tracer))
	ctx, ma := a.StartMessage(ctx, messageStart("chat.say", 0))
	ctx, mb := b.StartMessage(ctx, messageStart("chat.say", 0))
	ctx1, sa := below(ctx, t, ma, spanStart("one", "app"))
	ctx1, sb := below(ctx1, t, mb, spanStart("one", "app"))
	native, ctx2 := apm.StartSpan(ctx1, "native", "app")
	ctx3, sa2 := below(ctx2, t, sa, spanStart("two", "app"))
	_, sb2 := below(ctx3, t, sb, spanStart("two", "app"))
	for _, s := range []*childSpan{sb2, sa2} {
		endSpan(s, time.Millisecond)
	}
	native.End()
	for _, s := range []*childSpan{sb, sa} {
		endSpan(s, time.Millisecond)
	}
	mb.End(messageOK(time.Second))
	ma.End(messageOK(time.Second))
	for name, rec := range map[string]*recorder{"first": first, "second": second} {
		docs := rec.collect(t)
		message, one, two := docs.transaction(t, "chat.say"), docs.span(t, "one"), docs.span(t, "two")
		if one.TransactionID != message.ID || one.ParentID != message.ID || two.TransactionID != message.ID {
			t.Errorf("%s: spans are not below the exporter's own message", name)
		}
		parent := one.ID
		if name == "second" { // Elastic's API finds the last one's transaction
			parent = docs.span(t, "native").ID
		}
		if two.ParentID != parent {
			t.Errorf("%s: two is below %x, want %x", name, two.ParentID, parent)
		}
	}
}

// TestForeignTransactionInContext: one that the handler has started itself is not
// taken for the message's.
func TestForeignTransactionInContext(t *testing.T) {
	rec := newRecorder(t)
	ctx, m := startMessage(t, openConn(t, New(rec.Tracer)), messageStart("chat.say", 0))
	own := rec.StartTransaction("own", "job")
	_, ownCtx := apm.StartSpan(apm.ContextWithTransaction(ctx, own), "own span", "app")
	_, s := below(ownCtx, t, m, spanStart("span", "app"))
	endSpan(s, time.Millisecond)
	m.End(messageOK(time.Second))
	own.End()
	docs := rec.collect(t)
	if got, want := docs.span(t, "span").ParentID, docs.transaction(t, "chat.say").ID; got != want {
		t.Errorf("the span is below %x, want the message, %x", got, want)
	}
}

func TestDestination(t *testing.T) {
	tests := []struct{ typ, destination, targetType, targetName string }{
		{"messaging.redis.publish", "redis", "redis", ""},
		{"external.http", "billing.example:443", "http", "billing.example:443"},
		{"db.postgresql.query", "postgresql/customers", "postgresql", "customers"},
		{"custom", "elsewhere", "custom", "elsewhere"},
	}
	rec := newRecorder(t)
	ctx, m := startMessage(t, openConn(t, New(rec.Tracer)), messageStart("chat.say", 0))
	for _, test := range tests {
		start := spanStart(test.destination, test.typ)
		start.Destination = test.destination
		_, s := below(ctx, t, m, start)
		endSpan(s, time.Microsecond)
	}
	m.End(messageOK(time.Second))
	docs := rec.collect(t)
	for _, test := range tests {
		c := docs.span(t, test.destination).Context
		if got := c.Destination.Service.Resource; got != test.destination {
			t.Errorf("%s: resource %q", test.destination, got)
		}
		if got := c.Service.Target; got.Type != test.targetType || got.Name != test.targetName {
			t.Errorf("%s: target %+v, want %s, %s", test.destination, got, test.targetType, test.targetName)
		}
	}
}

// fastSpans makes a fast exit span of ours and one of Elastic's API, as an
// integration would.
func fastSpans(t *testing.T, rec *recorder) *documents {
	t.Helper()
	ctx, m := startMessage(t, openConn(t, New(rec.Tracer)), messageStart("chat.say", 0))
	start := spanStart("ours", "messaging.redis.publish")
	start.Destination = "redis"
	_, s := below(ctx, t, m, start)
	endSpan(s, 10*time.Microsecond)
	native := apm.TransactionFromContext(ctx).StartExitSpan("native", "db.redis.query", nil)
	native.Duration = 10 * time.Microsecond
	native.End()
	m.End(messageOK(time.Second))
	return rec.collect(t)
}

func TestFastExitSpans(t *testing.T) {
	t.Run("kept", func(t *testing.T) {
		docs := fastSpans(t, newRecorder(t))
		docs.span(t, "ours")
		docs.span(t, "native")
		if got := docs.transaction(t, "chat.say").SpanCount; got.Started != 2 || got.Dropped != 0 {
			t.Errorf("span count %+v", got)
		}
	})
	t.Run("as the environment says", func(t *testing.T) {
		docs := fastSpans(t, newRecorder(t, "ELASTIC_APM_EXIT_SPAN_MIN_DURATION", "1ms"))
		if len(docs.spans) != 0 {
			t.Errorf("spans %v", docs.names())
		}
		if got := docs.transaction(t, "chat.say").SpanCount; got.Dropped != 2 {
			t.Errorf("span count %+v", got)
		}
	})
}

// TestExitSpanMinDuration: who was last decides.
func TestExitSpanMinDuration(t *testing.T) {
	t.Run("New", func(t *testing.T) {
		rec := newRecorder(t)
		rec.SetExitSpanMinDuration(time.Hour)
		docs := fastSpans(t, rec)
		docs.span(t, "ours")
		docs.span(t, "native")
	})
	t.Run("the application", func(t *testing.T) {
		rec := newRecorder(t)
		e := New(rec.Tracer)
		rec.SetExitSpanMinDuration(time.Hour)
		ctx, m := startMessage(t, openConn(t, e), messageStart("chat.say", 0))
		nativeExit(apm.TransactionFromContext(ctx), "GET", time.Millisecond)
		m.End(messageOK(time.Second))
		docs := rec.collect(t)
		if got := docs.transaction(t, "chat.say").SpanCount; got.Dropped != 1 || len(docs.spans) != 0 {
			t.Errorf("span count %+v, sent %v", got, docs.names())
		}
	})
}

// TestCompression pins down what becomes of many like spans.
func TestCompression(t *testing.T) {
	publish := spanStart("PUBLISH", "messaging.redis.publish")
	publish.Destination = "redis"
	t.Run("five exit spans are one", func(t *testing.T) {
		rec := newRecorder(t)
		ctx, m := startMessage(t, openConn(t, New(rec.Tracer)), messageStart("chat.say", 0))
		for range 5 {
			_, s := below(ctx, t, m, publish)
			endSpan(s, 10*time.Microsecond)
		}
		m.End(messageOK(time.Second))
		docs := rec.collect(t)
		span := docs.span(t, "PUBLISH")
		if span.Composite == nil || span.Composite.Count != 5 || span.Composite.Sum < 0.0499 || span.Composite.Sum > 0.0501 {
			t.Errorf("composite %+v, want 5 that took 0.05 ms", span.Composite)
		}
	})
	t.Run("unless the environment says no", func(t *testing.T) {
		rec := newRecorder(t, "ELASTIC_APM_SPAN_COMPRESSION_ENABLED", "false")
		ctx, m := startMessage(t, openConn(t, New(rec.Tracer)), messageStart("chat.say", 0))
		for range 5 {
			_, s := below(ctx, t, m, publish)
			endSpan(s, 10*time.Microsecond)
		}
		m.End(messageOK(time.Second))
		if docs := rec.collect(t); len(docs.spans) != 5 {
			t.Errorf("%d spans, want 5", len(docs.spans))
		}
	})
	t.Run("a failed one stands alone", func(t *testing.T) {
		rec := newRecorder(t)
		ctx, m := startMessage(t, openConn(t, New(rec.Tracer)), messageStart("chat.say", 0))
		for i := range 3 {
			_, s := below(ctx, t, m, publish)
			outcome := apmws.OutcomeSuccess
			if i == 1 {
				outcome = apmws.OutcomeFailure
			}
			s.End(apmws.SpanEnd{Time: s.start.Add(time.Microsecond), Outcome: outcome})
		}
		m.End(messageOK(time.Second))
		if docs := rec.collect(t); len(docs.spans) != 3 {
			t.Errorf("%d spans, want 3", len(docs.spans))
		}
	})
	t.Run("ended twice it is one", func(t *testing.T) {
		rec := newRecorder(t)
		ctx, m := startMessage(t, openConn(t, New(rec.Tracer)), messageStart("chat.say", 0))
		_, s := below(ctx, t, m, publish)
		endSpan(s, time.Microsecond)
		endSpan(s, time.Microsecond)
		m.End(messageOK(time.Second))
		docs := rec.collect(t)
		if span := docs.span(t, "PUBLISH"); span.Composite != nil {
			t.Errorf("composite %+v", span.Composite)
		}
	})
	t.Run("those of different parents stay apart", func(t *testing.T) {
		rec := newRecorder(t)
		ctx, m := startMessage(t, openConn(t, New(rec.Tracer)), messageStart("chat.say", 0))
		for i := range 2 {
			ctx, parent := below(ctx, t, m, spanStart(fmt.Sprintf("room %d", i), "app"))
			_, s := below(ctx, t, parent, publish)
			endSpan(s, time.Microsecond)
			endSpan(parent, time.Millisecond)
		}
		m.End(messageOK(time.Second))
		docs := rec.collect(t)
		parents := map[any]bool{}
		for _, s := range docs.spans {
			if s.Name == "PUBLISH" {
				parents[s.ParentID] = true
			}
		}
		if len(parents) != 2 {
			t.Errorf("PUBLISH is below %d spans, want 2", len(parents))
		}
	})
	t.Run("writes to peers are never compressed", func(t *testing.T) {
		rec := newRecorder(t)
		ctx, m := startMessage(t, openConn(t, New(rec.Tracer)), messageStart("chat.say", 0))
		for i := range 5 {
			start := spanStart("send chat.said", "websocket.send")
			start.Attrs = []slog.Attr{slog.Int("websocket.message.length", i)}
			_, s := below(ctx, t, m, start)
			endSpan(s, 10*time.Microsecond)
		}
		m.End(messageOK(time.Second))
		if docs := rec.collect(t); len(docs.spans) != 5 {
			t.Errorf("%d spans, want 5", len(docs.spans))
		}
	})
}

// TestTooManySpans: those over the tracer's limit are counted, and what is below
// them is not lost track of.
func TestTooManySpans(t *testing.T) {
	rec := newRecorder(t)
	rec.SetMaxSpans(1)
	ctx, m := startMessage(t, openConn(t, New(rec.Tracer)), messageStart("chat.say", 0))
	_, kept := below(ctx, t, m, spanStart("kept", "app"))
	endSpan(kept, time.Millisecond)
	over := spanStart("over", "messaging.redis.publish")
	over.Destination = "redis"
	octx, s := below(ctx, t, m, over)
	_, deeper := below(octx, t, s, spanStart("deeper", "app"))
	endSpan(deeper, time.Millisecond)
	endSpan(s, time.Millisecond)
	m.End(messageOK(time.Second))
	docs := rec.collect(t)
	tx := docs.transaction(t, "chat.say")
	if len(docs.spans) != 1 || tx.SpanCount.Started != 1 || tx.SpanCount.Dropped != 2 {
		t.Errorf("%d spans, count %+v", len(docs.spans), tx.SpanCount)
	}
	if len(tx.DroppedSpansStats) != 1 || tx.DroppedSpansStats[0].DestinationServiceResource != "redis" {
		t.Errorf("dropped spans %+v, want one to redis", tx.DroppedSpansStats)
	}
}

// TestSpanAfterTransaction: a span that outlives its transaction is sent.
func TestSpanAfterTransaction(t *testing.T) {
	rec := newRecorder(t)
	ctx, m := startMessage(t, openConn(t, New(rec.Tracer)), messageStart("chat.say", 0))
	start := spanStart("slow", "messaging.redis.publish")
	start.Destination = "redis"
	_, s := below(ctx, t, m, start)
	m.End(messageOK(time.Second))
	endSpan(s, 5*time.Second)
	docs := rec.collect(t)
	if span := docs.span(t, "slow"); span.Duration != 5000 || span.TransactionID != docs.transaction(t, "chat.say").ID {
		t.Errorf("%v ms, transaction %x", span.Duration, span.TransactionID)
	}
}
