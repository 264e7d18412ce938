package board

import (
	"fmt"
	"maps"
	"strconv"
	"testing"
	"time"

	"github.com/apmws/go-apmws/dashboards/grafana/proof/contract"
	"github.com/apmws/go-apmws/dashboards/grafana/proof/evaluate"
)

// What the simulated servers do, the same all the time, so that every rate is known.
// There are two of them, node-0 and node-1, with the routes /ws and /rooms/{id}; the
// second does all twice as often, and on the second route all is twice as often
// again: 1, 2, 2 and 4 times, 9 in all.
const whole = 9

var simulatedNodes = []string{"node-0:8080", "node-1:8080"}

var simulatedRoutes = []string{"/ws", "/rooms/{id}"}

// series are one of a node and route, per second of the smallest.
type simulatedCounter struct {
	name   string
	labels evaluate.Labels
	rate   float64
}

var simulatedCounters = []simulatedCounter{
	{opened, nil, 3},
	{refused, evaluate.Labels{"websocket_refusal_reason": "unauthenticated", "http_response_status_code": "401"}, 0.75},
	{refused, evaluate.Labels{"websocket_refusal_reason": "origin", "http_response_status_code": "403"}, 0.25},
	{closed, evaluate.Labels{"websocket_close_cause": "normal"}, 2},
	{closed, evaluate.Labels{"websocket_close_cause": "heartbeat_timeout"}, 0.5},
	{received, nil, 40},
	{sent, nil, 60},
	{bytesIn, nil, 4000},
	{bytesOut, nil, 9000},
	{unanswered, nil, 0.125},
	{givenUp, nil, 0.375},
	{calls, evaluate.Labels{"server_address": "billing.example", "websocket_message_name": "CONNECT"}, 3},
	{calls, evaluate.Labels{"server_address": "billing.example", "websocket_message_name": "chat.say"}, 1},
	{calls, evaluate.Labels{"server_address": "search.example", "websocket_message_name": "chat.say"}, 2},
}

var simulatedGauges = []simulatedCounter{{active, nil, 100}, {waiting, nil, 5}}

// simulatedHistogram has, per second, counts in the buckets below its bounds: so many of
// 0.512 to 1.024 ms, 1.024 to 2.048 ms, and 8.192 to 16.384 ms.
type simulatedHistogram struct {
	name    string
	labels  evaluate.Labels
	counts  [3]float64
	seconds float64 // their sum
}

var simulatedHistograms = []simulatedHistogram{
	{handling, evaluate.Labels{"websocket_message_name": "chat.say", "event_outcome": "success"}, [3]float64{30, 0, 0}, 0.02},
	{handling, evaluate.Labels{"websocket_message_name": "chat.say", "event_outcome": "failure"}, [3]float64{0, 0, 2}, 0.02},
	{handling, evaluate.Labels{"websocket_message_name": "chat.join", "event_outcome": "success"}, [3]float64{0, 8, 0}, 0.01},
	{lasted, nil, [3]float64{0, 0, 2.5}, 0.03},
	{pingRTT, nil, [3]float64{10, 0, 0}, 0.01},
	{writing, nil, [3]float64{0, 60, 0}, 0.09},
}

var simulatedBounds = []float64{0.000512, 0.001024, 0.002048, 0.004096, 0.008192, 0.016384}

// step is that between scrapes; there are enough for a rate over minute.
const (
	step   = 15 * time.Second
	minute = "1m"
)

var simulatedStart = time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)

func simulatedEnd() time.Time { return simulatedStart.Add(10 * time.Minute) }

// simulate returns what Prometheus has scraped of the simulated servers.
func simulate() *evaluate.Store {
	store := &evaluate.Store{}
	for at := simulatedStart; !at.After(simulatedEnd()); at = at.Add(step) {
		seconds := at.Sub(simulatedStart).Seconds() + 1000 // they have run for a while
		for i, node := range simulatedNodes {
			target := evaluate.Labels{"job": "chat", "instance": node}
			for j, route := range simulatedRoutes {
				times := float64(int(1) << i << j)
				add := func(name string, value float64, more ...evaluate.Labels) {
					store.Add(at, joined(append(more, target, evaluate.Labels{"__name__": name, "http_route": route})...), value*times)
				}
				for _, g := range simulatedGauges {
					add(g.name, g.rate, g.labels)
				}
				for _, c := range simulatedCounters {
					add(c.name, c.rate*seconds, c.labels)
				}
				for _, h := range simulatedHistograms {
					addHistogram(add, h, seconds)
				}
			}
			telemetry := evaluate.Labels{"__name__": dropped, "exporter": "elasticws", "reason": "requests"}
			store.Add(at, joined(target, telemetry), 0.5*float64(i+1)*seconds)
		}
	}
	return store
}

func addHistogram(add func(string, float64, ...evaluate.Labels), h simulatedHistogram, seconds float64) {
	counts := []float64{0, h.counts[0], h.counts[1], 0, 0, h.counts[2]}
	var below float64
	for i, bound := range simulatedBounds {
		below += counts[i]
		add(h.name+"_bucket", below*seconds, h.labels, evaluate.Labels{"le": strconv.FormatFloat(bound, 'g', -1, 64)})
	}
	add(h.name+"_bucket", below*seconds, h.labels, evaluate.Labels{"le": "+Inf"})
	add(h.name+"_count", below*seconds, h.labels)
	add(h.name+"_sum", h.seconds*seconds, h.labels)
}

func joined(sets ...evaluate.Labels) evaluate.Labels {
	all := evaluate.Labels{}
	for _, set := range sets {
		maps.Copy(all, set)
	}
	return all
}

// TestSimulatedAsContract: the simulated servers have the series of the contract, each
// with its labels, and no others: what holds for them holds for real ones.
func TestSimulatedAsContract(t *testing.T) {
	metrics := readContract(t)
	seen := map[string]bool{}
	for _, labels := range simulate().All() {
		m, ok := metrics.Of(labels["__name__"])
		if !ok {
			t.Errorf("%v is not in the contract", labels)
			continue
		}
		seen[m.Name] = true
		want := map[string]bool{"__name__": true, "job": true, "instance": true}
		for _, l := range m.Labels {
			want[l] = true
		}
		if _, bucket := labels["le"]; bucket {
			want["le"] = m.Kind == "histogram"
		}
		if got := fmt.Sprint(keys(labels)); got != fmt.Sprint(keys(want)) {
			t.Errorf("%s has the labels %s, in the contract %v", labels["__name__"], got, keys(want))
		}
	}
	for name := range metrics {
		if !seen[name] {
			t.Errorf("the simulated servers do not have %s", name)
		}
	}
}

func readContract(t *testing.T) contract.Metrics {
	t.Helper()
	metrics, err := contract.Read("../../../../apmws/TELEMETRY.md")
	if err != nil {
		t.Fatal(err)
	}
	return metrics
}
