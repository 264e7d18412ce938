package apmws

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// contractMetrics are the names of the metrics, with their kinds and labels.
var contractMetrics = map[string]struct {
	kind   MetricKind
	labels []string
}{
	"websocket.connections.active":  {GaugeMetric, []string{"http.route"}},
	"websocket.connections.opened":  {CounterMetric, []string{"http.route"}},
	"websocket.connections.refused": {CounterMetric, []string{"http.response.status_code", "http.route", "websocket.refusal.reason"}},
	"websocket.connections.closed":  {CounterMetric, []string{"http.route", "websocket.close.cause"}},
	"websocket.connection.duration": {HistogramMetric, []string{"http.route"}},
	"websocket.messages.received":   {CounterMetric, []string{"http.route"}},
	"websocket.messages.sent":       {CounterMetric, []string{"http.route"}},
	"websocket.bytes.received":      {CounterMetric, []string{"http.route"}},
	"websocket.bytes.sent":          {CounterMetric, []string{"http.route"}},
	"websocket.message.duration":    {HistogramMetric, []string{"event.outcome", "http.route", "websocket.message.name"}},
	"websocket.ping.rtt":            {HistogramMetric, []string{"http.route"}},
	"websocket.pings.unanswered":    {CounterMetric, []string{"http.route"}},
	"websocket.write.duration":      {HistogramMetric, []string{"http.route"}},
	"websocket.send_queue.messages": {GaugeMetric, []string{"http.route"}},
	"websocket.send_queue.dropped":  {CounterMetric, []string{"http.route"}},
	"websocket.outbound.calls":      {CounterMetric, []string{"http.route", "server.address", "websocket.message.name"}},
	"websocket.telemetry.dropped":   {CounterMetric, []string{"exporter", "reason"}},
}

// series returns a snapshot's metrics by name and labels, and checks each.
func series(t testing.TB, s Stats) map[string]Metric {
	t.Helper()
	all := make(map[string]Metric)
	for m := range s.Metrics() {
		want, ok := contractMetrics[m.Name]
		if !ok {
			t.Errorf("%s is not in the contract", m.Name)
			continue
		}
		var names []string
		for _, l := range m.Labels {
			names = append(names, l.Name)
		}
		if m.Kind != want.kind || !slices.Equal(names, want.labels) {
			t.Errorf("%s is of kind %d with labels %v, want %d, %v", m.Name, m.Kind, names, want.kind, want.labels)
		}
		key := fmt.Sprint(m.Name, m.Labels)
		if _, twice := all[key]; twice {
			t.Errorf("%s comes twice", key)
		}
		if m.Value < 0 || m.Histogram.Sum < 0 || m.Kind == HistogramMetric && m.Value != 0 || m.Kind != HistogramMetric && m.Histogram.Count != 0 {
			t.Errorf("%s is %+v", key, m)
		}
		all[key] = m
	}
	return all
}

