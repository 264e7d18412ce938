package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/gorilla/websocket"

	"github.com/apmws/go-apmws/apmws"
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
func (c *memConn) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (c *memConn) RemoteAddr() net.Addr             { return &net.TCPAddr{} }

// hijackable is a ResponseWriter over a memConn.
type hijackable struct {
	*httptest.ResponseRecorder
	conn net.Conn
}

var _ http.Hijacker = hijackable{}

// Hijack implements http.Hijacker.
func (h hijackable) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return h.conn, bufio.NewReadWriter(bufio.NewReader(h.conn), bufio.NewWriter(h.conn)), nil
}

// handshake is a client's.
func handshake() *http.Request {
	r := httptest.NewRequest(http.MethodGet, route, nil)
	for name, value := range map[string]string{
		"Connection": "Upgrade", "Upgrade": "websocket", "Sec-Websocket-Version": "13",
		"Sec-Websocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
	} {
		r.Header.Set(name, value)
	}
	return r
}

// overMemory upgrades a connection that brings so many messages of that size in
// bytes, and runs loop on it.
func overMemory(wrap func(http.Handler) http.Handler, count, size int, loop func(context.Context, *websocket.Conn)) error {
	conn := &memConn{frame: clientFrame(textOf(size, 1)), n: count}
	w := hijackable{httptest.NewRecorder(), conn}
	wrap(upgrading(loop)).ServeHTTP(w, handshake())
	if conn.n > 0 || len(conn.rest) > 0 {
		return errors.New("the loop ended early")
	}
	return nil
}

// usualLoop is the read loop of most programs.
func usualLoop(_ context.Context, conn *websocket.Conn) {
	for {
		if _, _, err := conn.ReadMessage(); err != nil {
			return
		}
	}
}

// pooledLoop is the read loop that Serve is, without apmws.
func pooledLoop(_ context.Context, conn *websocket.Conn) {
	readPooled(conn, func([]byte) {})
}

// readPooled reads messages into one buffer.
func readPooled(conn *websocket.Conn, handle func(text []byte)) {
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
		handle(buf.Bytes())
	}
}

func serveLoop(ctx context.Context, conn *websocket.Conn) {
	_ = apmws.Serve(ctx, conn, func(context.Context, apmws.Message) error { return nil })
}

// nopExporter records everything, and keeps nothing.
type nopExporter struct{}

// StartConn implements apmws.Exporter.
func (nopExporter) StartConn(ctx context.Context, _ apmws.ConnStart) (context.Context, apmws.ConnSpan) {
	return ctx, nopSpan{}
}

// StartBroadcast implements apmws.Broadcaster.
func (nopExporter) StartBroadcast(context.Context, any, apmws.MessageStart) apmws.MessageSpan {
	return nopMessage{}
}

type nopSpan struct{}

// Opened implements apmws.ConnSpan.
func (nopSpan) Opened(apmws.OpenEnd) {}

// StartMessage implements apmws.ConnSpan.
func (nopSpan) StartMessage(ctx context.Context, _ apmws.MessageStart) (context.Context, apmws.MessageSpan) {
	return ctx, nopMessage{}
}

// End implements apmws.ConnSpan.
func (nopSpan) End(apmws.ConnEnd) {}

type nopMessage struct{}

// End implements apmws.MessageSpan.
func (nopMessage) End(apmws.MessageEnd) {}
