package exact

import (
	"context"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"go.elastic.co/apm/v2"

	"github.com/apmws/go-apmws/apmws"
	"github.com/apmws/go-apmws/apmws/semconv"
	"github.com/apmws/go-apmws/exporters/elasticws"
)

// talkers are clients that stay connected, one of each route.
type talkers struct {
	trial *trial
	conns []*websocket.Conn
	said  int64
}

func (x *trial) talkers(t testing.TB) *talkers {
	t.Helper()
	all := &talkers{trial: x}
	for _, route := range routes {
		dialer := websocket.Dialer{NetDial: func(string, string) (net.Conn, error) { return x.fleet.dial() }}
		conn, answer, err := dialer.Dial("ws://exact.test"+route, nil)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		t.Cleanup(func() { conn.Close() })
		all.conns = append(all.conns, conn)
	}
	return all
}

// listen reads until the connections end, and so answers close frames.
func (all *talkers) listen() {
	for _, conn := range all.conns {
		go func() {
			for {
				if _, _, err := conn.ReadMessage(); err != nil {
					return
				}
			}
		}()
	}
}

// say says so many messages on each connection, hears the answers, and waits until
// the agent has counted all of it: an answer may be here before it is counted there.
func (all *talkers) say(ctx context.Context, t testing.TB, times int) {
	t.Helper()
	n := note{kind: kindSay, replies: 1, size: 40}
	for range times {
		for _, conn := range all.conns {
			if err := conn.WriteMessage(websocket.TextMessage, n.payload()); err != nil {
				t.Fatal(err)
			}
			if _, _, err := conn.ReadMessage(); err != nil {
				t.Fatal(err)
			}
			all.said++
		}
	}
	poll(ctx, t, "the messages to be counted", func() bool {
		handled, sent := uint64(0), int64(0)
		all.trial.snapshots++
		stats := all.trial.agent.Stats()
		for i := range stats.Routes {
			for _, m := range stats.Routes[i].Messages {
				handled += m.Duration.Count
			}
			sent += stats.Routes[i].MessagesSent
		}
		return handled == uint64(all.said) && sent == all.said
	})
}

// compareAll compares both back ends with the snapshot after everything was shut down.
func (x *trial) compareAll(t testing.TB, stats *apmws.Stats) {
	t.Helper()
	accepted, _, _ := x.meter.seen(t)
	for _, problem := range accepted.compare(totalsOf(stats)) {
		t.Error("Elastic: ", problem)
	}
	for _, problem := range compareNewRelic(x.collector.seen(), newRelicTotals(stats)) {
		t.Error("New Relic: ", problem)
	}
}

// TestLastInterval: what has happened since the last report is reported before the
// flush at shutdown, whether there has never been a report, or there is one under
// way at all times; so are the ends of the connections that Shutdown closes.
func TestLastInterval(t *testing.T) {
	for _, interval := range []string{"0s", "1ms"} {
		t.Run("reports each "+interval, func(t *testing.T) {
			t.Setenv("ELASTIC_APM_METRICS_INTERVAL", interval)
			for i := range 8 {
				ctx := within(t, time.Minute)
				x := newTrial(t, nil, false)
				all := x.talkers(t)
				all.say(ctx, t, i)
				if i%2 == 1 { // a report before the last one
					if err := x.agent.Flush(ctx); err != nil {
						t.Fatal(err)
					}
				}
				all.say(ctx, t, 1+i%3)
				all.listen()
				stats := x.shutDown(ctx, t)
				x.compareAll(t, &stats)
				posted := x.collector.seen()
				if active := posted["Custom/WebSocket/Connections/Active"]; active[0] == 0 || active[3] != 0 { // the least
					t.Errorf("New Relic: active connections %v", active)
				}
				if drained := posted["Custom/WebSocket/Connections/Closed/drain"]; drained[1] != float64(len(routes)) {
					t.Errorf("New Relic: drained connections %v", drained)
				}
				accepted, _, _ := x.meter.seen(t)
				if got := accepted.sum(semconv.MessagesReceived); got != float64(all.said) || got == 0 {
					t.Errorf("%v messages were reported of %d", got, all.said)
				}
				if t.Failed() {
					return
				}
			}
		})
	}
}

