package livews

// ring keeps the last transactions that were put into it.
type ring struct {
	slots []*transaction
	total uint64 // ever put
}

func newRing(size int) ring { return ring{slots: make([]*transaction, size)} }

// put returns the transaction that had to make room, or nil.
func (r *ring) put(t *transaction) (old *transaction) {
	slot := &r.slots[r.total%uint64(len(r.slots))]
	old, *slot = *slot, t
	r.total++
	return old
}

// all yields what is kept, oldest first.
func (r *ring) all(yield func(*transaction) bool) {
	size := uint64(len(r.slots))
	for n := r.total - min(r.total, size); n < r.total; n++ {
		if !yield(r.slots[n%size]) {
			return
		}
	}
}
