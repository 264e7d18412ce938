package wire

import (
	"maps"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/apmws/go-apmws/apmws"
	"github.com/apmws/go-apmws/exporters/wire/intake"
	"github.com/apmws/go-apmws/exporters/wire/life"
)

// grain is that of the back ends' clocks. What is the same event in several places
// is off by no more.
const grain = 2 * time.Microsecond

func seconds(s float64) time.Duration { return time.Duration(math.Round(s * 1e9)) }

func micros(us float64) time.Duration { return time.Duration(us) * time.Microsecond }

// near reports whether two durations are the same but for the grain.
func near(a, b time.Duration) bool { return max(a-b, b-a) <= grain }

// TestTimes: golden files show no times, so this compares those of the same event in
// all places: transactions, log lines, attributes, histograms.
func TestTimes(t *testing.T) {
	r := recorded(t, setup{})
	connects, ends := map[string]intake.Document{}, map[string]intake.Document{}
	transactions := map[string]intake.Document{}
	for _, d := range r.Documents {
		if d.Text("processor.event") != "transaction" {
			continue
		}
		id := d.Text("labels.websocket_connection_id")
		transactions[d.Text("transaction.id")] = d
		switch d.Text("transaction.type") {
		case "Connection":
			connects[id] = d
		case "Disconnection":
			ends[id] = d
		}
	}
	lines := map[string][]life.Line{}
	for _, line := range r.Story.Lines {
		lines[line.Str("event.action")] = append(lines[line.Str("event.action")], line)
	}
	took := func(line life.Line) time.Duration {
		ns, ok := line["event.duration"].(float64)
		if !ok || ns != math.Trunc(ns) {
			t.Errorf("no whole nanoseconds: %v", line)
		}
		return time.Duration(ns)
	}

	for _, line := range slices.Concat(lines["websocket-connected"], lines["websocket-refused"]) {
		tx := connects[line.Str(lineConnection)]
		if d := micros(tx.Number("transaction.duration.us")); !near(d, took(line)) {
			t.Errorf("%s takes %v in Elastic, %v in the log", tx.Text("transaction.name"), d, took(line))
		}
	}
	for _, line := range lines["websocket-message"] {
		tx := transactions[line.Str(lineTransaction)]
		if d := micros(tx.Number("transaction.duration.us")); !near(d, took(line)) {
			t.Errorf("%s takes %v in Elastic, %v in the log", tx.Text("transaction.name"), d, took(line))
		}
	}
	lasted := map[string]time.Duration{}
	for _, line := range lines["websocket-disconnected"] {
		id := line.Str(lineConnection)
		d := seconds(ends[id].Number("numeric_labels.websocket_connection_duration"))
		if lasted[id] = d; !near(d, took(line)) {
			t.Errorf("a connection lasts %v in Elastic, %v in the log", d, took(line))
		}
		// Of two readings of the clock, which may have been set in between.
		between := micros(ends[id].Number("timestamp.us") - connects[id].Number("timestamp.us"))
		if off := between - d; max(off, -off) > time.Second/10 {
			t.Errorf("a connection lasts %v, its end comes %v after its handshake", d, between)
		}
	}
	if len(lasted) != len(r.Story.Connections) || len(lines["websocket-message"]) == 0 {
		t.Errorf("%d ends and %d messages are compared", len(lasted), len(lines["websocket-message"]))
	}
	for _, tx := range r.Harvest.Transactions {
		id := text(tx.User["websocket.connection.id"])
		if d, ok := tx.User["websocket.connection.duration"].(float64); ok && !near(seconds(d), lasted[id]) {
			t.Errorf("a connection lasts %v in New Relic, %v in Elastic", seconds(d), lasted[id])
		}
	}
	r.checkSlow(t, transactions)
	r.checkOrder(t, transactions)
	r.checkHistograms(t, ends, lasted)
}

