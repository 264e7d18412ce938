package exportertest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"runtime"
	"strings"
	"time"

	"github.com/apmws/go-apmws/apmws"
)

// lifecycleRules are those about the exporter as a whole.
func lifecycleRules() []rule {
	return []rule{
		{
			"never-blocks",
			"no call waits for the back end: when that stalls, or gets more than it can take, telemetry is dropped and counted",
			checkNeverBlocks,
		},
		{
			"goroutines",
			"open connections and messages in hand hold no goroutine each",
			checkGoroutines,
		},
		{
			"flush",
			"Flush returns nil when the back end is well, and when ctx has expired returns at once with ctx's error or nil",
			checkFlush,
		},
		{
			"shutdown",
			"Shutdown sends what has ended before it; calls after it return and do no harm, a second Shutdown included",
			checkShutdown,
		},
		{
			"shutdown-expired",
			"Shutdown returns at once when ctx has expired, with ctx's error or nil",
			checkShutdownExpired,
		},
		{
			"attach",
			"what Attach starts, Shutdown ends: no goroutine of the exporter's package is left",
			checkAttach,
		},
		{
			"dropped",
			"Dropped returns counts that never decrease, each with a reason of its own and without the exporter's name",
			checkDropped,
		},
	}
}

// many is more than buffers hold.
const many = 3000

// flood records many messages.
func (s *session) flood() {
	c := s.openConn()
	for range many {
		if m := c.tryMessage(c.ctx, apmws.MessageStart{}); m.span != nil {
			m.end(apmws.MessageEnd{})
		}
	}
	c.closed(apmws.ConnEnd{})
}

func checkNeverBlocks(k *kit) {
	s := k.session()
	resume := func() {}
	if s.Stall != nil {
		resume = s.Stall()
	}
	defer resume()
	k.within(fmt.Sprintf("recording of %d messages", many), s.flood)
}

func checkGoroutines(k *kit) {
	s := k.session()
	const n = 200
	s.openConn().message(apmws.MessageStart{}).end(apmws.MessageEnd{}) // what starts once
	before := runtime.NumGoroutine()
	conns := make([]*conn, n)
	messages := make([]*message, n)
	for i := range n {
		conns[i] = s.openConn()
		messages[i] = conns[i].message(apmws.MessageStart{})
	}
	now := 0
	if !k.eventually(func() bool { now = runtime.NumGoroutine() - before; return now < n/2 }) {
		s.errorf("%d open connections with a message each have left %d goroutines", n, now)
	}
	for i := range n {
		messages[i].end(apmws.MessageEnd{})
		conns[i].closed(apmws.ConnEnd{})
	}
}

// expired is a context that is over.
func expired() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// wantAtOnce calls Flush or Shutdown with a context that is over.
func (s *session) wantAtOnce(what string, call func(context.Context) error) {
	var err error
	s.within(what+" with a ctx that had expired", func() { err = call(expired()) })
	if err != nil && !errors.Is(err, context.Canceled) {
		s.errorf("%s returns %v, want nil or ctx's error, %v", what, err, context.Canceled)
	}
}

// wantSuccess calls Flush or Shutdown with time enough.
func (s *session) wantSuccess(what string, call func(context.Context) error) {
	ctx, cancel := context.WithTimeout(context.Background(), s.patience)
	defer cancel()
	var err error
	s.within(what, func() { err = call(ctx) })
	if err != nil {
		s.errorf("%s returns %v, want nil", what, err)
	}
}

func checkFlush(k *kit) {
	s := k.session()
	flusher, ok := s.Exporter.(apmws.Flusher)
	if !ok {
		return
	}
	s.wantSuccess("Flush of nothing", flusher.Flush)
	c := s.openConn()
	first := c.message(apmws.MessageStart{})
	first.end(apmws.MessageEnd{})
	s.wantSuccess("Flush", flusher.Flush)
	s.wantAtOnce("Flush", flusher.Flush)
	second := c.message(apmws.MessageStart{})
	second.end(apmws.MessageEnd{})
	s.wantSuccess("Flush after one that had no time", flusher.Flush)
	c.closed(apmws.ConnEnd{})
	g := s.sent()
	g.connect(c)
	g.message(first)
	g.message(second)
	g.disconnect(c)
}

// attached gives the exporter to an agent, as a program does.
func (s *session) attached() { apmws.New(apmws.Options{Exporters: []apmws.Exporter{s.Exporter}}) }

func checkShutdown(k *kit) {
	s := k.session()
	shutdowner, ok := s.Exporter.(apmws.Shutdowner)
	if !ok {
		return
	}
	s.attached()
	c := s.openConn()
	m := c.message(apmws.MessageStart{})
	m.end(apmws.MessageEnd{})
	inHand := c.message(apmws.MessageStart{})
	s.wantSuccess("Shutdown", shutdowner.Shutdown)
	k.within("calls after Shutdown", func() {
		inHand.end(apmws.MessageEnd{})
		c.closed(apmws.ConnEnd{})
		s.afterwards()
		ctx, cancel := context.WithTimeout(context.Background(), k.patience/2)
		defer cancel()
		_ = shutdowner.Shutdown(ctx) // whatever it says
		if flusher, ok := s.Exporter.(apmws.Flusher); ok {
			_ = flusher.Flush(ctx)
		}
	})
	g := s.sent()
	g.connect(c)
	g.message(m)
}

