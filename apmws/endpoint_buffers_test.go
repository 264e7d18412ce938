package apmws

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

type countingPool struct {
	sync.Pool
	got, put atomic.Int64
}

func (p *countingPool) Get() any {
	p.got.Add(1)
	return p.Pool.Get()
}

func (p *countingPool) Put(buffer any) {
	p.put.Add(1)
	p.Pool.Put(buffer)
}

func TestEndpointBuffers(t *testing.T) {
	pool := &countingPool{}
	opts := EndpointOptions{Message: func(ctx context.Context, m Message) error {
		return FromContext(ctx).Write(ctx, m.Type, m.Data)
	}}
	opts.Upgrader.WriteBufferPool = pool
	conn := dial(t, serveWS(t, New(Options{}).Endpoint("/ws", opts)), nil)
	if got := pool.got.Load(); got != 0 {
		t.Errorf("the handshake took %d buffers", got)
	}
	for range 3 {
		send(t, conn, "x")
		if _, _, err := conn.ReadMessage(); err != nil {
			t.Fatal(err)
		}
	}
	leave(t, conn)
	eventually(t, "all buffers are back", func() bool { return pool.put.Load() == 3 })
	if got := pool.got.Load(); got != 3 {
		t.Errorf("3 messages took %d buffers", got)
	}
}

func TestEndpointReads(t *testing.T) {
	for asked, want := range map[int]int{0: 512, 2048: 2048} {
		server, client := net.Pipe()
		w := &pipeWriter{header: http.Header{}, conn: &sizing{Conn: server, reads: make(chan int, 10)}}
		opts := EndpointOptions{Message: neverMessage(t)}
		opts.Upgrader.ReadBufferSize = asked
		handshakes := New(Options{}).Endpoint("/ws", opts)
		upgrader := handshakes.(*handler).next.(*endpoint).upgrader
		if upgrader.WriteBufferPool == nil || upgrader.HandshakeTimeout != 10*time.Second {
			t.Errorf("write buffers come from %v, the handshake may take %v", upgrader.WriteBufferPool, upgrader.HandshakeTimeout)
		}
		go func() { handshakes.ServeHTTP(w, upgradeRequest()) }()
		if resp, err := http.ReadResponse(bufio.NewReader(client), nil); err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
			t.Fatalf("%+v, %v", resp, err)
		}
		if got := receive(t, w.conn.reads); got != want {
			t.Errorf("asked for %d: an idle connection reads into %d bytes", asked, got)
		}
		client.Close()
	}
}

type sizing struct {
	net.Conn
	reads chan int
}

func (s *sizing) Read(b []byte) (int, error) {
	select {
	case s.reads <- len(b):
	default: // the first ones are enough
	}
	return s.Conn.Read(b)
}

type pipeWriter struct {
	header http.Header
	conn   *sizing
}

func (w *pipeWriter) Header() http.Header         { return w.header }
func (w *pipeWriter) Write(b []byte) (int, error) { return w.conn.Write(b) }
func (w *pipeWriter) WriteHeader(int)             {}

func (w *pipeWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return w.conn, bufio.NewReadWriter(bufio.NewReader(w.conn), bufio.NewWriter(w.conn)), nil
}
