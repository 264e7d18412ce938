package apmws

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
)

// retirement is a connection's gentle close by this side. It has three steps:
//
//  1. It waits until no message is in hand, and decides then: nothing more is given
//     to the program. A message is in hand from the moment its first byte has been
//     given to the program until that waits for the next one, which a program that
//     reads and handles on one goroutine does when it has answered; while a
//     Transaction of StartMessage is under way; and while one is being written.
//  2. What waits in the send queue is written, and then the close frame, between two
//     messages. Nothing else is written after that.
//  3. The peer's answer is waited for, and the socket closed.
//
// So whatever was read has been handled and answered. What the peer has sent besides
// before it knew is read and counted, and given to nobody.
type retirement struct {
	code   int
	reason string
	cause  CloseCause // empty: CloseAt's, where it follows from the code

	nudged  chan struct{} // something has changed that it may have waited for
	decided chan struct{}
	revoked chan struct{} // another has taken its place, or none
	ended   chan struct{} // the connection is closed
	began   time.Duration // monotonic
	readAt  atomic.Int64  // monotonic; the program has last begun to read
	wroteAt atomic.Int64  // likewise
	ready   atomic.Bool   // the close frame is to follow the message that is being written
	once    sync.Once     // ended
}

const (
	// unreadGrace is how long a program without Serve or an Endpoint, which has read
	// a message and neither reads again nor writes, is taken to be handling that, and
	// unaskedGrace how long while it writes: one that only ever writes may have read
	// something once.
	unreadGrace  = 10 * time.Second
	unaskedGrace = 30 * time.Second
	// unfinishedGrace is how long a peer may take for the rest of a message.
	unfinishedGrace = 30 * time.Second
	// flushGrace is how long it may take for what waits in the send queue.
	flushGrace = 30 * time.Second
	// stuckGrace is how long it may take nothing at all of what is being written.
	stuckGrace = 30 * time.Second
	// parkedFor bounds how long a reader waits between two messages for those that
	// write, so that it does not take the next one under their very eyes; it must not
	// miss pongs for long.
	parkedFor = time.Second
	// parkedWithin is how long it does so altogether.
	parkedWithin = 30 * time.Second
	// lastWord bounds the writing of the close frame of a connection that is cut off.
	lastWord = 100 * time.Millisecond
)

// What the program has been given, as far as the tap can tell.
const (
	handEmpty   uint32 = iota // nothing, or it has asked for what comes next
	handFull                  // a message or a part of one
	handPart                  // a part of a message, and it waits for the rest
	handLoop                  // the loop of Serve is between two messages; gorilla may have more
	handOff                   // nothing more is given to it
	handPassing               // to the loop, which drops it
)

// between reports whether no message and no frame is under way.
func (p *frameParser) between() bool { return !p.inFrame && !p.inMessage && p.have == 0 }

// retire begins to close the connection gently with 1001, unless that has begun
// already. A drain takes the place of what else has begun and is not decided. It does
// not wait.
func (c *Conn) retire(reason string, cause CloseCause) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.retireLocked(websocket.CloseGoingAway, reason, cause)
}

// retireLocked is retire, with any code. mu is held.
func (c *Conn) retireLocked(code int, reason string, cause CloseCause) {
	if old := c.retiring.Load(); old != nil {
		if old.isDecided() || cause != CauseDrain || old.cause == CauseDrain {
			return
		}
		close(old.revoked)
	}
	r := &retirement{
		code: code, reason: reason, cause: cause, began: monotonic(),
		nudged: make(chan struct{}, 1), decided: make(chan struct{}),
		revoked: make(chan struct{}), ended: make(chan struct{}),
	}
	r.readAt.Store(int64(r.began))
	r.wroteAt.Store(int64(r.began))
	c.retiring.Store(r)
	go c.runRetirement(r)
}

// stay takes back a close of CloseAt's that is not decided yet. mu is held.
func (c *Conn) stay() {
	if r := c.retiring.Load(); r != nil && r.cause == "" && !r.isDecided() {
		c.retiring.Store(nil)
		close(r.revoked)
	}
}

