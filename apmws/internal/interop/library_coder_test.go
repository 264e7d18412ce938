package interop

import (
	"context"
	"maps"
	"net/http"
	"time"

	"github.com/coder/websocket"
)

type coderConn struct {
	*websocket.Conn
	ctx  context.Context
	wait time.Duration
}

func upgradeCoder(w http.ResponseWriter, r *http.Request, opts upgrading) (wsConn, error) {
	accept := &websocket.AcceptOptions{}
	if opts.compress {
		accept.CompressionMode = websocket.CompressionNoContextTakeover
	}
	maps.Copy(w.Header(), opts.header) // Accept takes none
	c, err := websocket.Accept(w, r, accept)
	if err != nil {
		return nil, err
	}
	return &coderConn{Conn: c, ctx: r.Context()}, nil
}

func (c *coderConn) receive() (byte, []byte, error) {
	ctx := c.ctx
	if c.wait != 0 {
		bounded, cancel := context.WithTimeout(ctx, c.wait)
		defer cancel()
		ctx = bounded
	}
	op, payload, err := c.Read(ctx)
	return byte(op), payload, err
}

func (c *coderConn) send(op byte, payload []byte) error {
	return c.Write(c.ctx, websocket.MessageType(op), payload)
}

func (c *coderConn) ping() error {
	go func() { _ = c.Ping(c.ctx) }() // it waits for the pong
	return nil
}

func (c *coderConn) shut(code int, reason string) {
	_ = c.Close(websocket.StatusCode(code), reason)
}

func (c *coderConn) drop()                  { _ = c.CloseNow() }
func (c *coderConn) within(d time.Duration) { c.wait = d }
func (c *coderConn) limit(bytes int64)      { c.SetReadLimit(bytes) }
