package newrelicws

import (
	"slices"

	"github.com/newrelic/go-agent/v3/newrelic"
)

// lane is one of the goroutines that New Relic's agent knows of in a transaction.
// Its segments form a stack: one that ends takes those above with it, and they
// are lost. So a span shares a lane only where its parent is the innermost
// segment, and otherwise gets one of its own, which begins with copies of those
// it is below.
type lane struct {
	handle  *newrelic.Transaction
	foreign bool         // made by the application
	open    []*childSpan // on the stack; those that have ended are ghosts, see childSpan.leave
}

// top returns the innermost span, or nil.
func (l *lane) top() *childSpan {
	if len(l.open) == 0 {
		return nil
	}
	return l.open[len(l.open)-1]
}

// innermost returns the innermost span that has not ended, or nil.
func (l *lane) innermost() *childSpan {
	for _, s := range slices.Backward(l.open) {
		if !s.ended {
			return s
		}
	}
	return nil
}

// laneFor returns the lane for a span below parent, or directly below the
// transaction when that is nil. found is what New Relic's API finds in the
// context: where the application has made that with NewGoroutine, the span belongs
// there.
func (t *transaction) laneFor(found *newrelic.Transaction, parent *childSpan) *lane {
	if parent != nil && parent.ended {
		parent = nil
	}
	l := &t.main
	if parent != nil {
		l = parent.lane
	}
	if foreign := t.foreignLane(found); foreign != nil && foreign != l {
		l, parent = foreign, nil
	}
	layout := t.exporter.layout
	if layout == nil {
		if l.top() == parent {
			return l
		}
		return t.addLane(&lane{handle: t.tx.NewGoroutine()})
	}
	l.dropGhosts(layout)
	below := 0 // segments, the parent included
	if parent != nil {
		below = layout.depthOf(parent.segment.start()) + 1
	}
	open := layout.open(l.handle)
	if open == below {
		return l
	}
	if l.innermost() == parent {
		// What is above the parent is not ours: segments of the application's, which
		// must be able to end before the span, as the span before them.
		below = open
		l.handle.GetTraceMetadata() // gives the innermost one its id
	}
	own := t.addLane(&lane{handle: t.tx.NewGoroutine()})
	layout.copyStack(l.handle, own.handle, below)
	return own
}

// foreignLane returns the lane of a handle that the application has made, or nil
// for one that is ours or of another transaction.
func (t *transaction) foreignLane(handle *newrelic.Transaction) *lane {
	if handle == nil || handle == t.tx {
		return nil
	}
	for _, l := range t.lanes {
		if l.handle == handle {
			if !l.foreign {
				return nil
			}
			return l
		}
	}
	if !t.exporter.layout.same(handle, t.tx) {
		return nil
	}
	return t.addLane(&lane{handle: handle, foreign: true})
}

func (t *transaction) addLane(l *lane) *lane {
	t.lanes = append(t.lanes, l)
	return l
}

// dropGhosts takes those from the stack that nothing is above any more.
func (l *lane) dropGhosts(layout *layout) {
	for ghost := l.top(); ghost != nil && ghost.ended; ghost = l.top() {
		depth := layout.depthOf(ghost.segment.start())
		open := layout.open(l.handle)
		if open > depth+1 {
			return
		}
		if open == depth+1 {
			layout.trim(l.handle, depth)
		}
		l.open = l.open[:len(l.open)-1]
	}
}
