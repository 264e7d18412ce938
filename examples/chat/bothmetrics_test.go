package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/apmws/go-apmws/apmws"
)

// activeConnections is the gauge as a series of Elastic's.
const activeConnections = "websocket.connections.active http_route=/ws"

// series is what a series of Elastic's was told, by all reports.
type series struct {
	values []float64           // in their order
	counts map[float64]float64 // of a histogram's values
}

// series are those of WebSocket metrics, by name and labels.
func (in *intake) series() map[string]series {
	all := map[string]series{}
	sets, _ := in.all("metricset", "")
	for _, set := range sets {
		for name, sample := range set.Samples {
			if !strings.HasPrefix(name, "websocket.") {
				continue
			}
			key := seriesKey(name, set.Tags)
			s := all[key]
			if s.counts == nil {
				s.counts = map[float64]float64{}
			}
			if sample.Value != nil {
				s.values = append(s.values, *sample.Value)
			}
			for i, value := range sample.Values {
				s.counts[value] += sample.Counts[i]
			}
			all[key] = s
		}
	}
	return all
}

func seriesKey(name string, labels map[string]any) string {
	for _, label := range slices.Sorted(maps.Keys(labels)) {
		name += fmt.Sprintf(" %s=%v", label, labels[label])
	}
	return name
}

// happened is what the metrics of the contract come to, by name and labels other
// than the route; of histograms the number of values. What writes take is not
// known: how many there are is gorilla's.
func happened(v *visits) map[string]int64 {
	all := map[string]int64{
		"websocket.connections.active":                              0,
		"websocket.connections.opened":                              4,
		"websocket.connections.closed normal":                       2,
		"websocket.connections.closed drain":                        1,
		"websocket.connections.closed read_error":                   1,
		"websocket.connections.refused 401 token_malformed":         1,
		"websocket.connections.refused 403 origin":                  1,
		"websocket.connections.refused 500 upgrade_failed":          1,
		"websocket.connection.duration":                             4,
		"websocket.message.duration success chat.join":              4,
		"websocket.message.duration success chat.say":               4,
		"websocket.message.duration failure chat.say":               1,
		"websocket.message.duration success billing.status":         1,
		"websocket.message.duration success _OTHER":                 1,
		"websocket.outbound.calls billing billing.status":           1,
		"websocket.ping.rtt":                                        3,
		"websocket.pings.unanswered":                                1,
		"websocket.telemetry.dropped apmws malformed_trace_context": 1,
	}
	for _, one := range v.all() {
		all["websocket.messages.received"] += int64(one.messagesReceived)
		all["websocket.messages.sent"] += int64(one.messagesSent)
		all["websocket.bytes.received"] += int64(one.received)
		all["websocket.bytes.sent"] += int64(one.sent)
	}
	return all
}

// checkMetrics compares what both were told, in several reports, with the agent's
// own counts, and those with what has happened.
func (b *both) checkMetrics(t *testing.T, v *visits) {
	t.Helper()
	due, elastic, ofNewRelic := happened(v), b.intake.series(), map[string]int64{}
	for m := range b.agent.Stats().Metrics() {
		total, name, labels := m.Value, m.Name, map[string]any{}
		if m.Kind == apmws.HistogramMetric {
			total = int64(m.Histogram.Count)
		}
		for _, l := range m.Labels {
			labels[strings.ReplaceAll(l.Name, ".", "_")] = l.Value
			if l.Name != "http.route" {
				name += " " + l.Value
			}
		}
		if want, known := due[name]; total != want && m.Name != "websocket.write.duration" {
			t.Errorf("the agent has counted %s to %d, want %d (%v)", name, total, want, known)
		}
		delete(due, name)
		if name := inNewRelic(&m); name != "" {
			ofNewRelic[name] += total
		}
		key := seriesKey(m.Name, labels)
		checkSeries(t, key, &m, elastic[key])
		delete(elastic, key)
		if m.Name == "websocket.message.duration" { // what it counts, beside it
			key = seriesKey("websocket.messages.handled", labels)
			checkSeries(t, key, &apmws.Metric{Value: total}, elastic[key])
			delete(elastic, key)
		}
	}
	for name, total := range due {
		t.Errorf("the agent has not counted %s, want %d", name, total)
	}
	for key, s := range elastic {
		if strings.HasSuffix(key, " http_route=/ws") && len(s.counts) == 0 && !slices.ContainsFunc(s.values, func(v float64) bool { return v != 0 }) {
			continue // a 0 by which Elasticsearch gets to know the field
		}
		t.Errorf("Elastic has the series %s, which the agent has not: %v", key, s)
	}
	b.collector.checkMetrics(t, ofNewRelic)
}

