package promws

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// idlePeer is the network under an open connection, in memory: nobody speaks.
type idlePeer struct{ net.Conn }

func (idlePeer) Read([]byte) (int, error)         { return 0, io.EOF }
func (idlePeer) Write(b []byte) (int, error)      { return len(b), nil }
func (idlePeer) Close() error                     { return nil }
func (idlePeer) SetDeadline(time.Time) error      { return nil }
func (idlePeer) SetReadDeadline(time.Time) error  { return nil }
func (idlePeer) SetWriteDeadline(time.Time) error { return nil }

// hijackable is an answer from under which a handler may take the network.
type hijackable struct{ *httptest.ResponseRecorder }

func (hijackable) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	var p idlePeer
	return p, bufio.NewReadWriter(bufio.NewReaderSize(p, 16), bufio.NewWriterSize(p, 16)), nil
}

// openMany opens n connections of a route that nobody reads from, as libraries do
// that wait for the network elsewhere: none has a goroutine.
func openMany(t testing.TB, c *chat, n int) {
	t.Helper()
	h := c.agent.Handler("/idle", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Fatal(err)
		}
		answer := "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
		if _, err := io.WriteString(conn, answer); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
	}))
	for range n {
		r := httptest.NewRequest(http.MethodGet, "/idle", nil)
		r.Header.Set("Connection", "Upgrade")
		r.Header.Set("Upgrade", "websocket")
		r.Header.Set("Sec-Websocket-Version", "13")
		r.Header.Set("Sec-Websocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
		h.ServeHTTP(hijackable{httptest.NewRecorder()}, r)
	}
}
