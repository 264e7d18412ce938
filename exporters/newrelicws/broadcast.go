package newrelicws

import (
	"context"

	"github.com/newrelic/go-agent/v3/newrelic"

	"github.com/apmws/go-apmws/apmws"
	"github.com/apmws/go-apmws/apmws/semconv"
)

// StartBroadcast implements apmws.Broadcaster. What the broadcast happens in is its
// caller, as in another service: it is sampled when that is.
func (e *Exporter) StartBroadcast(_ context.Context, parent any, start apmws.MessageStart) apmws.MessageSpan {
	if e.app == nil {
		return nil
	}
	kind := semconv.TypeMessage
	if start.Late {
		kind = typeKept
	}
	tx := e.start(kind + "/" + start.Name)
	if tx == nil {
		return nil
	}
	if !start.Late {
		from := callerOf(parent)
		if parent == nil && start.Continue {
			from = start.Remote
		}
		e.accept(tx, &from, newrelic.TransportOther)
	}
	m := &messageSpan{late: start.Late, start: start.Time}
	m.init(context.Background(), e, tx, identify(tx), &e.none)
	e.none.set(m, start.Attrs)
	m.setWeight(&start)
	return m
}

// callerOf returns what goes on below a handle of this package is told of it. It is
// zero when there is nothing to tell.
func callerOf(handle any) apmws.SpanContext {
	switch h := handle.(type) {
	case *connSpan:
		if open := h.open.Load(); open != nil {
			return open.outgoing()
		}
	case *messageSpan:
		return h.outgoing()
	case *childSpan:
		return h.SpanContext()
	}
	return apmws.SpanContext{}
}

// outgoing returns what is told of the transaction itself.
func (t *transaction) outgoing() apmws.SpanContext {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ended || t.tx.IsEnded() {
		return apmws.SpanContext{}
	}
	span := ""
	if t.collectsSpans() {
		span = t.ids.SpanIDString()
	}
	return outgoing(t.tx, span)
}
