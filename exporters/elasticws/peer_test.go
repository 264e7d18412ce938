package elasticws

import (
	"bufio"
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/apmws/go-apmws/apmws"
)

// peer is a client in memory: it sends the frames that next returns until there
// are no more, and takes everything.
type peer struct {
	net.Conn
	next func() []byte
	rest []byte
}

// newPeer returns a peer that sends these messages.
func newPeer(messages ...string) *peer {
	return &peer{next: func() []byte {
		if len(messages) == 0 {
			return nil
		}
		frame := textFrame([]byte(messages[0]))
		messages = messages[1:]
		return frame
	}}
}

func (p *peer) Read(b []byte) (int, error) {
	if len(p.rest) == 0 {
		p.rest = p.next()
	}
	if len(p.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(b, p.rest)
	p.rest = p.rest[n:]
	return n, nil
}

func (p *peer) Write(b []byte) (int, error)      { return len(b), nil }
func (p *peer) Close() error                     { return nil }
func (p *peer) SetDeadline(time.Time) error      { return nil }
func (p *peer) SetReadDeadline(time.Time) error  { return nil }
func (p *peer) SetWriteDeadline(time.Time) error { return nil }

// Hijack implements http.Hijacker.
func (p *peer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return p, bufio.NewReadWriter(bufio.NewReader(p), bufio.NewWriter(p)), nil
}

// connect makes h serve the peer.
func (p *peer) connect(h http.Handler) {
	r := httptest.NewRequest(http.MethodGet, "/ws", nil)
	r.Header.Set("Connection", "Upgrade")
	r.Header.Set("Upgrade", "websocket")
	r.Header.Set("Sec-Websocket-Version", "13")
	r.Header.Set("Sec-Websocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
	h.ServeHTTP(struct {
		*httptest.ResponseRecorder
		http.Hijacker
	}{httptest.NewRecorder(), p}, r)
}

// serve returns a handler that upgrades, and handles messages until there are no
// more.
func serve(t testing.TB, handle func(context.Context, apmws.Message) error) http.Handler {
	t.Helper()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := (&websocket.Upgrader{}).Upgrade(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		if err := apmws.Serve(r.Context(), conn, handle); !websocket.IsUnexpectedCloseError(err) {
			t.Errorf("reading ended with %v, want the end of the stream", err)
		}
	})
}

// textFrame returns a whole text message as a client sends it, by a mask of
// zeros, so that the payload reads as it is (RFC 6455, section 5.2).
func textFrame(payload []byte) []byte {
	const textFinal, masked, length16 = 0x81, 0x80, 126
	frame := []byte{textFinal}
	if len(payload) < length16 {
		frame = append(frame, masked|byte(len(payload)))
	} else {
		frame = binary.BigEndian.AppendUint16(append(frame, masked|length16), uint16(len(payload)))
	}
	return append(append(frame, 0, 0, 0, 0), payload...)
}
