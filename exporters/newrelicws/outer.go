package newrelicws

import (
	"context"

	"github.com/newrelic/go-agent/v3/newrelic"
)

// findOuter returns the transaction that something outside the agent, such as
// newrelic.WrapHandle, has opened for the handshake's request, or nil. What other
// Exporters have put into ctx is theirs.
func findOuter(ctx context.Context) *newrelic.Transaction {
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
	if found.IsEnded() {
		return nil
	}
	return found
}

// ignoreOuter makes the transaction of an accepted handshake vanish: it ends when
// the HTTP handler returns, which may be hours later, and would spoil every mean.
// CONNECT stands for it. That of a refusal is as long as it should be.
func ignoreOuter(tx *newrelic.Transaction) {
	if tx != nil && !tx.IsEnded() {
		tx.Ignore()
	}
}
