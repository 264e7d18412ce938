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
	answer   *responseHead // the server's, to a Dialer; nil: it has been read, or is this side's
	timedOut bool          // the last read missed its deadline

	writeMu       sync.Mutex
	out           frameParser
	head          *responseHead // nil once the head has been written
	writing       outbound      // what the write under way has in it
	writeTimedOut bool          // the last write missed its deadline
	deadline      writeDeadline

	// What the heartbeat goes by; see hasRead and writeFrames.
	reads  atomic.Uint64
	quiet  atomic.Uint32 // the last of reads that brought nothing
	writes atomic.Uint32 // odd while one is under way
	owed   atomic.Uint64 // the payload of a ping that the next write is to be preceded by; 0: none

	hand    atomic.Uint32 // what the program has been given, see handEmpty
	mute    bool          // nothing is written any more; writeMu
	goodbye bool          // a close frame has been written; writeMu
	last    *lastRead     // nil: the program gets what is read; readMu

	early  atomic.Pointer[[]byte] // bytes that came with the handshake, not yet counted
	framed atomic.Bool            // a 101 has been written: what passes is frames

	// inFlight counts the calls under way. The one that finishes last after
	// Close reports the end, so that its counts are complete.
	inFlight atomic.Int32
	closing  atomic.Bool
	lost     atomic.Bool // closed by the heartbeat
}

func (t *tap) enter() { t.inFlight.Add(1) }

func (t *tap) leave() {
	if t.inFlight.Add(-1) == 0 && t.closing.Load() {
		t.conn.disconnected()
	}
}

// Read implements net.Conn. What waits for the peer must not need much of the stack,
// which is that of an idle connection.
func (t *tap) Read(b []byte) (n int, err error) {
	t.enter()
	defer t.leave()
	t.readMu.Lock()
	defer t.readMu.Unlock()
	if t.framed.Load() && !t.asks() {
		return t.readLast(b)
	}
	if n = t.takeHeld(b); n == 0 {
		call := t.reads.Add(1)
		n, err = t.Conn.Read(b)
		t.hasRead(call, n)
	}
	n = t.holdBack(b, n)
	if n > 0 && t.framed.Load() {
		if !t.gets() {
			t.turnOff()
		}
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
	} else if n > 0 && t.answer != nil {
		t.readAnswer(b[:n])
	}
	if err != nil && !t.closing.Load() {
		t.timedOut = t.conn.readFailed(err)
	}
	if n > 0 && t.last != nil && t.last.off {
		return t.readLast(b)
	}
	return n, t.whyFailed(err)
}

// countRead counts bytes that came in. readMu is held.
func (t *tap) countRead(b []byte) {
	if passed := t.in.feed(b, inbound{t}); passed != (frameCount{}) {
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
	t.conn.nudge() // it may have waited for its turn
	if status != 0 {
		// After the lock is released: this exports and logs.
		t.conn.answered(status)
	}
	return n, t.whyFailed(err)
}

// whyFailed returns the error that the program gets.
func (t *tap) whyFailed(err error) error {
	if err != nil && t.lost.Load() {
		return ErrPeerLost
	}
	return err
}

// write returns the status when the head of the answer has just been written.
func (t *tap) write(b []byte) (n, status int, err error) {
	t.writeMu.Lock()
	defer t.writeMu.Unlock()
	if t.head != nil {
		return t.writeHead(b)
	}
	if t.framed.Load() {
		if t.mute {
			n, err = muted(b)
			return n, 0, err
		}
		if err = t.payPing(); err != nil {
			return 0, 0, err
		}
		n, err = t.writeFrames(b)
		if r := t.conn.retiring.Load(); r != nil {
			t.wrote(r)
		}
	} else {
		n, err = t.Conn.Write(b)
	}
	return n, 0, err
}

// maxPush is how much of a write goes to the connection underneath at once: what a peer
// must at least take within a Heartbeat's Timeout to be alive.
const maxPush = 64 << 10 // bytes

// writeFrames writes what is frames, and follows them before they go out: the
// answer to a ping or a close frame may be read by another goroutine before the
// write returns. It must not need much of the stack, which would be kept for all idle
// connections. writeMu is held.
func (t *tap) writeFrames(b []byte) (n int, err error) {
	var before frameParser
	passed := t.follow(b, &before)

	start := monotonic()
	for { // in parts: whoever waits for the end of a write sees that it gets on
		part := b[n:min(len(b), n+maxPush)]
		t.writes.Add(1)
		wrote, failed := t.Conn.Write(part)
		t.writes.Add(1)
		if n, err = n+wrote, failed; err != nil || wrote < len(part) || n == len(b) {
			break
		}
	}
	took := monotonic() - start
	t.conn.route.writeDuration.record(t.conn.shard, took)
	if took >= slowWrite {
		t.conn.happened(writeBlocked, took)
	}

	t.settle(&before, passed, b, n)
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

// follow follows frames that are about to be written. writeMu is held.
func (t *tap) follow(b []byte, before *frameParser) (passed frameCount) {
	*before = t.out
	t.writing = outbound{conn: t.conn}
	return t.out.feed(b, &t.writing)
}

// settle counts what follow has followed, of which n bytes have been written.
// writeMu is held.
func (t *tap) settle(before *frameParser, passed frameCount, b []byte, n int) {
	closes := t.writing.closes
	if n < len(b) {
		// Follow again what did get through.
		t.out = *before
		through := outbound{dry: true}
		passed = t.out.feed(b[:n], &through)
		t.writing.takeBack(&through)
		closes = through.closes
	}
	t.goodbye = t.goodbye || closes > 0
	if passed != (frameCount{}) {
		t.conn.sent(passed)
	}
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
		if r := t.conn.retiring.Load(); r != nil {
			r.end()
		}
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
type inbound struct{ tap *tap }

func (inbound) ping(uint64)           {}
func (s inbound) pong(payload uint64) { s.tap.conn.pongReceived(payload) }

func (s inbound) close(code int, reason string) {
	s.tap.conn.peerClosed(code, reason)
	s.tap.answeredClose(code, reason)
}

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
