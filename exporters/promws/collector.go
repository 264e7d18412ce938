// Package promws gives an apmws agent's metrics to Prometheus:
//
//	registry := prometheus.NewRegistry()
//	registry.MustRegister(promws.New(agent))
//	http.Handle("/metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
//
// Every metric of apmws/TELEMETRY.md is there, spelled by Prometheus' rules
// (https://prometheus.io/docs/practices/naming/): underscores for dots, _seconds
// on histograms, _total on counters. So websocket.messages.received with
// http.route is websocket_messages_received_total with http_route, and
// websocket.message.duration is websocket_message_duration_seconds.
//
// Values are those of Agent.Stats at the moment of the scrape, to the event and
// the byte. A scrape costs what the agent has series, however many connections
// are open. Series without a label but http_route are there from the start, as 0;
// those with more labels from their first event on, which rate and increase do not
// see.
//
// Histograms are classic ones, whose bounds are powers of two microseconds, such as
// le="0.001024": bounds that the agent's own, finer buckets have too, so that no
// count is estimated. A duration that is equal to a bound to the nanosecond counts
// as above it. There are no native histograms, since the bounds of their schemas
// lie between those of the agent; Prometheus makes native ones with these bounds
// when convert_classic_histograms_to_nhcb is set
// (https://prometheus.io/docs/prometheus/latest/configuration/configuration/).
package promws

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/apmws/go-apmws/apmws"
)

// New returns a Collector that reads the agent's counters at each scrape. It
// registers nothing, starts nothing and keeps nothing between scrapes; any number
// may run at once, also after Agent.Shutdown. The agent must not be nil.
//
// A registry refuses a second agent's, since it could not tell their series apart.
// Give each a label of its own:
//
//	prometheus.WrapRegistererWith(prometheus.Labels{"agent": "chat"}, registry).MustRegister(promws.New(chat))
func New(agent *apmws.Agent) prometheus.Collector {
	return newCollector(agent.Stats)
}

// collector is not changed once it is made.
type collector struct {
	stats func() apmws.Stats
	// descs are those of every metric, by its name in the contract.
	descs map[string]*prometheus.Desc
}

func newCollector(stats func() apmws.Stats) *collector {
	c := &collector{stats: stats, descs: map[string]*prometheus.Desc{}}
	for m := range everyMetric() {
		c.descs[m.Name] = newDesc(&m)
	}
	return c
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	for _, desc := range c.descs {
		out <- desc
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	stats := c.stats()
	stats.Dropped = addedUp(stats.Dropped)
	for m := range stats.Metrics() {
		desc := c.descs[m.Name]
		if desc == nil { // of an agent that is newer than this package
			desc = newDesc(&m)
		}
		out <- newMetric(desc, &m)
	}
}

func newMetric(desc *prometheus.Desc, m *apmws.Metric) prometheus.Metric {
	values := make([]string, len(m.Labels))
	for i, l := range m.Labels {
		values[i] = l.Value
		if !utf8.ValidString(l.Value) { // a route, which must not cost the whole scrape
			values[i] = strings.Trim(strconv.QuoteToASCII(l.Value), `"`) // and no two of them become one
		}
	}
	var made prometheus.Metric
	var err error
	switch m.Kind {
	case apmws.HistogramMetric:
		h := &m.Histogram
		made, err = prometheus.NewConstHistogram(desc, h.Count, h.Sum.Seconds(), cumulative(m), values...)
	case apmws.GaugeMetric:
		made, err = prometheus.NewConstMetric(desc, prometheus.GaugeValue, float64(m.Value), values...)
	default:
		made, err = prometheus.NewConstMetric(desc, prometheus.CounterValue, float64(m.Value), values...)
	}
	if err != nil {
		return prometheus.NewInvalidMetric(desc, err)
	}
	return made
}

// addedUp returns what was given up once for each exporter and reason, which an
// exporter may have more than once: of a series that is there twice a registry
// makes an error, and nothing else would be scraped either.
func addedUp(all []apmws.Dropped) []apmws.Dropped {
	var once []apmws.Dropped
	place := map[apmws.Dropped]int{} // by exporter and reason
	for _, d := range all {
		key := apmws.Dropped{Exporter: d.Exporter, Reason: d.Reason}
		i, ok := place[key]
		if !ok {
			i = len(once)
			place[key], once = i, append(once, key)
		}
		once[i].Count += d.Count
	}
	return once
}
