package apmws

import (
	"io"
	"time"

	"github.com/gorilla/websocket"
)

// lastRead is what comes in while this side closes a connection gently.
type lastRead struct {
	held     []byte // has been read, and not been given to the program
	off      bool   // nothing more is given to it but the peer's close frame
	cutShort bool   // in the middle of a message
	frame    []byte // what is left of the close frame
	answered bool   // it has come
}

// asks is called before each read of frames. It reports false when nothing more is
// given to the program. readMu is held.
func (t *tap) asks() bool {
	switch {
	case t.hand.Load() >= handOff:
		return t.hand.Load() == handPassing
	case !t.in.between():
		t.hand.CompareAndSwap(handFull, handPart)
		return true
	}
	t.hand.CompareAndSwap(handFull, handEmpty)
	if r := t.conn.retiring.Load(); r != nil {
		t.park(r)
	}
	return t.hand.Load() != handOff
}

// park waits a moment for those that write, when the connection is to be closed
// and the program wants the next message. It does so for a while only: what has been in
// hand for so long may never end, and the connection is to work until it does.
func (t *tap) park(r *retirement) {
	now := monotonic()
	r.readAt.Store(int64(now))
	r.nudge()
	if now-r.began > parkedWithin {
		return
	}
	timer := time.NewTimer(parkedFor)
	defer timer.Stop()
	select {
	case <-r.decided:
	case <-r.ended:
	case <-r.revoked:
	case <-timer.C:
	}
}

// gets is called when something has been read. It reports whether the program gets
// it.
func (t *tap) gets() bool {
	return t.hand.CompareAndSwap(handEmpty, handFull) || t.hand.CompareAndSwap(handPart, handFull) ||
		t.hand.Load() != handOff
}

// takeHeld returns what was held back, if anything. readMu is held.
func (t *tap) takeHeld(b []byte) (n int) {
	if t.last != nil && len(t.last.held) > 0 {
		n = copy(b, t.last.held)
		t.last.held = t.last.held[n:]
	}
	return n
}

// holdBack returns how many of the n bytes in b the program gets. While the connection
// is to be closed that is one message at a time: what is in its buffers cannot be taken
// back. readMu is held.
func (t *tap) holdBack(b []byte, n int) int {
	if n == 0 || t.conn.retiring.Load() == nil || !t.framed.Load() || t.hand.Load() >= handOff {
		return n
	}
	if whole := t.in.untilBetween(b[:n]); whole < n {
		if t.last == nil {
			t.last = new(lastRead)
		}
		t.last.held = append(append([]byte(nil), b[whole:n]...), t.last.held...)
		n = whole
	}
	return n
}

// untilBetween returns how many of the bytes it takes until no message is under
// way, or all.
func (p *frameParser) untilBetween(b []byte) int {
	q := *p
	if p.closing != nil {
		payload := *p.closing
		q.closing = &payload
	}
	for i := range b {
		q.feed(b[i:i+1], &outbound{})
		if q.between() {
			return i + 1
		}
	}
	return len(b)
}

// turnOff is called before anything is followed that the program does not get.
// readMu is held.
func (t *tap) turnOff() {
	if t.last == nil {
		t.last = new(lastRead)
	}
	if !t.last.off {
		t.last.off, t.last.cutShort = true, !t.in.between()
	}
}

// readLast is Read once nothing more is given to the program. readMu is held.
func (t *tap) readLast(b []byte) (int, error) {
	t.turnOff()
	if err := t.awaitClose(); err != nil {
		return 0, err
	}
	if t.last.cutShort {
		return 0, io.ErrUnexpectedEOF
	}
	n := copy(b, t.last.frame)
	t.last.frame = t.last.frame[n:]
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

// awaitClose reads until the peer's close frame has come. readMu is held.
func (t *tap) awaitClose() error {
	if held := t.last.held; len(held) > 0 {
		t.last.held = nil
		t.countRead(held)
	}
	var b []byte
	for !t.last.answered {
		if b == nil {
			b = make([]byte, endpointReadBuffer)
		}
		call := t.reads.Add(1)
		n, err := t.Conn.Read(b)
		t.hasRead(call, n)
		if n > 0 {
			t.countRead(b[:n])
		}
		if err != nil && !t.last.answered {
			if !t.closing.Load() {
				t.timedOut = t.conn.readFailed(err)
			}
			return err
		}
	}
	return nil
}

// answeredClose notes the peer's close frame, for the program. What a peer that has
// called sends is masked. readMu is held.
func (t *tap) answeredClose(code int, reason string) {
	if t.last == nil || !t.last.off || t.last.answered {
		return
	}
	t.last.answered = true
	payload := websocket.FormatCloseMessage(code, reason)
	t.last.frame = controlFrame(opClose, payload, t.in.fromPeer)
}

// readAnswerToClose waits for the peer's close frame in the place of a program that
// does not read. readMu is held.
func (t *tap) readAnswerToClose() error {
	t.enter()
	defer t.leave()
	t.turnOff()
	_ = t.Conn.SetReadDeadline(time.Now().Add(closeTimeout)) // the read fails, too, then
	return t.awaitClose()
}

// retires is called by a loop between two messages. It reports true when the
// connection is being closed gently, and the loop is to handle nothing more: what is
// in gorilla's buffers still comes, and then the peer's close frame.
func (l *loop) retires() bool {
	c := l.observed
	if c == nil || c.retiring.Load() == nil {
		return false
	}
	t := c.tapped()
	r := c.retiring.Load()
	if t == nil || r == nil {
		return false
	}
	if t.hand.CompareAndSwap(handFull, handLoop) {
		t.park(r)
		t.hand.CompareAndSwap(handLoop, handFull)
	}
	return t.hand.Load() == handPassing
}
