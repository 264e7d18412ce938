package newrelicws

import (
	"context"

	"github.com/newrelic/go-agent/v3/newrelic"

	"github.com/apmws/go-apmws/exporters/internal/goroutine"
)

// outer is a transaction that something outside the agent, such as
// newrelic.WrapHandle, has opened for the handshake's request. It ends when the
// HTTP handler returns.
type outer struct {
	tx        *newrelic.Transaction // nil: there is none
	goroutine uint64                // that serves the request
}

// findOuter returns the transaction outside the agent. What other Exporters have
// put into ctx is theirs.
func findOuter(ctx context.Context) outer {
	found := newrelic.FromContext(ctx)
	for {
		c, ok := ctx.Value(carrierKey{}).(*carrier)
		if !ok || c.tx != found {
			break
		}
		ctx = c.Context
		found = newrelic.FromContext(ctx)
	}
	// One that has ended is found as well.
	if found == nil || found.IsEnded() {
		return outer{}
	}
	return outer{tx: found, goroutine: goroutine.ID()}
}

// ignore makes the transaction of an accepted handshake vanish: the HTTP handler
// may last for hours, and would spoil every mean. CONNECT stands for it. That of a
// refusal is as long as it should be.
//
// So is that of an Endpoint, whose handler returns after the upgrade while CONNECT
// ends on another goroutine, sometimes before and sometimes after: it is left
// alone, or chance would decide which are sent.
func (o *outer) ignore() {
	if o.tx != nil && goroutine.ID() == o.goroutine && !o.tx.IsEnded() {
		o.tx.Ignore()
	}
}
