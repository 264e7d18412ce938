// Package newrelic makes the dashboard for New Relic, dashboards/newrelic/apmws.json.
//
// What it queries are the names of apmws/TELEMETRY.md. Two kinds of data are at hand,
// and no query can mix them: timeslice metrics, which are exact but have no attributes,
// and events, which have attributes but are a sample when there are many. The titles
// tell the unit, and those of widgets over events say so in parentheses.
//
// The file is written with
//
//	go run ./dashboards/internal/generate
//
// and packages nrql, lint and evaluate below this one check it.
package newrelic
