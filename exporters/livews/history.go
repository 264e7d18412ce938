package livews

import "sync"

// history holds the transactions that the view shows. Its mutex is held for a
// few pointers at a time.
type history struct {
	mu      sync.Mutex
	seq     uint64 // of the last change
	lastID  uint64
	running int // not finished

	latest   ring
	failures ring // failures that latest has given up

	// Those in progress, oldest first. A transaction that is never ended must
	// not be kept for ever, so the list is bounded.
	first, last *transaction
	listed      int
}

const (
	maxRunning    = 1000 // transactions in progress that are kept
	runningListed = 100  // of them, the oldest are listed
)

// entry is the history's part of a transaction, guarded by its mutex.
type entry struct {
	id         uint64 // in the order of their starts
	seq        uint64 // of the last change since it has finished
	failed     bool
	listed     bool
	prev, next *transaction
}

// begin notes a transaction in progress.
func (h *history) begin(t *transaction) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lastID++
	t.id = h.lastID
	h.running++
	if h.listed == maxRunning {
		h.unlist(h.first)
	}
	t.listed = true
	h.listed++
	t.prev = h.last
	if h.last == nil {
		h.first = t
	} else {
		h.last.next = t
	}
	h.last = t
}

// finish notes that a transaction has ended. It is called once for each; those
// that have no duration come without begin.
func (h *history) finish(t *transaction, failed bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if t.id == 0 {
		h.lastID++
		t.id = h.lastID
	} else {
		h.running--
	}
	if t.listed {
		h.unlist(t)
	}
	t.failed = failed
	if old := h.latest.put(t); old != nil && old.failed {
		h.failures.put(old)
	}
	h.seq++
	t.seq = h.seq
}

// changed notes that a finished transaction has changed.
func (h *history) changed(t *transaction) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if t.seq != 0 {
		h.seq++
		t.seq = h.seq
	}
}

func (h *history) unlist(t *transaction) {
	if t.prev == nil {
		h.first = t.next
	} else {
		t.prev.next = t.next
	}
	if t.next == nil {
		h.last = t.prev
	} else {
		t.next.prev = t.prev
	}
	t.prev, t.next, t.listed = nil, nil, false
	h.listed--
}

// excerpt is what a reader gets of the history.
type excerpt struct {
	seq      uint64
	finished []version // those that changed, in the order in which they finished
	running  []*transaction
	// Totals, listed or not.
	finishedTotal uint64
	runningTotal  int
}

// version is a transaction and the number of its last change.
type version struct {
	*transaction
	seq uint64
}

// since returns the finished transactions that have changed since the excerpt
// with that number, and the oldest of those in progress.
func (h *history) since(seq uint64) excerpt {
	h.mu.Lock()
	defer h.mu.Unlock()
	if seq > h.seq {
		seq = 0 // a number of another process
	}
	e := excerpt{seq: h.seq, finishedTotal: h.latest.total, runningTotal: h.running}
	for _, r := range []*ring{&h.failures, &h.latest} {
		for t := range r.all {
			if t.seq > seq {
				e.finished = append(e.finished, version{t, t.seq})
			}
		}
	}
	for t := h.first; t != nil && len(e.running) < runningListed; t = t.next {
		e.running = append(e.running, t)
	}
	return e
}
