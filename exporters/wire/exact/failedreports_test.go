package exact

import (
	"net/http"
	"testing"
	"time"

	"github.com/apmws/go-apmws/apmws"
	"github.com/apmws/go-apmws/apmws/semconv"
	"github.com/apmws/go-apmws/exporters/elasticws"
)

// TestFailedReports: what Elastic adds up is the snapshot less what happened in the
// intervals whose reports have failed, in whatever way, to the message and the bucket.
func TestFailedReports(t *testing.T) {
	t.Parallel()
	ctx := within(t, 2*time.Minute)
	m := newMeter()
	tracer := m.tracer(t)
	agent := newAgent(&apmws.Sampling{}, elasticws.New(tracer))
	f := newFleet(tcp(serve(t, agent)))
	judge := func(v verdict) { m.set(func(int) verdict { return v }) }
	want, before, failures := newTotals(), newTotals(), 0
	for _, v := range []verdict{
		accept, http.StatusServiceUnavailable, reset, accept, resetMidway, accept, // the tracer then waits for a second
		http.StatusRequestEntityTooLarge, http.StatusTooManyRequests, http.StatusServiceUnavailable, accept, // and for four
		accept,
	} {
		f.run(t, 12, 600)
		poll(ctx, t, "the connections to end", func() bool { return len(agent.Connections()) == 0 })
		flush(ctx, t, tracer) // so that the report has a request of its own
		stats := agent.Stats()
		now := totalsOf(&stats)
		judge(v)
		tracer.SendMetrics(ctx.Done())
		judge(accept)
		if v == accept {
			want.add(now.since(before))
		} else {
			failures++
		}
		before = now
		stats = agent.Stats()
		if got := dropped(&stats, "elasticws", "requests"); got != uint64(failures) {
			t.Errorf("after %d: %d requests are named as failed, want %d", v, got, failures)
		}
	}
	accepted, _, _ := m.seen(t)
	for _, problem := range accepted.compare(want) {
		t.Error(problem)
	}
	// What it was that Elastic never learnt of.
	stats := agent.Stats()
	all := totalsOf(&stats)
	if n := all.sum("websocket.messages.received"); n != 11*600 || accepted.sum("websocket.messages.received") != 5*600 {
		t.Errorf("%v messages received, %v reported", n, accepted.sum("websocket.messages.received"))
	}
	// The count of failed requests is a counter as any other: of those whose reports
	// have failed, too, it says nothing.
	if n := accepted.sum("websocket.telemetry.dropped"); n != 3 {
		t.Errorf("%v failed requests were reported, want the three after which a report was accepted", n)
	}
}

// TestFailuresUnderTraffic: reports fail while everything goes on. What was accepted
// and what was in the requests that failed is all there was, and each of those is
// counted.
func TestFailuresUnderTraffic(t *testing.T) {
	t.Setenv("ELASTIC_APM_METRICS_INTERVAL", "20ms")
	t.Setenv("ELASTIC_APM_API_REQUEST_TIME", "50ms")
	ctx := within(t, 2*time.Minute)
	x := newTrial(t, &apmws.Sampling{Rate: 0.1, Slow: slowFrom}, false)
	x.meter.set(func(request int) verdict {
		switch request % 8 {
		case 2:
			return http.StatusServiceUnavailable
		case 4:
			return reset
		case 6:
			return http.StatusTooManyRequests
		}
		return accept
	})
	unwatch := watch(t, x.agent, x.fleet)
	refusals := func() int {
		x.meter.mu.Lock()
		defer x.meter.mu.Unlock()
		return x.meter.refusals
	}
	for rounds := 0; rounds < 4 || refusals() < 6; rounds++ {
		x.fleet.run(t, 20, 2000)
	}
	x.settle(ctx, t)
	unwatch()
	x.meter.set(nil)
	flush(ctx, t, x.tracer)
	stats := x.agent.Stats()
	if n := dropped(&stats, "elasticws", "requests"); n != uint64(refusals()) {
		t.Errorf("%d requests are named as failed of %d", n, refusals())
	}
	stats = x.shutDown(ctx, t)
	accepted, refused, _ := x.meter.seen(t)
	all := newTotals()
	all.add(refused)
	all.add(accepted)
	all.last = accepted.last
	for _, problem := range all.compare(totalsOf(&stats)) {
		t.Error(problem)
	}
	if lost := refused.sum(semconv.MessagesReceived); lost == 0 {
		t.Error("nothing was lost")
	}
	for _, problem := range x.fleet.compare(&stats) {
		t.Error("snapshot: ", problem)
	}
	t.Logf("%d requests, %d failed", x.meter.requests, refusals())
}
