package exact

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/apmws/go-apmws/apmws"
)

// watcher takes snapshots while traffic runs.
type watcher struct {
	agent     *apmws.Agent
	fleet     *fleet
	snapshots int
	between   int // of them, those taken with connections open
	problems  []string
}

// watch takes snapshots, one after the other, until the returned function is called;
// that fails when one of them was not what it must be.
func watch(t testing.TB, agent *apmws.Agent, f *fleet) (stop func()) {
	w := &watcher{agent: agent, fleet: f}
	end := make(chan struct{})
	var done sync.WaitGroup
	done.Go(func() {
		before := agent.Stats()
		for {
			now := agent.Stats()
			w.check(&before, &now)
			before = now
			select {
			case <-end:
				return
			case <-time.After(500 * time.Microsecond): // leave the cores to the traffic
			}
		}
	})
	return func() {
		t.Helper()
		close(end)
		done.Wait()
		t.Logf("%d snapshots, %d with connections open", w.snapshots, w.between)
		if w.between == 0 {
			t.Error("no snapshot was taken while connections were open")
		}
		for _, problem := range w.problems[:min(20, len(w.problems))] {
			t.Error(problem)
		}
	}
}

// check compares a snapshot with the one before it, and with what the clients have
// sent by now.
func (w *watcher) check(before, now *apmws.Stats) {
	w.snapshots++
	w.problems = append(w.problems, goesBack(totalsOf(before), totalsOf(now))...)
	w.problems = append(w.problems, inconsistent(before, now)...)
	for i := range now.Routes {
		r := &now.Routes[i]
		if r.ConnectionsActive > 0 {
			w.between++
		}
		n := slices.Index(routes, r.Route)
		sent := &w.fleet.sent[n]
		if most := (passed{sent.messages.Load(), sent.bytes.Load()}); r.MessagesReceived > most.messages || r.BytesReceived > most.bytes {
			w.problems = append(w.problems, fmt.Sprintf("%s: %d messages and %d bytes received, %+v were sent",
				r.Route, r.MessagesReceived, r.BytesReceived, most))
		}
	}
}

// goesBack returns the counters and buckets that are smaller than before.
func goesBack(before, now *totals) (problems []string) {
	for key, n := range before.sums {
		if now.sums[key] < n {
			problems = append(problems, fmt.Sprintf("%s went from %v to %v", key, n, now.sums[key]))
		}
	}
	for key, counts := range before.counts {
		for value, n := range counts {
			if now.counts[key][value] < n {
				problems = append(problems, fmt.Sprintf("%s: %v s went from %d to %d", key, value, n, now.counts[key][value]))
			}
		}
	}
	return problems
}

// inconsistent returns in what the parts of a snapshot contradict each other.
func inconsistent(before, now *apmws.Stats) (problems []string) {
	for i := range now.Routes {
		r := &now.Routes[i]
		var closed int64
		for _, c := range r.Closed {
			closed += c.Count
		}
		if r.ConnectionsActive < 0 || r.ConnectionsOpened-closed != r.ConnectionsActive {
			problems = append(problems, fmt.Sprintf("%s: %d opened, %d closed, %d active", r.Route, r.ConnectionsOpened, closed, r.ConnectionsActive))
		}
		all := []apmws.Histogram{r.ConnectionDuration, r.PingRTT, r.WriteDuration}
		var handled uint64
		for _, m := range r.Messages {
			all = append(all, m.Duration)
			handled += m.Duration.Count
		}
		for _, h := range all {
			var n uint64
			for _, b := range h.Buckets {
				n += b.Count
			}
			if n != h.Count {
				problems = append(problems, fmt.Sprintf("%s: a histogram counts %d, its buckets %d", r.Route, h.Count, n))
			}
		}
		// A message is handled after it has been received, but the parts of a snapshot
		// are read one after the other.
		for _, earlier := range before.Routes {
			handled := uint64(0)
			for _, m := range earlier.Messages {
				handled += m.Duration.Count
			}
			if earlier.Route == r.Route && handled > uint64(r.MessagesReceived) {
				problems = append(problems, fmt.Sprintf("%s: %d handled of %d received", r.Route, handled, r.MessagesReceived))
			}
		}
	}
	return problems
}

