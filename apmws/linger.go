package apmws

import (
	"errors"
	"io"
	"time"

	"github.com/gorilla/websocket"
)

// maxLinger bounds what is read of a peer that does not stop sending.
const maxLinger = 4 << 20 // bytes

// linger gives the peer time to read the close frame that this side has sent,
// if it has, and to answer it: a socket that is closed while bytes of the peer
// wait in it resets the connection, and then the frame is lost on its way.
func (c *Conn) linger(ws *websocket.Conn) {
	c.mu.Lock()
	sent := c.end().how == endedByOwnFrame
	c.mu.Unlock()
	if !sent || ws.SetReadDeadline(time.Now().Add(closeTimeout)) != nil {
		return
	}
	// The application's own may move the deadline, and panic.
	ws.SetPingHandler(nil)
	ws.SetPongHandler(nil)
	ws.SetCloseHandler(nil)
	var err error
	for err == nil {
		_, _, err = ws.NextReader()
	}
	if answer := (*websocket.CloseError)(nil); errors.As(err, &answer) || isNetTimeout(err) {
		return
	}
	// gorilla reads no further after a fault of the peer, such as a message that
	// is too big. A lost connection fails here at once.
	raw := ws.NetConn()
	if half, ok := raw.(halfCloser); ok {
		_ = half.CloseWrite()
	}
	_, _ = io.CopyN(io.Discard, raw, maxLinger)
}
