package intake_test

import (
	"testing"

	"github.com/apmws/go-apmws/exporters/wire/intake"
)

// TestFieldType: types by stream and field, as the templates have them.
func TestFieldType(t *testing.T) {
	const (
		traces      = "traces-apm-default"
		errors      = "logs-apm.error-default"
		app         = "metrics-apm.app.chat_gateway-default"
		internal    = "metrics-apm.internal-default"
		transaction = "metrics-apm.transaction.1m-default"
		destination = "metrics-apm.service_destination.1m-default"
	)
	for _, test := range []struct{ stream, field, want string }{
		{traces, "@timestamp", "date"},
		{traces, "transaction.type", "keyword"},
		{traces, "transaction.name", "keyword"},
		{traces, "transaction.duration.us", "long"},
		{traces, "transaction.duration.histogram", ""},
		{traces, "transaction.representative_count", "scaled_float"},
		{traces, "transaction.custom.note.deep", intake.Unmapped},
		{traces, "transaction.sampled", "boolean"},
		{traces, "event.success_count", "byte"},
		{traces, "processor.event", "keyword"},
		{traces, "span.links.trace.id", "keyword"},
		{traces, "url.path", "wildcard"},
		{traces, "url.full", "wildcard"},
		{traces, "client.ip", "ip"},
		{traces, "user_agent.original", "keyword"},
		{traces, "http.response.status_code", "long"},
		{traces, "http.request.headers.User-Agent", "flattened"},
		{traces, "http.request.cookies.sid", intake.Unmapped},
		{traces, "span.stacktrace.function", intake.Unmapped},
		{traces, "labels.websocket_connection_id", "keyword"},
		{traces, "numeric_labels.websocket_message_length", "scaled_float"},
		{traces, "transaction.surprise", ""},
		{traces, "websocket.connections.active", ""},
		{traces, "labels", ""},
		{errors, "message", "match_only_text"},
		{errors, "error.exception.message", "match_only_text"},
		{errors, "error.exception.type", "keyword"},
		{errors, "error.exception.stacktrace.line.number", intake.Unmapped},
		{errors, "error.grouping_name", "keyword"},
		{errors, "processor.event", "constant_keyword"},
		{app, "processor.event", "constant_keyword"},
		{app, "labels.http_route", "keyword"},
		{app, "golang.goroutines", "double"},
		{app, "websocket.connections.active", ""},
		{internal, "golang.goroutines", "double"},
		{internal, "system.process.memory.rss.bytes", "double"},
		{internal, "span.self_time.sum.us", "long"},
		{internal, "event.success_count", ""},
		{transaction, "transaction.duration.histogram", "histogram"},
		{transaction, "transaction.duration.summary", "aggregate_metric_double"},
		{transaction, "transaction.duration.us", ""},
		{transaction, "event.success_count", "aggregate_metric_double"},
		{transaction, "metricset.interval", "keyword"},
		{transaction, "metricset.name", "constant_keyword"},
		{transaction, "_doc_count", "_doc_count"},
		{destination, "span.destination.service.response_time.sum.us", "long"},
		{destination, "service.target.name", "keyword"},
		{destination, "metricset.interval", "constant_keyword"},
	} {
		typ, ok := intake.FieldType(test.stream, test.field)
		if typ != test.want || ok != (test.want != "") {
			t.Errorf("%s %s is %q, %t, want %q", test.stream, test.field, typ, ok, test.want)
		}
	}
}

// TestLabelTraps: label names that ECS has other plans for.
func TestLabelTraps(t *testing.T) {
	for name, want := range map[string]string{
		"message": "match_only_text", "client_ip": "ip", "ip": "ip", "first_timestamp": "date", "timestamp": "date",
		"created": "date", "start": "date", "end": "date", "apdex_score": "float", "apdex_score_max": "float",
		"location": "geo_point", "stack_trace": "wildcard", "message_id": "wildcard", "structured_data": "flattened",
		// These only look like traps.
		"restart": "keyword", "websocket_start": "keyword", "messages": "keyword", "ship": "keyword", "name": "keyword",
		"websocket_close_reason": "keyword", "score": "keyword", "relocation": "keyword",
	} {
		if typ, ok := intake.FieldType("traces-apm-default", "labels."+name); typ != want || !ok {
			t.Errorf("labels.%s is %q, %t, want %q", name, typ, ok, want)
		}
		if typ, ok := intake.FieldType("traces-apm-default", "numeric_labels."+name); typ != "scaled_float" || !ok {
			t.Errorf("numeric_labels.%s is %q, %t", name, typ, ok)
		}
	}
}

// TestAggregatable: types that dashboards can work with.
func TestAggregatable(t *testing.T) {
	for typ, want := range map[string]bool{
		"keyword": true, "constant_keyword": true, "wildcard": true, "ip": true, "long": true, "scaled_float": true, "double": true,
		"histogram": true, "aggregate_metric_double": true, "date": true, "boolean": true, "flattened": true,
		"text": false, "match_only_text": false, intake.Unmapped: false, "_doc_count": false, "": false,
	} {
		if intake.Aggregatable(typ) != want {
			t.Errorf("%q: %t, want %t", typ, !want, want)
		}
	}
}
