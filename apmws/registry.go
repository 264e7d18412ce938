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

func (r *registry) list() []ConnInfo {
	var conns []*Conn
	for i := range r {
		s := &r[i]
		s.mu.Lock()
		for c := range s.conns {
			conns = append(conns, c)
		}
		s.mu.Unlock()
	}
	infos := make([]ConnInfo, len(conns))
	for i, c := range conns {
		infos[i] = c.info()
	}
	slices.SortFunc(infos, func(a, b ConnInfo) int {
		return cmp.Or(a.Opened.Compare(b.Opened), cmp.Compare(a.ID, b.ID))
	})
	return infos
}
