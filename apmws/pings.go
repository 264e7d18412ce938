package apmws

import "time"

// pings are the pings of one connection that no pong has answered yet. Pongs
// are matched by their payload (RFC 6455, section 5.5.3).
type pings struct {
	waiting [4]ping // oldest first
	n       int
}

type ping struct {
	payload uint64 // hash
	sent    time.Time
}

// sent notes a ping. It reports whether the oldest one had to be given up.
func (p *pings) sent(payload uint64, now time.Time) (lost bool) {
	if p.n == len(p.waiting) {
		copy(p.waiting[:], p.waiting[1:])
		p.n--
		lost = true
	}
	p.waiting[p.n] = ping{payload, now}
	p.n++
	return lost
}

// answered returns the round trip of the newest ping with that payload. Older
// pings are answered too: a peer may answer only the most recent of several.
func (p *pings) answered(payload uint64, now time.Time) (rtt time.Duration, ok bool) {
	for i := p.n - 1; i >= 0; i-- {
		if p.waiting[i].payload == payload {
			rtt = now.Sub(p.waiting[i].sent)
			copy(p.waiting[:], p.waiting[i+1:p.n])
			p.n -= i + 1
			return rtt, true
		}
	}
	return 0, false
}
