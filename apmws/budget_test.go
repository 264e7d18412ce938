//go:build !race

// The race detector makes pools forget, which costs allocations; the test command
// runs these tests once more without it.

package apmws

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/rs/zerolog"
)

// memConn is a peer that sends the same frame n times and takes everything.
type memConn struct {
	net.Conn
	frame []byte
	rest  []byte
	n     int
}

func (c *memConn) Read(b []byte) (int, error) {
	if len(c.rest) == 0 {
		if c.n == 0 {
			return 0, io.EOF
		}
		c.n--
		c.rest = c.frame
	}
	n := copy(b, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

func (c *memConn) Write(b []byte) (int, error)      { return len(b), nil }
func (c *memConn) Close() error                     { return nil }
func (c *memConn) SetDeadline(time.Time) error      { return nil }
func (c *memConn) SetReadDeadline(time.Time) error  { return nil }
func (c *memConn) SetWriteDeadline(time.Time) error { return nil }

// hijackable is a ResponseWriter over a memConn.
type hijackable struct {
	*httptest.ResponseRecorder
	conn net.Conn
}

func (h hijackable) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return h.conn, bufio.NewReadWriter(bufio.NewReader(h.conn), bufio.NewWriter(h.conn)), nil
}

// handshakeRequest is what a client sends.
func handshakeRequest() *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/ws", nil)
	r.Header.Set("Connection", "Upgrade")
	r.Header.Set("Upgrade", "websocket")
	r.Header.Set("Sec-Websocket-Version", "13")
	r.Header.Set("Sec-Websocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
	return r
}

// overMemory runs a handler against n messages of size bytes. The loop is timed
// by the caller through begin, which is called after the upgrade.
func overMemory(wrap func(http.Handler) http.Handler, n, size int, loop func(ctx context.Context, conn *websocket.Conn)) {
	payload := bytes.Repeat([]byte(" "), size)
	copy(payload, `{"type":"chat.say"}`)
	conn := &memConn{frame: frame(true, 1, []byte{1, 2, 3, 4}, payload), n: n}
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ws, err := (&websocket.Upgrader{}).Upgrade(w, r, nil)
		if err != nil {
			panic(err)
		}
		defer ws.Close()
		loop(r.Context(), ws)
	})
	wrap(h).ServeHTTP(hijackable{httptest.NewRecorder(), conn}, handshakeRequest())
}

func bare(h http.Handler) http.Handler { return h }

// pooledLoop is the read loop that Serve is, without apmws.
func pooledLoop(_ context.Context, conn *websocket.Conn) {
	var buf bytes.Buffer
	for {
		_, r, err := conn.NextReader()
		if err != nil {
			return
		}
		buf.Reset()
		if _, err := buf.ReadFrom(r); err != nil {
			return
		}
	}
}

// usualLoop is the read loop of most programs.
func usualLoop(_ context.Context, conn *websocket.Conn) {
	for {
		if _, _, err := conn.ReadMessage(); err != nil {
			return
		}
	}
}

func serveLoop(ctx context.Context, conn *websocket.Conn) {
	_ = Serve(ctx, conn, func(context.Context, Message) error { return nil })
}

// allocsPerMessage is what a loop allocates for each further message.
func allocsPerMessage(wrap func(http.Handler) http.Handler, size int, loop func(context.Context, *websocket.Conn)) float64 {
	const few, many = 100, 2100
	measure := func(n int) float64 {
		return testing.AllocsPerRun(5, func() { overMemory(wrap, n, size, loop) })
	}
	return (measure(many) - measure(few)) / (many - few)
}

// TestMessageAllocations checks the budget: none of the core's own without an
// exporter or for a message that is not sampled, one with one or two, which the budget of two allows.
func TestMessageAllocations(t *testing.T) {
	// gorilla allocates a reader for each message.
	own := allocsPerMessage(bare, 64, pooledLoop)
	logger := zerolog.New(io.Discard)
	several := MessageOptions{Names: []string{"a", "b", "c", "d", "e", "f", "g"}}
	turn := 0
	several.Name = func(dst []byte, _ MessageType, _ []byte) []byte {
		turn++
		return append(dst, "abcdefgh"[turn%8]) // the last is _OTHER
	}
	tests := []struct {
		name  string
		agent *Agent
		size  int
		limit float64
	}{
		{"not sampled", New(Options{Messages: testMessages, Exporters: []Exporter{nopExporter{}}, Sampling: &Sampling{}}), 64, 0},
		{"not sampled, of several names", New(Options{Messages: several, Exporters: []Exporter{nopExporter{}}, Sampling: &Sampling{}}), 64, 0},
		{"not sampled, with a logger", New(Options{Messages: testMessages, Exporters: []Exporter{nopExporter{}}, Sampling: &Sampling{}, Logger: &logger}), 64, 1},
		{"no exporter", New(Options{Messages: testMessages}), 64, 0},
		{"no exporter, 64 KiB", New(Options{Messages: testMessages}), 64 << 10, 0},
		{"one exporter", New(Options{Messages: testMessages, Exporters: []Exporter{nopExporter{}}}), 64, 1},
		{"three exporters", New(Options{Messages: testMessages, Exporters: []Exporter{nopExporter{}, nopExporter{}, nopExporter{}}}), 64, 2},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			wrap := func(h http.Handler) http.Handler { return test.agent.Handler("/ws", h) }
			got := allocsPerMessage(wrap, test.size, serveLoop) - own
			t.Logf("%.2f allocations per message beyond gorilla's %.2f", got, own)
			// Pools are emptied now and then, which costs a fraction.
			if got > test.limit+0.1 {
				t.Errorf("%.2f allocations per message, the budget is %.0f", got, test.limit)
			}
		})
	}
}

// BenchmarkServe compares the usual read loop with Serve, over memory: what is
// measured is the caller's time per message. The ratios are what counts.
func BenchmarkServe(b *testing.B) {
	counting := New(Options{Messages: testMessages})
	exporting := New(Options{Messages: testMessages, Exporters: []Exporter{nopExporter{}}})
	for _, size := range []struct {
		name  string
		bytes int
	}{{"64B", 64}, {"1KiB", 1 << 10}, {"64KiB", 64 << 10}} {
		for _, server := range []struct {
			name string
			wrap func(http.Handler) http.Handler
			loop func(context.Context, *websocket.Conn)
		}{
			{"ReadMessage", bare, usualLoop},
			{"ReadMessage-tapped", func(h http.Handler) http.Handler { return counting.Handler("/ws", h) }, usualLoop},
			{"Serve", func(h http.Handler) http.Handler { return counting.Handler("/ws", h) }, serveLoop},
			{"Serve-exporter", func(h http.Handler) http.Handler { return exporting.Handler("/ws", h) }, serveLoop},
		} {
			b.Run(size.name+"/"+server.name, func(b *testing.B) {
				b.ReportAllocs()
				b.SetBytes(int64(size.bytes))
				overMemory(server.wrap, b.N, size.bytes, server.loop)
			})
		}
	}
}
