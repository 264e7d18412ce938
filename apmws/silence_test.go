package apmws

import (
	"bufio"
	"context"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"
)

// TestHeartbeatHours: the pings of ten hours are as far apart as they should be, in
// no step, and on time on the whole.
func TestHeartbeatHours(t *testing.T) {
	const hours = 10
	var at []time.Duration
	lived, end := inBubble(t, EndpointOptions{Message: func(context.Context, Message) error { return nil }},
		func(_ *testing.T, conn net.Conn, br *bufio.Reader) {
			start := time.Now()
			for time.Since(start) < hours*time.Hour {
				var header [2]byte
				if _, err := io.ReadFull(br, header[:]); err != nil {
					return
				}
				payload := make([]byte, header[1])
				if _, err := io.ReadFull(br, payload); err != nil {
					return
				}
				if header[0] == finBit|opPing {
					at = append(at, time.Since(start))
					_, _ = conn.Write(frame(true, opPong, anyMask, payload))
				}
			}
			conn.Close()
		})
	if lived < hours*time.Hour || end.result != "read_error" {
		t.Fatalf("it lived for %v, and DISCONNECT is %s", lived, end.result)
	}
	if at[0] < defaultInterval/2 || at[0] > defaultInterval+2*grain {
		t.Errorf("the first ping came after %v", at[0])
	}
	distances := map[time.Duration]bool{}
	for i := range at[1:] {
		d := at[i+1] - at[i]
		if d < defaultInterval*9/10 || d > defaultInterval*11/10+2*grain {
			t.Errorf("ping %d came after %v", i+1, d)
		}
		distances[d.Round(100*time.Millisecond)] = true
	}
	if want := int(hours * time.Hour / defaultInterval); len(at) < want*98/100 || len(at) > want*102/100 {
		t.Errorf("%d pings in %d hours, want about %d", len(at), hours, want)
	}
	if len(distances) < 30 {
		t.Errorf("the distances are but %d", len(distances))
	}
}

// TestHeartbeatSuspended: peers are not lost because the machine has slept: what
// they have sent meanwhile is read first.
func TestHeartbeatSuspended(t *testing.T) {
	c := watched(t)
	tp := &tap{Conn: &scripted{}, conn: c}
	tp.framed.Store(true)
	c.tappedBy(tp)
	tp.reads.Store(1) // a read is under way
	h := &heart{opts: Heartbeat{Timeout: 4 * time.Second}.settings()}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.heart.Store(h)
	h.listen(tp, time.Minute)
	h.phase = waiting
	if _, lost := c.judgeSilence(tp, h, 2*time.Hour); lost {
		t.Fatal("lost at the first look")
	}
	tp.reads.Add(1 + heardOnce) // it was there already
	tp.reads.Add(1)
	if _, lost := c.judgeSilence(tp, h, 2*time.Hour+time.Second); lost || h.phase != resting {
		t.Errorf("lost %v, phase %d", lost, h.phase)
	}
	c.stopHeart()
}

// TestHeartbeatLate: an alarm that rings when its time is long over says that the
// process has been suspended. The peer is asked once more before it is lost.
func TestHeartbeatLate(t *testing.T) {
	pings := make(chan []byte, 10)
	tp := tapOver(t, &scripted{write: func(b []byte) (int, error) { pings <- b; return len(b), nil }})
	c := tp.conn
	tp.reads.Store(1) // a read is under way
	h := &heart{opts: Heartbeat{Timeout: 4 * time.Second}.settings()}
	c.mu.Lock()
	c.heart.Store(h)
	h.listen(tp, monotonic()-time.Hour)
	h.phase, h.reads = doubted, 1
	h.alarm.at = monotonic() - time.Hour
	c.mu.Unlock()
	c.beat()
	if ping := receive(t, pings); ping[0] != finBit|opPing {
		t.Errorf("% x", ping)
	}
	if tp.lost.Load() {
		t.Error("the peer is lost")
	}
	c.beatBy(nil)
}

// TestHeartbeatUnread: who does not read is pinged all the same, since proxies in
// between close what is idle.
func TestHeartbeatUnread(t *testing.T) {
	release := make(chan struct{})
	b := newBeating(t, false, EndpointOptions{
		Heartbeat: Heartbeat{Interval: -1},
		Message: func(ctx context.Context, _ Message) error {
			FromContext(ctx).Heartbeat(Heartbeat{Interval: 20 * time.Millisecond, Timeout: 40 * time.Millisecond})
			<-release
			return nil
		},
	})
	defer close(release)
	conn := b.dial(t, "")
	send(t, conn, "x")
	var pings atomic.Int64
	answer := conn.PingHandler()
	conn.SetPingHandler(func(data string) error { pings.Add(1); return answer(data) })
	reads(conn)
	eventually(t, "ten pings", func() bool { return pings.Load() >= 10 })
}

// TestJudgeSilence: whose silence it is.
func TestJudgeSilence(t *testing.T) {
	const none, begins, ends, brings, writes = 0, 1, 2, 3, 4
	for _, test := range []struct {
		name string
		// What reads do before the first look, between it and the second, and so on.
		does []int
		lost int // at which look; 0: never
	}{
		{"it waits all the time", []int{begins, none, none}, 2},
		{"it does not read", []int{none, none, none, none, none}, 0},
		{"it begins to read late", []int{none, none, none, begins, none, none}, 5},
		{"it begins just before the second look", []int{none, begins, none}, 3},
		{"it polls: a read ends in vain", []int{begins, ends}, 2},
		{"something comes", []int{begins, brings, none}, 0},
		{"something comes late", []int{none, none, begins, brings}, 0},
		{"a write waits", []int{writes, none}, 2},
		{"a write gets on", []int{writes, writes, writes, writes, writes}, 0},
		{"writes get on, then one waits", []int{writes, writes, writes, none}, 4},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := watched(t)
			tp := &tap{conn: c}
			h := &heart{opts: Heartbeat{}.settings()}
			c.mu.Lock()
			defer c.mu.Unlock()
			defer c.stopHeart()
			c.heart.Store(h)
			now := monotonic()
			h.listen(tp, now-time.Hour)
			h.phase, h.next = waiting, never
			for i, does := range test.does {
				switch does {
				case begins:
					tp.reads.Add(1)
				case ends:
					tp.quiet.Store(uint32(tp.reads.Load()))
					tp.reads.Add(1)
				case brings:
					tp.reads.Add(1 + heardOnce)
				case writes:
					tp.writes.Add(1 + tp.writes.Load()%2) // one is under way, then another
				}
				_, lost := c.judgeSilence(tp, h, now)
				now += h.opts.Timeout
				if lost != (i+1 == test.lost) {
					t.Fatalf("look %d: lost is %v", i+1, lost)
				}
				if lost || h.phase == resting {
					return
				}
			}
		})
	}
}
