package apmws

import (
	"maps"
	"sync"
	"sync/atomic"
)

// growMap is a map that only grows, to a bounded size. Look-ups take no lock, so
// that cores do not meet in one: entries are many times read and rarely added.
type growMap[K comparable, V any] struct {
	mu      sync.Mutex
	current atomic.Pointer[map[K]*V]
}

// get returns the entry of key, a zero value at first.
func (m *growMap[K, V]) get(key K) *V {
	if v, ok := m.all()[key]; ok {
		return v
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if v, ok := m.all()[key]; ok {
		return v
	}
	grown := maps.Clone(m.all())
	if grown == nil {
		grown = make(map[K]*V)
	}
	v := new(V)
	grown[key] = v
	m.current.Store(&grown)
	return v
}

// all returns the entries; the caller must not change the map.
func (m *growMap[K, V]) all() map[K]*V {
	if current := m.current.Load(); current != nil {
		return *current
	}
	return nil
}