// TestMetricNames: exactly the contract's names appear, and none is a prefix of
// another followed by a dot, which Elastic could not store.
func TestMetricNames(t *testing.T) {
	f := &witness{name: "faulty", journal: &journal{}, faults: map[string]fault{"Opened": panics}}
	agent := New(Options{Exporters: []Exporter{f, f}}) // two of a type
	for _, route := range []string{"/b", "/a"} {
		c := agent.connect(agent.route(route), upgradeRequest())
		c.accepted()
		_, tx := StartMessage(c.scope, MessageInfo{TraceParent: "malformed"})
		tx.End(nil)
		callFrom(c.scope, t, answering(http.StatusNoContent), "http://billing.example/")
		c.disconnected()
		agent.connect(agent.route(route), upgradeRequest()).refuse(refusal{})
	}
	all := series(t, agent.Stats())
	names := make(map[string]bool)
	for _, m := range all {
		names[m.Name] = true
	}
	for name := range contractMetrics {
		if !names[name] {
			t.Errorf("%s does not appear", name)
		}
		for other := range contractMetrics {
			if strings.HasPrefix(other, name+".") {
				t.Errorf("%s is a prefix of %s", name, other)
			}
		}
	}
	for key, want := range map[string]int64{
		"websocket.telemetry.dropped[{exporter apmws#2} {reason panic}]":                                                            4,
		"websocket.telemetry.dropped[{exporter apmws} {reason panic}]":                                                              4,
		"websocket.telemetry.dropped[{exporter apmws} {reason malformed_trace_context}]":                                            2,
		"websocket.connections.refused[{http.response.status_code none} {http.route /a} {websocket.refusal.reason upgrade_failed}]": 1,
		"websocket.connections.closed[{http.route /b} {websocket.close.cause application}]":                                         1,
		"websocket.connections.active[{http.route /b}]":                                                                             0,
		"websocket.connections.opened[{http.route /a}]":                                                                             1,
	} {
		if m, ok := all[key]; !ok || m.Value != want {
			t.Errorf("%s is %d (%v), want %d", key, m.Value, ok, want)
		}
	}
	if m := all["websocket.message.duration[{event.outcome success} {http.route /a} {websocket.message.name _OTHER}]"]; m.Histogram.Count != 1 {
		t.Errorf("message durations: %+v", m)
	}
	// A consumer may stop at any series.
	for n := range len(all) + 1 {
		got := 0
		for range agent.Stats().Metrics() {
			if got == n {
				break
			}
			got++
		}
		if got != n {
			t.Errorf("stopped at %d, not at %d", got, n)
		}
	}
}

// TestStatsExactly: nothing is lost between goroutines, and any snapshot taken
// meanwhile is a possible one.
func TestStatsExactly(t *testing.T) {
	const workers, rounds, messages = 8, 60, 5
	agent := New(Options{Messages: MessageOptions{Names: []string{"say"}}})
	var stop atomic.Bool
	var readers, writers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			var last Stats
			known := make(map[string]Metric)
			for !stop.Load() {
				s := agent.Stats()
				now := series(t, s)
				for key, before := range known {
					m, ok := now[key]
					if !ok {
						t.Errorf("%s has disappeared", key)
					}
					if m.Kind != GaugeMetric && (m.Value < before.Value || m.Histogram.Count < before.Histogram.Count) {
						t.Errorf("%s has fallen", key)
					}
				}
				maps.Copy(known, now)
				for _, r := range s.Routes {
					if r.ConnectionsActive < 0 || r.ConnectionsActive > workers {
						t.Errorf("%d connections are active", r.ConnectionsActive)
					}
				}
				if s.Time.Before(last.Time) {
					t.Error("time goes back")
				}
				last = s
			}
		})
	}
	shared := agent.connect(agent.route("/shared"), upgradeRequest())
	for w := range workers {
		writers.Go(func() {
			for range rounds * 100 {
				shared.received(frameCount{1, 2})
				shared.sent(frameCount{3, 4})
				shared.route.names.lookupString("say").handled(shared.shard, OutcomeFailure, 1)
			}
			for i := range rounds {
				c := agent.connect(agent.route(fmt.Sprintf("/%d", i%3)), upgradeRequest())
				c.accepted()
				for n := range messages {
					c.received(frameCount{messages: 1, bytes: 10})
					c.sent(frameCount{messages: int64(n & 1), bytes: 3})
					c.route.names.lookupString("say").handled(c.shard, OutcomeSuccess, time.Millisecond)
				}
				c.pingSent(1)
				c.pongReceived(1)
				c.pingSent(2)
				c.peerClosed([]int{1000, 1001}[w%2], "")
				c.disconnected()
				agent.connect(c.route, upgradeRequest()).refuse(refusal{status: 400 + i%2})
			}
		})
	}
	writers.Wait()
	stop.Store(true)
	readers.Wait()

	s := agent.Stats()
	if len(s.Routes) != 4 || s.Routes[0].Route != "/0" || s.Routes[2].Route != "/2" {
		t.Fatalf("routes: %+v", s.Routes)
	}
	const perRoute = int64(workers * rounds / 3)
	const total = workers * rounds * 100
	if r := s.Routes[3]; r.MessagesReceived != total || r.BytesReceived != 2*total || r.MessagesSent != 3*total || r.BytesSent != 4*total ||
		len(r.Messages) != 1 || r.Messages[0].Duration.Count != total || r.Messages[0].Duration.Sum != total || r.Messages[0].Outcome != OutcomeFailure {
		t.Errorf("%d messages for one connection: %+v", total, r)
	}
	for _, r := range s.Routes[:3] {
		want := RouteStats{
			Route: r.Route, ConnectionsOpened: perRoute,
			Closed:           []ClosedStats{{CauseNormal, perRoute / 2}, {CauseGoingAway, perRoute / 2}},
			Refused:          []RefusedStats{{400, "bad_handshake", perRoute / 2}, {401, "unauthenticated", perRoute / 2}},
			MessagesReceived: perRoute * messages, MessagesSent: perRoute * (messages / 2),
			BytesReceived: perRoute * messages * 10, BytesSent: perRoute * messages * 3, PingsUnanswered: perRoute,
		}
		counts := []uint64{r.ConnectionDuration.Count, r.PingRTT.Count, r.WriteDuration.Count}
		if !slices.Equal(counts, []uint64{uint64(perRoute), uint64(perRoute), 0}) {
			t.Errorf("%s: connections, round trips and writes took their time %v times", r.Route, counts)
		}
		if len(r.Messages) != 1 || r.Messages[0].Name != "say" || r.Messages[0].Outcome != OutcomeSuccess ||
			r.Messages[0].Duration.Count != uint64(perRoute*messages) || r.Messages[0].Duration.Sum != time.Duration(perRoute*messages)*time.Millisecond {
			t.Errorf("%s: messages: %+v", r.Route, r.Messages)
		}
		r.ConnectionDuration, r.PingRTT, r.Messages = Histogram{}, Histogram{}, nil
		if fmt.Sprint(r) != fmt.Sprint(want) {
			t.Errorf("got %+v, want %+v", r, want)
		}
	}
}