// TestWatcherNotices: what the checks of snapshots are for.
func TestWatcherNotices(t *testing.T) {
	now := apmws.Stats{Routes: []apmws.RouteStats{{
		Route: "/served", ConnectionsOpened: 5, ConnectionsActive: 2, MessagesReceived: 10,
		Closed: []apmws.ClosedStats{{Cause: apmws.CauseNormal, Count: 3}},
		Messages: []apmws.MessageStats{{Name: "note.say", Outcome: apmws.OutcomeSuccess, Duration: apmws.Histogram{
			Count: 10, Buckets: []apmws.Bucket{{Lower: 1000, Upper: 1250, Count: 10}},
		}}},
	}}}
	for what, change := range map[string]func(r *apmws.RouteStats){
		"a counter goes back":       func(r *apmws.RouteStats) { r.MessagesReceived = 11 },
		"a bucket goes back":        func(r *apmws.RouteStats) { r.Messages[0].Duration.Buckets[0].Count = 11 },
		"a cause goes back":         func(r *apmws.RouteStats) { r.Closed[0].Count = 4 },
		"more handled than arrived": func(r *apmws.RouteStats) { r.Messages[0].Duration.Count = 11 },
	} {
		before := apmws.Stats{Routes: []apmws.RouteStats{now.Routes[0]}}
		r := &before.Routes[0]
		r.Closed, r.Messages = slices.Clone(r.Closed), slices.Clone(r.Messages)
		r.Messages[0].Duration.Buckets = slices.Clone(r.Messages[0].Duration.Buckets)
		if problems := slices.Concat(goesBack(totalsOf(&before), totalsOf(&now)), inconsistent(&before, &now)); len(problems) != 0 {
			t.Fatalf("the same twice: %q", problems)
		}
		change(r)
		if len(goesBack(totalsOf(&before), totalsOf(&now)))+len(inconsistent(&before, &now)) == 0 {
			t.Errorf("%s is not noticed", what)
		}
	}
	for what, change := range map[string]func(r *apmws.RouteStats){
		"active":          func(r *apmws.RouteStats) { r.ConnectionsActive = 1 },
		"less than none":  func(r *apmws.RouteStats) { r.ConnectionsOpened, r.ConnectionsActive = 2, -1 },
		"a bucket's sum":  func(r *apmws.RouteStats) { r.Messages[0].Duration.Count = 9 },
		"nothing arrived": func(r *apmws.RouteStats) { r.MessagesReceived = 0 },
	} {
		after := apmws.Stats{Routes: []apmws.RouteStats{now.Routes[0]}}
		after.Routes[0].Messages = slices.Clone(now.Routes[0].Messages)
		change(&after.Routes[0])
		if len(inconsistent(&now, &after)) == 0 {
			t.Errorf("%s is not noticed", what)
		}
	}
}

// TestTotalsNotice: what the comparison of a back end's totals is for.
func TestTotalsNotice(t *testing.T) {
	stats := apmws.Stats{
		Routes: []apmws.RouteStats{{
			Route: "/served", ConnectionsOpened: 5, MessagesReceived: 10, BytesReceived: 1 << 40,
			Closed: []apmws.ClosedStats{{Cause: apmws.CauseNormal, Count: 5}},
			Messages: []apmws.MessageStats{{Name: "note.say", Outcome: apmws.OutcomeSuccess, Duration: apmws.Histogram{
				Count: 10, Buckets: []apmws.Bucket{{Lower: 1000, Upper: 1250, Count: 9}, {Lower: 1250, Upper: 1500, Count: 1}},
			}}},
		}},
		Dropped: []apmws.Dropped{{Exporter: "elasticws", Reason: "requests", Count: 1}},
	}
	want := totalsOf(&stats)
	const handled = "websocket.message.duration event_outcome=success http_route=/served websocket_message_name=note.say"
	for what, change := range map[string]func(x *totals){
		"a byte":        func(x *totals) { x.sums["websocket.bytes.received http_route=/served"]++ },
		"another route": func(x *totals) { x.sums["websocket.bytes.received http_route=/other"] = 1 },
		"a cause": func(x *totals) {
			delete(x.sums, "websocket.connections.closed http_route=/served websocket_close_cause=normal")
		},
		"a failed request": func(x *totals) { delete(x.sums, "websocket.telemetry.dropped exporter=elasticws reason=requests") },
		"a gauge":          func(x *totals) { x.last["websocket.connections.active http_route=/served"] = 1 },
		"a bucket": func(x *totals) {
			for value := range x.counts[handled] {
				x.counts[handled][value]++
			}
		},
		"the bucket beside it": func(x *totals) {
			x.counts[handled] = map[float64]uint64{apmws.Bucket{Lower: 1000, Upper: 1250}.Mid().Seconds(): 10}
		},
		"a histogram": func(x *totals) { delete(x.counts, handled) },
	} {
		got := totalsOf(&stats)
		if problems := got.compare(want); len(problems) != 0 {
			t.Fatalf("the same twice: %q", problems)
		}
		change(got)
		if len(got.compare(want)) == 0 {
			t.Errorf("%s is not noticed", what)
		}
	}
	sums := newRelicTotals(&stats)
	asSent := func() map[string][6]float64 {
		got := map[string][6]float64{"OtherTransaction/all": {1, 1}, "Custom/WebSocket/Connections/Active": {3, 7}}
		for name, sum := range sums {
			got["Custom/WebSocket/"+name] = [6]float64{1, sum}
		}
		return got
	}
	for what, change := range map[string]func(got map[string][6]float64){
		"a sum":     func(got map[string][6]float64) { got["Custom/WebSocket/Bytes/Received"] = [6]float64{1, 1} },
		"a name":    func(got map[string][6]float64) { delete(got, "Custom/WebSocket/Messages/Handled/note.say/success") },
		"one more":  func(got map[string][6]float64) { got["Custom/WebSocket/Messages/Handled/x/success"] = [6]float64{1, 1} },
		"all of it": func(got map[string][6]float64) { maps.DeleteFunc(got, func(string, [6]float64) bool { return true }) },
	} {
		got := asSent()
		if problems := compareNewRelic(got, sums); len(problems) != 0 {
			t.Fatalf("the same twice: %q", problems)
		}
		change(got)
		if len(compareNewRelic(got, sums)) == 0 {
			t.Errorf("New Relic: %s is not noticed", what)
		}
	}
}
