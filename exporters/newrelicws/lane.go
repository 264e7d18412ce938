package newrelicws

import "github.com/newrelic/go-agent/v3/newrelic"

// maxLanes bounds what a transaction keeps until it ends. It is far more than
// there are spans open at once in a handler.
const maxLanes = 1000

// lane is one of the goroutines that New Relic's agent knows of in a transaction,
// made by Transaction.NewGoroutine. Its segments form a stack: one that ends takes
// those above with it, and they are lost. So a span goes where nothing but spans
// is below it. What is above the innermost of them is the application's, which
// finds the handle in the span's context, and cannot take a span with it.
type lane struct {
	handle *newrelic.Transaction
	open   []*childSpan // innermost last
}

// laneFor returns the lane for a span below parent, or directly below the
// transaction when that is nil, or nil when there are too many lanes.
func (t *transaction) laneFor(parent *childSpan) *lane {
	if parent != nil && parent.isInnermost() {
		return parent.lane
	}
	return t.idleLane()
}

// isInnermost reports whether the span is the innermost segment of its lane, so
// that neither another span nor a segment of the application's is above it. Where
// spans have no ids they are not events, and nothing is to be seen of what is below
// what.
func (s *childSpan) isInnermost() bool { return s.id != "" && s.id == s.lane.segmentID() }

// segmentID returns the id of the lane's innermost segment, or that of the
// transaction; it is empty when the spans of the transaction are not collected.
func (l *lane) segmentID() string { return l.handle.GetTraceMetadata().SpanID }

// idleLane returns a lane without open segments, or nil. One on which the
// application has left a segment of its own is not used again.
func (t *transaction) idleLane() *lane {
	for n := len(t.idle); n > 0; n = len(t.idle) {
		l := t.idle[n-1]
		t.idle = t.idle[:n-1]
		if !t.collectsSpans() || l.segmentID() == t.ids.SpanIDString() {
			return l
		}
	}
	if t.lanes >= maxLanes {
		return nil
	}
	t.lanes++
	return &lane{handle: t.tx.NewGoroutine()}
}
