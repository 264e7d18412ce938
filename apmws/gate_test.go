package apmws

import (
	"context"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
)

// stuck is an exporter whose message ends do not return until it is released.
type stuck struct {
	witness
	release chan struct{}
}

func newStuck() *stuck {
	return &stuck{witness: witness{name: "stuck", journal: &journal{}}, release: make(chan struct{})}
}

func (s *stuck) StartConn(ctx context.Context, start ConnStart) (context.Context, ConnSpan) {
	ctx, c := s.witness.StartConn(ctx, start)
	return ctx, stuckConn{c.(witnessConn), s}
}

type stuckConn struct {
	witnessConn
	s *stuck
}

func (c stuckConn) StartMessage(ctx context.Context, start MessageStart) (context.Context, MessageSpan) {
	ctx, m := c.witnessConn.StartMessage(ctx, start)
	return ctx, stuckMessage{m.(witnessMessage), c.s}
}

type stuckMessage struct {
	witnessMessage
	s *stuck
}

func (m stuckMessage) End(e MessageEnd) {
	m.witnessMessage.End(e)
	<-m.s.release
}

// blockedLog returns the lines that tell of an exporter's faults.
func (l logged) blockedLog(t *testing.T) (messages []string) {
	for _, line := range panicLines(t, l) {
		messages = append(messages, line["message"].(string))
	}
	return messages
}

// TestBlockingExporter: an exporter that does not return holds up the message
// that it was called for. Others hear nothing of it, and when it goes on it is
// called again.
func TestBlockingExporter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStuck()
		others := &journal{}
		l := newLogged(Options{Exporters: []Exporter{
			&witness{name: "a", journal: others}, s, &witness{name: "b", journal: others},
		}})
		c := arriving(l.Agent)
		_, tx := StartMessage(c.scope, MessageInfo{})
		var held sync.WaitGroup
		held.Go(func() { tx.End(nil) })
		time.Sleep(3 * blockedAfter)

		calls := len(s.journal.of("stuck"))
		for range 10 {
			live(l.Agent) // would never end if the exporter were called
		}
		if n := len(s.journal.of("stuck")); n != calls {
			t.Errorf("called %d times while it was blocked", n-calls)
		}
		if got := l.blockedLog(t); !slices.Equal(got, []string{"websocket exporter apmws#2 blocks: it is left out until its calls have returned"}) {
			t.Errorf("log: %q", got)
		}
		dropped := l.Stats().Dropped
		if len(dropped) != 1 || dropped[0].Exporter != faultyName || dropped[0].Reason != "blocked" || dropped[0].Count == 0 {
			t.Errorf("dropped %+v", dropped)
		}
		if n := others.count("b.EndMessage"); n != 11 {
			t.Errorf("another exporter saw %d messages end", n) // it comes before the blocked one
		}
		if n := others.count("a.EndMessage"); n != 10 {
			t.Errorf("another exporter saw %d messages end", n)
		}

		close(s.release)
		held.Wait()
		if n := others.count("a.EndMessage"); n != 11 {
			t.Errorf("the message that was held up ended %d times", n-10)
		}
		time.Sleep(3 * blockedAfter)
		calls = len(s.journal.of("stuck"))
		live(l.Agent)
		if n := len(s.journal.of("stuck")); n == calls {
			t.Error("it is not called again")
		}
	})
}

// TestExporterBlocksAgainAndAgain: it is switched off in the end.
func TestExporterBlocksAgainAndAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStuck()
		l := newLogged(Options{Exporters: []Exporter{s}})
		for range maxExporterFaults {
			c := arriving(l.Agent)
			_, tx := StartMessage(c.scope, MessageInfo{})
			var held sync.WaitGroup
			held.Go(func() { tx.End(nil) })
			time.Sleep(3 * blockedAfter)
			close(s.release)
			held.Wait()
			time.Sleep(3 * blockedAfter)
			s.release = make(chan struct{})
		}
		close(s.release)
		calls := len(s.journal.of("stuck"))
		live(l.Agent)
		if n := len(s.journal.of("stuck")); n != calls {
			t.Errorf("called %d times after it was switched off", n-calls)
		}
		if got := l.blockedLog(t); len(got) != 2 {
			t.Errorf("log: %q", got)
		}
	})
}

