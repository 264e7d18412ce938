package wire

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/apmws/go-apmws/apmws"
	"github.com/apmws/go-apmws/apmws/semconv"
	"github.com/apmws/go-apmws/exporters/wire/collector"
	"github.com/apmws/go-apmws/exporters/wire/life"
)

// TestNumbers: what the story says is what the agents counted, and what each back end
// gets if it adds its reports up.
func TestNumbers(t *testing.T) {
	r := recorded(t, setup{})
	due := told(r.Story)
	elastic, inElastic := map[string]float64{}, r.elasticSums()
	newRelic := map[string]float64{}
	for _, stats := range r.Story.Stats {
		for m := range stats.Metrics() {
			total := float64(m.Value)
			if m.Kind == apmws.HistogramMetric {
				total = float64(m.Histogram.Count)
			}
			key := seriesKey(m.Name, m.Labels)
			if want, known := due[key]; known && total != want {
				t.Errorf("the agent has counted %s to %v, want %v", key, total, want)
			} else if !known && total != 0 && m.Name != semconv.WriteDuration {
				t.Errorf("the agent has counted %s to %v, of which the story does not tell", key, total)
			}
			delete(due, key)
			elastic[key] += total
			if m.Name == semconv.ConnectionsActive { // beside which Elastic gets to know fields
				for _, name := range []string{
					semconv.ConnectionsRefused, semconv.ConnectionsClosed, semconv.MessagesHandled, semconv.OutboundCalls,
				} {
					elastic[seriesKey(name, m.Labels)] += 0
				}
			}
			if m.Name == semconv.MessageDuration { // whose count Elastic has a counter for, too
				elastic[seriesKey(semconv.MessagesHandled, m.Labels)] += total
			}
			if name := inNewRelic(&m); name != "" {
				newRelic[name] += total
			}
		}
	}
	for key, total := range due {
		t.Errorf("the agent has not counted %s, want %v", key, total)
	}
	for _, key := range slices.Sorted(maps.Keys(elastic)) {
		if got := inElastic[key]; got != elastic[key] {
			t.Errorf("Elastic's reports of %s come to %v, want %v", key, got, elastic[key])
		}
		delete(inElastic, key)
	}
	for key, sum := range inElastic {
		t.Errorf("Elastic has %s, which the agents have not: %v", key, sum)
	}
	for name, v := range r.Harvest.Metrics {
		short, ours := strings.CutPrefix(name.Name, "Custom/WebSocket/")
		if !ours {
			continue
		}
		got := v.Total
		if short == "Connections/Active" || short == "SendQueue/Messages" {
			got = v.Min // there are two exporters, each with a gauge; both come back to 0
		}
		if want, known := newRelic[short]; !known || got != want {
			t.Errorf("New Relic's reports of %s come to %v, want %v (%v)", short, got, want, known)
		}
		delete(newRelic, short)
	}
	for name, total := range newRelic {
		if total != 0 {
			t.Errorf("New Relic has no %s, want %v", name, total)
		}
	}
	// Without this the sums above could all have come in one report.
	if v := r.Harvest.Metrics[metricNamed("Custom/WebSocket/Connections/Active")]; v.Max != 2 || v.Min != 0 {
		t.Errorf("New Relic's gauge was between %v and %v, want 0 and 2", v.Min, v.Max)
	}
}

