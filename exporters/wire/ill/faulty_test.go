package ill

import (
	"context"
	"maps"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apmws/go-apmws/apmws"
)

// faulty is an exporter between two vendors' that does not keep the rules.
type faulty struct {
	panics  bool          // in every call
	nothing bool          // it returns nil contexts and nil handles
	context bool          // it returns handles, and nil contexts
	block   chan struct{} // the first message's end waits for it
	blocked atomic.Bool
}

func (f *faulty) fault() {
	if f.panics {
		panic("the exporter is broken")
	}
}

func (f *faulty) StartConn(ctx context.Context, _ apmws.ConnStart) (context.Context, apmws.ConnSpan) {
	switch {
	case f.nothing:
		return nil, nil
	case f.context:
		return nil, faultyConn{f}
	}
	return ctx, faultyConn{f}
}

func (f *faulty) Mask(context.Context) context.Context {
	f.fault()
	return nil
}

func (f *faulty) Dropped() []apmws.Dropped {
	f.fault()
	return nil
}

func (f *faulty) Shutdown(context.Context) error {
	f.fault()
	return nil
}

type faultyConn struct{ of *faulty }

func (c faultyConn) Opened(apmws.OpenEnd) { c.of.fault() }

func (c faultyConn) End(apmws.ConnEnd) { c.of.fault() }

func (c faultyConn) StartMessage(ctx context.Context, _ apmws.MessageStart) (context.Context, apmws.MessageSpan) {
	c.of.fault()
	if c.of.context {
		ctx = nil
	}
	return ctx, faultyMessage(c)
}

type faultyMessage struct{ of *faulty }

func (m faultyMessage) StartSpan(context.Context, apmws.SpanStart) (context.Context, apmws.ChildSpan) {
	m.of.fault()
	return nil, nil
}

func (m faultyMessage) End(apmws.MessageEnd) {
	m.of.fault()
	if m.of.block != nil && m.of.blocked.CompareAndSwap(false, true) {
		<-m.of.block
	}
}

// TestFaultyExporter: one that does not keep the rules leaves the traffic and the
// documents of two real vendors as they are without it.
func TestFaultyExporter(t *testing.T) {
	t.Parallel() // with what takes its time, too
	for name, c := range map[string]struct {
		*faulty
		reasons []string
	}{
		"panics":               {&faulty{panics: true}, []string{"panic", "switched_off"}},
		"returns nothing":      {&faulty{nothing: true}, nil},
		"returns no context":   {&faulty{context: true}, nil},
		"blocks for a message": {&faulty{block: make(chan struct{})}, []string{"blocked"}},
	} {
		t.Run(name, func(t *testing.T) {
			vendors := []*vendor{elastic(), newRelic()}
			backs := make([]*backEnd, len(vendors))
			reporters := make([]*reporter, len(vendors))
			for i, v := range vendors {
				backs[i] = newBackEnd(t, newSink(v), v.certificate)
				reporters[i] = v.start(t, backs[i].address)
				poll(t, 30*time.Second, "a connection to the back end", reporters[i].connected)
			}
			s := newService(t, reporters[0].exporter, c.faulty, reporters[1].exporter)
			want := peersInRound * eachAfter
			var release func()
			if c.block != nil {
				release = s.hold(t, c.faulty)
				want++
			}
			p := s.dial(t, "/after", peersInRound)
			p.say("after", eachAfter)
			if release != nil {
				release()
			}
			p.hangUp()
			drops := s.counted("ill")
			if got := slices.Sorted(maps.Keys(drops)); !slices.Equal(got, c.reasons) {
				t.Errorf("given up %v, want %q", drops, c.reasons)
			}
			if err := s.agent.Flush(soon(t)); err != nil { // Shutdown leaves the exporters five seconds
				t.Errorf("agent.Flush: %v", err)
			}
			if err := s.agent.Shutdown(soon(t)); (err != nil) != c.panics {
				t.Errorf("agent.Shutdown: %v", err)
			}
			route := s.agent.Stats().Routes[0]
			conns, messages := float64(route.ConnectionsOpened), float64(route.MessagesReceived)
			for i, v := range vendors {
				reporters[i].shutdown(30 * time.Second)
				got, _ := backs[i].counts(t)
				if n := got.transactions["after"]; n != want {
					t.Errorf("%s: %d transactions, want %d", v.name, n, want)
				}
				if spans := got.transactions["span SET"]; v.name == "elasticws" && float64(spans) != messages {
					t.Errorf("%s: %d spans, want %v", v.name, spans, messages)
				}
				for key, want := range map[string]float64{
					v.received("/after"): messages, v.opened("/after"): conns, v.closed("/after"): conns,
				} {
					if got.sums[key] != want {
						t.Errorf("%s: %s: %v, want %v", v.name, key, got.sums[key], want)
					}
				}
			}
		})
	}
}

// hold sends a message whose end the exporter blocks, and others until the exporter
// is left out. The function that it returns lets the first go on.
func (s *service) hold(t *testing.T, f *faulty) (release func()) {
	t.Helper()
	held, other := s.dial(t, "/after", 1), s.dial(t, "/after", 1)
	held.say("after", 1) // it is answered before its end
	poll(t, 30*time.Second, "the exporter to block", f.blocked.Load)
	poll(t, 30*time.Second, "the exporter to be left out", func() bool {
		other.say("probe", 1)
		time.Sleep(500 * time.Millisecond)
		return s.counted("ill")["blocked"] > 0
	})
	return func() {
		close(f.block)
		other.hangUp()
		held.hangUp()
	}
}
