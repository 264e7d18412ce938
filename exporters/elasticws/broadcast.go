package elasticws

import (
	"context"

	"go.elastic.co/apm/v2"

	"github.com/apmws/go-apmws/apmws"
	"github.com/apmws/go-apmws/apmws/semconv"
)

// StartBroadcast implements apmws.Broadcaster. The agent knows nothing of a parent
// in the same process but its trace context, which a continuation strategy may
// treat as that of a caller: with "restart" a broadcast is a trace of its own, with
// a link.
func (e *Exporter) StartBroadcast(_ context.Context, parent any, start apmws.MessageStart) apmws.MessageSpan {
	if !e.tracer.Recording() {
		return nil
	}
	opts := apm.TransactionOptions{Start: start.Time}
	above, within := traceContextOf(parent)
	switch {
	case start.Late:
		opts.TraceContext = e.decided(start.Weight)
	case within:
		opts.TraceContext = above
	case start.Remote.IsValid() && start.Continue:
		opts.TraceContext = remoteContext(start.Remote)
	case start.Sampled:
		opts.TraceContext = e.decided(start.Weight)
	}
	tx := e.tracer.StartTransactionOptions(start.Name, semconv.TypeMessage, opts)
	m := &messageSpan{
		carrier: carrier{Context: context.Background(), exporter: e, tx: tx},
		labels:  &e.none,
		start:   start.Time,
	}
	if tx.Sampled() {
		m.labels.set(&tx.Context, start.Attrs, nil)
	}
	return m
}

// traceContextOf returns the trace context of a handle of this package, with the
// sampling rate in it. It reports whether there is one.
func traceContextOf(handle any) (tc apm.TraceContext, ok bool) {
	switch h := handle.(type) {
	case *connSpan:
		open := h.open.Load()
		if open == nil {
			return tc, false
		}
		tc = open.tx.TraceContext()
	case *messageSpan:
		tc = h.tx.TraceContext()
	case *childSpan:
		tc = h.span.TraceContext()
	default:
		return tc, false
	}
	return tc, true
}