func (r *retirement) isDecided() bool {
	select {
	case <-r.decided:
		return true
	default:
		return false
	}
}

// nudge makes a retirement that waits look again. It does not block.
func (c *Conn) nudge() {
	if r := c.retiring.Load(); r != nil {
		r.nudge()
	}
}

func (r *retirement) nudge() {
	select {
	case r.nudged <- struct{}{}:
	default:
	}
}

// end is called when the connection has been closed.
func (r *retirement) end() {
	r.once.Do(func() { close(r.ended) })
}

// runRetirement is the retirement's goroutine.
func (c *Conn) runRetirement(r *retirement) {
	t := c.tapped()
	if t == nil {
		return // the program has lost it: the garbage collector closes it
	}
	if t.closing.Load() {
		r.end()
		return
	}
	if !t.step(r, func() bool { return t.decide(r) }) {
		return
	}
	t.flush(r)
	if !t.sayGoodbye(r) {
		t.abandonFor(r.cause)
		return
	}
	late := time.AfterFunc(closeTimeout, func() { t.closeFor(r.cause) })
	defer late.Stop()
	if t.readMu.TryLock() { // the program does not read: somebody must, for the answer
		_ = t.readAnswerToClose() // the connection is closed in any case
		t.readMu.Unlock()
		t.closeFor(r.cause)
		return
	}
	<-r.ended
}

// step calls do with writeMu held, whenever something has changed, until it returns
// true. It reports false when the retirement is over, or the peer is given up: one that
// takes nothing of a write would hold the connection open for as long as it likes.
func (t *tap) step(r *retirement, do func() bool) bool {
	look := time.NewTicker(unreadGrace / 4)
	defer look.Stop()
	writes, since := t.writes.Load(), monotonic()
	for {
		if t.writeMu.TryLock() { // who has it nudges afterwards
			done := do()
			t.writeMu.Unlock()
			if done {
				return true
			}
		}
		select {
		case <-r.ended:
			return false
		case <-r.revoked:
			return false
		case <-r.nudged:
		case <-look.C:
			t.giveUpReader(r)
			if n := t.writes.Load(); n != writes || n%2 == 0 {
				writes, since = n, monotonic()
			} else if monotonic()-since >= stuckGrace {
				t.abandonFor(r.cause)
			}
		}
	}
}

// decide decides when no message is in hand. It reports whether that has been decided.
// writeMu is held.
func (t *tap) decide(r *retirement) bool {
	c := t.conn
	if r.isDecided() {
		return true
	}
	if !t.framed.Load() || t.head != nil || !t.out.between() || c.inHand.Load() > 0 {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.held, c.retiring.Load() != r:
		return false
	case c.closingFrames(), // the program or the peer has closed it
		t.hand.CompareAndSwap(handEmpty, handOff), t.hand.CompareAndSwap(handLoop, handPassing),
		monotonic()-r.began > unfinishedGrace && t.hand.CompareAndSwap(handPart, handOff):
		close(r.decided)
		return true
	default:
		return false
	}
}

// closingFrames reports whether a close frame is known to have passed. mu is held.
func (c *Conn) closingFrames() bool {
	return c.ending != nil && (c.ending.how == endedByOwnFrame || c.ending.how == endedByPeerFrame)
}

// giveUpReader takes a program that does not read any more for one that has nothing
// in hand.
func (t *tap) giveUpReader(r *retirement) {
	now := monotonic()
	read := now - time.Duration(r.readAt.Load())
	wrote := now - time.Duration(r.wroteAt.Load())
	handles := read < unreadGrace || wrote < unreadGrace && read < unaskedGrace
	if handles || t.conn.currentServing() != nil || !t.readMu.TryLock() {
		return
	}
	defer t.readMu.Unlock()
	t.hand.CompareAndSwap(handFull, handEmpty)
}