// movesTwice are series that change before the report in the middle and after it.
var movesTwice = []string{
	"websocket.connections.opened http_route=/ws",
	"websocket.messages.received http_route=/ws", "websocket.messages.sent http_route=/ws",
	"websocket.bytes.received http_route=/ws", "websocket.bytes.sent http_route=/ws",
	"websocket.connections.closed http_route=/ws websocket_close_cause=normal",
}

func checkSeries(t *testing.T, key string, m *apmws.Metric, got series) {
	t.Helper()
	switch m.Kind {
	case apmws.GaugeMetric:
		most := 2.0 // connections at once, and nothing in a queue
		if m.Name == "websocket.send_queue.messages" {
			most = 0
		}
		if !slices.Contains(got.values, most) || got.values[len(got.values)-1] != float64(m.Value) {
			t.Errorf("Elastic's %s is %v, want %v and %d in the end", key, got.values, most, m.Value)
		}
	case apmws.CounterMetric:
		sum, moves := 0.0, 0
		for _, delta := range got.values {
			sum += delta
			if delta != 0 {
				moves++
			}
		}
		if sum != float64(m.Value) || slices.Contains(movesTwice, key) && moves < 2 {
			t.Errorf("Elastic's %s is %v, want deltas of %d", key, got.values, m.Value)
		}
	case apmws.HistogramMetric:
		want := map[float64]float64{}
		for _, bucket := range m.Histogram.Buckets {
			want[bucket.Mid().Seconds()] = float64(bucket.Count)
		}
		if !maps.Equal(got.counts, want) {
			t.Errorf("Elastic's %s is %v, want %v", key, got.counts, want)
		}
	}
}

// inNewRelic is the name of a metric below Custom/WebSocket/.
func inNewRelic(m *apmws.Metric) string {
	labels := map[string]string{}
	for _, l := range m.Labels {
		labels[l.Name] = l.Value
	}
	switch m.Name {
	case "websocket.connections.active":
		return "Connections/Active"
	case "websocket.connections.opened":
		return "Connections/Opened"
	case "websocket.connections.refused":
		return "Connections/Refused/" + labels["websocket.refusal.reason"]
	case "websocket.connections.closed":
		return "Connections/Closed/" + labels["websocket.close.cause"]
	case "websocket.messages.received":
		return "Messages/Received"
	case "websocket.messages.sent":
		return "Messages/Sent"
	case "websocket.message.duration":
		return "Messages/Handled/" + labels["websocket.message.name"] + "/" + labels["event.outcome"]
	case "websocket.bytes.received":
		return "Bytes/Received"
	case "websocket.bytes.sent":
		return "Bytes/Sent"
	case "websocket.pings.unanswered":
		return "Pings/Unanswered"
	case "websocket.outbound.calls":
		return "Calls/" + labels["server.address"] + "/" + labels["websocket.message.name"]
	case "websocket.send_queue.messages":
		return "SendQueue/Messages"
	case "websocket.send_queue.dropped":
		return "SendQueue/Dropped"
	case "websocket.telemetry.dropped":
		return "Telemetry/Dropped/" + labels["exporter"] + "/" + labels["reason"]
	}
	return "" // New Relic's custom metrics are no histograms
}

// checkMetrics compares the custom metrics with the sums that they must come to,
// and the agent's own counts of messages with the number of those.
func (c *collector) checkMetrics(t *testing.T, want map[string]int64) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	const prefix = "Custom/WebSocket/"
	for name, total := range want {
		got := c.metrics[prefix+name]
		switch {
		case name == "Connections/Active":
			if got.count < 2 || got.most != 2 || got.least != 0 {
				t.Errorf("New Relic's %s is %+v, want 2 and then 0", name, got)
			}
		case got.total != float64(total):
			t.Errorf("New Relic's sum of %s is %v, want %d", name, got.total, total)
		}
	}
	for name, got := range c.metrics {
		if name, ours := strings.CutPrefix(name, prefix); ours {
			if _, known := want[name]; !known {
				t.Errorf("New Relic has the metric %s, which is not in the contract: %+v", name, got)
			}
		}
	}
	for name, n := range map[string]float64{
		"Connection/CONNECT /ws": 7, "Disconnection/DISCONNECT /ws": 4,
		"Message/chat.join": 4, "Message/chat.say": 5, "Message/broadcast chat.said": 4, "Message/billing.status": 1, "Message/_OTHER": 1,
	} {
		if got := c.metrics["OtherTransaction/Go/"+name].count; got != n {
			t.Errorf("New Relic has counted %v of %s, want %v", got, name, n)
		}
	}
}
