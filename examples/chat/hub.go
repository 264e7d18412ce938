package main

import (
	"sync"

	"github.com/apmws/go-apmws/apmws"
)

// hub knows who listens to which rooms on this node.
type hub struct {
	mu    sync.Mutex
	rooms map[string]map[*member]struct{} // none of them empty
}

const maxRooms = 8 // per member

func newHub() *hub { return &hub{rooms: make(map[string]map[*member]struct{})} }

// remove forgets a member.
func (h *hub) remove(m *member) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for room := range m.rooms {
		delete(h.rooms[room], m)
		if len(h.rooms[room]) == 0 {
			delete(h.rooms, room)
		}
	}
	m.rooms = nil
}

// join reports whether the member listens to the room now: false when it
// listens to too many others.
func (h *hub) join(m *member, room string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, ok := m.rooms[room]; ok {
		return true
	}
	if len(m.rooms) == maxRooms {
		return false
	}
	if m.rooms == nil {
		m.rooms = make(map[string]struct{})
	}
	if h.rooms[room] == nil {
		h.rooms[room] = make(map[*member]struct{})
	}
	m.rooms[room] = struct{}{}
	h.rooms[room][m] = struct{}{}
	return true
}

func (h *hub) joined(m *member, room string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	_, ok := m.rooms[room]
	return ok
}

// listeners returns the connections of all who listen to a room.
func (h *hub) listeners(room string) []*apmws.Conn {
	h.mu.Lock()
	defer h.mu.Unlock()
	conns := make([]*apmws.Conn, 0, len(h.rooms[room]))
	for m := range h.rooms[room] {
		conns = append(conns, m.conn)
	}
	return conns
}
