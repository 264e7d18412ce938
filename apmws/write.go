package apmws

import (
	"context"
	"encoding/json"
	"time"

	"github.com/gorilla/websocket"
)

// Write sends a message to the peer while Serve runs for the connection. Under a
// message's transaction, of this connection or another, it is a span "send
// <name>". Calls from several goroutines take turns. A deadline of ctx bounds
// the write; after one that was missed the connection is broken, as always with
// gorilla. The errors are gorilla's own, or ErrNotServing.
func (c *Conn) Write(ctx context.Context, typ MessageType, data []byte) error {
	conn := c.gorilla()
	if conn == nil {
		return ErrNotServing
	}
	span := c.startSend(ctx, Message{Type: typ, Data: data})
	err := c.write(ctx, conn, typ, data)
	span.End(err)
	return err
}

func (c *Conn) write(ctx context.Context, conn *websocket.Conn, typ MessageType, data []byte) error {
	c.writeMu.Lock()
	defer c.writeMu.Unlock()
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetWriteDeadline(deadline); err != nil {
			return err
		}
		defer func() { _ = conn.SetWriteDeadline(time.Time{}) }() // never fails: gorilla only stores it
	}
	return conn.WriteMessage(int(typ), data)
}

// WriteJSON sends v as a text message; see Write.
func (c *Conn) WriteJSON(ctx context.Context, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return c.Write(ctx, TextMessage, data)
}

// Close sends a close frame while Serve runs for the connection. The peer
// answers it, which ends Serve; the TCP connection is the caller of Serve's to
// close. The reason is cut to 123 bytes. It returns ErrNotServing when Serve
// does not run.
func (c *Conn) Close(code int, reason string) error {
	conn := c.gorilla()
	if conn == nil {
		return ErrNotServing
	}
	payload := websocket.FormatCloseMessage(code, sanitize(reason, maxCloseReason))
	return conn.WriteControl(websocket.CloseMessage, payload, time.Now().Add(closeTimeout))
}

func (c *Conn) gorilla() *websocket.Conn {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.serving
}
