package apmws

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/gorilla/websocket"
)

// closeTimes say when a connection is to be closed.
type closeTimes struct {
	alarm  alarm
	maxAge time.Duration // as monotonic counts

	at     time.Duration // of CloseAt, likewise
	code   int
	reason string
}

const (
	maxAgeReason = "max age" // that clients know
	never        = time.Duration(math.MaxInt64)
)

// CloseAt makes the agent close the connection gently at that time: when a token
// expires, for example. A later call replaces the time, so that a message which
// brings a new token can move it, even if it is handled while the old one expires; the
// zero time takes it back. A time that has passed is now. It may be called from the
// handshake's arrival on, at all levels, with any WebSocket library; where the
// connection has ended it does nothing.
//
// Gently means: never in the middle of a message, neither of one that is being
// written, nor of one that has been read and is being handled (by Serve, an Endpoint,
// or a Transaction of StartMessage; where there is none of these, until the program
// reads again, for up to 10 seconds, or 30 while it writes). What waits in the send
// queue is written first, for up to 30 seconds, and the queue takes nothing more. A
// peer that is in the middle of a message of its own has 30 seconds for the rest, and
// one that takes nothing of what is being written is given up after as long. Then the
// close frame is sent, and the peer has 5 seconds to answer before the socket is
// closed. What it sends until it knows is not given to the program any more, whose
// reads end with the peer's close frame; a write after ours fails with gorilla's
// ErrCloseSent.
//
// The cause follows from the code as with Close: that of 4401 is application. The
// reason is cut to 123 bytes. It returns ErrCloseCode for a code that must not be
// sent, and has no effect then.
func (c *Conn) CloseAt(at time.Time, code int, reason string) error {
	if !at.IsZero() && !validCloseCode(code) {
		return fmt.Errorf("%w: %d", ErrCloseCode, code)
	}
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state == closed || c.state == refused || c.times == nil && at.IsZero() {
		return nil
	}
	c.stay()
	times := c.closeTimes()
	times.at, times.code, times.reason = never, code, sanitize(reason, maxCloseReason)
	if wait := time.Until(at); !at.IsZero() && wait < never/2 { // later is beyond what can be counted
		times.at = monotonic() + wait
	}
	c.setCloseAlarm()
	return nil
}

// limitAge makes the agent close the connection at an age between 0.8 and 1.0 of
// limit, unless that is 0.
func (c *Conn) limitAge(limit time.Duration) {
	if limit <= 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state == closed {
		return
	}
	age := limit - time.Duration(rand.Float64()*0.2*float64(limit))
	c.closeTimes().maxAge = c.start.Sub(processStart) + age
	c.setCloseAlarm()
}

// closeTimes returns c.times. mu is held.
func (c *Conn) closeTimes() *closeTimes {
	if c.times == nil {
		c.times = &closeTimes{at: never, maxAge: never}
	}
	return c.times
}

// setCloseAlarm sets the alarm to what comes first, unless the connection is being
// closed: what takes that back sets it again. mu is held.
func (c *Conn) setCloseAlarm() {
	next := min(c.times.at, c.times.maxAge)
	if next == never || c.retiring.Load() != nil {
		c.agent.wheel.stop(&c.times.alarm)
		return
	}
	c.agent.wheel.set(&c.times.alarm, next, c.timeIsUp)
}

// timeIsUp closes the connection if it is time, and open: a handshake first has to
// become a connection.
func (c *Conn) timeIsUp() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.times == nil || c.state != open || c.retiring.Load() != nil {
		return
	}
	switch now := monotonic(); {
	case c.times.at <= min(now, c.times.maxAge):
		c.times.at = never
		c.retireLocked(c.times.code, c.times.reason, "")
	case c.times.maxAge <= now:
		c.times.maxAge = never
		c.retireLocked(websocket.CloseGoingAway, maxAgeReason, CauseMaxAge)
	}
	c.setCloseAlarm()
}

// forgetTimes takes the alarm back, when the connection has ended.
func (c *Conn) forgetTimes() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.times != nil {
		c.agent.wheel.stop(&c.times.alarm)
		c.times = nil
	}
}
