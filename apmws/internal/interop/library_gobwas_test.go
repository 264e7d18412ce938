package interop

import (
	"bufio"
	"compress/flate"
	"errors"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsflate"
	"github.com/gobwas/ws/wsutil"
)

// fastDeflate compresses less than gobwas's default, which takes half a minute
// for a mebibyte under the race detector.
var fastDeflate = wsflate.Helper{
	Compressor: func(w io.Writer) wsflate.Compressor {
		f, err := flate.NewWriter(w, flate.BestSpeed)
		if err != nil {
			panic(err) // there is no such level
		}
		return f
	},
	Decompressor: func(r io.Reader) wsflate.Decompressor { return flate.NewReader(r) },
}

type gobwasConn struct {
	net.Conn
	br       *bufio.Reader // has what came with the handshake
	compress bool
	wait     time.Duration
	max      int64
	missed   chan struct{} // closed by missRead and missWrite
}

func upgradeGobwas(w http.ResponseWriter, r *http.Request, opts upgrading) (wsConn, error) {
	up := ws.HTTPUpgrader{Header: opts.header}
	ext := wsflate.Extension{Parameters: wsflate.DefaultParameters}
	if opts.compress {
		up.Negotiate = ext.Negotiate
	}
	conn, brw, _, err := up.Upgrade(r, w)
	if err != nil {
		if conn != nil {
			_ = conn.Close()
		}
		return nil, err
	}
	_, accepted := ext.Accepted()
	return &gobwasConn{Conn: conn, br: brw.Reader, compress: accepted}, nil
}

func (c *gobwasConn) receive() (byte, []byte, error) {
	if c.wait != 0 {
		_ = c.SetReadDeadline(time.Now().Add(c.wait))
	}
	var state wsflate.MessageState
	control := wsutil.ControlFrameHandler(c.Conn, ws.StateServerSide)
	r := wsutil.Reader{
		Source: c.br, State: ws.StateServerSide, CheckUTF8: !c.compress,
		OnIntermediate: control, MaxFrameSize: c.max,
	}
	if c.compress {
		r.State |= ws.StateExtended
		r.Extensions = []wsutil.RecvExtension{&state}
	}
	for {
		h, err := r.NextFrame()
		if err != nil {
			return 0, nil, c.refuse(err)
		}
		if h.OpCode.IsControl() {
			if err := control(h, &r); err != nil {
				return 0, nil, err
			}
			continue
		}
		var payload io.Reader = &r
		if state.IsCompressed() {
			payload = wsflate.NewReader(&r, fastDeflate.Decompressor)
		}
		data, err := io.ReadAll(payload)
		return byte(h.OpCode), data, c.refuse(err)
	}
}

// refuse sends the close frame that gobwas leaves to the program.
func (c *gobwasConn) refuse(err error) error {
	code := ws.StatusCode(0)
	var protocol ws.ProtocolError
	switch {
	case errors.Is(err, wsutil.ErrFrameTooLarge):
		code = ws.StatusMessageTooBig
	case errors.Is(err, wsutil.ErrInvalidUTF8):
		code = ws.StatusInvalidFramePayloadData
	case errors.As(err, &protocol):
		code = ws.StatusProtocolError
	}
	if code != 0 {
		_ = ws.WriteFrame(c.Conn, ws.NewCloseFrame(ws.NewCloseFrameBody(code, "")))
	}
	return err
}

func (c *gobwasConn) send(op byte, payload []byte) error {
	f := ws.NewFrame(ws.OpCode(op), true, payload)
	if c.compress {
		var err error
		if f, err = fastDeflate.CompressFrame(f); err != nil {
			return err
		}
	}
	return ws.WriteFrame(c.Conn, f)
}

func (c *gobwasConn) ping() error {
	return ws.WriteFrame(c.Conn, ws.NewPingFrame([]byte("are you there")))
}

func (c *gobwasConn) shut(code int, reason string) {
	_ = ws.WriteFrame(c.Conn, ws.NewCloseFrame(ws.NewCloseFrameBody(ws.StatusCode(code), reason)))
	for {
		if _, _, err := c.receive(); err != nil {
			break
		}
	}
	c.drop()
}

func (c *gobwasConn) drop()                  { _ = c.Close() }
func (c *gobwasConn) within(d time.Duration) { c.wait = d }
func (c *gobwasConn) limit(bytes int64)      { c.max = bytes }
