package main

import (
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// hub knows who is connected to this node, and to which rooms they listen. It
// never waits for a peer, but in close.
type hub struct {
	mu       sync.Mutex
	members  map[*member]struct{}
	rooms    map[string]map[*member]struct{} // none of them empty
	isClosed bool
}

const maxRooms = 8 // per member

func newHub() *hub {
	return &hub{members: make(map[*member]struct{}), rooms: make(map[string]map[*member]struct{})}
}

// add makes a member known, unless the hub is closed.
func (h *hub) add(m *member) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.isClosed {
		h.members[m] = struct{}{}
	}
	return !h.isClosed
}

// remove forgets a member, its rooms included.
func (h *hub) remove(m *member) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.members, m)
	h.forget(m)
}

func (h *hub) forget(m *member) {
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

// deliver hands a message to all members of the room. One that does not keep up
// is sent away rather than waited for: it may come back when it is faster.
func (h *hub) deliver(room string, message []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for m := range h.rooms[room] {
		if !m.offer(message, time.Now()) {
			h.forget(m)
			m.tooSlow()
			go m.dismiss(websocket.CloseTryAgainLater, "too slow", closeGrace)
		}
	}
}

const goingAway = "the server is going away"

// close lets nobody in any more, and sends all members away with 1001. It
// returns when they have gone, or the grace that they have to answer is over.
func (h *hub) close(grace time.Duration) {
	h.mu.Lock()
	h.isClosed = true
	var leaving sync.WaitGroup
	for m := range h.members {
		leaving.Go(func() { m.dismiss(websocket.CloseGoingAway, goingAway, grace) })
	}
	h.mu.Unlock()
	leaving.Wait()
}

func (h *hub) closed() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.isClosed
}
