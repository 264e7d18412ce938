// Package dashboards holds ready dashboards for what apmws reports, and imports
// them into Kibana.
//
// [Kibana] is the file that Kibana's own import takes, [ImportKibana] imports it
// and explains what stands in the way. The command in dashboards/import does the
// same from a shell. [Grafana] is a dashboard for Grafana over Prometheus.
package dashboards

import _ "embed"

//go:embed kibana/apmws.ndjson
var kibanaFile string

// Kibana returns the dashboards for Kibana 8.12 and newer, 9.x included, with
// the data views and the saved searches that they need: saved objects, one JSON
// document a line, for the import of Kibana's Saved Objects page or for POST
// /api/saved_objects/_import. The caller owns the copy.
func Kibana() []byte { return []byte(kibanaFile) }

//go:embed grafana/apmws.json
var grafanaFile string

// Grafana returns the dashboard for Grafana over Prometheus: one JSON document, for
// Grafana's own import (Dashboards, New, Import), for a provisioned directory, or,
// as the field dashboard, for POST /api/dashboards/db. Its data source is a variable.
// The caller owns the copy.
func Grafana() []byte { return []byte(grafanaFile) }
