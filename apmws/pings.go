package apmws

import (
	"slices"
	"time"
)

// pings are the pings of one connection that no pong has answered yet. Pongs
// are matched by their payload (RFC 6455, section 5.5.3).
type pings struct {
	waiting []ping // oldest first, at most maxPings
}

type ping struct {
	payload uint64        // hash
	sent    time.Duration // monotonic
}

// maxPings bounds the pings that are remembered. Most connections have one.
const maxPings = 4

// sent notes a ping. It reports whether the oldest one had to be given up.
func (p *pings) sent(payload uint64, now time.Duration) (lost bool) {
	if len(p.waiting) == maxPings {
		p.waiting = append(p.waiting[:0], p.waiting[1:]...)
		lost = true
	}
	p.waiting = append(p.waiting, ping{payload, now})
	return lost
}

// answered returns the round trip of the newest ping with that payload. Older
// pings are answered too: a peer may answer only the most recent of several.
func (p *pings) answered(payload uint64, now time.Duration) (rtt time.Duration, ok bool) {
	for i, asked := range slices.Backward(p.waiting) {
		if asked.payload == payload {
			p.waiting = append(p.waiting[:0], p.waiting[i+1:]...)
			return now - asked.sent, true
		}
	}
	return 0, false
}

// takeBack forgets the last one.
func (p *pings) takeBack() {
	if n := p.unanswered(); n > 0 {
		p.waiting = p.waiting[:n-1]
	}
}

// unanswered returns how many there are. It is 0 for nil.
func (p *pings) unanswered() int {
	if p == nil {
		return 0
	}
	return len(p.waiting)
}
