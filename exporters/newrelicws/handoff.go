package newrelicws

import (
	"context"
	"reflect"
	"sync"
	"sync/atomic"

	"github.com/newrelic/go-agent/v3/newrelic"
)

// handoff ends transactions without blocking. The agent's End sends on a channel
// of 200 that one goroutine empties, and waits while it is full.
//
// A queue of ended transactions is no way out: the agent measures the duration in
// End, so a transaction would last until its turn. So End is called at once
// while there is room, which is nearly always, and else on a goroutine of its
// own, which measures at once and waits with the result. There are at most
// maxWaiting of them; what comes then is dropped and counted.
type handoff struct {
	queue reflect.Value // the agent's channel
	limit int           // its length up to which End is called; 0 when the channel was not found

	ending  atomic.Int64 // calls of End under way where there was room
	dropped atomic.Int64

	mu      sync.Mutex
	waiting int
	idle    chan struct{} // closed when nobody waits any more; nil when nobody asks
}

const (
	// maxWaiting bounds the goroutines that wait for the agent. With the agent's
	// own queue they cover a burst of some milliseconds at full speed.
	maxWaiting = 1024
	// spareQueue is the part of the agent's queue, one in so many, that is left to
	// the rest of the program.
	spareQueue = 4
)

func (h *handoff) init(app *newrelic.Application) {
	if h.queue = dataQueue(app); h.queue.IsValid() {
		h.limit = h.queue.Cap() - h.queue.Cap()/spareQueue
	}
}

// end ends a transaction.
func (h *handoff) end(tx *newrelic.Transaction) {
	if h.endAtOnce(tx) {
		return
	}
	h.mu.Lock()
	full := h.waiting >= maxWaiting
	if !full {
		h.waiting++
	}
	h.mu.Unlock()
	if full {
		h.dropped.Add(1)
		tx.Ignore() // the agent does not queue it then
		tx.End()
		return
	}
	go func() {
		defer h.done()
		tx.End()
	}()
}

// endAtOnce ends a transaction when there is room for it and for those that are
// being ended.
func (h *handoff) endAtOnce(tx *newrelic.Transaction) bool {
	if h.limit == 0 {
		return false
	}
	ending := h.ending.Add(1)
	defer h.ending.Add(-1)
	if h.queue.Len()+int(ending) > h.limit {
		return false
	}
	tx.End()
	return true
}

func (h *handoff) done() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.waiting--; h.waiting == 0 && h.idle != nil {
		close(h.idle)
		h.idle = nil
	}
}

// wait waits until the agent has taken all.
func (h *handoff) wait(ctx context.Context) error {
	h.mu.Lock()
	if h.waiting == 0 {
		h.mu.Unlock()
		return nil
	}
	if h.idle == nil {
		h.idle = make(chan struct{})
	}
	idle := h.idle
	h.mu.Unlock()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
