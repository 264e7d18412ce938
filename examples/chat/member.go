package main

import (
	"context"
	"encoding/binary"
	"errors"
	"time"

	"github.com/gorilla/websocket"

	"github.com/apmws/go-apmws/apmws"
)

const (
	queueLength = 64              // messages that may wait for a slow peer
	writeWait   = 5 * time.Second // for a write to a peer
)

// member is one connection of a user.
type member struct {
	user  string
	conn  *apmws.Conn     // messages go through it
	ws    *websocket.Conn // control frames go through it, and the end
	queue chan []byte     // messages to be written; the slices are shared, so never changed
	gone  chan struct{}   // closed when the connection is

	rooms map[string]struct{} // the hub's, under its lock
}

func newMember(user string, conn *apmws.Conn, ws *websocket.Conn) *member {
	return &member{user: user, conn: conn, ws: ws, queue: make(chan []byte, queueLength), gone: make(chan struct{})}
}

// write writes what is queued, and pings, until the connection ends. A peer
// that takes no more ends it.
func (m *member) write(ctx context.Context, heartbeat time.Duration) {
	ticker := time.NewTicker(heartbeat)
	defer ticker.Stop()
	var pings uint64
	err := m.ping(pings) // at once, so that the round trip is known early
	for err == nil {
		select {
		case message := <-m.queue:
			err = m.send(ctx, message)
		case <-ticker.C:
			pings++
			err = m.ping(pings)
		case <-m.gone:
			return
		}
	}
	if errors.Is(err, websocket.ErrCloseSent) {
		<-m.gone // the peer is given its time to answer
		return
	}
	m.ws.Close() // which ends the reader too
}

func (m *member) send(ctx context.Context, message []byte) error {
	ctx, cancel := context.WithTimeout(ctx, writeWait)
	defer cancel()
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
