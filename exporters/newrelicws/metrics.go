package newrelicws

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/apmws/go-apmws/apmws"
	"github.com/apmws/go-apmws/apmws/semconv"
)

// reportInterval: the agent sends metrics each minute, with the least, the
// greatest and the sum of what was reported in between. Six reports make the
// average and the peak of what is open now meaningful, and are cheap.
const reportInterval = 10 * time.Second

// maxMessageNames bounds the names that carry a message's name. The agent takes
// 2,000 names of all kinds in each minute, and drops what is beyond.
const maxMessageNames = 500

// maxCallNames bounds the names of outbound calls that carry a message's name,
// likewise; those beyond carry the host's, of which the agent has at most 101.
const maxCallNames = 300

// ErrNotConnected is returned by Flush and Shutdown when New Relic's agent is not
// connected, so that the counters could not be reported. Flush may be tried again;
// what Shutdown did not report is lost.
var ErrNotConnected = errors.New("newrelicws: the application is not connected to New Relic")

// sample is a value that is due.
type sample struct {
	name    string
	value   float64
	base    bool // has no label but the route
	counter bool
	total   int64 // of a counter
}

// report reports what has happened since the last report. A counter is taken as
// reported only when the agent was connected before and after: it drops what it
// gets in between without a word.
func (e *Exporter) report(ctx context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.agent == nil {
		return nil
	}
	if !e.connected() {
		return ErrNotConnected
	}
	samples := e.samples(e.agent.Stats())
	taken := 0
	for i := range samples {
		if ctx.Err() != nil {
			break
		}
		e.app.RecordCustomMetric(samples[i].name, samples[i].value) // may wait for the agent
		taken++
	}
	if !e.connected() {
		return ErrNotConnected
	}
	for i := range samples[:taken] {
		if samples[i].counter {
			e.reported[samples[i].name] = samples[i].total
		}
	}
	return ctx.Err()
}

// samples sums the agent's series by their names in New Relic, whose custom
// metrics have no labels. Those with no label but the route are reported even
// when nothing has happened.
func (e *Exporter) samples(stats apmws.Stats) []sample {
	var all []sample
	index := make(map[string]int)
	for m := range stats.Metrics() {
		name, base := e.metricName(&m)
		if name == "" {
			continue
		}
		i, known := index[name]
		if !known {
			i = len(all)
			index[name] = i
			all = append(all, sample{name: name, base: base, counter: m.Kind != apmws.GaugeMetric})
		}
		if m.Kind == apmws.HistogramMetric {
			all[i].total += int64(m.Histogram.Count)
		} else {
			all[i].total += m.Value
		}
		all[i].value = float64(all[i].total)
		if all[i].counter {
			all[i].value = float64(all[i].total - e.reported[name])
		}
	}
	return slices.DeleteFunc(all, func(s sample) bool { return s.value == 0 && !s.base })
}

// metricName returns a metric's name below Custom/, or nothing for those that have
// none.
func (e *Exporter) metricName(m *apmws.Metric) (name string, base bool) {
	switch m.Name {
	case semconv.ConnectionsActive:
		return "WebSocket/Connections/Active", true
	case semconv.ConnectionsOpened:
		return "WebSocket/Connections/Opened", true
	case semconv.ConnectionsRefused:
		return "WebSocket/Connections/Refused/" + label(m, semconv.RefusalReason), false
	case semconv.ConnectionsClosed:
		return "WebSocket/Connections/Closed/" + label(m, semconv.CloseCause), false
	case semconv.MessagesReceived:
		return "WebSocket/Messages/Received", true
	case semconv.MessagesSent:
		return "WebSocket/Messages/Sent", true
	case semconv.MessageDuration:
		return e.handledName(label(m, semconv.MessageName), label(m, semconv.EventOutcome)), false
	case semconv.BytesReceived:
		return "WebSocket/Bytes/Received", true
	case semconv.BytesSent:
		return "WebSocket/Bytes/Sent", true
	case semconv.PingsUnanswered:
		return "WebSocket/Pings/Unanswered", true
	case semconv.SendQueueMessages:
		return "WebSocket/SendQueue/Messages", true
	case semconv.SendQueueDropped:
		return "WebSocket/SendQueue/Dropped", true
	case semconv.OutboundCalls:
		return e.callName(label(m, semconv.ServerAddress), label(m, semconv.MessageName)), false
	case semconv.TelemetryDropped:
		return "WebSocket/Telemetry/Dropped/" + label(m, semconv.TelemetryDropExporter) + "/" +
			label(m, semconv.TelemetryDropReason), false
	default:
		return "", false
	}
}

// handledName is that of _OTHER once there are too many.
func (e *Exporter) handledName(message, outcome string) string {
	const prefix = "WebSocket/Messages/Handled/"
	name := prefix + cutAt(message, maxValue-len("Custom/"+prefix+"/"+outcome)) + "/" + outcome
	if e.known[name] {
		return name
	}
	if len(e.known) >= maxMessageNames {
		return prefix + semconv.Other + "/" + outcome
	}
	e.known[name] = true
	return name
}

// maxCallHost is how much of a host's name is in that of a metric, in bytes, so that
// there is room for a message's.
const maxCallHost = 120

// callName is that of _OTHER once there are too many. The host comes first, since a
// message's name may have slashes.
func (e *Exporter) callName(host, message string) string {
	prefix := "WebSocket/Calls/" + cutAt(host, maxCallHost) + "/"
	name := prefix + cutAt(message, maxValue-len("Custom/"+prefix))
	if e.calls[name] {
		return name
	}
	if len(e.calls) >= maxCallNames {
		return prefix + semconv.Other
	}
	e.calls[name] = true
	return name
}

func label(m *apmws.Metric, name string) string {
	for _, l := range m.Labels {
		if l.Name == name {
			return l.Value
		}
	}
	return semconv.Other
}
