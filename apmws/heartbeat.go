package apmws

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"time"
)

// Heartbeat finds peers that have vanished without a word: a phone that left
// coverage, a cable that was cut, a NAT that forgot the connection. The agent pings
// each peer (RFC 6455, section 5.5.2), between two frames of whatever else is
// written, and closes the connection of one that is silent then: with the line
// "websocket peer lost" and the cause heartbeat_timeout. The pings keep idle
// connections alive in proxies, and measure the round trip.
//
// Silence counts only while the program waits for the peer: a pong may lie unread
// behind a slow handler. Anything that comes from the peer ends it. So a program
// that does not read loses no peer, but one to which nothing can be written either
// for the whole Timeout.
type Heartbeat struct {
	// Interval is the time from one ping to the next, give or take a tenth, and to
	// the first one, of which up to a half is left out, so that the connections of a
	// fleet are not pinged in step. 0 means 30 seconds, which is below the idle
	// timeout of common proxies; a negative value no heartbeat.
	Interval time.Duration

	// Timeout is how long a peer may be silent after a ping. 0, or less, means 20
	// seconds: a phone that changes cells, or wakes up, takes its time.
	Timeout time.Duration
}

const (
	defaultInterval = 30 * time.Second
	defaultTimeout  = 20 * time.Second
	// longest stands for all that is longer, so that sums of times do not overflow.
	longest = 10 * 365 * 24 * time.Hour
)

// ErrPeerLost is what reading, and writing, returns after a Heartbeat has closed
// the connection, also through the WebSocket library. It wraps net.ErrClosed.
var ErrPeerLost = fmt.Errorf("apmws: peer lost, it does not answer pings: %w", net.ErrClosed)

// settings returns the heartbeat with its defaults, nil for none.
func (h Heartbeat) settings() *Heartbeat {
	if h.Interval < 0 {
		return nil
	}
	if h.Timeout <= 0 {
		h.Timeout = defaultTimeout
	}
	h.Interval, h.Timeout = min(cmp.Or(h.Interval, defaultInterval), longest), min(h.Timeout, longest)
	return &h
}

// step is how often an uncertain peer is looked at. It is a part of Timeout.
func (h Heartbeat) step() time.Duration { return min(h.Timeout/4, time.Second) }

// jittered returns the time to the next ping.
func (h Heartbeat) jittered() time.Duration {
	tenth := h.Interval / 10
	return h.Interval - tenth + rand.N(2*tenth+1)
}

// Heartbeat begins to ping the peer, in place of any earlier Heartbeat; before the
// upgrade, it begins with the 101. It is for handlers with any WebSocket library,
// which go on reading as they do; the library never sees the pings, and takes the
// pongs for unasked ones, which it ignores. A program that pings its peers itself
// needs none. EndpointOptions.Heartbeat is the one of an Endpoint.
func (c *Conn) Heartbeat(h Heartbeat) {
	if c == nil {
		return
	}
	opts := h.settings()
	// Those of a route are mostly the same, and idle connections are many.
	if last := c.route.heartbeat.Load(); opts != nil && last != nil && *last == *opts {
		opts = last
	} else if opts != nil {
		c.route.heartbeat.Store(opts)
	}
	c.beatBy(opts)
}

// heart is the heartbeat of a connection. All of it is guarded by Conn.mu.
type heart struct {
	alarm  alarm
	opts   *Heartbeat
	since  time.Duration // monotonic; of the silence: the ping was due, or has been written
	next   time.Duration // likewise; the next ping
	reads  uint64        // of the tap, at some time of it
	writes uint32        // likewise
	phase  heartPhase
	owed   bool // the ping has been left to the program's next write
}

type heartPhase uint8

const (
	resting heartPhase = iota // until the next ping
	pinging                   // a ping is due, and not yet written
	waiting                   // for a sign of life
	doubted                   // for the last one
)

// beatBy replaces the heartbeat; nil ends it.
func (c *Conn) beatBy(opts *Heartbeat) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopHeart()
	if opts == nil || c.state == refused || c.state == closed {
		return
	}
	c.heart.Store(&heart{opts: opts})
	if c.state == open {
		c.startHeart()
	}
}

// startHeart is called when the connection is open. mu is held.
func (c *Conn) startHeart() {
	if h := c.heart.Load(); h != nil {
		half := h.opts.Interval / 2
		c.agent.wheel.set(&h.alarm, monotonic()+half+rand.N(half+1), c.beat)
	}
}

// stopHeart ends the heartbeat. mu is held.
func (c *Conn) stopHeart() {
	if h := c.heart.Swap(nil); h != nil {
		c.agent.wheel.stop(&h.alarm)
	}
}

// beats reports whether the heart goes on: nothing is known of the connection's
// end. mu is held.
func (c *Conn) beats(t *tap) bool {
	return t != nil && !t.closing.Load() && c.state == open && !c.closingFrames()
}

// beat is what the wheel rings.
func (c *Conn) beat() {
	t := c.tapped()
	now := monotonic()
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.heart.Load()
	if h == nil || now < h.alarm.at || !c.beats(t) { // too early: an earlier heart's
		return
	}
	if now-h.alarm.at >= h.opts.Timeout { // the process has been suspended: what was known of the peer is worth nothing
		h.phase = resting
	}
	switch h.phase {
	case resting:
		h.listen(t, now)
		h.phase = pinging
		fallthrough
	case pinging:
		c.agent.wheel.write(c.ping)
	case waiting, doubted:
		if silence, lost := c.judgeSilence(t, h, now); lost {
			c.agent.wheel.write(func() { c.lose(t, silence) })
		}
	}
}

