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
//
// What is ended at once must find room, although others fill the channel after
// that was seen. So while such a call is under way, those that would wait get only
// the room that certainly is there; and while some wait, nothing is ended at once.
type handoff struct {
	queue reflect.Value // the agent's channel
	limit int           // its length up to which End is called; 0 when the channel was not found

	dropped atomic.Int64

	mu      sync.Mutex
	ending  int           // calls of End under way for which there is room
	waiting int           // goroutines that wait, or are about to
	idle    chan struct{} // closed when nobody waits any more; nil when nobody asks
}

const (
	// maxWaiting bounds the goroutines that wait for the agent. With the agent's
	// own queue they cover a burst of some milliseconds at full speed.
	maxWaiting = 1024
	// spareQueue is the part of the agent's queue, one in so many, that is not
	// filled at once. Half of it is for those that wait while others end at once,
	// and half is left to the rest of the program.
	spareQueue = 4
)

func (h *handoff) init(app *newrelic.Application) {
	if h.queue = dataQueue(app); h.queue.IsValid() {
		h.limit = h.queue.Cap() - h.queue.Cap()/spareQueue
	}
}

// way is how a transaction is ended.
type way uint8

const (
	atOnce way = iota
	waits
	drops
)

// end ends a transaction.
func (h *handoff) end(tx *newrelic.Transaction) {
	switch h.choose() {
	case atOnce:
		tx.End()
		h.mu.Lock()
		h.ending--
		h.mu.Unlock()
	case waits:
		go func() {
			defer h.done()
			tx.End()
		}()
	case drops:
		h.dropped.Add(1)
		tx.Ignore() // the agent does not queue it then
		tx.End()
	}
}

// choose decides, and counts what it has decided.
func (h *handoff) choose() way {
	h.mu.Lock()
	defer h.mu.Unlock()
	taken := h.ending + h.waiting
	if h.limit > 0 {
		taken += h.queue.Len()
	}
	switch {
	case h.waiting == 0 && taken < h.limit:
		h.ending++
		return atOnce
	case h.waiting >= maxWaiting, h.ending > 0 && taken >= h.limit+(h.queue.Cap()-h.limit)/2:
		return drops
	default:
		h.waiting++
		return waits
	}
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
