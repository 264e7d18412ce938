package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/gorilla/websocket"
	"golang.org/x/time/rate"

	"github.com/apmws/go-apmws/apmws"
)

const (
	queueLength = 256             // messages that may wait for a slow peer
	writeWait   = 5 * time.Second // for a write to a peer, and for one that is behind

	pace  = 10 // messages that a peer may send per second
	burst = 30 // messages that it may send at once
)

// member is one connection of a user.
type member struct {
	user  string
	conn  *apmws.Conn     // messages go through it
	ws    *websocket.Conn // control frames go through it, and the end
	queue chan []byte     // messages to be written; the slices are shared, so never changed
	gone  <-chan struct{} // closed when the connection ends
	pace  *rate.Limiter   // of the peer's own messages

	mu     sync.Mutex
	missed int       // messages for which the queue had no room
	behind time.Time // of the first of them

	rooms map[string]struct{} // the hub's, under its lock
}

func newMember(conn *apmws.Conn, gone <-chan struct{}) *member {
	return &member{
		user: conn.User(), conn: conn, ws: conn.WebSocket(), gone: gone,
		queue: make(chan []byte, queueLength), pace: rate.NewLimiter(pace, burst),
	}
}

// offer queues a message, and leaves it out when there is no room. It reports
// whether the peer keeps up: a burst may fill the queue of one that reads as
// fast as it can, so the time since then counts.
func (m *member) offer(message []byte, now time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	select {
	case m.queue <- message:
		return true
	default:
	}
	if m.missed == 0 {
		m.behind = now
	}
	m.missed++
	return now.Sub(m.behind) < writeWait
}

// caughtUp returns how many messages were left out, once all others have been
// written.
func (m *member) caughtUp() (missed int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.queue) == 0 {
		missed, m.missed = m.missed, 0
	}
	return missed
}

// tooSlow marks the connection's end, which will not know why it came.
func (m *member) tooSlow() { m.conn.SetAttrs(slog.Bool("chat.too_slow", true)) }

// write writes what is queued, and pings, until ctx is cancelled. A peer that
// takes no more ends the connection.
func (m *member) write(ctx context.Context, heartbeat time.Duration) {
	ticker := time.NewTicker(heartbeat)
	defer ticker.Stop()
	var pings uint64
	err := m.ping(pings) // at once, so that the round trip is known early
	for err == nil {
		select {
		case message := <-m.queue:
			if err = m.conn.Write(ctx, apmws.TextMessage, message); err == nil {
				err = m.confess(ctx)
			}
		case <-ticker.C:
			pings++
			err = m.ping(pings)
		case <-ctx.Done():
			return
		}
	}
	if ctx.Err() != nil || errors.Is(err, apmws.ErrNotServing) || errors.Is(err, websocket.ErrCloseSent) {
		return // it is ending: the peer is given its time to answer
	}
	m.ws.Close() // which ends the reader too
}

// confess tells the peer that has caught up what it has missed meanwhile.
func (m *member) confess(ctx context.Context) error {
	missed := m.caughtUp()
	if missed == 0 {
		return nil
	}
	message, err := json.Marshal(failed{typeError, fmt.Sprintf("too much at once: %d messages were left out", missed)})
	if err != nil {
		return err
	}
	return m.conn.Write(ctx, apmws.TextMessage, message)
}

// ping sends a ping with a number, so that its pong is told from others.
func (m *member) ping(n uint64) error {
	return m.ws.WriteControl(websocket.PingMessage, binary.BigEndian.AppendUint64(nil, n), time.Now().Add(writeWait))
}

// dismiss sends a close frame and closes the connection when the peer has not
// answered within grace. It returns when the connection has ended.
func (m *member) dismiss(code int, reason string, grace time.Duration) {
	deadline := time.Now().Add(grace)
	err := m.ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, reason), deadline)
	if err == nil {
		select {
		case <-m.gone:
			return
		case <-time.After(time.Until(deadline)):
		}
	}
	m.ws.Close()
}
