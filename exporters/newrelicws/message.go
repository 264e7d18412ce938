package newrelicws

import (
	"context"
	"log/slog"
	"time"

	"github.com/newrelic/go-agent/v3/newrelic"

	"github.com/apmws/go-apmws/apmws"
	"github.com/apmws/go-apmws/apmws/semconv"
)

// typeKept is the type of a message that was recorded after the fact. It has a
// name of its own so that the durations under Message are those of messages.
const typeKept = "MessageKept"

// messageSpan is the handle of a message and the context of its handler.
type messageSpan struct {
	transaction
	late  bool
	start time.Time
}

// StartMessage implements apmws.ConnSpan.
func (c *connSpan) StartMessage(ctx context.Context, start apmws.MessageStart) (context.Context, apmws.MessageSpan) {
	e := c.exporter
	kind := semconv.TypeMessage
	if start.Late {
		kind = typeKept
	}
	tx := e.start(kind + "/" + start.Name)
	if tx == nil {
		return ctx, nil
	}
	remote := start.Remote.IsValid()
	if remote && start.Continue {
		e.accept(tx, &start.Remote, newrelic.TransportOther)
	}
	m := &messageSpan{late: start.Late, start: start.Time}
	m.init(ctx, e, tx, identify(tx), &c.values)
	c.values.set(m, start.Attrs)
	own := ownAttributes{&m.transaction}
	c.values.link(own)
	if remote && !start.Continue {
		own.AddAttribute(semconv.MessageTraceID, start.Remote.TraceIDString())
		own.AddAttribute(semconv.MessageSpanID, start.Remote.SpanIDString())
	}
	m.setWeight(&start)
	return m.context(), m
}

// setWeight says how many messages this one stands for, unless it is one.
func (m *messageSpan) setWeight(start *apmws.MessageStart) {
	own := ownAttributes{&m.transaction}
	switch {
	case start.Late:
		own.AddAttribute(semconv.SamplingWeight, 0.0)
	case start.Sampled && start.Weight != 1:
		setFloat(own, semconv.SamplingWeight, start.Weight)
	}
}

// End implements apmws.MessageSpan.
func (m *messageSpan) End(end apmws.MessageEnd) {
	how := ending{result: end.Result, outcome: end.Outcome, user: end.User, failure: end.Failure, attrs: end.Attrs}
	if m.late {
		how.elapsed = slog.Float64(semconv.MessageElapsed, max(0, end.Time.Sub(m.start)).Seconds())
	}
	m.end(&how)
}

// SpanContext implements apmws.Identifier.
func (m *messageSpan) SpanContext() apmws.SpanContext { return m.ids }

// StartSpan implements apmws.SpanStarter.
func (m *messageSpan) StartSpan(ctx context.Context, start apmws.SpanStart) (context.Context, apmws.ChildSpan) {
	return m.startSpan(ctx, nil, &start)
}
