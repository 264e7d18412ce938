package elasticws

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/apmws/go-apmws/apmws"
)

// messageSpan is the handle of a message and the context of its handler.
type messageSpan struct {
	carrier
	labels *connLabels
	start  time.Time
	done   atomic.Bool
}

// StartMessage implements apmws.ConnSpan.
func (c *connSpan) StartMessage(ctx context.Context, start apmws.MessageStart) (context.Context, apmws.MessageSpan) {
	if !c.exporter.tracer.Recording() {
		return ctx, nil
	}
	tx := c.startMessage(&start)
	m := &messageSpan{
		carrier: carrier{Context: ctx, exporter: c.exporter, tx: tx},
		labels:  &c.labels,
		start:   start.Time,
	}
	if tx.Sampled() {
		c.labels.setMessage(&tx.Context, start.Attrs)
		tx.Context.SetUserID(start.User)
	}
	return m.context(), m
}

// End implements apmws.MessageSpan.
func (m *messageSpan) End(end apmws.MessageEnd) {
	if !m.done.CompareAndSwap(false, true) {
		return
	}
	if end.Failure != nil {
		err := m.exporter.newError(m.tx, end.Time, end.User, end.Failure)
		m.labels.set(&err.Context, end.Failure.Attrs, nil)
		err.Send()
	}
	if m.tx.TransactionData == nil {
		return // the application has ended it
	}
	if m.tx.Sampled() {
		m.labels.set(&m.tx.Context, end.Attrs, nil)
	}
	endTransaction(m.tx, duration(m.start, end.Time), end.Result, end.Outcome, end.User)
}

// SpanContext implements apmws.Identifier.
func (m *messageSpan) SpanContext() apmws.SpanContext { return spanContext(m.tx) }

// StartSpan implements apmws.SpanStarter.
func (m *messageSpan) StartSpan(ctx context.Context, start apmws.SpanStart) (context.Context, apmws.ChildSpan) {
	if m.done.Load() {
		return ctx, nil
	}
	return m.startSpan(ctx, m.labels, start)
}
