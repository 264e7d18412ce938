package apmws

import (
	"strconv"
	"strings"
	"sync"
	"time"
)

// recent is what has happened on a connection lately, for its errors: names,
// results and times, nothing of the content. What repeats is one moment with a
// count, so that few moments go far back.
type recent struct {
	mu     sync.Mutex
	n      int                    // moments that there have been
	last   moment                 // beside mu: most messages touch nothing else
	before [maxMoments - 1]moment // a ring
}

const maxMoments = 8

// moment is one or several like events in a row. It is small, since every
// connection that has seen messages keeps some.
type moment struct {
	name    string // of a message
	at      uint32 // ms since the connection's start, of the last
	longest uint32 // µs
	count   uint32
	kind    momentKind
}

type momentKind uint8

const (
	messageOK momentKind = iota
	messageError
	messageTimeout
	messagePanic
	pongCame
	pingLost
	writeBlocked
)

// slowWrite is how long a write to the peer must have blocked to be remembered.
const slowWrite = 100 * time.Millisecond

// happened notes an event that took d.
func (c *Conn) happened(kind momentKind, d time.Duration) {
	c.happenedAt(time.Since(c.start), kind, "", d)
}

// happenedAt notes an event of that name, now being the time since the start.
func (c *Conn) happenedAt(now time.Duration, kind momentKind, name string, d time.Duration) {
	if c.span == nil && c.agent.logger == nil {
		return // nobody would learn of it
	}
	r := c.recent.Load()
	if r == nil {
		c.recent.CompareAndSwap(nil, new(recent))
		r = c.recent.Load()
	}
	at := uint32(now / time.Millisecond)
	took := uint32(min(d/time.Microsecond, 1<<32-1))

	r.mu.Lock()
	last := &r.last
	if r.n == 0 || last.kind != kind || last.name != name {
		if r.n > 0 {
			r.before[(r.n-1)%len(r.before)] = *last
		}
		*last = moment{kind: kind, name: name}
		r.n++
	}
	last.at, last.count, last.longest = at, last.count+1, max(last.longest, took)
	r.mu.Unlock()
}

// at returns moment i, which is one of the last maxMoments.
func (r *recent) at(i int) *moment {
	if i == r.n-1 {
		return &r.last
	}
	return &r.before[i%len(r.before)]
}

// past describes what has happened, the newest first.
func (c *Conn) past() string {
	var b strings.Builder
	var now time.Duration
	if r := c.recent.Load(); r != nil {
		r.mu.Lock()
		now = time.Since(c.start).Truncate(time.Millisecond) // as the moments are
		for i := r.n - 1; i >= 0 && i >= r.n-maxMoments && b.Len() < maxPast; i-- {
			m := r.at(i)
			m.describe(&b)
			b.WriteString(", " + roughly(max(0, now-time.Duration(m.at)*time.Millisecond)) + " ago; ")
		}
		r.mu.Unlock()
	}
	b.WriteString("handshake " + roughly(max(now, time.Since(c.start).Truncate(time.Millisecond))) + " ago")
	return b.String()
}

// maxPast bounds the description, but for its last part.
const maxPast = 900 // bytes

func (m *moment) describe(b *strings.Builder) {
	took := roughly(time.Duration(m.longest) * time.Microsecond)
	switch m.kind {
	case messageOK:
		b.WriteString(m.name + " ok")
	case messageError:
		b.WriteString(m.name + " error")
	case messageTimeout:
		b.WriteString(m.name + " timeout")
	case messagePanic:
		b.WriteString(m.name + " panic")
	case pongCame:
		b.WriteString("pong")
	case pingLost:
		b.WriteString("ping unanswered")
	case writeBlocked:
		b.WriteString("write blocked")
	}
	if m.count > 1 {
		b.WriteString(" x" + strconv.FormatUint(uint64(m.count), 10))
		took = "at most " + took
	}
	if m.kind != pingLost {
		b.WriteString(" (" + took + ")")
	}
}

// roughly is as precise as a reader needs.
func roughly(d time.Duration) string {
	for _, unit := range []time.Duration{time.Second, 100 * time.Millisecond, time.Millisecond} {
		if d >= 60*unit {
			return d.Round(unit).String()
		}
	}
	return d.Round(time.Microsecond).String()
}
