package apmws

import (
	"cmp"
	"iter"
	"slices"
	"strconv"

	"github.com/apmws/go-apmws/apmws/semconv"
)

// MetricKind says how a Metric's values combine over time.
type MetricKind uint8

// Metric kinds.
const (
	CounterMetric   MetricKind = iota // cumulative since New, in Value
	GaugeMetric                       // the value now, in Value
	HistogramMetric                   // cumulative since New, in Histogram
)

// Metric is one time series of a snapshot, under its name in the contract.
type Metric struct {
	Name      string
	Kind      MetricKind
	Labels    []Label // sorted by name; all values are bounded
	Value     int64
	Histogram Histogram
}

// Label is a dimension of a Metric.
type Label struct{ Name, Value string }

// Metrics lists the snapshot as time series, so that exporters need not know
// each field. A series that has appeared once appears in every later snapshot of
// the same agent.
func (s Stats) Metrics() iter.Seq[Metric] {
	return func(yield func(Metric) bool) {
		for i := range s.Routes {
			if !s.Routes[i].metrics(yield) {
				return
			}
		}
		for _, d := range s.Dropped {
			if !yield(Metric{Name: semconv.TelemetryDropped, Value: d.Count, Labels: labels(
				Label{semconv.TelemetryDropExporter, d.Exporter}, Label{semconv.TelemetryDropReason, d.Reason},
			)}) {
				return
			}
		}
	}
}

func (r *RouteStats) metrics(yield func(Metric) bool) bool {
	route := Label{semconv.Route, r.Route}
	base := []Label{route}
	for _, m := range []Metric{
		{Name: semconv.ConnectionsActive, Kind: GaugeMetric, Value: r.ConnectionsActive},
		{Name: semconv.ConnectionsOpened, Value: r.ConnectionsOpened},
		{Name: semconv.MessagesReceived, Value: r.MessagesReceived},
		{Name: semconv.MessagesSent, Value: r.MessagesSent},
		{Name: semconv.BytesReceived, Value: r.BytesReceived},
		{Name: semconv.BytesSent, Value: r.BytesSent},
		{Name: semconv.PingsUnanswered, Value: r.PingsUnanswered},
		{Name: semconv.SendQueueMessages, Kind: GaugeMetric, Value: r.SendQueueMessages},
		{Name: semconv.SendQueueDropped, Value: r.SendQueueDropped},
		{Name: semconv.ConnectionDuration, Kind: HistogramMetric, Histogram: r.ConnectionDuration},
		{Name: semconv.PingRTT, Kind: HistogramMetric, Histogram: r.PingRTT},
		{Name: semconv.WriteDuration, Kind: HistogramMetric, Histogram: r.WriteDuration},
	} {
		m.Labels = base
		if !yield(m) {
			return false
		}
	}
	for _, x := range r.Refused {
		status := semconv.None
		if x.Status != 0 {
			status = strconv.Itoa(x.Status)
		}
		if !yield(Metric{Name: semconv.ConnectionsRefused, Value: x.Count, Labels: labels(
			route, Label{semconv.StatusCode, status}, Label{semconv.RefusalReason, x.Reason},
		)}) {
			return false
		}
	}
	for _, x := range r.Closed {
		if !yield(Metric{Name: semconv.ConnectionsClosed, Value: x.Count, Labels: labels(
			route, Label{semconv.CloseCause, string(x.Cause)},
		)}) {
			return false
		}
	}
	for _, x := range r.Messages {
		if !yield(Metric{Name: semconv.MessageDuration, Kind: HistogramMetric, Histogram: x.Duration, Labels: labels(
			route, Label{semconv.MessageName, x.Name}, Label{semconv.EventOutcome, string(x.Outcome)},
		)}) {
			return false
		}
	}
	for _, x := range r.Calls {
		if !yield(Metric{Name: semconv.OutboundCalls, Value: x.Count, Labels: labels(
			route, Label{semconv.MessageName, x.Name}, Label{semconv.ServerAddress, x.Address},
		)}) {
			return false
		}
	}
	return true
}

func labels(l ...Label) []Label {
	slices.SortFunc(l, func(a, b Label) int { return cmp.Compare(a.Name, b.Name) })
	return l
}
