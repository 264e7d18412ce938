package newrelicws

import (
	"context"
	"slices"

	"github.com/newrelic/go-agent/v3/newrelic"

	"github.com/apmws/go-apmws/apmws"
	"github.com/apmws/go-apmws/apmws/semconv"
)

// childSpan is the handle of a span. It is a context where the span has a lane of
// its own.
type childSpan struct {
	carrier
	transaction *transaction

	// Under the transaction's lock.
	lane    *lane
	segment segment
	ended   bool
}

// startSpan starts a span below a span of the transaction, or directly below it
// when that is nil.
func (t *transaction) startSpan(ctx context.Context, parent *childSpan, start *apmws.SpanStart) (context.Context, apmws.ChildSpan) {
	found := newrelic.FromContext(ctx)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ended || t.tx.IsEnded() {
		return ctx, nil
	}
	l := t.laneFor(found, parent)
	s := &childSpan{transaction: t, lane: l, segment: startSegment(l.handle, start)}
	l.open = append(l.open, s)
	if t.collectsSpans() {
		l.handle.GetTraceMetadata() // gives it its id, which copies must share
		if t.exporter.attributes {
			t.values.set(s, start.Attrs)
		}
	}
	if found == l.handle {
		return ctx, s
	}
	s.carrier = carrier{Context: ctx, exporter: t.exporter, tx: l.handle}
	return s.context(), s
}

// collectsSpans reports whether the spans become events, of which alone their
// attributes are a part. Those of a transaction that is not sampled do not.
func (t *transaction) collectsSpans() bool { return t.ids.SpanID != [8]byte{} }

// AddAttribute implements attributeSetter. The agent adds an attribute to the
// innermost segment of a lane, and does not limit their number.
func (s *childSpan) AddAttribute(key string, value any) {
	if !validKey(key) {
		s.transaction.exporter.droppedAttributes.Add(1)
		return
	}
	s.segment.AddAttribute(key, value)
}

// End implements apmws.ChildSpan.
func (s *childSpan) End(end apmws.SpanEnd) {
	t := s.transaction
	t.mu.Lock()
	defer t.mu.Unlock()
	if s.ended || t.ended || t.tx.IsEnded() {
		return
	}
	left := s.leave()
	s.ended = true
	if !left {
		return
	}
	if t.collectsSpans() && t.exporter.attributes {
		t.values.set(s, end.Attrs)
		s.AddAttribute(semconv.EventOutcome, boxedOutcome(end.Outcome))
	}
	s.segment.End()
}

// leave makes the span the innermost segment of a lane, where it can end without
// harm to others: of its own lane if it is, else of a copy of that. What is left
// behind is a ghost, which is not recorded, and keeps its place for those above.
// It reports whether the span can end; it cannot when the application has ended a
// segment below it first.
func (s *childSpan) leave() bool {
	t, l := s.transaction, s.lane
	layout := t.exporter.layout
	if layout == nil {
		i := slices.Index(l.open, s)
		for _, lost := range l.open[i+1:] {
			lost.ended = true
		}
		l.open = l.open[:i]
		return true
	}
	l.dropGhosts(layout)
	depth := layout.depthOf(s.segment.start())
	switch open := layout.open(l.handle); {
	case open <= depth:
		l.open = slices.DeleteFunc(l.open, func(other *childSpan) bool { return other == s })
		return false
	case open > depth+1:
		own := t.tx.NewGoroutine()
		layout.copyStack(l.handle, own, depth+1)
		layout.rebase(s.segment.start(), own)
	default:
		l.open = l.open[:len(l.open)-1]
	}
	return true
}

// StartSpan implements apmws.SpanStarter.
func (s *childSpan) StartSpan(ctx context.Context, start apmws.SpanStart) (context.Context, apmws.ChildSpan) {
	return s.transaction.startSpan(ctx, s, &start)
}
