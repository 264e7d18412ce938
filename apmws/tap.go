package apmws

import (
	"net"
	"net/http"
	"sync"
	"sync/atomic"
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
	timedOut bool // the last read missed its deadline

	writeMu       sync.Mutex
	out           frameParser
	head          *responseHead // nil once the head has been written
	writing       outbound      // what the write under way has in it
	writeTimedOut bool          // the last write missed its deadline

	early  atomic.Pointer[[]byte] // bytes that came with the handshake, not yet counted
	framed atomic.Bool            // a 101 has been written: what passes is frames

	// inFlight counts the calls under way. The one that finishes last after
	// Close reports the end, so that its counts are complete.
	inFlight atomic.Int32
	closing  atomic.Bool
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
			t.conn.goesOn(endedByTimeout)
		}
		if t.in.violated {
			t.in.violated = false
			t.conn.goesOn(endedByViolation) // the library has accepted it
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
	if t.in.violated {
		t.conn.peerViolated()
	}
}

// countEarly counts what came with the handshake, once that is known to be
// frames. readMu is held.
func (t *tap) countEarly() {
	if t.early.Load() == nil { // cheaper than the swap, which is rarely needed
		return
	}
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
	if t.framed.Load() {
		n, err = t.writeFrames(b)
	} else {
		n, err = t.Conn.Write(b)
	}
	return n, 0, err
}

// writeFrames writes what is frames, and follows them before they go out: the
// answer to a ping or a close frame may be read by another goroutine before the
// write returns. writeMu is held.
func (t *tap) writeFrames(b []byte) (int, error) {
	before := t.out
	t.writing = outbound{conn: t.conn}
	passed := t.out.feed(b, &t.writing)

	start := monotonic()
	n, err := t.Conn.Write(b)
	took := monotonic() - start
	t.conn.route.writeDuration.record(t.conn.shard, took)
	if took >= slowWrite {
		t.conn.happened(writeBlocked, took)
	}

	if n < len(b) {
		// Follow again what did get through.
		t.out = before
		through := outbound{dry: true}
		passed = t.out.feed(b[:n], &through)
		t.writing.takeBack(&through)
	}
	if passed != (frameCount{}) {
		t.conn.sent(passed)
	}
	switch {
	case err == nil:
		if t.writeTimedOut {
			t.writeTimedOut = false
			t.conn.goesOn(endedByWriteTimeout)
		}
	case !t.closing.Load():
		t.writeTimedOut = t.conn.writeFailed(err)
	}
	return n, err
}

// writeHead passes the head of the answer on, with the added headers. b may hold
// what follows the head.
func (t *tap) writeHead(b []byte) (n, status int, err error) {
	wasHeld := t.head.held
	out, rest, done := t.head.pass(b)
	if done {
		status = t.head.status
		t.conn.setSubprotocol(t.head.subprotocol)
		t.head = nil
		if status == http.StatusSwitchingProtocols {
			t.open() // before the peer can answer
		}
	}
	inHead := len(b) - len(rest)
	if wrote, err := t.Conn.Write(out); err != nil {
		if !t.closing.Load() {
			t.conn.writeFailed(err)
		}
		missing := len(out) - wrote
		if wasHeld && wrote == 0 {
			missing--
		}
		return max(0, inHead-missing), 0, err
	}
	if len(rest) > 0 {
		n, err = t.writeFrames(rest)
	}
	return inHead + n, status, err
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
		t.conn.closing(t)
	}
	return t.Conn.Close()
}

// flushHead writes what is held back of an unfinished head.
func (t *tap) flushHead() {
	if !t.writeMu.TryLock() {
		return // neither Close nor CloseWrite waits for a writer
	}
	defer t.writeMu.Unlock()
	if t.head != nil && t.head.held {
		t.head.held = false
		_, _ = t.Conn.Write([]byte{'\r'}) // Close reports no write errors
	}
}

// inbound receives the control frames of the peer.
type inbound struct{ conn *Conn }

func (inbound) ping(uint64)                     {}
func (s inbound) pong(payload uint64)           { s.conn.pongReceived(payload) }
func (s inbound) close(code int, reason string) { s.conn.peerClosed(code, reason) }

// outbound receives the control frames of this side, and counts them, so that
// those that did not get through can be taken back.
type outbound struct {
	conn          *Conn
	dry           bool // only count
	pings, closes int
	notClosed     func() // takes the first close frame back
}

func (*outbound) pong(uint64) {}

func (s *outbound) ping(payload uint64) {
	s.pings++
	if !s.dry {
		s.conn.pingSent(payload)
	}
}

func (s *outbound) close(code int, reason string) {
	s.closes++
	if s.dry {
		return
	}
	if takeBack := s.conn.ownClosed(code, reason); s.notClosed == nil {
		s.notClosed = takeBack
	}
}

// takeBack undoes what is not in through.
func (s *outbound) takeBack(through *outbound) {
	for range s.pings - through.pings {
		s.conn.pingNotSent()
	}
	if s.closes > 0 && through.closes == 0 {
		s.notClosed()
	}
}
