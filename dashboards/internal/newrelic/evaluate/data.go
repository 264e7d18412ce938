// Package evaluate answers queries from what New Relic's agent has sent.
//
// It knows the part of the language that package nrql reads, but for time: SINCE, UNTIL
// and COMPARE WITH are not looked at, a time series is one bucket, and Window is the
// time that all data is taken to be from. Where it guesses what New Relic does, a
// comment says so.
package evaluate

import (
	"maps"
	"time"

	"github.com/apmws/go-apmws/exporters/wire/collector"
)

// Window is how long all data took to happen, for rates.
const Window = time.Minute

// value is the metric that stands for all timeslice metrics.
const value = "newrelic.timeslice.value"

// row is an event, or a metric: its attributes. Values are string, float64, bool, or
// collector.Values for newrelic.timeslice.value.
type row map[string]any

// Data is what queries are answered from. It may be used at the same time by several.
type Data struct{ rows map[string][]row }

// Of returns the data that New Relic would have. It adds what New Relic itself adds to
// each event and metric, the application's name and the host.
func Of(h collector.Harvest) *Data {
	d := &Data{make(map[string][]row)}
	for name, events := range map[string][]collector.Event{
		"Transaction": h.Transactions, "TransactionError": h.Errors, "Span": h.Spans,
	} {
		for _, event := range events {
			r := row{}
			maps.Copy(r, event.Agent)
			maps.Copy(r, event.User)
			maps.Copy(r, event.Intrinsics)
			d.add(name, r)
		}
	}
	for metric, values := range h.Metrics {
		r := row{"metricTimesliceName": metric.Name, value: values}
		if metric.Scope != "" {
			r["scope"] = metric.Scope
		}
		d.add("Metric", r)
	}
	return d
}

func (d *Data) add(from string, r row) {
	r["appName"], r["host"] = collector.AppName, "host-1"
	d.rows[from] = append(d.rows[from], r)
}

// Has tells whether any event, or metric, of the type has the attribute.
func (d *Data) Has(from, attribute string) bool {
	for _, r := range d.rows[from] {
		if r[attribute] != nil {
			return true
		}
	}
	return false
}