// flush is the first half of the second step.
func (t *tap) flush(r *retirement) {
	if serving := t.conn.currentServing(); serving != nil && serving.queue != nil {
		serving.queue.finish()
		ctx, cancel := context.WithTimeout(context.Background(), flushGrace)
		defer cancel()
		_ = t.conn.flushSends(ctx) // what is left is given up
	}
	r.ready.Store(true)
}

// finish makes the queue take nothing more.
func (q *sendQueue) finish() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
}

// sayGoodbye writes the close frame between two messages, unless the program or the
// peer has done so. It reports false when it could not.
func (t *tap) sayGoodbye(r *retirement) (said bool) {
	t.enter()
	defer t.leave()
	return t.step(r, func() bool {
		if !t.mute && !t.out.between() {
			return false
		}
		said = t.lastFrame(r.code, r.reason, r.cause, closeTimeout)
		return true
	}) && said
}

// lastFrame writes the close frame, unless there has been one, and nothing is written
// any more. It reports false when that has failed. writeMu is held.
func (t *tap) lastFrame(code int, reason string, cause CloseCause, limit time.Duration) bool {
	if t.goodbye || !t.conn.plan(cause) && !t.mute { // of a muted program, the answer to the peer's close frame is not written
		return true
	}
	t.mute = true
	t.borrowDeadline(limit)
	defer t.giveDeadlineBack()
	_, err := t.writeFrames(closeFrame(code, reason, !t.in.fromPeer))
	return err == nil
}

// plan notes the cause of the close frame that is about to be written, unless there
// has been one.
func (c *Conn) plan(cause CloseCause) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closingFrames() {
		return false
	}
	c.end().planned = cause
	return true
}

// wrote is called after each write while the connection retires. writeMu is held.
func (t *tap) wrote(r *retirement) {
	r.wroteAt.Store(int64(monotonic()))
	switch {
	case !r.isDecided():
		t.decide(r)
	case r.ready.Load() && t.out.between() && !t.mute:
		t.conn.mu.Lock()
		t.mute = !t.conn.closingFrames() // else the program, or the queue, could go on and on
		t.conn.mu.Unlock()
	}
}

// muted answers what a library writes after the close frame: only what carries no
// data passes for written, so that a library which answers the peer's close frame
// finds nothing amiss.
func muted(b []byte) (int, error) {
	if len(b) > 0 && b[0]&0xF >= opClose {
		return len(b), nil
	}
	return 0, websocket.ErrCloseSent
}

// closeFor closes the socket. Where nothing tells more, cause is why.
func (t *tap) closeFor(cause CloseCause) {
	t.planned(cause)
	_ = t.Close() // it is given up
}

// abandonFor is closeFor for a peer that takes nothing any more.
func (t *tap) abandonFor(cause CloseCause) {
	t.planned(cause)
	t.abandon()
}

// planned notes why the socket is about to be closed, unless it has been.
func (t *tap) planned(cause CloseCause) {
	if !t.closing.Load() {
		t.conn.ended(ending{how: endedByPlan, planned: cause})
	}
}

// cut closes the socket at once, in the middle of whatever is under way. A peer that
// can be told without waiting is told, with 1001.
func (c *Conn) cut(reason string, cause CloseCause) {
	t := c.tapped()
	if t == nil {
		return
	}
	t.enter()
	defer t.leave()
	told := false
	if t.writeMu.TryLock() {
		if !t.closing.Load() && t.framed.Load() && t.head == nil && t.out.between() && !t.mute && writable(t.Conn) {
			t.hand.Store(handOff)
			told = t.lastFrame(websocket.CloseGoingAway, reason, cause, lastWord)
		}
		t.writeMu.Unlock()
	}
	t.planned(cause)
	if !told {
		t.cutTLS()
	}
	_ = t.Close() // it is given up
}

// closeFrame returns a whole close frame, masked for a peer that is a server.
func closeFrame(code int, reason string, masked bool) []byte {
	return controlFrame(opClose, websocket.FormatCloseMessage(code, sanitize(reason, maxCloseReason)), masked)
}
