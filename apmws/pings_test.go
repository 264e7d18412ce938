package apmws

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// pingModel is what pings should be: a list.
type pingModel []ping

func (m *pingModel) sent(p ping) (lost bool) {
	*m = append(*m, p)
	if len(*m) > 4 {
		*m, lost = slices.Clone((*m)[1:]), true
	}
	return lost
}

func (m *pingModel) answered(payload uint64) (asked time.Duration, ok bool) {
	for i, p := range slices.Backward(*m) {
		if p.payload == payload {
			*m = slices.Clone((*m)[i+1:])
			return p.sent, true
		}
	}
	return 0, false
}

// TestPingsModel compares with the model on random pings and pongs: of few
// payloads, so that they repeat, with pongs that nobody asked for.
func TestPingsModel(t *testing.T) {
	for seed := range uint64(500) {
		rnd := rand.New(rand.NewPCG(seed, 7))
		var p pings
		var m pingModel
		now := time.Hour
		sent, lost, answered := 0, 0, 0
		for step := range 200 {
			now += time.Duration(rnd.IntN(1000)) * time.Millisecond
			payload := uint64(rnd.IntN(1 + int(seed%7)))
			if rnd.IntN(3) > 0 {
				sent++
				got, want := p.sent(payload, now), m.sent(ping{payload, now})
				if got != want {
					t.Fatalf("seed %d, step %d: lost %v, want %v", seed, step, got, want)
				}
				if got {
					lost++
				}
			} else {
				before := len(p.waiting)
				rtt, ok := p.answered(payload, now)
				asked, want := m.answered(payload)
				if ok != want || ok && rtt != now-asked {
					t.Fatalf("seed %d, step %d: %v, %v, want %v, %v", seed, step, rtt, ok, now-asked, want)
				}
				answered += before - len(p.waiting)
			}
			if !slices.Equal(p.waiting, []ping(m)) {
				t.Fatalf("seed %d, step %d: waiting %v, want %v", seed, step, p.waiting, m)
			}
			if sent != lost+answered+p.unanswered() {
				t.Fatalf("seed %d, step %d: %d sent, %d lost, %d answered, %d waiting", seed, step, sent, lost, answered, p.unanswered())
			}
		}
		if lost == 0 || answered == 0 {
			t.Fatalf("seed %d: %d lost, %d answered", seed, lost, answered)
		}
	}
}

// TestPingsOfConnection: each ping ends in exactly one count.
func TestPingsOfConnection(t *testing.T) {
	tests := []struct {
		name       string
		steps      func(c *Conn)
		unanswered int64
		rtts       uint64
	}{
		{"none", func(*Conn) {}, 0, 0},
		{"pongs that nobody asked for", func(c *Conn) { c.pongReceived(1); c.pongReceived(1) }, 0, 0},
		{"answered", func(c *Conn) { c.pingSent(1); c.pongReceived(1); c.pongReceived(1) }, 0, 1},
		{"answered the latest of three", func(c *Conn) { c.pingSent(1); c.pingSent(2); c.pingSent(3); c.pongReceived(3) }, 0, 1},
		{"answered another", func(c *Conn) { c.pingSent(1); c.pongReceived(2) }, 1, 0},
		{"answered the first of two", func(c *Conn) { c.pingSent(1); c.pingSent(2); c.pongReceived(1) }, 1, 1},
		{"seven unanswered", func(c *Conn) {
			for i := range uint64(7) {
				c.pingSent(i)
			}
		}, 7, 0},
		{"answered too late to be known", func(c *Conn) {
			for i := range uint64(5) {
				c.pingSent(i)
			}
			c.pongReceived(0)
		}, 5, 0},
	}
	for _, test := range tests {
		c := watched(t)
		test.steps(c)
		if rtt := c.info().PingRTT; (rtt > 0) != (test.rtts > 0) {
			t.Errorf("%s: the last round trip took %v", test.name, rtt)
		}
		c.disconnected()
		s := c.agent.Stats().Routes[0]
		if s.PingsUnanswered != test.unanswered || s.PingRTT.Count != test.rtts {
			t.Errorf("%s: %d unanswered, %d round trips, want %d, %d", test.name, s.PingsUnanswered, s.PingRTT.Count, test.unanswered, test.rtts)
		}
	}
}