// TestGateWithoutBlocking: calls that return in time are let through, and where
// there are none, nothing ticks.
func TestGateWithoutBlocking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gate{changed: func(blocked bool) { t.Errorf("blocked: %v", blocked) }}
		for i := range 100 {
			call := g.enter(i)
			if call == nil {
				t.Fatal("a call is not let through")
			}
			time.Sleep(blockedAfter - time.Millisecond)
			call.Add(-1)
		}
		time.Sleep(10 * blockedAfter)
		if g.ticking.Load() {
			t.Error("it ticks without calls")
		}
		if call := g.enter(0); call == nil || !g.ticking.Load() {
			t.Error("it does not begin again")
		}
	})
}

// TestConnectionWhileBlocked: of a connection that begins while an exporter is left
// out it never hears, but each event that it misses is counted.
func TestConnectionWhileBlocked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStuck()
		l := newLogged(Options{Exporters: []Exporter{s}})
		_, tx := StartMessage(arriving(l.Agent).scope, MessageInfo{})
		var held sync.WaitGroup
		held.Go(func() { tx.End(nil) })
		time.Sleep(3 * blockedAfter)
		c := arriving(l.Agent) // the start and the 101 are missed
		close(s.release)
		held.Wait()
		time.Sleep(3 * blockedAfter)
		calls := len(s.journal.of("stuck"))
		for range 10 {
			_, tx := StartMessage(c.scope, MessageInfo{})
			tx.End(nil)
		}
		c.disconnected()
		if n := len(s.journal.of("stuck")); n != calls {
			t.Errorf("called %d times for a connection that it does not know", n-calls)
		}
		if d := l.Stats().Dropped; len(d) != 1 || d[0].Reason != "blocked" || d[0].Count != 2+10+1 {
			t.Errorf("dropped %+v", d)
		}
	})
}

// stuckLogger is an exporter that does not return when a line asks for its fields.
type stuckLogger struct {
	vendored
	release chan struct{}
}

func (s stuckLogger) LogFields(SpanContext) []slog.Attr {
	<-s.release
	return nil
}

// TestBlockingLogFields: lines go on without the exporter's fields.
func TestBlockingLogFields(t *testing.T) {
	var out lockedBuffer
	logger := zerolog.New(&out)
	release := make(chan struct{})
	defer close(release)
	agent := New(Options{Logger: &logger, Exporters: []Exporter{
		stuckLogger{vendored{&witness{name: "stuck", journal: &journal{}, ids: sampled(1)}}, release},
	}})
	go agent.connect(agent.route("/ws"), upgradeRequest()) // held up
	x := agent.exporter.members[0]
	eventually(t, "the call has begun", func() bool { return x.gate.calls(0)+x.gate.calls(1) > 0 })
	x.gate.tick()
	x.gate.tick() // no need to wait for the clock
	live(agent)
	if n := strings.Count(out.String(), "websocket disconnected"); n != 1 {
		t.Errorf("the log was %s", out.String())
	}
}

// counting is an exporter that counts what it drops until it is told to block.
type counting struct {
	silent
	blocks  bool
	release chan struct{}
}

func (c *counting) Dropped() []Dropped {
	if c.blocks {
		<-c.release
	}
	return []Dropped{{Reason: "queue_full", Count: 7}}
}

// TestDroppedNeverGoesBack: what an exporter has said that it dropped is still
// there when it cannot be asked.
func TestDroppedNeverGoesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &counting{release: make(chan struct{})}
		agent := New(Options{Exporters: []Exporter{c}})
		want := []Dropped{{"apmws", "queue_full", 7}}
		if got := agent.Stats().Dropped; !slices.Equal(got, want) {
			t.Fatalf("dropped %+v", got)
		}
		c.blocks = true
		go agent.Stats()
		time.Sleep(3 * blockedAfter)
		if got := agent.Stats().Dropped; !slices.Equal(got, want) {
			t.Errorf("dropped %+v while it blocks", got)
		}
		close(c.release)
	})
}

// TestGateStarved: a call that only waits for the processor is not blocked.
func TestGateStarved(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	synctest.Test(t, func(t *testing.T) {
		g := gate{changed: func(bool) { t.Error("the exporter is blocked") }}
		for range 100 {
			call := g.enter(0)
			if call == nil {
				t.Fatal("no call is let through")
			}
			done := make(chan struct{})
			go func() {
				call.Add(-1)
				close(done)
			}()
			g.tick() // when the call has just begun
			g.tick() // and a period later
			<-done
		}
	})
}
