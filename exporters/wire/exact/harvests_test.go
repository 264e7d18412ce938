package exact

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/newrelic/go-agent/v3/newrelic"

	"github.com/apmws/go-apmws/apmws"
	"github.com/apmws/go-apmws/exporters/newrelicws"
)

// New Relic's agent posts metrics each minute and tries again for minutes, so time is
// not real here. The exporter reports every ten seconds.

// minutes is a server with New Relic, over minutes.
type minutes struct {
	t         *testing.T
	agent     *apmws.Agent
	collector *collector
	app       *newrelic.Application
	log       *agentLog
	fleet     *fleet
}

func newMinutes(t *testing.T, complaint string, judge func(method string, request int) verdict) *minutes {
	t.Helper()
	m := &minutes{t: t, collector: newCollector(), log: &agentLog{expected: complaint}}
	m.collector.judge = judge
	m.app = m.collector.start(t, m.log)
	time.Sleep(300 * time.Millisecond) // so that no report meets a harvest
	m.agent = newAgent(nil, newrelicws.New(m.app))
	m.fleet = serveInMemory(t, m.agent)
	time.Sleep(time.Second) // nor traffic a report
	return m
}

// pass lets traffic run for a minute, and the reports of that.
func (m *minutes) pass() {
	m.t.Helper()
	for range 3 {
		m.fleet.run(m.t, 3, 30)
		time.Sleep(20 * time.Second)
	}
}

// end shuts down, and returns the snapshot and what New Relic has got.
func (m *minutes) end() (stats apmws.Stats, got map[string][6]float64) {
	m.t.Helper()
	if err := m.agent.Shutdown(within(m.t, time.Minute)); err != nil {
		m.t.Errorf("Shutdown: %v", err)
	}
	stats = m.agent.Stats()
	m.app.Shutdown(time.Minute)
	if n := dropped(&stats, "newrelicws", "requests"); n != m.collector.failed() {
		m.t.Errorf("%d requests are named as failed of %d", n, m.collector.failed())
	}
	return stats, m.collector.seen()
}

func (m *minutes) compare(got map[string][6]float64, stats *apmws.Stats) {
	m.t.Helper()
	for _, problem := range compareNewRelic(got, newRelicTotals(stats)) {
		m.t.Error(problem)
	}
	for _, problem := range m.fleet.compare(stats) {
		m.t.Error("snapshot: ", problem)
	}
}

// TestHeldUntilConnected: New Relic's agent drops what it gets before it is connected.
// Counters are held until then; transactions are dropped and counted.
func TestHeldUntilConnected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMinutes(t, "application connect failure", func(method string, request int) verdict {
			switch {
			case method == "preconnect" && request == 0:
				return reset
			case method == "connect" && request < 2:
				return http.StatusServiceUnavailable
			}
			return accept
		})
		for m.app.WaitForConnection(-1) != nil {
			m.fleet.run(t, 3, 30)
			time.Sleep(5 * time.Second)
		}
		stats := m.agent.Stats()
		before := uint64(m.fleet.messages + 2*m.fleet.connections)
		if n := dropped(&stats, "newrelicws", "not_connected"); n != before || m.fleet.messages < 100 {
			t.Errorf("%d transactions were dropped of %d", n, before)
		}
		m.pass()
		stats, got := m.end()
		m.compare(got, &stats)
		all := uint64(m.fleet.messages + 2*m.fleet.connections)
		if n := got["OtherTransaction/all"][0]; n != float64(all-before) {
			t.Errorf("%v transactions, want %d", n, all-before)
		}
	})
}