// TestActiveInterrupted: a reader that is interrupted between the counters does
// not take the connections of the meantime for open ones. On one processor it is
// interrupted in the middle of nearly every turn.
func TestActiveInterrupted(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	var c counters
	var done atomic.Bool
	go func() {
		defer done.Store(true)
		for range 1_500_000 {
			c.opened.Add(1)
			c.closed(CauseNormal) // the first to be read
		}
	}()
	for !done.Load() {
		opened, closed := c.connections()
		for _, n := range closed {
			opened -= n
		}
		if opened < 0 || opened > 1 {
			t.Fatalf("%d connections are active, of one at a time", opened)
		}
	}
}

// TestStatsAreACopy: a snapshot does not change afterwards.
func TestStatsAreACopy(t *testing.T) {
	c := watched(t)
	c.received(frameCount{1, 1})
	before := c.agent.Stats()
	text := fmt.Sprintf("%+v", before)
	c.received(frameCount{1, 1})
	c.peerClosed(1000, "")
	c.disconnected()
	c.agent.connect(c.route, upgradeRequest()).refuse(refusal{status: 403})
	if now := fmt.Sprintf("%+v", before); now != text {
		t.Errorf("the snapshot\n%s has become\n%s", text, now)
	}
	if after := c.agent.Stats(); after.Routes[0].MessagesReceived != 2 || len(after.Routes[0].Refused) != 1 {
		t.Errorf("%+v", after)
	}
}

// TestRoutesOfOneName: handlers of a route count together.
func TestRoutesOfOneName(t *testing.T) {
	agent := New(Options{})
	for range 3 {
		agent.Handler("/ws", http.NotFoundHandler()).ServeHTTP(httptest.NewRecorder(), upgradeRequest())
	}
	routes := agent.Stats().Routes
	if len(routes) != 1 || !slices.Equal(routes[0].Refused, []RefusedStats{{404, "_OTHER", 3}}) {
		t.Errorf("%+v", routes)
	}
}

// TestUnknownStatus: what no HTTP status is makes no series of its own.
func TestUnknownStatus(t *testing.T) {
	agent := New(Options{})
	r := agent.route("/ws")
	for _, status := range []int{-1, 0, 1000, 1 << 30} {
		r.refused(status, "upgrade_failed")
	}
	if got := r.stats().Refused; len(got) != 1 || got[0] != (RefusedStats{0, "upgrade_failed", 4}) {
		t.Errorf("%+v", got)
	}
}