// told is what the metrics of the contract come to by the story.
func told(story *life.Story) map[string]float64 {
	due := map[string]float64{}
	add := func(n int64, name string, labels ...string) {
		var l []apmws.Label
		for i := 0; i < len(labels); i += 2 {
			l = append(l, apmws.Label{Name: labels[i], Value: labels[i+1]})
		}
		due[seriesKey(name, l)] += float64(n)
	}
	for _, c := range story.Connections {
		route := []string{semconv.Route, c.Route}
		add(0, semconv.ConnectionsActive, route...)
		add(1, semconv.ConnectionsOpened, route...)
		add(1, semconv.ConnectionDuration, route...)
		add(1, semconv.ConnectionsClosed, semconv.Route, c.Route, semconv.CloseCause, string(c.Cause))
		add(c.MessagesReceived, semconv.MessagesReceived, route...)
		add(c.MessagesSent, semconv.MessagesSent, route...)
		add(c.BytesReceived, semconv.BytesReceived, route...)
		add(c.BytesSent, semconv.BytesSent, route...)
		add(c.PingsAnswered, semconv.PingRTT, route...)
		add(c.PingsUnanswered, semconv.PingsUnanswered, route...)
		add(0, semconv.SendQueueMessages, route...)
		add(c.QueueDropped, semconv.SendQueueDropped, route...)
	}
	for _, r := range story.Refusals {
		status := semconv.None
		if r.Status != 0 {
			status = fmt.Sprint(r.Status)
		}
		add(1, semconv.ConnectionsRefused, semconv.Route, r.Route, semconv.StatusCode, status, semconv.RefusalReason, r.Reason)
	}
	for _, m := range story.Messages {
		outcome := string(apmws.OutcomeSuccess)
		if m.Result != "ok" {
			outcome = string(apmws.OutcomeFailure)
		}
		add(1, semconv.MessageDuration, semconv.Route, m.Route, semconv.MessageName, m.Name, semconv.EventOutcome, outcome)
	}
	for _, c := range story.Calls {
		add(1, semconv.OutboundCalls, semconv.Route, c.Route, semconv.MessageName, c.Name, semconv.ServerAddress, c.Address)
	}
	add(story.Malformed, semconv.TelemetryDropped,
		semconv.TelemetryDropExporter, "apmws", semconv.TelemetryDropReason, "malformed_trace_context")
	return due
}

// seriesKey names a series by its labels, as Elastic spells those.
func seriesKey(name string, labels []apmws.Label) string {
	fields := make([]string, 0, len(labels))
	for _, l := range labels {
		fields = append(fields, strings.ReplaceAll(l.Name, ".", "_")+"="+l.Value)
	}
	slices.Sort(fields)
	return name + " " + strings.Join(fields, " ")
}

// elasticSums adds the reports in Elastic's documents up; of a gauge the last counts.
func (r *Recording) elasticSums() map[string]float64 {
	sums := map[string]float64{}
	for _, d := range r.elasticMetrics() {
		var labels []apmws.Label
		for field, value := range d {
			if label, ok := strings.CutPrefix(field, "labels."); ok {
				labels = append(labels, apmws.Label{Name: label, Value: text(value)})
			}
		}
		for _, field := range []string{"sum", "number of values", "last"} {
			if n, ok := d[field].(float64); ok {
				sums[seriesKey(text(d["metric"]), labels)] = n
			}
		}
	}
	return sums
}

func metricNamed(name string) collector.Metric { return collector.Metric{Name: name} }

// inNewRelic is the name of a metric below Custom/WebSocket/, or nothing where New
// Relic has none.
func inNewRelic(m *apmws.Metric) string {
	labels := map[string]string{}
	for _, l := range m.Labels {
		labels[l.Name] = l.Value
	}
	switch m.Name {
	case semconv.ConnectionsActive:
		return "Connections/Active"
	case semconv.ConnectionsOpened:
		return "Connections/Opened"
	case semconv.ConnectionsRefused:
		return "Connections/Refused/" + labels[semconv.RefusalReason]
	case semconv.ConnectionsClosed:
		return "Connections/Closed/" + labels[semconv.CloseCause]
	case semconv.MessagesReceived:
		return "Messages/Received"
	case semconv.MessagesSent:
		return "Messages/Sent"
	case semconv.MessageDuration:
		return "Messages/Handled/" + labels[semconv.MessageName] + "/" + labels[semconv.EventOutcome]
	case semconv.BytesReceived:
		return "Bytes/Received"
	case semconv.BytesSent:
		return "Bytes/Sent"
	case semconv.PingsUnanswered:
		return "Pings/Unanswered"
	case semconv.SendQueueMessages:
		return "SendQueue/Messages"
	case semconv.SendQueueDropped:
		return "SendQueue/Dropped"
	case semconv.OutboundCalls:
		return "Calls/" + labels[semconv.ServerAddress] + "/" + labels[semconv.MessageName]
	case semconv.TelemetryDropped:
		return "Telemetry/Dropped/" + labels[semconv.TelemetryDropExporter] + "/" + labels[semconv.TelemetryDropReason]
	}
	return "" // histograms
}
