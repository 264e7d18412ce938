package elasticws

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"go.elastic.co/apm/v2"

	"github.com/apmws/go-apmws/apmws"
	"github.com/apmws/go-apmws/apmws/semconv"
)

// series is a time series and what has been reported of it.
type series struct {
	labels    []apm.MetricLabel // sorted by name
	base      bool              // has no label but the route
	value     int64
	histogram apmws.Histogram
}

// metricsWriter is an *apm.Metrics.
type metricsWriter interface {
	Add(name string, labels []apm.MetricLabel, value float64)
	AddHistogram(name string, labels []apm.MetricLabel, values []float64, counts []uint64)
}

// gather is an apm.GatherMetricsFunc.
func (e *Exporter) gather(_ context.Context, out *apm.Metrics) error {
	e.reportTo(out)
	return nil
}

// reportTo reports what has happened since the last report. Calls that overlap
// must not report the same, hence the lock.
func (e *Exporter) reportTo(out metricsWriter) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.agent == nil {
		return
	}
	if e.last != nil {
		close(e.last)
		e.agent, e.last = nil, nil
		return
	}
	for m := range e.agent.Stats().Metrics() {
		s := e.seriesOf(&m)
		s.report(&m, out)
		if m.Name == semconv.ConnectionsActive {
			s.introduce(out)
		}
	}
	e.gathers++
}

// seriesOf returns the series of a metric. There are as many as the agent has,
// which are bounded.
func (e *Exporter) seriesOf(m *apmws.Metric) *series {
	var key strings.Builder
	key.WriteString(m.Name)
	for _, l := range m.Labels {
		key.WriteByte(0)
		key.WriteString(l.Name)
		key.WriteByte(0)
		key.WriteString(l.Value)
	}
	if s := e.series[key.String()]; s != nil {
		return s
	}
	s := &series{base: true}
	for _, l := range m.Labels {
		s.base = s.base && l.Name == semconv.Route
		s.labels = append(s.labels, apm.MetricLabel{Name: strings.ReplaceAll(l.Name, ".", "_"), Value: l.Value})
	}
	// The tracer tells sets of labels apart by their order.
	slices.SortFunc(s.labels, func(a, b apm.MetricLabel) int { return cmp.Compare(a.Name, b.Name) })
	e.series[key.String()] = s
	return s
}

// report adds what has happened since the last report.
func (s *series) report(m *apmws.Metric, out metricsWriter) {
	switch m.Kind {
	case apmws.GaugeMetric:
		out.Add(m.Name, s.labels, float64(m.Value))
	case apmws.CounterMetric:
		delta := m.Value - s.value
		s.value = m.Value
		if delta != 0 || s.base {
			out.Add(m.Name, s.labels, float64(delta))
		}
	case apmws.HistogramMetric:
		delta := m.Histogram.Sub(s.histogram)
		s.histogram = m.Histogram
		// Without values the tracer would send a 0 that was never measured.
		if delta.Count != 0 {
			values, counts := distribution(delta)
			out.AddHistogram(m.Name, s.labels, values, counts)
			if m.Name == semconv.MessageDuration {
				// Kibana can show a histogram's percentiles, but not how many it counts.
				out.Add(semconv.MessagesHandled, s.labels, float64(delta.Count))
			}
		}
	}
}

// introduce reports a 0 of each counter that has more labels than the route, which
// the series has alone. Otherwise Elasticsearch would not know the field before the
// first refusal, say, and a chart that computes with it would show an error.
func (s *series) introduce(out metricsWriter) {
	for _, name := range []string{
		semconv.ConnectionsRefused, semconv.ConnectionsClosed, semconv.MessagesHandled, semconv.OutboundCalls,
	} {
		out.Add(name, s.labels, 0)
	}
}

// distribution returns the middle of each bucket, in seconds and ascending, and
// its count. The tracer keeps the slices.
func distribution(h apmws.Histogram) (values []float64, counts []uint64) {
	values = make([]float64, 0, len(h.Buckets))
	counts = make([]uint64, 0, len(h.Buckets))
	for _, b := range h.Buckets {
		values = append(values, b.Mid().Seconds())
		counts = append(counts, b.Count)
	}
	return values, counts
}
