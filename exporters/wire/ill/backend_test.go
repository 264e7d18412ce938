package ill

import (
	"crypto/tls"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"
)

// illness is what is wrong with a back end.
type illness string

const (
	healthy     illness = "healthy"
	unreachable illness = "unreachable" // nothing listens
	refusing    illness = "refusing"    // takes connections and closes them
	tooLarge    illness = "413"         // before it has read a body of unknown length
	tooMany     illness = "429"         // when it has read the body
	overloaded  illness = "503"         // when it has read the body
	garbage     illness = "garbage"     // nonsense with a status of success
	notHTTP     illness = "not HTTP"
	silent      illness = "silent" // reads, and never answers
	dying       illness = "dying"  // resets the connection when it has read half of the body
)

// illnesses are in this order since after the first ones it takes longest until the
// agents try again.
var illnesses = []illness{unreachable, refusing, notHTTP, dying, tooLarge, tooMany, overloaded, garbage, silent}

// swallows reports whether the back end says that it has taken what it has not.
func (i illness) swallows() bool { return i == garbage }

// backEnd is a vendor's back end that can fall ill and recover, at one address.
type backEnd struct {
	*sink
	address  string
	server   http.Server
	arrivals chan net.Conn
	over     chan struct{}
	running  sync.WaitGroup

	mu       sync.Mutex
	state    illness
	changed  chan struct{} // closed when the state changes
	listener net.Listener
	conns    map[*conn]bool
}

// newBackEnd returns a healthy one. With a certificate it speaks TLS.
func newBackEnd(t testing.TB, s *sink, certificate *tls.Certificate) *backEnd {
	t.Helper()
	b := &backEnd{
		sink: s, arrivals: make(chan net.Conn), over: make(chan struct{}),
		state: healthy, changed: make(chan struct{}), conns: make(map[*conn]bool),
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b.address = l.Addr().String()
	b.listen(l)
	b.server = http.Server{Handler: b, ReadHeaderTimeout: time.Minute, ErrorLog: log.New(io.Discard, "", 0)}
	var arrivals net.Listener = arrivals{b}
	if certificate != nil {
		arrivals = tls.NewListener(arrivals, &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{*certificate}})
	}
	b.running.Go(func() { _ = b.server.Serve(arrivals) }) // until it is closed
	t.Cleanup(b.close)
	return b
}

// listen takes connections until the listener is closed.
func (b *backEnd) listen(l net.Listener) {
	b.listener = l
	b.running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			b.arrived(c.(*net.TCPConn))
		}
	})
}

func (b *backEnd) arrived(c *net.TCPConn) {
	b.mu.Lock()
	if b.state == refusing {
		b.mu.Unlock()
		c.Close()
		return
	}
	known := &conn{TCPConn: c, of: b}
	b.conns[known] = true
	b.mu.Unlock()
	select {
	case b.arrivals <- known:
	case <-b.over:
		known.Close()
	}
}

// fall makes the back end fall ill of something, or recover.
func (b *backEnd) fall(t testing.TB, ill illness) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	was := b.state
	b.state = ill
	close(b.changed)
	b.changed = make(chan struct{})
	if ill == unreachable {
		b.listener.Close()
	}
	if ill == unreachable || ill == refusing || was == silent {
		b.reset()
	}
	if was == unreachable {
		l, err := b.listenAgain()
		if err != nil {
			t.Fatal(err)
		}
		b.listen(l)
	}
}

// listenAgain is for an address that another process may use for a moment.
func (b *backEnd) listenAgain() (l net.Listener, err error) {
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if l, err = net.Listen("tcp", b.address); err == nil {
			return l, nil
		}
	}
	return nil, err
}

// reset breaks all connections. The lock is held.
func (b *backEnd) reset() {
	for _, c := range slices.Collect(maps.Keys(b.conns)) {
		_ = c.SetLinger(0)
		c.TCPConn.Close()
	}
}

func (b *backEnd) close() {
	b.mu.Lock()
	close(b.over)
	b.listener.Close()
	b.reset()
	b.mu.Unlock()
	_ = b.server.Close()
	b.running.Wait()
}

// ServeHTTP implements http.Handler.
func (b *backEnd) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.running.Add(1)
	defer b.running.Done()
	b.mu.Lock()
	state, changed := b.state, b.changed
	b.mu.Unlock()
	switch state {
	case healthy:
		b.serve(w, r)
	case tooLarge:
		if r.ContentLength >= 0 { // New Relic's
			b.refuse(r)
		}
		w.Header().Set("Connection", "close")
		w.WriteHeader(http.StatusRequestEntityTooLarge)
	case tooMany:
		b.refuse(r)
		w.WriteHeader(http.StatusTooManyRequests)
	case overloaded:
		b.refuse(r)
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, `{"accepted":0,"errors":[{"message":"queue is full"}]}`)
	case garbage:
		b.refuse(r)
		if r.ContentLength < 0 { // Elastic's, which answers 202
			w.WriteHeader(http.StatusAccepted)
		}
		_, _ = io.WriteString(w, "\x00\xff}{<html>")
	case notHTTP:
		hijack(w, func(c net.Conn) { _, _ = io.WriteString(c, "SSH-2.0-nonsense\r\n\x00\xff\r\n\r\n") })
	case silent:
		_, _ = io.Copy(io.Discard, r.Body)
		select {
		case <-changed:
		case <-b.over:
		}
		panic(http.ErrAbortHandler)
	case dying:
		half := r.ContentLength / 2
		if half < 0 {
			half = 16 << 10 // nobody knows how much it will be
		}
		_, _ = io.CopyN(io.Discard, r.Body, half)
		hijack(w, func(c net.Conn) {
			if over, ok := c.(*tls.Conn); ok {
				c = over.NetConn()
			}
			_ = c.(*conn).SetLinger(0)
		})
	default: // nobody can connect, but some just have
		panic(http.ErrAbortHandler)
	}
}

// hijack ends the connection of a request that is not answered.
func hijack(w http.ResponseWriter, last func(net.Conn)) {
	c, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	last(c)
	c.Close()
}

// conn is a connection that the back end knows.
type conn struct {
	*net.TCPConn
	of *backEnd
}

// Close implements net.Conn.
func (c *conn) Close() error {
	c.of.mu.Lock()
	delete(c.of.conns, c)
	c.of.mu.Unlock()
	return c.TCPConn.Close()
}

// arrivals is the listener of the HTTP server.
type arrivals struct{ of *backEnd }

// Accept implements net.Listener.
func (a arrivals) Accept() (net.Conn, error) {
	select {
	case c := <-a.of.arrivals:
		return c, nil
	case <-a.of.over:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (a arrivals) Close() error { return nil }

// Addr implements net.Listener.
func (a arrivals) Addr() net.Addr { return a.of.listener.Addr() }