// afterwards makes the calls that may come after Shutdown, which need not be
// recorded.
func (s *session) afterwards() {
	ctx, span := s.Exporter.StartConn(context.Background(), apmws.ConnStart{
		Time: s.at(time.Hour), ID: randomHex(8), Route: "/late", Name: "CONNECT /late",
	})
	if span != nil {
		span.Opened(apmws.OpenEnd{Time: s.at(time.Hour), Accepted: true, Status: 101, Result: "HTTP 1xx", Outcome: apmws.OutcomeSuccess})
		if _, m := span.StartMessage(ctx, apmws.MessageStart{Time: s.at(time.Hour), Name: "chat.say", Weight: 1}); m != nil {
			m.End(apmws.MessageEnd{Time: s.at(time.Hour), Result: "ok", Outcome: apmws.OutcomeSuccess})
		}
		span.End(apmws.ConnEnd{Time: s.at(time.Hour), Name: "DISCONNECT /late", Result: "normal", Outcome: apmws.OutcomeSuccess})
	}
	if reporter, ok := s.Exporter.(apmws.DropReporter); ok {
		reporter.Dropped()
	}
	if correlator, ok := s.Exporter.(apmws.LogCorrelator); ok {
		correlator.LogFields(remote())
	}
	if masker, ok := s.Exporter.(apmws.Masker); ok {
		masker.Mask(context.Background())
	}
}

func checkShutdownExpired(k *kit) {
	s := k.session()
	if shutdowner, ok := s.Exporter.(apmws.Shutdowner); ok {
		s.attached()
		s.openConn().closed(apmws.ConnEnd{})
		s.wantAtOnce("Shutdown", shutdowner.Shutdown)
	}
}

func checkAttach(k *kit) {
	s := k.session()
	_, attaches := s.Exporter.(apmws.Attacher)
	shutdowner, ok := s.Exporter.(apmws.Shutdowner)
	if !attaches || !ok {
		return
	}
	before := goroutinesOf(s.Exporter)
	s.attached()
	s.openConn().closed(apmws.ConnEnd{})
	s.wantSuccess("Shutdown", shutdowner.Shutdown)
	left := 0
	if !k.eventually(func() bool {
		now := goroutinesOf(s.Exporter)
		maps.DeleteFunc(now, func(id string, _ bool) bool { return before[id] })
		left = len(now)
		return left == 0
	}) {
		s.errorf("%d goroutines that the exporter's package has started since Attach are left after Shutdown", left)
	}
}

// goroutinesOf returns the goroutines that an exporter's package has started: those
// from earlier may end at any time, so that their number says little.
func goroutinesOf(e apmws.Exporter) (ids map[string]bool) {
	t := reflect.TypeOf(e)
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	ids = make(map[string]bool)
	for stack := range strings.SplitSeq(allStacks(), "\n\n") {
		if strings.Contains(stack, "\ncreated by "+symbolPath(t.PkgPath())+".") {
			id, _, _ := strings.Cut(stack, " [") // goroutine 18 [running]:
			ids[id] = true
		}
	}
	return ids
}

// symbolPath is a package's path as the runtime writes it: dots after the last
// slash are escaped.
func symbolPath(pkg string) string {
	last := strings.LastIndex(pkg, "/") + 1
	return pkg[:last] + strings.ReplaceAll(pkg[last:], ".", "%2e")
}

func checkDropped(k *kit) {
	s := k.session()
	reporter, ok := s.Exporter.(apmws.DropReporter)
	if !ok {
		return
	}
	before := make(map[string]int64)
	look := func() {
		seen := make(map[string]bool)
		for _, d := range reporter.Dropped() {
			switch {
			case d.Reason == "" || d.Exporter != "":
				s.errorf("Dropped returns the reason %q and the exporter %q, want a reason only", d.Reason, d.Exporter)
			case seen[d.Reason]:
				s.errorf("Dropped returns the reason %q twice", d.Reason)
			case d.Count < before[d.Reason] || d.Count < 0:
				s.errorf("Dropped returns %d for %q, after %d", d.Count, d.Reason, before[d.Reason])
			}
			seen[d.Reason] = true
			before[d.Reason] = d.Count
		}
		for reason, count := range before {
			if count > 0 && !seen[reason] {
				s.errorf("Dropped returns %q no more, after %d", reason, count)
			}
		}
	}
	look()
	s.openConn().closed(apmws.ConnEnd{})
	look()
	k.within(fmt.Sprintf("recording of %d messages", many), s.flood)
	look()
	look()
}
