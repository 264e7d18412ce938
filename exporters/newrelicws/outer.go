package newrelicws

import (
	"bytes"
	"context"
	"runtime"
	"strconv"

	"github.com/newrelic/go-agent/v3/newrelic"
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
	return outer{tx: found, goroutine: goroutineID()}
}

// ignore makes the transaction of an accepted handshake vanish: the HTTP handler
// may last for hours, and would spoil every mean. CONNECT stands for it. That of a
// refusal is as long as it should be.
//
// So is that of an Endpoint, whose handler returns after the upgrade while CONNECT
// ends on another goroutine, sometimes before and sometimes after: it is left
// alone, or chance would decide which are sent.
func (o *outer) ignore() {
	if o.tx != nil && goroutineID() == o.goroutine && !o.tx.IsEnded() {
		o.tx.Ignore()
	}
}

// goroutineID returns the number of the calling goroutine, which the runtime
// tells in stack traces only, or 0.
func goroutineID() uint64 {
	var buf [64]byte
	trace := buf[:runtime.Stack(buf[:], false)]
	number, _, _ := bytes.Cut(bytes.TrimPrefix(trace, []byte("goroutine ")), []byte(" "))
	id, err := strconv.ParseUint(string(number), 10, 64)
	if err != nil {
		return 0
	}
	return id
}
