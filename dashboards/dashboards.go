// Package dashboards holds ready dashboards for what apmws reports, and imports
// them into Kibana.
//
// [Kibana] is the file that Kibana's own import takes, [ImportKibana] imports it
// and explains what stands in the way. The command in dashboards/import does the
// same from a shell.
package dashboards

import _ "embed"

//go:embed kibana/apmws.ndjson
var kibanaFile string

// Kibana returns the dashboards for Kibana 8.12 and newer, 9.x included, with
// the data views and the saved searches that they need: saved objects, one JSON
// document a line, for the import of Kibana's Saved Objects page or for POST
// /api/saved_objects/_import. The caller owns the copy.
func Kibana() []byte { return []byte(kibanaFile) }
