package hour

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// Sizes of what a connection holds between its ends, in bytes. A server blocks when
// its client has not read so much; no client ever does.
const (
	toClient = 4 << 10
	toServer = 1 << 20
)

// listener accepts connections that are made in memory. Unlike those of net.Pipe
// they hold data between their ends, as a socket does: without that, peers that
// write at the same time would wait for each other.
type listener struct {
	address net.Addr
	pending chan *conn
	closed  chan struct{}
	once    sync.Once
}

func newListener(address net.Addr) *listener {
	return &listener{address: address, pending: make(chan *conn), closed: make(chan struct{})}
}

// dial connects a client of that address, about which the server's side tells v.
func (l *listener) dial(from net.Addr, v *visit) (net.Conn, error) {
	down, up := newStream(toClient), newStream(toServer)
	client := &conn{in: down, out: up, local: from, remote: l.address}
	server := &conn{in: up, out: down, local: l.address, remote: from, visit: v}
	select {
	case l.pending <- server:
		return client, nil
	case <-l.closed:
		return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: l.address, Err: syscall.ECONNREFUSED}
	}
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.pending:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (l *listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Addr implements net.Listener.
func (l *listener) Addr() net.Addr { return l.address }

// conn is one end of a connection.
type conn struct {
	in, out       *stream
	local, remote net.Addr
	visit         *visit // of the server's end, else nil
}

// Read implements net.Conn.
func (c *conn) Read(b []byte) (int, error) {
	n, err := c.in.read(b)
	if c.visit != nil && n > 0 {
		c.visit.wire.read(b[:n], time.Now())
	}
	return n, c.explain("read", err)
}

// Write implements net.Conn. All or nothing is written.
func (c *conn) Write(b []byte) (int, error) {
	begun := time.Now()
	n, err := c.out.write(b)
	if c.visit != nil {
		c.visit.wire.written(b, n, begun, time.Now())
	}
	return n, c.explain("write", err)
}

// explain makes errors what those of a TCP connection are.
func (c *conn) explain(op string, err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return err
	}
	return &net.OpError{Op: op, Net: "tcp", Source: c.local, Addr: c.remote, Err: err}
}

// Close implements net.Conn.
func (c *conn) Close() error {
	if c.visit != nil {
		c.visit.wire.close(time.Now())
	}
	c.in.closeRead()
	c.out.closeWrite()
	return nil
}

// LocalAddr implements net.Conn.
func (c *conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr implements net.Conn.
func (c *conn) RemoteAddr() net.Addr { return c.remote }

// SetDeadline implements net.Conn.
func (c *conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// SetReadDeadline implements net.Conn.
func (c *conn) SetReadDeadline(t time.Time) error { return c.in.setDeadline(&c.in.readBy, t) }

// SetWriteDeadline implements net.Conn.
func (c *conn) SetWriteDeadline(t time.Time) error { return c.out.setDeadline(&c.out.writeBy, t) }

// stream is one direction of a connection. No lock is held while anybody waits, so
// that the clock of the bubble goes on.
type stream struct {
	limit int

	mu              sync.Mutex
	changed         sync.Cond
	data            bytes.Buffer
	readBy, writeBy deadline
	noReader        bool
	noWriter        bool
}

// deadline is one of a stream.
type deadline struct {
	at    time.Time
	timer *time.Timer
}

func (d *deadline) passed() bool { return !d.at.IsZero() && !time.Now().Before(d.at) }

func newStream(limit int) *stream {
	s := &stream{limit: limit}
	s.changed.L = &s.mu
	return s
}

func (s *stream) read(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case s.noReader:
			return 0, net.ErrClosed
		case s.readBy.passed():
			return 0, os.ErrDeadlineExceeded
		case s.data.Len() > 0:
			s.changed.Broadcast()
			return s.data.Read(b)
		case s.noWriter:
			return 0, io.EOF
		case len(b) == 0:
			return 0, nil
		}
		s.changed.Wait()
	}
}

func (s *stream) write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case s.noWriter:
			return 0, net.ErrClosed
		case s.writeBy.passed():
			return 0, os.ErrDeadlineExceeded
		case s.noReader:
			return 0, syscall.EPIPE
		case s.data.Len() == 0 || s.data.Len()+len(b) <= s.limit:
			s.changed.Broadcast()
			return s.data.Write(b)
		}
		s.changed.Wait()
	}
}

func (s *stream) closeRead() { s.close(&s.noReader, &s.readBy) }

func (s *stream) closeWrite() { s.close(&s.noWriter, &s.writeBy) }

func (s *stream) close(side *bool, by *deadline) {
	s.mu.Lock()
	defer s.mu.Unlock()
	*side = true
	if by.timer != nil {
		by.timer.Stop()
	}
	s.changed.Broadcast()
}

func (s *stream) setDeadline(d *deadline, t time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	d.at = t
	switch wait := time.Until(t); {
	case t.IsZero() || wait <= 0:
		if d.timer != nil {
			d.timer.Stop()
		}
	case d.timer == nil:
		d.timer = time.AfterFunc(wait, s.wake)
	default:
		d.timer.Reset(wait)
	}
	s.changed.Broadcast()
	return nil
}

// wake makes whoever waits look at the deadlines.
func (s *stream) wake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changed.Broadcast()
}
