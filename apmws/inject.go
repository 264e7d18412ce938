package apmws

import (
	"cmp"
	"encoding/binary"
	"errors"
	"math"
	"net"
	"runtime"
	"sync"
	"syscall"
	"time"
	"weak"
)

// Why a ping could not be written. After the first two nothing has been, and it
// may be tried again; after the third the connection is of no more use.
var (
	errMidFrame = errors.New("apmws: the application is in the middle of a frame")
	errBlocked  = errors.New("apmws: the peer takes nothing at the moment")
	errBroken   = errors.New("apmws: a ping could not be written whole")
)

// tappedBy makes t the connection's tap, which it does not keep alive.
func (c *Conn) tappedBy(t *tap) {
	runtime.AddCleanup(t, (*Conn).forgotten, c)
	c.mu.Lock()
	c.tap = weak.Make(t)
	c.mu.Unlock()
}

// tapped returns the connection's tap. It is nil before there is one, and when
// the program has lost it.
func (c *Conn) tapped() *tap {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.tap.Value()
}

// inject writes a ping of this package's own between two frames of the
// application's, whichever library writes those. It does not wait for another
// write, and not for a peer that does not read, as far as the system tells that
// beforehand; limit bounds the write where it does not. After errors other than
// the above no ping can be written any more.
func (t *tap) inject(payload uint64, limit time.Duration) error {
	t.enter()
	defer t.leave()
	if !t.writeMu.TryLock() {
		return errBlocked
	}
	defer t.writeMu.Unlock()
	switch {
	case t.closing.Load(), t.mute, t.goodbye:
		return net.ErrClosed
	case t.writeTimedOut: // perhaps in the middle of a frame
		return errBlocked
	case !t.framed.Load(), t.head != nil, t.midFrame():
		return errMidFrame
	case !writable(t.Conn):
		return errBlocked
	}
	_, whole := t.Conn.(streamConn) // else nobody knows what a failed write leaves behind, as in TLS
	if whole {
		limit = min(limit, maxInject)
	}
	frame := t.pingFrame(payload)
	var before frameParser
	passed := t.follow(frame, &before)
	t.borrowDeadline(limit)
	n, err := t.Conn.Write(frame)
	t.giveDeadlineBack()
	t.settle(&before, passed, frame, n)
	switch {
	case err == nil:
		return nil
	case n > 0, !whole && isNetTimeout(err):
		return errBroken
	case isNetTimeout(err):
		return errBlocked
	default:
		return err
	}
}

// controlFrame returns a control frame. What a client sends is masked (RFC 6455,
// section 5.3), here by zeros: nobody else has chosen what is in it.
func controlFrame(opcode byte, payload []byte, masked bool) []byte {
	frame := append(make([]byte, 0, maxHeader+maxControl), finBit|opcode, byte(len(payload)))
	if masked {
		frame[1] |= maskBit
		frame = append(frame, 0, 0, 0, 0)
	}
	return append(frame, payload...)
}

// payPing writes a ping that is owed, in front of the application's next frame: a
// program that writes all the time leaves no other place. writeMu is held.
func (t *tap) payPing() error {
	if t.owed.Load() == 0 || t.midFrame() || t.goodbye {
		return nil
	}
	payload := t.owed.Swap(0)
	if payload == 0 {
		return nil
	}
	n, err := t.writeFrames(t.pingFrame(payload))
	switch {
	case err == nil:
	case n == 0:
		t.owed.Store(payload)
	default:
		_ = t.Conn.Close() // what would follow would be taken for the rest of it
	}
	return err
}

// midFrame reports whether the application has written a part of a frame. writeMu is
// held.
func (t *tap) midFrame() bool { return t.out.inFrame || t.out.have > 0 }

func (t *tap) pingFrame(payload uint64) []byte {
	return controlFrame(opPing, binary.BigEndian.AppendUint64(nil, payload), !t.in.fromPeer)
}

// maxInject bounds the write of a ping where the system does not tell beforehand
// that it would block.
const maxInject = 100 * time.Millisecond

// writable reports whether a ping can be written to a connection at once. Where
// that is unknown it reports true.
func writable(conn net.Conn) bool {
	if t, ok := conn.(tlsConn); ok {
		conn = t.NetConn()
	}
	c, ok := conn.(syscall.Conn)
	if !ok {
		return true
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return true // the write says why
	}
	can := true
	if err := raw.Control(func(fd uintptr) { can = hasRoom(fd) }); err != nil {
		return true
	}
	return can
}

// writeDeadline is the application's, which the agent's own frames neither miss nor
// move, and which does not move theirs. What else there is to know is the tap's, see
// borrowed, bare and noDeadline.
type writeDeadline struct {
	mu sync.Mutex
	at time.Duration // monotonic, as the runtime keeps deadlines; 0: none
}

// forever is not to be added to without need, but can be.
const forever = math.MaxInt64 / 2 // some 146 years

// note notes a deadline. It reports whether it has been the same. mu is held.
func (d *writeDeadline) note(at time.Time) (same bool) {
	before := d.at
	switch {
	case at.IsZero():
		d.at = 0
	case at == at.Round(0): //nolint:revive,staticcheck // asked is whether it is of the wall clock alone
		d.at = cmp.Or(monotonic()+min(time.Until(at), forever), 1)
	default:
		d.at = cmp.Or(at.Sub(processStart), 1)
	}
	return d.at == before
}

// borrowDeadline sets another one for a write of the agent's. writeMu is held until it
// is given back.
func (t *tap) borrowDeadline(limit time.Duration) {
	t.deadline.mu.Lock()
	defer t.deadline.mu.Unlock()
	t.borrowed = true
	t.noDeadline.Store(false)
	_ = t.Conn.SetWriteDeadline(time.Now().Add(limit)) // the write fails, too, then
}

func (t *tap) giveDeadlineBack() {
	t.deadline.mu.Lock()
	defer t.deadline.mu.Unlock()
	t.borrowed = false
	var at time.Time
	if d := t.deadline.at; d != 0 {
		at = processStart.Add(d)
	}
	_ = t.Conn.SetWriteDeadline(at)
}

// handOut is called when the program gets the connection underneath: what deadline that
// has is nobody's knowledge any more.
func (t *tap) handOut() {
	t.deadline.mu.Lock()
	defer t.deadline.mu.Unlock()
	t.bare = true
	t.noDeadline.Store(false)
}

// SetDeadline implements net.Conn.
func (t *tap) SetDeadline(at time.Time) error {
	t.deadline.mu.Lock()
	defer t.deadline.mu.Unlock()
	t.deadline.note(at)
	if t.borrowed {
		return t.Conn.SetReadDeadline(at)
	}
	err := t.Conn.SetDeadline(at)
	t.noDeadline.Store(at.IsZero() && err == nil && !t.bare)
	return err
}

// SetWriteDeadline implements net.Conn. gorilla calls it before each write, mostly with
// the deadline that there is, none: nothing has to be done then. That is not so after
// NetConn; of a connection that the program has from elsewhere, such as ConnContext, it is
// not known what deadline that has been given.
func (t *tap) SetWriteDeadline(at time.Time) error {
	closing := t.closing.Load() // a closed connection says so
	if at.IsZero() && t.noDeadline.Load() && !closing {
		return nil
	}
	t.deadline.mu.Lock()
	defer t.deadline.mu.Unlock()
	same := t.deadline.note(at) && !at.IsZero() && !closing && !t.bare
	if t.borrowed || same {
		return nil
	}
	err := t.Conn.SetWriteDeadline(at)
	t.noDeadline.Store(at.IsZero() && err == nil && !t.bare)
	return err
}
