package apmws

import (
	"runtime"
	"testing"
	"time"
)

// BenchmarkHeartbeat is the schedule and its accounting for 50,000 connections: a
// ping, its pong, and all looks at the connection in between, without a socket. It
// reports what a connection takes for it, and the time of a ping.
func BenchmarkHeartbeat(b *testing.B) {
	const conns = 50_000
	agent := New(Options{})
	opts := Heartbeat{Interval: time.Hour}.settings()
	rt := agent.route("/ws")
	taps := make([]*tap, conns)
	for i := range taps {
		c := agent.connect(rt, upgradeRequest())
		c.accepted()
		taps[i] = &tap{Conn: &scripted{write: func(b []byte) (int, error) { return len(b), nil }}, conn: c, in: frameParser{fromPeer: true}}
		taps[i].framed.Store(true)
		c.tappedBy(taps[i])
	}
	before := inUse()
	for _, t := range taps {
		t.conn.beatBy(opts)
	}
	// One turn of all, so that each has what a ping needs.
	for _, t := range taps {
		beatOnce(t)
	}
	each := float64(inUse()-before) / conns
	b.ResetTimer()
	for i := range b.N {
		beatOnce(taps[i%conns])
	}
	b.StopTimer()
	b.ReportMetric(each, "B/conn")
	for _, t := range taps {
		t.conn.beatBy(nil)
	}
	if n := agent.wheel.scheduled(); n != 0 {
		b.Errorf("%d alarms are left", n)
	}
}

// beatOnce is a ping and what follows, as the wheel and a writer do it.
func beatOnce(t *tap) {
	c := t.conn
	now := monotonic()
	c.mu.Lock()
	h := c.heart.Load()
	h.listen(t, now)
	h.phase = pinging
	c.mu.Unlock()
	c.ping()
	c.mu.Lock()
	answered := c.pings.waiting[0].payload
	c.mu.Unlock()
	t.reads.Add(1 + heardOnce)
	t.reads.Add(1)
	c.pongReceived(answered)
	c.mu.Lock()
	c.judgeSilence(t, h, now)
	c.mu.Unlock()
}

// inUse returns the bytes of what is in use.
func inUse() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
