package elasticws

import (
	"context"
	"time"

	"go.elastic.co/apm/v2"

	"github.com/apmws/go-apmws/exporters/internal/goroutine"
)

// outer is a transaction that something outside the agent, such as apmhttp, has
// opened for the handshake's request. It ends when the HTTP handler returns,
// which may be hours later.
type outer struct {
	tx        *apm.Transaction // nil: there is none
	start     time.Time
	goroutine uint64
}

// findOuter returns the transaction outside the agent and the trace context to
// continue: that of the innermost span there. What other Exporters have put into
// ctx is theirs. seen is when the handshake arrived.
func findOuter(ctx context.Context, seen time.Time) (outer, apm.TraceContext) {
	ctx = beneath(ctx, nil)
	tx := apm.TransactionFromContext(ctx)
	if tx == nil {
		return outer{}, apm.TraceContext{}
	}
	parent := tx.TraceContext()
	if span := apm.SpanFromContext(ctx); span != nil {
		parent = span.TraceContext()
	}
	return outer{tx: tx, start: startOf(tx, seen), goroutine: goroutine.ID()}, parent
}

// shorten makes the transaction last until now, whenever it ends. It must not be
// ended or discarded here: apmhttp uses it when the handler returns.
//
// A transaction may be changed only by the goroutine that serves the request,
// since that one ends it; on any other the transaction is left alone. The agent
// is silent about who has ended what, and a transaction's data is used again for
// other transactions.
func (o *outer) shorten(now time.Time) {
	if o.tx == nil || goroutine.ID() != o.goroutine || o.tx.TransactionData == nil {
		return
	}
	if o.tx.Duration < 0 { // else the application has set it
		o.tx.Duration = duration(o.start, now)
	}
}