// checkSlow looks at the one message of which the script knows how long it took.
func (r *Recording) checkSlow(t *testing.T, transactions map[string]intake.Document) {
	t.Helper()
	var elastic, newRelic time.Duration
	for _, tx := range transactions {
		if tx.Text("transaction.name") == "feed.slow" {
			elastic = micros(tx.Number("transaction.duration.us"))
		}
	}
	for _, tx := range r.Harvest.Transactions {
		if shortName(tx.Name()) == "feed.slow" {
			s, _ := tx.User["websocket.message.duration"].(float64)
			newRelic = seconds(s)
		}
	}
	if elastic < life.SlowFrom || elastic > life.Patience || !near(elastic, newRelic) {
		t.Errorf("the slow message takes %v in Elastic, %v in New Relic, want %v at least", elastic, newRelic, life.SlowFrom)
	}
	for _, m := range r.Story.Stats[1].Routes[0].Messages {
		if m.Name == "feed.slow" && !near(m.Duration.Sum, elastic) {
			t.Errorf("the slow message takes %v in Elastic, the agent has counted %v", elastic, m.Duration.Sum)
		}
	}
}

// checkOrder: no span begins before its transaction, and errors happen at its end.
// That spans end before is not certain, since what exporters take to start a message
// is not counted.
func (r *Recording) checkOrder(t *testing.T, transactions map[string]intake.Document) {
	t.Helper()
	for _, d := range r.Documents {
		tx := transactions[d.Text("transaction.id")]
		after := micros(d.Number("timestamp.us") - tx.Number("timestamp.us"))
		switch d.Text("processor.event") {
		case "span":
			if after < 0 {
				t.Errorf("the span %s begins %v before %s", d.Text("span.name"), -after, tx.Text("transaction.name"))
			}
		case "error":
			if lasts := micros(tx.Number("transaction.duration.us")); !near(after, lasts) {
				t.Errorf("the error of %s comes %v after it has begun, want %v", tx.Text("transaction.name"), after, lasts)
			}
		}
	}
}

// checkHistograms: Elastic has the agents' buckets, in seconds, and those hold what
// is told of single connections.
func (r *Recording) checkHistograms(t *testing.T, ends map[string]intake.Document, lasted map[string]time.Duration) {
	t.Helper()
	got, want := map[string]map[float64]float64{}, map[string]map[float64]float64{}
	for _, d := range r.Documents {
		var labels []apmws.Label
		for field, value := range d {
			if isLabel(field) {
				labels = append(labels, apmws.Label{Name: field[len("labels."):], Value: text(value)})
			}
		}
		for field, value := range d {
			histogram, ok := value.(map[string]any)
			if !ok || d.Text("data_stream.dataset") != "apm.app.shop" {
				continue
			}
			values, _ := histogram["values"].([]any)
			counts, _ := histogram["counts"].([]any)
			key := seriesKey(field, labels)
			if got[key] == nil {
				got[key] = map[float64]float64{}
			}
			for i := range values {
				got[key][values[i].(float64)] += counts[i].(float64)
			}
		}
	}
	within := func(h apmws.Histogram, d time.Duration) bool {
		return slices.ContainsFunc(h.Buckets, func(b apmws.Bucket) bool { return b.Lower-grain <= d && d <= b.Upper+grain })
	}
	rtts := 0
	for _, stats := range r.Story.Stats {
		for m := range stats.Metrics() {
			if m.Kind != apmws.HistogramMetric || m.Histogram.Count == 0 {
				continue
			}
			buckets := map[float64]float64{}
			for _, b := range m.Histogram.Buckets {
				buckets[b.Mid().Seconds()] = float64(b.Count)
			}
			want[seriesKey(m.Name, m.Labels)] = buckets
		}
		for _, route := range stats.Routes {
			for id, d := range lasted {
				if ends[id].Text("labels.http_route") != route.Route {
					continue
				}
				if !within(route.ConnectionDuration, d) {
					t.Errorf("no bucket of %s has a connection of %v", route.Route, d)
				}
				if rtt, ok := ends[id]["numeric_labels.websocket_ping_rtt"].(float64); ok {
					if rtts++; !within(route.PingRTT, seconds(rtt)) {
						t.Errorf("no bucket of %s has a ping of %v", route.Route, seconds(rtt))
					}
				}
			}
		}
	}
	if rtts == 0 {
		t.Error("nobody has answered a ping")
	}
	if !maps.EqualFunc(got, want, maps.Equal[map[float64]float64, map[float64]float64]) {
		t.Errorf("Elastic has the histograms\n%v\nwant\n%v", got, want)
	}
}
