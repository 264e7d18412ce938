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
// What is ended at once must find the room that was seen for it. So those that
// would fill it let it go first, and while they wait, nothing is ended at once.
type handoff struct {
	queue reflect.Value // the agent's channel
	limit int           // its length up to which End is called; 0 when the channel was not found

	dropped atomic.Int64

	mu      sync.Mutex
	ending  int           // calls of End under way for which there is room
	gone    sync.Cond     // of mu: none is under way any more
	waiting int           // goroutines that wait
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
	h.gone.L = &h.mu
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
		defer h.endedAtOnce()
		tx.End()
	case waits:
		go func() {
			defer h.done()
			defer func() {
				if recover() != nil { // nobody else would
					h.dropped.Add(1)
				}
			}()
			h.letGo()
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
	switch {
	case h.limit > 0 && h.waiting == 0 && h.queue.Len()+h.ending < h.limit:
		h.ending++
		return atOnce
	case h.waiting < maxWaiting:
		h.waiting++
		return waits
	default:
		return drops
	}
}

func (h *handoff) endedAtOnce() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ending--; h.ending == 0 {
		h.gone.Broadcast()
	}
}

// letGo lets those go first for which there is room. That takes microseconds, and
// no more of them come while somebody waits.
func (h *handoff) letGo() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for h.ending > 0 {
		h.gone.Wait()
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
