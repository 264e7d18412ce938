package exact

import (
	"context"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/newrelic/go-agent/v3/newrelic"
	"go.elastic.co/apm/v2"

	"github.com/apmws/go-apmws/apmws"
	"github.com/apmws/go-apmws/apmws/semconv"
	"github.com/apmws/go-apmws/exporters/elasticws"
	"github.com/apmws/go-apmws/exporters/newrelicws"
)

// trial is a server with both back ends.
type trial struct {
	agent     *apmws.Agent
	meter     *meter
	tracer    *apm.Tracer
	collector *collector
	app       *newrelic.Application
	fleet     *fleet
	snapshots int64         // that talkers have taken
	hold      chan struct{} // when it is not nil, neither back end takes anything until it is closed
}

func newTrial(t *testing.T, sampling *apmws.Sampling, held bool) *trial {
	t.Helper()
	x := &trial{meter: newMeter(), collector: newCollector()}
	log := &agentLog{}
	if held {
		x.hold = make(chan struct{})
		x.meter.held, log.held = x.hold, x.hold
	}
	x.tracer = x.meter.tracer(t)
	x.app = connected(t, x.collector.start(t, log))
	t.Cleanup(func() { x.app.Shutdown(time.Minute) })
	x.agent = newAgent(sampling, elasticws.New(x.tracer), newrelicws.New(x.app))
	x.fleet = newFleet(tcp(serve(t, x.agent)))
	return x
}

// settle waits until the last connection has ended, which is after its client has.
func (x *trial) settle(ctx context.Context, t testing.TB) {
	t.Helper()
	poll(ctx, t, "the connections to end", func() bool { return len(x.agent.Connections()) == 0 })
}

// shutDown ends all in the order that is documented: agent first.
func (x *trial) shutDown(ctx context.Context, t testing.TB) apmws.Stats {
	t.Helper()
	if err := x.agent.Shutdown(ctx); err != nil {
		t.Fatalf("Shutdown: %v", err)
	}
	stats := x.agent.Stats()
	x.app.Shutdown(time.Minute)
	return stats
}

