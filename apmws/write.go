package apmws

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/gorilla/websocket"
)

// Write sends a message to the peer while Serve runs for the connection. Under a
// message's transaction, of this connection or another, it is a span "send
// <name>". Calls from several goroutines take turns. ctx bounds the wait for the
// turn and, by its deadline, the write; when it has expired before, nothing is
// written and the connection is whole. After a deadline that passes during the
// write the connection is broken, as always with gorilla. The errors are
// gorilla's own, ctx's, or ErrNotServing.
func (c *Conn) Write(ctx context.Context, typ MessageType, data []byte) error {
	serving := c.currentServing()
	if serving == nil {
		return ErrNotServing
	}
	span := c.startSend(ctx, Message{Type: typ, Data: data})
	err := serving.write(ctx, typ, data)
	span.End(err)
	return err
}

// servedConn is the gorilla connection of a Serve that runs.
type servedConn struct {
	conn *websocket.Conn
	turn chan struct{} // held by the goroutine that writes
}

func (s *servedConn) write(ctx context.Context, typ MessageType, data []byte) error {
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if deadline, ok := ctx.Deadline(); ok {
		if err := s.conn.SetWriteDeadline(deadline); err != nil {
			return err
		}
		defer func() { _ = s.conn.SetWriteDeadline(time.Time{}) }() // never fails: gorilla only stores it
	}
	return s.conn.WriteMessage(int(typ), data)
}

// WriteJSON sends v as a text message; see Write.
func (c *Conn) WriteJSON(ctx context.Context, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return c.Write(ctx, TextMessage, data)
}

// Close sends a close frame while Serve runs for the connection. The peer's
// answer, or its silence for 5 seconds, ends Serve; the TCP connection is the
// caller of Serve's to close. The reason is cut to 123 bytes. It returns
// ErrNotServing when Serve does not run, and ErrCloseCode for a code that must
// not be sent.
func (c *Conn) Close(code int, reason string) error {
	serving := c.currentServing()
	if serving == nil {
		return ErrNotServing
	}
	if !validCloseCode(code) {
		return fmt.Errorf("%w: %d", ErrCloseCode, code)
	}
	deadline := time.Now().Add(closeTimeout)
	payload := websocket.FormatCloseMessage(code, sanitize(reason, maxCloseReason))
	if err := serving.conn.WriteControl(websocket.CloseMessage, payload, deadline); err != nil {
		return err
	}
	return serving.conn.SetReadDeadline(deadline)
}

// WebSocket returns gorilla's connection while Serve or an Endpoint runs for
// this one, else nil: for its options, such as SetPongHandler or
// SetReadDeadline, and for WriteControl. Messages must not be written to it
// directly, since gorilla allows one writer at a time, which Write sees to.
func (c *Conn) WebSocket() *websocket.Conn {
	if serving := c.currentServing(); serving != nil {
		return serving.conn
	}
	return nil
}

func (c *Conn) currentServing() *servedConn {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.serving
}
