package apmws

import (
	"crypto/tls"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// tap is a hijacked connection that is followed as it passes. What the peers
// see is what they would see without it; only the head of the 101 may get
// headers that the library drops.
//
// A Conn does not hold its tap: a connection that the application forgets to
// close is closed by the garbage collector, as it would be without the tap.
type tap struct {
	net.Conn
	conn *Conn

	// One reader and one writer at a time, as in the net package, so that the
	// order of the bytes here is that on the wire.
	readMu   sync.Mutex
	in       frameParser
	timedOut bool // the last read met its deadline
	writeMu  sync.Mutex
	out      frameParser
	head     *responseHead // nil once the head has been written

	early  atomic.Pointer[[]byte] // bytes that came with the handshake, not yet counted
	framed atomic.Bool            // a 101 has been written: what passes is frames

	// inFlight counts the calls under way. The one that finishes last after
	// Close reports the end, so that its counts are complete.
	inFlight atomic.Int32
	closing  atomic.Bool
}

// observedConn returns the tap as a net.Conn with the methods that programs look
// for on a *net.TCPConn or a *tls.Conn.
func (t *tap) observedConn() net.Conn {
	switch c := t.Conn.(type) {
	case *net.TCPConn:
		return &tcpTap{tap: t, tcp: c}
	case *tls.Conn:
		return &tlsTap{tap: t, tls: c}
	default:
		return t
	}
}

func (t *tap) enter() { t.inFlight.Add(1) }

func (t *tap) leave() {
	if t.inFlight.Add(-1) == 0 && t.closing.Load() {
		t.conn.disconnected()
	}
}

// Read implements net.Conn.
func (t *tap) Read(b []byte) (int, error) {
	t.enter()
	defer t.leave()
	t.readMu.Lock()
	defer t.readMu.Unlock()
	n, err := t.Conn.Read(b)
	if n > 0 && t.framed.Load() {
		if t.timedOut {
			t.timedOut = false
			t.conn.readGoesOn()
		}
		t.countEarly()
		t.countRead(b[:n])
	}
	if err != nil && !t.closing.Load() {
		t.timedOut = t.conn.readFailed(err)
	}
	return n, err
}

// countRead counts bytes that came in. readMu is held.
func (t *tap) countRead(b []byte) {
	if passed := t.in.feed(b, inbound{t.conn}); passed != (frameCount{}) {
		t.conn.received(passed)
	}
}

// countEarly counts what came with the handshake, once that is known to be
// frames. readMu is held.
func (t *tap) countEarly() {
	if early := t.early.Swap(nil); early != nil {
		t.countRead(*early)
	}
}

// Write implements net.Conn.
func (t *tap) Write(b []byte) (int, error) {
	t.enter()
	defer t.leave()
	n, status, err := t.write(b)
	if status != 0 {
		// After the lock is released: this exports and logs.
		t.conn.answered(status)
	}
	return n, err
}

// write returns the status when the head of the answer has just been written.
func (t *tap) write(b []byte) (n, status int, err error) {
	t.writeMu.Lock()
	defer t.writeMu.Unlock()
	if t.head != nil {
		return t.writeHead(b)
	}
	start := monotonic()
	n, err = t.Conn.Write(b)
	if t.framed.Load() {
		t.conn.route.writeDuration.record(t.conn.shard, monotonic()-start)
		t.countWrite(b[:n])
	}
	if err != nil && !t.closing.Load() {
		t.conn.writeFailed(err)
	}
	return n, 0, err
}

// countWrite counts bytes that went out. writeMu is held.
func (t *tap) countWrite(b []byte) {
	if passed := t.out.feed(b, outbound{t.conn}); passed != (frameCount{}) {
		t.conn.sent(passed)
	}
}

// writeHead passes the head of the answer on, all at once, since what it has
// decides what is added. b may hold what follows the head.
func (t *tap) writeHead(b []byte) (n, status int, err error) {
	rest, done := t.head.take(b)
	if !done {
		return len(b), 0, nil
	}
	head := t.head.bytes()
	t.conn.setSubprotocol(t.head.subprotocol)
	status = t.head.status
	if status == http.StatusSwitchingProtocols {
		t.open() // before the peer can answer
	}
	t.head = nil
	wrote, err := t.Conn.Write(append(head, rest...))
	if err != nil {
		t.conn.writeFailed(err)
	}
	inHead := len(b) - len(rest)
	after := wrote - len(head)
	if after < 0 {
		// The head did not get through, so the handshake has no answer.
		return max(0, inHead+after), 0, err
	}
	if t.framed.Load() {
		t.countWrite(rest[:after])
	}
	return inHead + after, status, err
}

// open makes what passes from now on count as frames.
func (t *tap) open() {
	t.framed.Store(true)
	// A reader that holds the lock counts the early bytes itself.
	if t.readMu.TryLock() {
		t.countEarly()
		t.readMu.Unlock()
	}
}

// Close implements net.Conn.
func (t *tap) Close() error {
	t.enter()
	defer t.leave()
	t.flushHead()
	if t.closing.CompareAndSwap(false, true) {
		t.conn.closing()
	}
	return t.Conn.Close()
}

// flushHead writes an unfinished head as it is: without the tap its beginning
// would have been written long ago.
func (t *tap) flushHead() {
	if !t.writeMu.TryLock() {
		return // Close does not wait for a writer
	}
	defer t.writeMu.Unlock()
	if t.head != nil && len(t.head.held) > 0 {
		_, _ = t.Conn.Write(t.head.held) // Close reports no write errors
	}
	t.head = nil
}

// NetConn returns the connection underneath. What is read from or written to it
// is not counted.
func (t *tap) NetConn() net.Conn { return t.Conn }

// inbound and outbound receive what the parsers of the two directions see.
type (
	inbound  struct{ conn *Conn }
	outbound struct{ conn *Conn }
)

func (inbound) ping(uint64)                      {}
func (s inbound) pong(payload uint64)            { s.conn.pongReceived(payload) }
func (s inbound) close(code int, reason string)  { s.conn.peerClosed(code, reason) }
func (s outbound) ping(payload uint64)           { s.conn.pingSent(payload) }
func (outbound) pong(uint64)                     {}
func (s outbound) close(code int, reason string) { s.conn.ownClosed(code, reason) }

// tcpTap keeps the methods of a *net.TCPConn that do not carry data.
type tcpTap struct {
	*tap
	tcp *net.TCPConn
}

func (t *tcpTap) CloseRead() error                         { return t.tcp.CloseRead() }
func (t *tcpTap) CloseWrite() error                        { return t.tcp.CloseWrite() }
func (t *tcpTap) SyscallConn() (syscall.RawConn, error)    { return t.tcp.SyscallConn() }
func (t *tcpTap) SetNoDelay(noDelay bool) error            { return t.tcp.SetNoDelay(noDelay) }
func (t *tcpTap) SetLinger(sec int) error                  { return t.tcp.SetLinger(sec) }
func (t *tcpTap) SetKeepAlive(keepalive bool) error        { return t.tcp.SetKeepAlive(keepalive) }
func (t *tcpTap) SetKeepAlivePeriod(d time.Duration) error { return t.tcp.SetKeepAlivePeriod(d) }
func (t *tcpTap) SetKeepAliveConfig(config net.KeepAliveConfig) error {
	return t.tcp.SetKeepAliveConfig(config)
}
func (t *tcpTap) SetReadBuffer(n int) error  { return t.tcp.SetReadBuffer(n) }
func (t *tcpTap) SetWriteBuffer(n int) error { return t.tcp.SetWriteBuffer(n) }

// tlsTap keeps the methods of a *tls.Conn that do not carry data.
type tlsTap struct {
	*tap
	tls *tls.Conn
}

func (t *tlsTap) CloseWrite() error                    { return t.tls.CloseWrite() }
func (t *tlsTap) ConnectionState() tls.ConnectionState { return t.tls.ConnectionState() }
