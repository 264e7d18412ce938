package elasticws

import (
	"sync"
	"testing"
	"time"

	"go.elastic.co/apm/v2"

	"github.com/apmws/go-apmws/apmws"
)

// TestHeldTransaction: a handler that has looked its transaction up before the
// upgrade may go on using it.
func TestHeldTransaction(t *testing.T) {
	for _, strategy := range []string{"continue", "restart", "restart_external"} {
		t.Run(strategy, func(t *testing.T) {
			rec := newRecorder(t, "ELASTIC_APM_TRACE_CONTINUATION_STRATEGY", strategy)
			start := connStart()
			start.Remote = apmws.SpanContext{TraceID: [16]byte{1}, SpanID: [8]byte{1}, Flags: 1}
			ctx, span := New(rec.Tracer).StartConn(t.Context(), start)
			c := span.(*connSpan)
			held := apm.TransactionFromContext(ctx)
			ids := held.TraceContext()
			held.Context.SetLabel("tenant", "t1")
			c.Opened(accepted(20 * time.Millisecond))

			held.Name = "late"
			held.Context.SetLabel("late", true)
			held.Context.SetUserID("late")
			if got := held.TraceContext(); got.Trace != ids.Trace || got.Span != ids.Span {
				t.Errorf("the ids are %v now, were %v", got, ids)
			}
			late := held.StartSpan("late span", "app", nil)
			late.End()
			held.Result = "late"
			held.End()
			held.End()

			docs := rec.collect(t)
			if len(docs.transactions) != 1 {
				t.Errorf("transactions %v, want CONNECT alone", docs.names())
			}
			connect := docs.transaction(t, "CONNECT /ws")
			if labels := labelMap(connect.Context.Tags); labels["tenant"] != "t1" || labels["late"] != nil {
				t.Errorf("labels %v", labels)
			}
			if connect.Context.User != nil || connect.Result != "HTTP 1xx" || connect.Duration != 20 {
				t.Errorf("user %+v, result %q, %v ms", connect.Context.User, connect.Result, connect.Duration)
			}
			if got := docs.span(t, "late span"); got.TransactionID != connect.ID || got.TraceID != connect.TraceID {
				t.Errorf("the span is below %x, want %x", got.TransactionID, connect.ID)
			}
		})
	}
}

// TestHeldTransactionOfOthers: other goroutines of the handler start spans while
// CONNECT ends.
func TestHeldTransactionOfOthers(t *testing.T) {
	rec := newRecorder(t)
	rec.SetMaxSpans(-1)
	const goroutines, each = 4, 50
	for range 20 {
		ctx, c := startConn(t.Context(), t, New(rec.Tracer))
		held := apm.TransactionFromContext(ctx)
		var begun, done sync.WaitGroup
		begun.Add(goroutines)
		for range goroutines {
			done.Go(func() {
				for i := range each {
					held.StartSpan("native", "app", nil).End()
					if i == 0 {
						begun.Done()
					}
				}
			})
		}
		begun.Wait()
		c.Opened(accepted(time.Second))
		done.Wait()
		flush(t, rec.Tracer) // its queue is short
	}
	docs := rec.collect(t)
	if len(docs.transactions) != 20 || len(docs.spans) != 20*goroutines*each {
		t.Errorf("%d transactions with %d spans, want 20 with %d", len(docs.transactions), len(docs.spans), 20*goroutines*each)
	}
	for _, tx := range docs.transactions {
		if tx.SpanCount.Started < goroutines || tx.SpanCount.Dropped != 0 {
			t.Errorf("span count %+v, want the %d before the upgrade at least", tx.SpanCount, goroutines)
		}
	}
}

// nativeExit is an exit span as one of Elastic's integrations makes it.
func nativeExit(tx *apm.Transaction, name string, d time.Duration) {
	span := tx.StartExitSpan(name, "db.redis.query", nil)
	span.Duration = d
	span.End()
}

// TestSpansBeforeUpgrade: what Elastic's API has recorded below CONNECT is sent
// and counted, also what the agent still holds back to compress it.
func TestSpansBeforeUpgrade(t *testing.T) {
	t.Run("all are sent", func(t *testing.T) {
		rec := newRecorder(t)
		ctx, c := startConn(t.Context(), t, New(rec.Tracer))
		tx := apm.TransactionFromContext(ctx)
		tx.StartSpan("check", "app", nil).End()
		for range 3 {
			nativeExit(tx, "GET", time.Millisecond)
		}
		c.Opened(accepted(time.Second))
		docs := rec.collect(t)
		docs.span(t, "check")
		if span := docs.span(t, "GET"); span.Composite == nil || span.Composite.Count != 3 {
			t.Errorf("composite %+v, want 3", span.Composite)
		}
		if got := docs.transaction(t, "CONNECT /ws").SpanCount; got.Started != 2 || got.Dropped != 0 {
			t.Errorf("span count %+v, want 2 and 0", got)
		}
	})
	t.Run("too fast a one is counted as dropped", func(t *testing.T) {
		rec := newRecorder(t, "ELASTIC_APM_EXIT_SPAN_MIN_DURATION", "1ms")
		ctx, c := startConn(t.Context(), t, New(rec.Tracer))
		nativeExit(apm.TransactionFromContext(ctx), "GET", time.Microsecond)
		c.Opened(accepted(time.Second))
		docs := rec.collect(t)
		tx := docs.transaction(t, "CONNECT /ws")
		if tx.SpanCount.Started != 0 || tx.SpanCount.Dropped != 1 || len(tx.DroppedSpansStats) != 1 || len(docs.spans) != 0 {
			t.Errorf("span count %+v, dropped %+v, sent %v", tx.SpanCount, tx.DroppedSpansStats, docs.names())
		}
	})
	t.Run("ours that ends after it is sent", func(t *testing.T) {
		rec := newRecorder(t)
		ctx, c := startConn(t.Context(), t, New(rec.Tracer))
		start := spanStart("SUBSCRIBE", "messaging.redis.subscribe")
		start.Destination = "redis"
		_, s := below(ctx, t, c, start)
		c.Opened(accepted(time.Second))
		endSpan(s, 2*time.Millisecond)
		docs := rec.collect(t)
		if got, want := docs.span(t, "SUBSCRIBE").ParentID, docs.transaction(t, "CONNECT /ws").ID; got != want {
			t.Errorf("the span is below %x, want %x", got, want)
		}
	})
}
