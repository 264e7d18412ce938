package exact

import (
	"errors"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/apmws/go-apmws/apmws"
)

// memory is a listener without sockets, for tests in which time is not real.
type memory struct {
	conns  chan net.Conn
	closed chan struct{}
}

// Accept implements net.Listener.
func (m *memory) Accept() (net.Conn, error) {
	select {
	case conn := <-m.conns:
		return conn, nil
	case <-m.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (m *memory) Close() error {
	close(m.closed)
	return nil
}

// Addr implements net.Listener.
func (*memory) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }

func (m *memory) dial() (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case m.conns <- server:
		return client, nil
	case <-m.closed:
		return nil, net.ErrClosed
	}
}

// serveInMemory starts a server of all routes. It ends with the test.
func serveInMemory(t testing.TB, agent *apmws.Agent) *fleet {
	t.Helper()
	m := &memory{conns: make(chan net.Conn), closed: make(chan struct{})}
	server := &http.Server{Handler: handlerOf(agent), ReadHeaderTimeout: time.Minute}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(m) }()
	t.Cleanup(func() {
		server.Close()
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	f := newFleet(m.dial)
	f.polite = true // a pipe has no half that could be closed
	return f
}
