package apmws

import (
	"cmp"
	"slices"
	"sync"
)

// registry holds the open connections, in shards so that a listing holds up few
// of those that come and go.
type registry [16]struct {
	mu    sync.Mutex
	conns map[*Conn]struct{}
}

func (r *registry) add(c *Conn) {
	s := &r[c.shard%len(r)]
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conns == nil {
		s.conns = make(map[*Conn]struct{})
	}
	s.conns[c] = struct{}{}
}

func (r *registry) remove(c *Conn) {
	s := &r[c.shard%len(r)]
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
}

// open returns the open connections, oldest first.
func (r *registry) open() []*Conn {
	var conns []*Conn
	for i := range r {
		s := &r[i]
		s.mu.Lock()
		for c := range s.conns {
			conns = append(conns, c)
		}
		s.mu.Unlock()
	}
	slices.SortFunc(conns, func(a, b *Conn) int {
		return cmp.Or(a.start.Compare(b.start), cmp.Compare(a.id, b.id))
	})
	return conns
}

// size is how many there are.
func (r *registry) size() (n int) {
	for i := range r {
		s := &r[i]
		s.mu.Lock()
		n += len(s.conns)
		s.mu.Unlock()
	}
	return n
}

// list describes the open connections, oldest first.
func (r *registry) list() []ConnInfo {
	conns := r.open()
	infos := make([]ConnInfo, len(conns))
	for i, c := range conns {
		infos[i] = c.info()
	}
	return infos
}
