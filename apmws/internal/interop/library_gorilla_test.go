package interop

import (
	"net/http"
	"time"

	"github.com/gorilla/websocket"
)

type gorillaConn struct {
	*websocket.Conn
	wait time.Duration
}

func upgradeGorilla(w http.ResponseWriter, r *http.Request, opts upgrading) (wsConn, error) {
	up := websocket.Upgrader{EnableCompression: opts.compress}
	c, err := up.Upgrade(w, r, opts.header)
	if err != nil {
		return nil, err
	}
	return &gorillaConn{Conn: c}, nil
}

func (c *gorillaConn) receive() (byte, []byte, error) {
	if c.wait != 0 {
		_ = c.SetReadDeadline(time.Now().Add(c.wait))
	}
	op, payload, err := c.ReadMessage()
	return byte(op), payload, err
}

func (c *gorillaConn) send(op byte, payload []byte) error { return c.WriteMessage(int(op), payload) }

func (c *gorillaConn) ping() error {
	return c.WriteControl(websocket.PingMessage, []byte("are you there"), time.Now().Add(patience))
}

func (c *gorillaConn) shut(code int, reason string) {
	_ = c.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, reason), time.Now().Add(patience))
	for {
		if _, _, err := c.NextReader(); err != nil {
			break
		}
	}
	c.drop()
}

func (c *gorillaConn) drop()                  { _ = c.Close() }
func (c *gorillaConn) within(d time.Duration) { c.wait = d }
func (c *gorillaConn) limit(bytes int64)      { c.SetReadLimit(bytes) }