func poll(ctx context.Context, t testing.TB, what string, f func() bool) {
	t.Helper()
	for ; !f(); time.Sleep(time.Millisecond) {
		if ctx.Err() != nil {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func within(t testing.TB, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// TestMillion: a million messages, in both directions, over many connections at
// the same time, of all routes, with reports, flushes and snapshots in between.
// Whatever becomes of the transactions, the snapshot is what was sent, to the message
// and the byte, and so is what each back end adds up.
func TestMillion(t *testing.T) {
	for _, c := range []struct {
		name     string
		rate     float64
		messages int    // received
		interval string // of Elastic's reports
		held     bool
	}{
		{"all are sampled", 1, volumeReceived, "100ms", false},
		{"one in a hundred", 0.01, volumeReceived, "100ms", false},
		{"none", 0, volumeReceived, "100ms", false},
		// Reports wait in a buffer of 750 KB.
		{"full buffers", 1, volumeReceived, "1s", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv("ELASTIC_APM_METRICS_INTERVAL", c.interval)
			t.Setenv("ELASTIC_APM_API_REQUEST_TIME", "300ms") // so that there are many requests
			ctx := within(t, 5*time.Minute)
			x := newTrial(t, &apmws.Sampling{Rate: c.rate, Slow: slowFrom}, c.held)
			unwatch := watch(t, x.agent, x.fleet)
			stopFlushing := func() {}
			if !c.held {
				stopFlushing = x.keepFlushing(ctx, t)
			}
			begin := time.Now()
			x.fleet.refuse(t, 3)
			x.fleet.run(t, volumeConnections, c.messages)
			took := time.Since(begin)
			x.settle(ctx, t)
			stopFlushing()
			unwatch()
			if c.held {
				close(x.hold)
			}
			if err := x.agent.Flush(ctx); err != nil { // Shutdown leaves the exporters five seconds
				t.Fatalf("Flush: %v", err)
			}
			stats := x.shutDown(ctx, t)

			for _, problem := range x.fleet.compare(&stats) {
				t.Error("snapshot: ", problem)
			}
			accepted, _, documents := x.meter.seen(t)
			for _, problem := range accepted.compare(totalsOf(&stats)) {
				t.Error("Elastic: ", problem)
			}
			posted := x.collector.seen()
			for _, problem := range compareNewRelic(posted, newRelicTotals(&stats)) {
				t.Error("New Relic: ", problem)
			}
			if active := posted["Custom/WebSocket/Connections/Active"]; active[0] < 1 || active[3] != 0 {
				t.Errorf("New Relic: active connections %v, want 0 in the end", active)
			}
			x.compareTransactions(t, &stats, documents, posted, c.rate)
			x.logVolume(t, took, c.messages, c.held)
		})
	}
}

// keepFlushing makes both exporters report and send, over and over.
func (x *trial) keepFlushing(ctx context.Context, t testing.TB) (stop func()) {
	t.Helper()
	end := make(chan struct{})
	var done sync.WaitGroup
	done.Go(func() {
		for {
			if err := x.agent.Flush(ctx); err != nil && ctx.Err() == nil {
				t.Errorf("Flush: %v", err)
			}
			select {
			case <-end:
				return
			case <-ctx.Done():
				return
			case <-time.After(50 * time.Millisecond):
			}
		}
	})
	t.Cleanup(done.Wait)
	return func() {
		close(end)
		done.Wait()
	}
}

func dropped(stats *apmws.Stats, exporter, reason string) (n uint64) {
	for _, d := range stats.Dropped {
		if d.Exporter == exporter && d.Reason == reason {
			n += uint64(d.Count)
		}
	}
	return n
}

// compareTransactions: what each back end has got of transactions is what there was
// less what was dropped, and what it makes of them estimates what there was.
func (x *trial) compareTransactions(t *testing.T, stats *apmws.Stats, documents map[transaction]int, posted map[string][6]float64, rate float64) {
	t.Helper()
	handled, failed := x.fleet.total()
	slow := slowOnes(stats)
	handshakes, opened := uint64(0), uint64(0)
	for i := range stats.Routes {
		opened += uint64(stats.Routes[i].ConnectionsOpened)
		for _, r := range stats.Routes[i].Refused {
			handshakes += uint64(r.Count)
		}
	}
	handshakes += opened
	counts, weights := messagesOf(documents)
	elastic, elasticKept := uint64(0), uint64(0)
	for _, n := range counts {
		elastic += n
	}
	var all uint64
	for tx, n := range documents {
		all += uint64(n)
		if tx.kind == semconv.TypeMessage && tx.rate == "0" {
			elasticKept += uint64(n)
		}
	}
	newRelic, newRelicKept := uint64(0), uint64(0)
	for _, name := range namesAndOther() {
		newRelic += uint64(posted["OtherTransaction/Go/Message/"+name][0])
		newRelicKept += uint64(posted["OtherTransaction/Go/MessageKept/"+name][0])
	}
	newRelicAll := uint64(posted["OtherTransaction/all"][0])
	lostElastic := dropped(stats, "elasticws", "transactions")
	lostNewRelic := dropped(stats, "newrelicws", "queue_full") + dropped(stats, "newrelicws", "not_connected")
	t.Logf("Elastic: %d messages sampled, %d kept, %d transactions dropped; New Relic: %d, %d, %d",
		elastic-elasticKept, elasticKept, lostElastic, newRelic, newRelicKept, lostNewRelic)

	// The core leaves an exporter out while a call of it does not return, as on a
	// machine that is far too busy, and counts the calls: of a transaction at most one.
	left := dropped(stats, "elasticws", "blocked") + dropped(stats, "newrelicws", "blocked")
	if left > 0 {
		t.Logf("%d calls of exporters were left out", left)
	}
	is := func(what string, got, want uint64) {
		if got > want+left || want > got+left {
			t.Errorf("%s: %d, want %d", what, got, want)
		}
	}
	switch rate {
	case 1:
		is("Elastic's transactions and what was dropped", all+lostElastic, handled+handshakes+opened)
		is("New Relic's transactions and what was dropped", newRelicAll+lostNewRelic, handled+handshakes+opened)
		is("kept for their failure alone", elasticKept+newRelicKept, 0)
	case 0:
		is("Elastic's transactions and what was dropped", all+lostElastic, failed+slow+handshakes+opened)
		is("New Relic's transactions and what was dropped", newRelicAll+lostNewRelic, failed+slow+handshakes+opened)
		is("sampled", elastic-elasticKept+newRelic, 0)
		for name := range weights {
			t.Errorf("%s counts", name)
		}
	default:
		// Both back ends get the same ones.
		is("transactions and what was dropped", all+lostElastic, newRelicAll+lostNewRelic)
		for name, n := range x.byName() {
			estimates := map[string]float64{
				"Elastic":   weights[name],
				"New Relic": posted["OtherTransaction/Go/Message/"+name][0] / rate,
			}
			for who, estimate := range estimates {
				lost := map[string]uint64{"Elastic": lostElastic, "New Relic": lostNewRelic}[who]
				if off := math.Abs(estimate - n); !(off <= tolerance(rate, n)+float64(lost+left)/rate) {
					t.Errorf("%s: %s: %v messages are estimated, there were %v; tolerated %v", who, name, estimate, n, tolerance(rate, n))
				}
			}
		}
	}
}

// tolerance is what an estimate of n may be off by: five standard deviations of the
// sum of weights 1/r of those chosen with the probability r, and, since few are not
// normal, what Bernstein's inequality adds to that.
func tolerance(r, n float64) float64 { return 5*math.Sqrt((1-r)/r*n) + 25.0/6/r }

// slowOnes counts the messages that succeeded and were slow.
func slowOnes(stats *apmws.Stats) (n uint64) {
	for i := range stats.Routes {
		for _, m := range stats.Routes[i].Messages {
			for _, b := range m.Duration.Buckets {
				if m.Outcome == apmws.OutcomeSuccess && b.Lower >= slowFrom {
					n += b.Count
				}
			}
		}
	}
	return n
}

func namesAndOther() []string {
	all := []string{semconv.Other}
	for _, name := range names {
		all = append(all, name)
	}
	return all
}

// byName is how many messages of each name were handled.
func (x *trial) byName() map[string]float64 {
	all := make(map[string]float64)
	for key, n := range x.fleet.handled {
		all[key.name] += float64(n)
	}
	return all
}

func (x *trial) logVolume(t testing.TB, took time.Duration, messages int, held bool) {
	t.Helper()
	var in, out passed
	for i := range routes {
		in.messages += x.fleet.sent[i].messages.Load()
		in.bytes += x.fleet.sent[i].bytes.Load()
		out.messages += x.fleet.got[i].messages
		out.bytes += x.fleet.got[i].bytes
	}
	if in.messages != int64(messages) || in.messages+out.messages < volumeTotal {
		t.Errorf("%d messages in, %d out", in.messages, out.messages)
	}
	x.meter.mu.Lock()
	defer x.meter.mu.Unlock()
	if reports := x.meter.reports / len(routes); !held && reports < 3 {
		t.Errorf("Elastic got %d reports, want more to add up", reports)
	}
	t.Logf("%v: %d messages in (%d MB), %d out (%d MB), %.0f a second; Elastic: %d requests, %d reports; New Relic: %v",
		took.Round(time.Millisecond), in.messages, in.bytes>>20, out.messages, out.bytes>>20,
		float64(in.messages+out.messages)/took.Seconds(), x.meter.requests, x.meter.reports/len(routes), x.collector.requests)
}