// TestFailedHarvests: posts of metrics fail, up to four times in a row, in the ways
// after which New Relic's agent keeps them. Nothing is missing in the end, and each
// failure is named.
func TestFailedHarvests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		verdicts := []verdict{
			accept, http.StatusServiceUnavailable, accept, reset, http.StatusTooManyRequests,
			http.StatusInternalServerError, http.StatusRequestTimeout, accept, reset,
		}
		m := newMinutes(t, "harvest failure", func(method string, request int) verdict {
			if method == "metric_data" && request < len(verdicts) {
				return verdicts[request]
			}
			return accept
		})
		for range len(verdicts) + 1 {
			m.pass()
		}
		stats, got := m.end()
		m.compare(got, &stats)
		if n := m.collector.failed(); n != 6 || m.collector.requests["metric_data"] <= len(verdicts) {
			t.Errorf("%d posts have failed of %v", n, m.collector.requests)
		}
		if n := got["OtherTransaction/all"][0]; n != float64(m.fleet.messages+2*m.fleet.connections) {
			t.Errorf("%v transactions of %d messages and %d connections", n, m.fleet.messages, m.fleet.connections)
		}
		// The last two of the failures were named in reports, too.
		if n := got["Custom/WebSocket/Telemetry/Dropped/newrelicws/requests"][1]; n != 6 {
			t.Errorf("%v failures were reported", n)
		}
	})
}

// TestLostHarvests: New Relic's agent gives a post up when it is refused for what it
// is, when it fails for the fifth time, and when New Relic makes the agent connect
// anew. What that held is missing, nothing else, and it is named. What happens until
// the agent is connected again is held.
func TestLostHarvests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		verdicts := map[int]verdict{
			1: http.StatusRequestEntityTooLarge,
			3: reset, 4: http.StatusServiceUnavailable, 5: reset, 6: reset, 7: reset, // the fifth holds all five
			9: http.StatusUnauthorized, // a forced restart
		}
		lost := map[int]bool{0: true, 5: true, 6: true} // of those that were not accepted
		m := newMinutes(t, "failure", func(method string, request int) verdict {
			switch {
			case method == "metric_data":
				return verdicts[request]
			case method == "connect" && (request == 1 || request == 2):
				return http.StatusServiceUnavailable
			}
			return accept
		})
		for range 13 {
			m.pass()
		}
		connected(t, m.app)
		stats, got := m.end()
		if len(m.collector.refused) != len(verdicts) || m.collector.runs != 2 {
			t.Fatalf("%d posts of metrics were refused, in %d runs", len(m.collector.refused), m.collector.runs)
		}
		const received = "Custom/WebSocket/Messages/Received"
		missing := newRelicTotals(&stats)["Messages/Received"] - got[received][1]
		for i, metrics := range m.collector.refused {
			if !lost[i] {
				continue
			}
			if metrics[received][1] == 0 {
				t.Errorf("nothing was lost with post %d", i)
			}
			missing -= metrics[received][1]
			for name, data := range metrics {
				got[name] = merged(got, name, data)
			}
		}
		if missing != 0 {
			t.Errorf("%v messages are missing beyond those in posts that were lost", missing)
		}
		m.compare(got, &stats)
		if n := dropped(&stats, "newrelicws", "not_connected"); n == 0 {
			t.Error("nothing has happened while the agent connected anew")
		}
		names := 0
		for name := range got {
			if strings.HasPrefix(name, "Custom/WebSocket/") {
				names++
			}
		}
		if names < 10 {
			t.Errorf("%d metrics", names)
		}
	})
}

// TestRestartLosesTheMinute: when New Relic makes the agent connect anew, that throws
// away what it has been given since its last post of metrics. So the exporter's reports
// of that minute are missing, and no others.
func TestRestartLosesTheMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMinutes(t, "", func(method string, request int) verdict {
			if method == "span_event_data" && request == 1 { // comes before the metrics of the minute
				return http.StatusConflict
			}
			return accept
		})
		m.pass()
		before := m.agent.Stats()
		m.pass()
		after := m.agent.Stats() // the reports of both, and the post of one
		m.pass()
		connected(t, m.app)
		m.pass()
		stats, got := m.end()
		if m.collector.runs != 2 || m.collector.failed() != 1 {
			t.Fatalf("%d runs, %d posts have failed", m.collector.runs, m.collector.failed())
		}
		lost, earlier := newRelicTotals(&after), newRelicTotals(&before)
		delete(lost, "Telemetry/Dropped/newrelicws/requests") // the one that has just failed is reported later
		if lost["Messages/Received"] == earlier["Messages/Received"] {
			t.Error("nothing was lost")
		}
		for name := range lost {
			got["Custom/WebSocket/"+name] = merged(got, "Custom/WebSocket/"+name, [6]float64{1, lost[name] - earlier[name]})
		}
		m.compare(got, &stats)
	})
}
