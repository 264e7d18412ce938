package elasticws

import (
	"sync"
	"testing"
	"time"

	"go.elastic.co/apm/v2"
	"go.elastic.co/apm/v2/model"

	"github.com/apmws/go-apmws/apmws"
)

// outerMiddleware opens a transaction as an HTTP middleware does, 40 ms before
// the handshake is seen.
func outerMiddleware(tracer *apm.Tracer) *apm.Transaction {
	return tracer.StartTransactionOptions("GET /ws", "request", apm.TransactionOptions{Start: begin.Add(-40 * time.Millisecond)})
}

func TestOuterTransaction(t *testing.T) {
	rec := newRecorder(t)
	tx := outerMiddleware(rec.Tracer)
	start := connStart()
	start.Remote = apmws.SpanContext{TraceID: [16]byte{1}, SpanID: [8]byte{1}, Flags: 1}
	_, c := New(rec.Tracer).StartConn(apm.ContextWithTransaction(t.Context(), tx), start)
	c.Opened(accepted(20 * time.Millisecond))
	c.End(apmws.ConnEnd{Time: after(time.Hour), Name: "DISCONNECT /ws"})
	if tx.TransactionData == nil {
		t.Fatal("the transaction of the middleware was ended")
	}
	tx.Result = "HTTP 2xx" // the middleware uses it when the handler returns
	tx.End()
	docs := rec.collect(t)
	connect, outer := docs.transaction(t, "CONNECT /ws"), docs.transaction(t, "GET /ws")
	if connect.TraceID != outer.TraceID || connect.ParentID != outer.ID {
		t.Errorf("CONNECT is in trace %x below %x, want %x and %x", connect.TraceID, connect.ParentID, outer.TraceID, outer.ID)
	}
	if outer.Duration != 60 {
		t.Errorf("the transaction of the middleware lasted %v ms, want 60: from its start to the 101", outer.Duration)
	}
}

func TestOuterSpan(t *testing.T) {
	rec := newRecorder(t)
	tx := outerMiddleware(rec.Tracer)
	ctx := apm.ContextWithTransaction(t.Context(), tx)
	span, ctx := apm.StartSpan(ctx, "billing check", "app")
	ctx, c := startConn(ctx, t, New(rec.Tracer))
	if apm.SpanFromContext(ctx) != nil {
		t.Error("a span outside is found beside CONNECT")
	}
	c.Opened(accepted(0))
	span.End()
	tx.End()
	docs := rec.collect(t)
	if connect, outer := docs.transaction(t, "CONNECT /ws"), docs.span(t, "billing check"); connect.ParentID != outer.ID {
		t.Errorf("CONNECT is below %x, want the span %x", connect.ParentID, outer.ID)
	}
}

func TestOuterTransactionIsLeftAlone(t *testing.T) {
	tests := []struct {
		name string
		run  func(tx *apm.Transaction, c apmws.ConnSpan)
		want func(ms float64) bool
	}{
		{"after a refusal", func(_ *apm.Transaction, c apmws.ConnSpan) {
			c.Opened(apmws.OpenEnd{Time: after(0), Status: 401, Result: "HTTP 4xx", Outcome: apmws.OutcomeSuccess})
		}, func(ms float64) bool { return ms > 1000 }}, // measured by the agent, against the clock
		{"with a duration of its own", func(tx *apm.Transaction, c apmws.ConnSpan) {
			tx.Duration = 5 * time.Millisecond
			c.Opened(accepted(0))
		}, func(ms float64) bool { return ms == 5 }},
		{"when it has ended", func(tx *apm.Transaction, c apmws.ConnSpan) {
			tx.Duration = 6 * time.Millisecond
			tx.End()
			c.Opened(accepted(0))
		}, func(ms float64) bool { return ms == 6 }},
		{"on another goroutine, which may race with its end", func(_ *apm.Transaction, c apmws.ConnSpan) {
			var other sync.WaitGroup
			other.Go(func() { c.Opened(accepted(0)) })
			other.Wait()
		}, func(ms float64) bool { return ms > 1000 }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			rec := newRecorder(t)
			tx := outerMiddleware(rec.Tracer)
			_, c := startConn(apm.ContextWithTransaction(t.Context(), tx), t, New(rec.Tracer))
			test.run(tx, c)
			tx.End()
			docs := rec.collect(t)
			if got := docs.transaction(t, "GET /ws").Duration; !test.want(got) {
				t.Errorf("it lasted %v ms", got)
			}
			docs.transaction(t, "CONNECT /ws")
		})
	}
}

// TestOuterTransactionThatHasEnded: the handler's context may carry one.
func TestOuterTransactionThatHasEnded(t *testing.T) {
	rec := newRecorder(t)
	tx := outerMiddleware(rec.Tracer)
	tx.End()
	_, c := startConn(apm.ContextWithTransaction(t.Context(), tx), t, New(rec.Tracer))
	c.Opened(accepted(0))
	docs := rec.collect(t)
	if connect, outer := docs.transaction(t, "CONNECT /ws"), docs.transaction(t, "GET /ws"); connect.ParentID != outer.ID {
		t.Errorf("CONNECT is below %x, want %x", connect.ParentID, outer.ID)
	}
}

// TestTwoExportersInOneChain: to each the other's CONNECT is nothing, and the
// middleware's transaction is outside of both.
func TestTwoExportersInOneChain(t *testing.T) {
	first, second := newRecorder(t), newRecorder(t)
	tx := outerMiddleware(first.Tracer)
	ctx, a := startConn(apm.ContextWithTransaction(t.Context(), tx), t, New(first.Tracer))
	_, b := startConn(ctx, t, New(second.Tracer))
	b.Opened(accepted(20 * time.Millisecond))
	a.Opened(accepted(30 * time.Millisecond))
	tx.End()
	one, two := first.collect(t), second.collect(t)
	outer := one.transaction(t, "GET /ws")
	for exporter, connect := range map[string]model.Transaction{
		"first": one.transaction(t, "CONNECT /ws"), "second": two.transaction(t, "CONNECT /ws"),
	} {
		if connect.ParentID != outer.ID {
			t.Errorf("%s: CONNECT is below %x, want %x", exporter, connect.ParentID, outer.ID)
		}
	}
	if got := one.transaction(t, "CONNECT /ws").Duration; got != 30 {
		t.Errorf("the first exporter's CONNECT lasted %v ms: the second has changed it", got)
	}

	// Without one outside, both are roots.
	ctx, a = startConn(t.Context(), t, New(first.Tracer))
	_, b = startConn(ctx, t, New(second.Tracer))
	b.Opened(accepted(0))
	a.Opened(accepted(0))
	two = second.collect(t)
	if last := two.transactions[len(two.transactions)-1]; last.ParentID != (model.SpanID{}) {
		t.Errorf("the second exporter's CONNECT is below %x", last.ParentID)
	}
}

// TestStartOfTransaction: the field that holds it is still there.
func TestStartOfTransaction(t *testing.T) {
	rec := newRecorder(t)
	tx := outerMiddleware(rec.Tracer)
	if got, want := startOf(tx, begin), begin.Add(-40*time.Millisecond); !got.Equal(want) {
		t.Errorf("a transaction that started at %v is said to have started at %v", want, got)
	}
	tx.End()
	if got := startOf(tx, begin); !got.Equal(begin) {
		t.Errorf("an ended transaction is said to have started at %v", got)
	}
}