// observer is an exporter that sees when the agent is asked for a snapshot.
type observer struct{ asked atomic.Int64 }

func (*observer) StartConn(ctx context.Context, _ apmws.ConnStart) (context.Context, apmws.ConnSpan) {
	return ctx, nil
}

func (o *observer) Dropped() []apmws.Dropped {
	o.asked.Add(1)
	return nil
}

// slowPart is a part of the program that reports metrics, too, and takes its time for
// it: each report waits for a gate.
type slowPart struct {
	gates   chan chan struct{} // one for each report
	waiting atomic.Int64       // reports that have come so far
}

func (s *slowPart) gather(context.Context, *apm.Metrics) error {
	s.waiting.Add(1)
	<-<-s.gates
	return nil
}

// duringReport is a server whose reports to Elastic are made in steps.
type duringReport struct {
	*trial
	seen   *observer
	slow   *slowPart
	result chan error // of Shutdown
}

func newDuringReport(t *testing.T) *duringReport {
	t.Helper()
	m := newMeter()
	x := &duringReport{
		trial: &trial{meter: m, tracer: m.tracer(t), collector: newCollector()},
		seen:  &observer{}, slow: &slowPart{gates: make(chan chan struct{}, 100)}, result: make(chan error, 1),
	}
	x.agent = newAgent(&apmws.Sampling{}, elasticws.New(x.tracer), x.seen)
	x.fleet = newFleet(tcp(serve(t, x.agent)))
	t.Cleanup(x.tracer.RegisterMetricsGatherer(apm.GatherMetricsFunc(x.slow.gather)))
	return x
}

// gate returns a gate for the next report.
func (x *duringReport) gate() chan struct{} {
	gate := make(chan struct{})
	x.slow.gates <- gate
	return gate
}

// await waits until the counters have been read for that report, which is then still
// being made.
func (x *duringReport) await(ctx context.Context, t *testing.T, report int64) {
	t.Helper()
	poll(ctx, t, "a report to be made", func() bool {
		return x.seen.asked.Load()-x.snapshots >= report && x.slow.waiting.Load() >= report
	})
}

// shutDown begins, and gives it time to wait for what is under way. What comes then
// must be right however far it has got.
func (x *duringReport) shutDown(ctx context.Context, t *testing.T) {
	t.Helper()
	go func() { x.result <- x.agent.Shutdown(ctx) }()
	x.notOver(t)
}

