// Package intake stands in for an APM Server and for the ingest pipelines of
// Elasticsearch behind it.
//
// What an Elastic agent sends is decoded by Elastic's own intake decoder
// (github.com/elastic/apm-data), rewritten as Elasticsearch 9's built-in pipelines
// for traces-apm*, metrics-apm* and logs-apm* rewrite it, and kept flat: a field's
// dotted name and its value. [FieldType] tells how Elasticsearch maps a field.
//
// What it leaves out: the pipelines' geoip and user_agent processors
// (user_agent.original is as it came), what APM Server says of itself
// (observer.*, ecs.version), and tail sampling. What APM Server derives from
// transactions is simplified, see [Server.Aggregates].
package intake
