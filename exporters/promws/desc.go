package promws

import (
	"iter"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/apmws/go-apmws/apmws"
	"github.com/apmws/go-apmws/apmws/semconv"
)

// everyMetric lists each metric of the contract, with its labels.
func everyMetric() iter.Seq[apmws.Metric] {
	return apmws.Stats{
		Routes: []apmws.RouteStats{{
			Refused: []apmws.RefusedStats{{}}, Closed: []apmws.ClosedStats{{}}, Messages: []apmws.MessageStats{{}},
			Calls: []apmws.CallStats{{}},
		}},
		Dropped: []apmws.Dropped{{}},
	}.Metrics()
}

// newDesc describes a metric; its labels are in the order of m.Labels.
func newDesc(m *apmws.Metric) *prometheus.Desc {
	labels := make([]string, len(m.Labels))
	for i, l := range m.Labels {
		labels[i] = underscored(l.Name)
	}
	return prometheus.NewDesc(nameOf(m), helpOf(m.Name), labels, nil)
}

// nameOf returns a metric's name in Prometheus. All histograms are of durations.
func nameOf(m *apmws.Metric) string {
	switch m.Kind {
	case apmws.HistogramMetric:
		return underscored(m.Name) + "_seconds"
	case apmws.CounterMetric:
		return underscored(m.Name) + "_total"
	default:
		return underscored(m.Name)
	}
}

func underscored(name string) string { return strings.ReplaceAll(name, ".", "_") }

// helpOf returns the HELP text of a metric, by its name in the contract.
func helpOf(name string) string {
	switch name {
	case semconv.ConnectionsActive:
		return "WebSocket connections that are open."
	case semconv.ConnectionsOpened:
		return "WebSocket connections that were opened."
	case semconv.ConnectionsRefused:
		return "WebSocket handshakes that were refused."
	case semconv.ConnectionsClosed:
		return "WebSocket connections that were closed, by cause."
	case semconv.ConnectionDuration:
		return "How long closed WebSocket connections were open."
	case semconv.MessagesReceived:
		return "WebSocket messages received."
	case semconv.MessagesSent:
		return "WebSocket messages sent."
	case semconv.BytesReceived:
		return "Payload of data frames received, in bytes as they passed on the wire."
	case semconv.BytesSent:
		return "Payload of data frames sent, in bytes as they passed on the wire."
	case semconv.MessageDuration:
		return "How long handling WebSocket messages took, by name and outcome."
	case semconv.PingRTT:
		return "Time from a WebSocket ping to its pong."
	case semconv.PingsUnanswered:
		return "WebSocket pings sent for which no pong came."
	case semconv.SendQueueMessages:
		return "WebSocket messages that wait in send queues."
	case semconv.SendQueueDropped:
		return "WebSocket messages that send queues gave up."
	case semconv.WriteDuration:
		return "Time blocked in writes to WebSocket peers."
	case semconv.OutboundCalls:
		return "HTTP requests made on behalf of WebSocket connections."
	case semconv.TelemetryDropped:
		return "Telemetry that was given up by an exporter or apmws itself, and failed requests to back ends."
	default:
		return noHelp
	}
}

// noHelp is that of metrics of an agent that is newer than this package.
const noHelp = "See apmws/TELEMETRY.md."
