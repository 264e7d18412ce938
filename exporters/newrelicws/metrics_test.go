package newrelicws

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/newrelic/go-agent/v3/newrelic"

	"github.com/apmws/go-apmws/apmws"
)

func histogramOf(count uint64) apmws.Histogram { return apmws.Histogram{Count: count} }

// TestMetricNames: series become sums over the routes, counters what has happened
// since the last report.
func TestMetricNames(t *testing.T) {
	route := func(name string, n int64) apmws.RouteStats {
		return apmws.RouteStats{
			Route: name, ConnectionsActive: n, ConnectionsOpened: 2 * n,
			Refused:          []apmws.RefusedStats{{Status: 401, Reason: "unauthenticated", Count: n}, {Reason: "upgrade_failed", Count: 1}},
			Closed:           []apmws.ClosedStats{{Cause: "normal", Count: n}},
			MessagesReceived: 3 * n, MessagesSent: 4 * n, BytesReceived: 5 * n, BytesSent: 6 * n,
			SendQueueMessages: 8 * n, SendQueueDropped: 9 * n,
			Messages: []apmws.MessageStats{{Name: "chat.say", Outcome: "success", Duration: histogramOf(uint64(7 * n))}},
		}
	}
	stats := apmws.Stats{
		Routes:  []apmws.RouteStats{route("/a", 1), route("/b", 10)},
		Dropped: []apmws.Dropped{{Exporter: "newrelicws", Reason: "queue_full", Count: 8}, {Exporter: "apmws", Reason: "none"}},
	}
	e := New(nil)
	e.reported["WebSocket/Connections/Opened"] = 5
	want := map[string]float64{
		"Connections/Active": 11, "Connections/Opened": 17, "Connections/Refused/unauthenticated": 11,
		"Connections/Refused/upgrade_failed": 2, "Connections/Closed/normal": 11,
		"Messages/Received": 33, "Messages/Sent": 44, "Bytes/Received": 55, "Bytes/Sent": 66, "Pings/Unanswered": 0,
		"SendQueue/Messages": 88, "SendQueue/Dropped": 99,
		"Messages/Handled/chat.say/success": 77, "Telemetry/Dropped/newrelicws/queue_full": 8,
	}
	got := make(map[string]float64)
	for _, s := range e.samples(stats) {
		got[strings.TrimPrefix(s.name, "WebSocket/")] = s.value
		if gauge := s.name == "WebSocket/Connections/Active" || s.name == "WebSocket/SendQueue/Messages"; s.counter == gauge {
			t.Errorf("%s: counter %v", s.name, s.counter)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%v, want %v", got, want)
	}
	for name, value := range want {
		if got[name] != value {
			t.Errorf("%s is %v, want %v", name, got[name], value)
		}
	}
}

// TestBoundedNames: the agent drops what is beyond 2,000 names. Ours stay below,
// and the sum stays what it is.
func TestBoundedNames(t *testing.T) {
	const messages = 3000
	var stats apmws.Stats
	var r apmws.RouteStats
	for i := range messages {
		r.Messages = append(r.Messages, apmws.MessageStats{
			Name: fmt.Sprint(strings.Repeat("long", 100), i), Outcome: "success", Duration: histogramOf(1),
		}, apmws.MessageStats{Name: fmt.Sprint("name", i), Outcome: "failure", Duration: histogramOf(1)})
	}
	stats.Routes = append(stats.Routes, r)
	e := New(nil)
	for range 2 {
		samples := e.samples(stats)
		if len(samples) > 600 {
			t.Errorf("%d names", len(samples))
		}
		sum := 0.0
		for _, s := range samples {
			if len("Custom/"+s.name) > 255 {
				t.Errorf("a name of %d bytes", len(s.name))
			}
			sum += s.value
		}
		if sum != 2*messages {
			t.Errorf("a sum of %v, want %d", sum, 2*messages)
		}
	}
}

// TestBoundedCalls: likewise, of outbound calls. The names of hosts and messages may be
// long, and have slashes where those of messages have.
func TestBoundedCalls(t *testing.T) {
	var r apmws.RouteStats
	const hosts, messages = 100, 30
	for h := range hosts {
		for m := range messages {
			r.Calls = append(r.Calls,
				apmws.CallStats{Name: fmt.Sprint("SEND /topic/", m), Address: fmt.Sprintf("h%d.example", h), Count: 2},
				apmws.CallStats{Name: fmt.Sprint(strings.Repeat("long", 100), m), Address: strings.Repeat("h", 250) + fmt.Sprint(h), Count: 1})
		}
	}
	e := New(nil)
	for range 2 {
		samples := e.samples(apmws.Stats{Routes: []apmws.RouteStats{r}})
		if len(samples) > 450 {
			t.Errorf("%d names", len(samples))
		}
		sum, first, last := 0.0, 0.0, 0.0
		for _, s := range samples {
			if !strings.HasPrefix(s.name, "WebSocket/Calls/h") || len("Custom/"+s.name) > 255 {
				continue
			}
			sum += s.value
			switch s.name {
			case "WebSocket/Calls/h0.example/SEND /topic/7":
				first = s.value
			case "WebSocket/Calls/h99.example/_OTHER":
				last = s.value
			}
		}
		if sum != 3*hosts*messages || first != 2 || last != 2*messages {
			t.Errorf("a sum of %v, want %d; %v of the first host's, %v of the last's", sum, 3*hosts*messages, first, last)
		}
	}
}

// TestMetricsEndToEnd: what New Relic gets of real traffic, reported more than
// once, adds up.
func TestMetricsEndToEnd(t *testing.T) {
	collector := newCollector()
	app := newApp(t, collector)
	e := New(app)
	e.interval = time.Hour // no report comes by itself: they are counted
	var c chat
	c.start(t, e)
	first := c.dial(t, nil)
	say(t, first, `{"type":"chat.say"}`)
	if err := c.agent.Flush(soon(t)); err != nil { // reports
		t.Fatal(err)
	}
	second := c.dial(t, nil)
	say(t, second, `{"type":"chat.say"}`, `{"type":"surprise"}`)
	if err := c.agent.Flush(soon(t)); err != nil {
		t.Fatal(err)
	}
	c.hangUp(t, first)
	c.authenticate = refuseAll
	c.refused(t)
	poll(t, "the last message to be handled", func() bool { // its answer comes before
		handled := uint64(0)
		for _, m := range c.agent.Stats().Routes[0].Messages {
			handled += m.Duration.Count
		}
		return handled == 3
	})
	if err := c.agent.Flush(soon(t)); err != nil { // Shutdown would close the second first
		t.Fatal(err)
	}
	h := collector.harvest(t, app)
	sent := float64(len(`{"type":"chat.say"}`)*2 + len(`{"type":"surprise"}`))
	for name, want := range map[string]float64{
		"Connections/Opened": 2, "Connections/Closed/normal": 1, "Connections/Refused/unauthenticated": 1,
		"Messages/Received": 3, "Messages/Sent": 3, "Messages/Handled/chat.say/success": 2, "Messages/Handled/_OTHER/success": 1,
		"Bytes/Received": sent, "Bytes/Sent": sent, "Pings/Unanswered": 0,
	} {
		m, ok := h.metrics["Custom/WebSocket/"+name]
		if !ok || m[1] != want {
			t.Errorf("%s: total %v, want %v", name, m[1], want)
		}
	}
	// Of the number that are open there is a least, a greatest and an average.
	if m := h.metrics["Custom/WebSocket/Connections/Active"]; m[0] != 3 || m[1] != 1+2+1 || m[3] != 1 || m[4] != 2 {
		t.Errorf("active: %v", m)
	}
}

// TestTicker: reports come by themselves.
func TestTicker(t *testing.T) {
	collector := newCollector()
	app := newApp(t, collector)
	e := New(app)
	e.interval = time.Millisecond
	agent := apmws.New(apmws.Options{Exporters: []apmws.Exporter{e}})
	var c chat
	c.agent = agent
	c.serve(t)
	c.dial(t, nil)
	poll(t, "a report", func() bool {
		e.mu.Lock()
		defer e.mu.Unlock()
		return e.reported["WebSocket/Connections/Opened"] == 1
	})
	if got := collector.harvest(t, app).total("Custom/WebSocket/Connections/Opened"); got != 1 {
		t.Errorf("%v opened", got)
	}
}

// TestHeldUntilConnected: New Relic's agent drops what it gets before.
func TestHeldUntilConnected(t *testing.T) {
	collector := newCollector()
	collector.gate = make(chan struct{})
	app := startApp(t, collector, &logs{})
	e := New(app)
	var c chat
	c.start(t, e)
	before := c.dial(t, nil)
	say(t, before, `{"type":"chat.say"}`)
	if err := c.agent.Flush(soon(t)); !errors.Is(err, ErrNotConnected) {
		t.Errorf("Flush: %v", err)
	}
	close(collector.gate)
	connect(t, app)
	after := c.dial(t, nil)
	say(t, after, `{"type":"chat.say"}`)
	c.hangUp(t, before)
	c.hangUp(t, after)
	if err := c.agent.Shutdown(soon(t)); err != nil {
		t.Fatal(err)
	}
	h := collector.harvest(t, app)
	if opened, received := h.total("Custom/WebSocket/Connections/Opened"), h.total("Custom/WebSocket/Messages/Received"); opened != 2 || received != 2 {
		t.Errorf("%v opened, %v received, want all since the start", opened, received)
	}
	if got := h.total("Custom/WebSocket/Telemetry/Dropped/newrelicws/not_connected"); got != 2 {
		t.Errorf("%v transactions dropped, want CONNECT and a message", got)
	}
}

// disconnector makes New Relic's agent lose its connection while the counters are
// read.
type disconnector struct {
	apmws.Exporter
	lose func()
}

func (d *disconnector) StartConn(ctx context.Context, _ apmws.ConnStart) (context.Context, apmws.ConnSpan) {
	return ctx, nil
}

func (d *disconnector) Dropped() []apmws.Dropped {
	d.lose()
	return nil
}

// TestHeldThroughRestart: New Relic makes the agent connect anew in the middle of
// a report, which is then held and reported again.
func TestHeldThroughRestart(t *testing.T) {
	stand := newCollector()
	stand.reply["event_harvest_config"] = map[string]any{
		"report_period_ms": 500, "harvest_limits": map[string]any{"analytic_event_data": 10_000},
	}
	log := &logs{expected: []string{"harvest failure"}}
	app := startApp(t, stand, log)
	connect(t, app)
	e := New(app)
	e.interval = time.Hour // no report comes by itself
	lose := func() {}
	var c chat
	c.start(t, e, &disconnector{lose: func() { lose() }})
	conn := c.dial(t, nil)
	say(t, conn, `{"type":"chat.say"}`)
	gate := make(chan struct{})
	lose = func() {
		stand.set(func(c *collector) { c.restart, c.gate = true, gate })
		poll(t, "the connection to be lost", func() bool { return app.WaitForConnection(-1) != nil })
	}
	if err := c.agent.Flush(soon(t)); !errors.Is(err, ErrNotConnected) {
		t.Errorf("Flush: %v", err)
	}
	lose = func() {}
	close(gate)
	connect(t, app)
	// The connection lives on, and its messages are recorded in the new run.
	say(t, conn, `{"type":"echo"}`)
	c.hangUp(t, conn)
	if err := c.agent.Shutdown(soon(t)); err != nil {
		t.Fatal(err)
	}
	h := stand.harvest(t, app)
	if got := h.total("Custom/WebSocket/Connections/Opened"); got != 1 || stand.runs != 2 {
		t.Errorf("%v opened in %d runs", got, stand.runs)
	}
	h.transaction(t, "Message/echo")
	h.transaction(t, "Disconnection/DISCONNECT /ws")
}

// TestServerless: the agent has no custom metrics there, and would write an error
// line for each.
func TestServerless(t *testing.T) {
	app := startApp(t, newCollector(), &logs{}, func(cfg *newrelic.Config) {
		cfg.ServerlessMode.Enabled = true
		cfg.ServerlessMode.AccountID, cfg.ServerlessMode.TrustedAccountKey, cfg.ServerlessMode.PrimaryAppID = "1", "1", "1"
	})
	var c chat
	c.start(t, New(app))
	conn := c.dial(t, nil)
	say(t, conn, `{"type":"chat.say"}`)
	c.hangUp(t, conn)
	if err := c.agent.Shutdown(soon(t)); err != nil {
		t.Error(err)
	}
}

func poll(t testing.TB, what string, f func() bool) {
	t.Helper()
	for deadline := soon(t); !f(); time.Sleep(time.Millisecond) {
		if deadline.Err() != nil {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}