// listen begins to wait for a sign of life.
func (h *heart) listen(t *tap, now time.Duration) {
	h.since, h.reads, h.writes = now, t.reads.Load(), t.writes.Load()
}

// ping writes a ping that is due.
func (c *Conn) ping() {
	t := c.tapped()
	c.mu.Lock()
	h := c.heart.Load()
	due := h != nil && h.phase == pinging && c.beats(t)
	owed := due && h.owed
	c.mu.Unlock()
	if !due {
		return
	}
	payload := rand.Uint64() | 1
	err := error(nil)
	if left := t.owed.Swap(0); left != 0 || !owed { // else it has been written
		if err = t.inject(payload, h.opts.Timeout); errors.Is(err, errBlocked) || errors.Is(err, errMidFrame) {
			t.owed.Store(payload)
		}
		c.nudge() // as a write does
	}

	c.mu.Lock()
	silence, lost := c.pinged(t, h, err)
	c.mu.Unlock()
	if lost {
		c.lose(t, silence)
	}
}

// pinged decides on what comes after a ping. mu is held.
func (c *Conn) pinged(t *tap, h *heart, err error) (silence time.Duration, lost bool) {
	if c.heart.Load() != h || !c.beats(t) {
		return 0, false
	}
	now := monotonic()
	var at time.Duration
	h.owed = err != nil
	switch {
	case err == nil:
		h.phase, h.since, h.next = waiting, now, now+h.opts.jittered()
		at = min(h.next, h.firstLook())
	case errors.Is(err, errBlocked):
		// As long as it takes something off the socket, or sends, it is there.
		if h.heard(t) || h.writes != t.writes.Load() {
			h.listen(t, now)
		} else if now-h.since >= h.opts.Timeout {
			return now - h.since, true
		}
		at = now + min(h.opts.step(), max(grain, now-h.since)) // seldom, when it takes long
	case errors.Is(err, errMidFrame):
		h.listen(t, now)
		at = now + h.opts.step() // it goes out in front of the next frame, if there is one
	case errors.Is(err, errBroken):
		return now - h.since, true
	default:
		return 0, false // the program will see why; it may still read
	}
	c.agent.wheel.set(&h.alarm, at, nil)
	return 0, false
}

// firstLook is when a peer that has not been heard since the ping is doubted.
func (h *heart) firstLook() time.Duration { return h.since + h.opts.Timeout - h.opts.step() }

// judgeSilence looks for a sign of life after a ping, and decides on what comes
// then. Without one the peer is lost when it is silent for another step during which the
// program waits for it, so that a program, or a machine, that has been busy or
// suspended gets to read what is there; or when it takes nothing off a socket that
// keeps the program from reading. mu is held.
func (c *Conn) judgeSilence(t *tap, h *heart, now time.Duration) (silence time.Duration, lost bool) {
	reads := t.reads.Load()
	at := now + h.opts.step()
	switch {
	case h.heard(t):
		h.phase, at = resting, max(now, h.next)
	case h.phase == waiting && now < h.firstLook():
		at = min(h.firstLook(), now+min(h.opts.step(), max(grain, h.opts.Interval)))
	case h.phase == doubted && now-h.since >= h.opts.Timeout && reading(h.reads) && (h.reads == reads || uint32(h.reads) == t.quiet.Load()):
		return now - h.since, true
	case !reading(reads) && h.stuck(t, now):
		return now - h.since, true
	case !reading(reads) && now >= h.next:
		h.phase, at = resting, now // proxies in between are to see something all the same
	default:
		h.phase, h.reads = doubted, reads
	}
	c.agent.wheel.set(&h.alarm, at, nil)
	return 0, false
}

// stuck reports whether one write of a program, which does not read meanwhile, has
// waited for the peer for the whole Timeout. One that gets on begins it anew.
func (h *heart) stuck(t *tap, now time.Duration) bool {
	if writes := t.writes.Load(); writes != h.writes {
		h.writes, h.since = writes, now
	}
	return h.writes%2 == 1 && now-h.since >= h.opts.Timeout
}

// heard reports whether something has come from the peer since listen.
func (h *heart) heard(t *tap) bool { return t.reads.Load()/heardOnce != h.reads/heardOnce }

// lose closes the connection of a peer that is lost.
func (c *Conn) lose(t *tap, silence time.Duration) {
	c.mu.Lock()
	lost, found := c.beats(t), false
	if lost {
		_, found = c.endedLocked(ending{how: endedByHeartbeat})
	}
	c.stopHeart()
	c.mu.Unlock()
	if !lost {
		return
	}
	if found { // else the end has another cause
		c.logPeerLost(silence)
	}
	t.lost.Store(true)
	t.abandon()
}

// abandon closes the socket of a peer that takes nothing any more.
func (t *tap) abandon() {
	t.cutTLS()
	_ = t.Close() // it is given up
}

// cutTLS keeps TLS from waiting to say goodbye.
func (t *tap) cutTLS() {
	if over, ok := t.Conn.(tlsConn); ok {
		_ = over.NetConn().Close() // it is given up
	}
}

// What a tap notes of its reads is a number: odd while one is under way, and
// counting those that brought something from heardOnce on.
const heardOnce = 1 << 32

// reading reports whether a read was under way.
func reading(reads uint64) bool { return reads%2 == 1 }

// hasRead notes that a read from the connection underneath has ended. call is the
// number of its beginning.
func (t *tap) hasRead(call uint64, n int) {
	if n > 0 {
		t.reads.Add(1 + heardOnce)
		return
	}
	t.quiet.Store(uint32(call)) // it has waited in vain
	t.reads.Add(1)
}
