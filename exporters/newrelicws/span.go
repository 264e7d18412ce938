package newrelicws

import (
	"context"
	"log/slog"
	"slices"
	"sync/atomic"

	"github.com/newrelic/go-agent/v3/newrelic"

	"github.com/apmws/go-apmws/apmws"
	"github.com/apmws/go-apmws/apmws/semconv"
)

// childSpan is the handle of a span. It is a context where the one that it was
// started with does not carry its lane.
type childSpan struct {
	carrier
	transaction *transaction
	lane        *lane
	segment     segment
	id          string      // empty where spans are not collected
	ended       atomic.Bool // changed under the transaction's lock
	sent        apmws.SpanContext
	asked       bool // for what is in sent
}

// startSpan starts a span below a span of the transaction, or directly below it
// when that is nil.
func (t *transaction) startSpan(ctx context.Context, parent *childSpan, start *apmws.SpanStart) (context.Context, apmws.ChildSpan) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ended || t.tx.IsEnded() {
		return ctx, nil
	}
	l := t.laneFor(parent)
	if l == nil {
		t.exporter.droppedSpans.Add(1)
		return ctx, nil
	}
	s := &childSpan{transaction: t, lane: l, segment: startSegment(l.handle, start)}
	l.open = append(l.open, s)
	if t.collectsSpans() {
		s.id = l.segmentID()
	}
	s.setAttributes(start.Attrs)
	if newrelic.FromContext(ctx) == l.handle {
		return ctx, s
	}
	s.carrier = carrier{Context: ctx, exporter: t.exporter, tx: l.handle}
	return s.context(), s
}

// collectsSpans reports whether the spans become events, of which alone their
// attributes are a part. Those of a transaction that is not sampled do not.
func (t *transaction) collectsSpans() bool { return t.ids.SpanID != [8]byte{} }

// Value implements context.Context. The lane of a span that has ended is another's
// by then: what goes on with its context finds what is around it.
func (s *childSpan) Value(key any) any {
	if s.ended.Load() {
		return s.Context.Value(key)
	}
	return s.carrier.Value(key)
}

// context is that of the carrier, but for what Value does.
func (s *childSpan) context() context.Context {
	if ctx := s.carrier.context(); ctx != &s.carrier {
		return ctx
	}
	return s
}

func (s *childSpan) setAttributes(attrs []slog.Attr) {
	if t := s.transaction; t.collectsSpans() && t.exporter.attributes {
		t.values.set(s, attrs)
	}
}

// SpanContext implements apmws.Identifier.
func (s *childSpan) SpanContext() apmws.SpanContext {
	t := s.transaction
	t.mu.Lock()
	defer t.mu.Unlock()
	if !s.asked && !s.ended.Load() && !t.ended {
		s.asked, s.sent = true, outgoing(s.lane.handle, s.id)
	}
	return s.sent
}

// AddAttribute implements attributeSetter. The agent adds an attribute to the
// innermost segment of a lane, and does not limit their number.
func (s *childSpan) AddAttribute(key string, value any) {
	if status, ok := value.(int64); ok && key == semconv.StatusCode {
		if external, ok := s.segment.(*newrelic.ExternalSegment); ok {
			external.SetStatusCode(int(status)) // where New Relic looks for it
		}
	}
	if !validKey(key) {
		s.transaction.exporter.droppedAttributes.Add(1)
		return
	}
	s.segment.AddAttribute(key, value)
}

// End implements apmws.ChildSpan. The spans above end too, since the agent would
// lose them; how they would have ended is not known.
func (s *childSpan) End(end apmws.SpanEnd) {
	t, l := s.transaction, s.lane
	t.mu.Lock()
	defer t.mu.Unlock()
	if s.ended.Load() || t.ended || t.tx.IsEnded() {
		return
	}
	i := slices.Index(l.open, s)
	for _, above := range slices.Backward(l.open[i+1:]) {
		above.finish(&apmws.SpanEnd{Outcome: apmws.OutcomeUnknown})
	}
	s.finish(&end)
	l.open = slices.Delete(l.open, i, len(l.open))
	if i == 0 {
		t.idle = append(t.idle, l)
	}
}

// finish ends the segment of the innermost span of a lane.
func (s *childSpan) finish(end *apmws.SpanEnd) {
	s.ended.Store(true)
	s.setAttributes(end.Attrs)
	if t := s.transaction; t.collectsSpans() && t.exporter.attributes {
		s.AddAttribute(semconv.EventOutcome, boxedOutcome(end.Outcome))
	}
	s.segment.End()
}

// StartSpan implements apmws.SpanStarter.
func (s *childSpan) StartSpan(ctx context.Context, start apmws.SpanStart) (context.Context, apmws.ChildSpan) {
	return s.transaction.startSpan(ctx, s, &start)
}