func (x *duringReport) notOver(t *testing.T) {
	t.Helper()
	select {
	case err := <-x.result:
		t.Fatalf("Shutdown has not waited for a report: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
}

// compare waits for the end and compares.
func (x *duringReport) compare(t *testing.T) {
	t.Helper()
	if err := <-x.result; err != nil {
		t.Fatal(err)
	}
	stats := x.agent.Stats()
	accepted, _, _ := x.meter.seen(t)
	for _, problem := range accepted.compare(totalsOf(&stats)) {
		t.Error(problem)
	}
}

// TestShutdownDuringReport: a report has been made and is not yet sent when messages
// are handled and the agent is shut down. What is under way is not taken for the last
// report.
func TestShutdownDuringReport(t *testing.T) {
	t.Setenv("ELASTIC_APM_METRICS_INTERVAL", "0s")
	ctx := within(t, time.Minute)
	x := newDuringReport(t)
	all := x.talkers(t)
	all.say(ctx, t, 3)
	gate := x.gate()
	var reporting sync.WaitGroup
	t.Cleanup(reporting.Wait)
	reporting.Go(func() { x.tracer.SendMetrics(ctx.Done()) })
	x.await(ctx, t, 1)
	all.say(ctx, t, 2) // is not in it
	all.listen()
	x.shutDown(ctx, t)
	for range 10 {
		close(x.gate())
	}
	close(gate)
	x.compare(t)
}

// TestShutdownBetweenReports: while the request with one report is under way, the next
// one is made. It is not yet in the tracer's buffer when the request ends, which is
// what Shutdown has been waiting for.
func TestShutdownBetweenReports(t *testing.T) {
	t.Setenv("ELASTIC_APM_METRICS_INTERVAL", "500ms")
	ctx := within(t, time.Minute)
	x := newDuringReport(t)
	all := x.talkers(t)
	all.say(ctx, t, 3)
	flush(ctx, t, x.tracer)
	first := x.gate()
	x.await(ctx, t, 1)
	all.say(ctx, t, 2)
	answer := make(chan struct{})
	x.meter.hold(answer)
	all.listen()
	x.shutDown(ctx, t)
	second := x.gate()
	close(first)
	x.await(ctx, t, 2)
	close(answer)
	x.notOver(t)
	for range 10 {
		close(x.gate())
	}
	close(second)
	x.compare(t)
}

// TestShutdownWhileConnectionsEnd: what ends while the agent is being shut down, by
// itself or by that, is in the last report.
func TestShutdownWhileConnectionsEnd(t *testing.T) {
	t.Setenv("ELASTIC_APM_METRICS_INTERVAL", "5ms")
	ctx := within(t, time.Minute)
	some := false // of the connections ended by themselves, and some did not
	for i := 0; i < 6 || !some && ctx.Err() == nil; i++ {
		x := newTrial(t, nil, false)
		const groups = 20
		var all []*talkers
		for range groups {
			all = append(all, x.talkers(t))
			all[len(all)-1].trial = x
		}
		poll(ctx, t, "all connections to be counted", func() bool { return len(x.agent.Connections()) == groups*len(routes) })
		before := x.agent.Stats()
		var ending sync.WaitGroup
		ending.Go(func() {
			for _, group := range all {
				for _, conn := range group.conns {
					conn.Close()
				}
				time.Sleep(time.Duration(i) * 100 * time.Microsecond) // to meet different moments
			}
		})
		if err := x.agent.Shutdown(ctx); err != nil {
			t.Fatal(err)
		}
		ending.Wait()
		x.settle(ctx, t)
		x.app.Shutdown(time.Minute)
		after := x.agent.Stats()

		accepted, _, _ := x.meter.seen(t)
		wantBetween(t, "Elastic", accepted, totalsOf(&before), totalsOf(&after))
		for _, route := range routes {
			opened, closed, drained := 0.0, 0.0, 0.0
			for key, n := range accepted.sums {
				if !strings.Contains(key, "http_route="+route) {
					continue
				}
				switch {
				case strings.HasPrefix(key, semconv.ConnectionsOpened):
					opened += n
				case strings.HasPrefix(key, semconv.ConnectionsClosed):
					closed += n
					if strings.Contains(key, string(apmws.CauseDrain)) {
						drained += n
					}
				}
			}
			active := accepted.last[seriesKey(semconv.ConnectionsActive, [][2]string{{semconv.Route, route}})]
			if opened != groups || closed != groups || active != 0 {
				t.Errorf("Elastic: %s: %v opened, %v closed, %v active", route, opened, closed, active)
			}
			some = some || drained > 0 && drained < closed
		}
		posted := x.collector.seen()
		opened := posted["Custom/WebSocket/Connections/Opened"][1]
		closed := posted["Custom/WebSocket/Connections/Closed/read_error"][1] + posted["Custom/WebSocket/Connections/Closed/drain"][1]
		if active := posted["Custom/WebSocket/Connections/Active"]; opened != groups*float64(len(routes)) || closed != opened || active[0] == 0 || active[3] != 0 {
			t.Errorf("New Relic: %v opened, %v closed, %v active", opened, closed, active)
		}
		if t.Failed() {
			return
		}
	}
}

// wantBetween: each counter is what it was at one moment between two snapshots.
func wantBetween(t testing.TB, who string, got, least, most *totals) {
	t.Helper()
	for key := range union(got.sums, most.sums) {
		if n := got.sums[key]; n < least.sums[key] || n > most.sums[key] {
			t.Errorf("%s: %s: %v, want between %v and %v", who, key, n, least.sums[key], most.sums[key])
		}
	}
}
