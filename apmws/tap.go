package apmws

import (
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// tap is a hijacked connection that is followed as it passes. What the peers
// see is what they would see without it; only the head of the 101 may get
// headers that the library drops.
//
// A Conn does not hold its tap: a connection that the application forgets to
// close is closed by the garbage collector, as it would be without the tap.
//
// The fields are in the order in which messages use them, a line of the cache after the
// other: those of most connections have left the cache since their last message.
type tap struct {
	net.Conn
	conn *Conn
	// inFlight counts the calls under way. The one that finishes last after
	// Close reports the end, so that its counts are complete.
	inFlight atomic.Int32
	closing  atomic.Bool
	framed   atomic.Bool   // a 101 has been written: what passes is frames
	hand     atomic.Uint32 // what the program has been given, see handEmpty
	// One reader and one writer at a time, as in the net package, so that the
	// order of the bytes here is that on the wire.
	readMu sync.Mutex
	last   *lastRead              // nil: the program gets what is read; readMu
	early  atomic.Pointer[[]byte] // bytes that came with the handshake, not yet counted

	in            frameParser   // readMu
	answer        *responseHead // the server's, to a Dialer; nil: it has been read, or is this side's; readMu
	noDeadline    atomic.Bool   // it is known that the connection underneath has none for writing
	timedOut      bool          // the last read missed its deadline; readMu
	writeTimedOut bool          // the last write missed its deadline; writeMu
	mute          bool          // nothing is written any more; writeMu
	goodbye       bool          // a close frame has been written; writeMu

	// What the heartbeat goes by; see hasRead and writeFrames.
	reads  atomic.Uint64
	quiet  atomic.Uint32 // the last of reads that brought nothing
	writes atomic.Uint32 // odd while one is under way
	out    frameParser   // writeMu

	writeMu  sync.Mutex
	owed     atomic.Uint64 // the payload of a ping that the next write is to be preceded by; 0: none
	head     *responseHead // nil once the head has been written; writeMu
	deadline writeDeadline
	writing  outbound    // what the write under way has in it; writeMu
	borrowed bool        // the write deadline is the agent's; deadline.mu
	bare     bool        // the program has the connection underneath, too; deadline.mu
	answered uint16      // the status of the answer whose head the write under way has ended, else 0; writeMu
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

// Write implements net.Conn. It and what it calls need little of the stack, see
// handler.watch.
func (t *tap) Write(b []byte) (n int, err error) {
	t.enter()
	t.writeMu.Lock()
	defer t.leaveWrite()
	switch {
	case t.head != nil:
		n, err = t.writeHead(b)
	case !t.framed.Load():
		n, err = t.Conn.Write(b)
	case t.mute:
		n, err = muted(b)
	default:
		if err = t.payPing(); err != nil {
			break
		}
		n, err = t.writeFrames(b)
		if r := t.conn.retiring.Load(); r != nil {
			t.wrote(r)
		}
	}
	return n, t.whyFailed(err)
}

// leaveWrite ends a call of Write.
func (t *tap) leaveWrite() {
	defer t.leave()
	status := t.answered
	t.answered = 0
	t.writeMu.Unlock()
	t.conn.nudge() // it may have waited for its turn
	if status != 0 {
		t.conn.answered(int(status)) // without the lock: this exports and logs
	}
}

// whyFailed returns the error that the program gets.
func (t *tap) whyFailed(err error) error {
	if err != nil && t.lost.Load() {
		return ErrPeerLost
	}
	return err
}

// maxPush is how much of a write goes to the connection underneath at once: what a peer
// must at least take within a Heartbeat's Timeout to be alive.
const maxPush = 64 << 10 // bytes

// writeFrames writes what is frames, and follows them before they go out: the
// answer to a ping or a close frame may be read by another goroutine before the
// write returns. writeMu is held.
func (t *tap) writeFrames(b []byte) (n int, err error) {
	var p push
	frame, payload := t.out.whole(b)
	if p.whole = frame > 0 && frame == len(b); p.whole {
		p.passed = frameCount{messages: 1, bytes: int64(payload)}
	} else {
		p.passed = t.follow(b, &p.before)
	}
	p.start = monotonic()
	for { // in parts: whoever waits for the end of a write sees that it gets on
		part := b[n:min(len(b), n+maxPush)]
		t.writes.Add(1)
		wrote, failed := t.Conn.Write(part)
		t.writes.Add(1)
		if n, err = n+wrote, failed; err != nil || wrote < len(part) || n == len(b) {
			break
		}
	}
	t.pushed(&p, b, n, err)
	return n, err
}

// push is a write of frames.
type push struct {
	before frameParser // what t.out was
	passed frameCount  // what is in it
	whole  bool        // nothing but one message, which has not been followed
	start  time.Duration
}

// pushed notes how a write has ended. writeMu is held.
//
//go:noinline
func (t *tap) pushed(p *push, b []byte, n int, err error) {
	took := monotonic() - p.start
	t.conn.route.writeDuration.record(t.conn.shard, took)
	if took >= slowWrite {
		t.conn.happened(writeBlocked, took)
	}

	if p.whole && n < len(b) {
		p.passed, p.whole = t.follow(b, &p.before), false
	}
	if p.whole {
		t.conn.sent(p.passed)
	} else {
		t.settle(&p.before, p.passed, b, n)
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
}

// follow follows frames that are about to be written. writeMu is held.
//
//go:noinline
func (t *tap) follow(b []byte, before *frameParser) (passed frameCount) {
	*before = t.out
	t.writing = outbound{}
	return t.out.feed(b, leaving{t})
}

// settle counts what follow has followed, of which n bytes have been written.
// writeMu is held.
func (t *tap) settle(before *frameParser, passed frameCount, b []byte, n int) {
	closes := t.writing.closes
	if n < len(b) {
		// Follow again what did get through.
		t.out = *before
		var through outbound
		passed = t.out.feed(b[:n], &through)
		t.takeBack(&through)
		closes = through.closes
	}
	t.goodbye = t.goodbye || closes > 0
	if passed != (frameCount{}) {
		t.conn.sent(passed)
	}
}

// writeHead passes the head of the answer on, with the added headers. b may hold
// what follows the head. writeMu is held.
func (t *tap) writeHead(b []byte) (n int, err error) {
	wasHeld := t.head.held
	status := 0
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
		return max(0, inHead-missing), err
	}
	if len(rest) > 0 {
		n, err = t.writeFrames(rest)
	}
	t.answered = uint16(status)
	return inHead + n, err
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
