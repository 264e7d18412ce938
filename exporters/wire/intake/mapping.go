package intake

import (
	"strings"

	"github.com/elastic/apm-data/model/modelprocessor"
)

// Unmapped is the type of what is stored but not indexed: members of objects that
// are mapped with dynamic: false.
const Unmapped = "unmapped"

// FieldType returns the type that Elasticsearch's built-in templates for APM data
// (apm@mappings, traces-apm@mappings, metrics-apm*@mappings,
// logs-apm.error@mappings, ecs@mappings) give a field of a data stream, such as
// traces-apm-default. A keyword with a text field beside it is a keyword. A label
// whose name has a meaning in ECS gets another type than keyword, for example
// labels.client_ip. Fields that are not known here are not ok, so that tests
// notice; Elasticsearch would map them dynamically.
//
// How an application's own metrics are mapped is told by their documents alone,
// see [Document.FieldType]; here they are not ok.
func FieldType(stream, field string) (typ string, ok bool) {
	if typ := ofStream(stream, field); typ != "" {
		return typ, true
	}
	if typ := ofAny(field); typ != "" {
		return typ, true
	}
	if strings.HasPrefix(field, "numeric_labels.") {
		return "scaled_float", true
	}
	if label, ok := strings.CutPrefix(field, "labels."); ok {
		return ofLabel(label), true
	}
	if isKeyword(field) {
		return "keyword", true
	}
	return "", false
}

// FieldType returns the type that a field of the document gets: that which
// [FieldType] tells, or, if the document holds metrics, that of the metric of this
// name, double or histogram.
func (d Document) FieldType(field string) (typ string, ok bool) {
	if typ, ok := FieldType(d.Stream(), field); ok {
		return typ, true
	}
	if !strings.HasPrefix(d.Stream(), "metrics-apm.app.") {
		return "", false
	}
	switch value := d[field].(type) {
	case float64:
		return "double", true
	case map[string]any:
		if _, ok := value["counts"]; ok {
			return "histogram", true
		}
		return "aggregate_metric_double", true
	}
	return "", false
}

// Aggregatable says whether values of that type can be split by, counted distinct,
// or summed up in a dashboard.
func Aggregatable(typ string) bool {
	switch typ {
	case "keyword", "constant_keyword", "counted_keyword", "wildcard", "flattened", "ip", "boolean", "date",
		"byte", "long", "float", "double", "scaled_float", "histogram", "aggregate_metric_double", "geo_point":
		return true
	}
	return false // text, match_only_text, unmapped, or nothing that is known
}

// ofStream is what the templates of single data streams say.
func ofStream(stream, field string) string {
	kind, _, _ := strings.Cut(stream, "-")
	switch kind {
	case "traces":
		return ofTraces(field)
	case "logs":
		if strings.HasPrefix(stream, "logs-apm.error-") && field == "processor.event" {
			return "constant_keyword"
		}
		return ofRequest(field)
	case "metrics":
		return ofMetrics(stream, field)
	}
	return ""
}

func ofTraces(field string) string {
	switch field {
	case "processor.event":
		return "keyword"
	case "data_stream.dataset":
		return "constant_keyword"
	case "event.success_count":
		return "byte"
	case "span.duration.us", "transaction.duration.us", "http.response.transfer_size",
		"http.response.encoded_body_size", "http.response.decoded_body_size":
		return "long"
	case "span.representative_count", "transaction.representative_count":
		return "scaled_float"
	case "transaction.profiler_stack_trace_ids":
		return "counted_keyword"
	}
	return ofRequest(field)
}

// ofRequest is about HTTP requests in traces and logs, and what belongs to them.
func ofRequest(field string) string {
	for _, object := range []string{"http.request.headers", "http.response.headers"} {
		if strings.HasPrefix(field, object+".") {
			return "flattened"
		}
	}
	for _, object := range []string{
		"http.request.cookies", "http.request.body", "span.stacktrace", "transaction.custom",
		"error.custom", "error.exception.attributes", "error.exception.stacktrace", "error.log.stacktrace",
	} {
		if strings.HasPrefix(field, object+".") {
			return Unmapped
		}
	}
	return ""
}

func ofMetrics(stream, field string) string {
	derived := strings.HasPrefix(stream, "metrics-apm.transaction.") || strings.HasPrefix(stream, "metrics-apm.service_")
	switch field {
	case "processor.event":
		return "constant_keyword"
	case "system.process.cpu.start_time":
		return "date"
	case "metricset.name":
		if derived {
			return "constant_keyword"
		}
	case "metricset.interval":
		if strings.HasPrefix(stream, "metrics-apm.service_") {
			return "constant_keyword"
		}
	case "event.success_count", "transaction.duration.summary":
		if derived {
			return "aggregate_metric_double"
		}
	case "transaction.duration.histogram":
		if derived {
			return "histogram"
		}
	case "_doc_count":
		return "_doc_count"
	}
	// The agents' own, in whatever data stream they are.
	if modelprocessor.IsInternalMetricName(field) {
		return "double"
	}
	return ""
}

// ofAny is what is the same everywhere, but for keywords and labels.
func ofAny(field string) string {
	switch field {
	case "@timestamp":
		return "date"
	case "data_stream.type", "data_stream.dataset", "data_stream.namespace":
		return "constant_keyword"
	case "client.ip", "source.ip", "host.ip":
		return "ip"
	case "timestamp.us", "process.pid", "process.parent.pid", "url.port", "client.port", "source.port", "destination.port",
		"http.response.status_code", "transaction.span_count.started", "transaction.span_count.dropped",
		"span.composite.count", "span.composite.sum.us", "span.self_time.count", "span.self_time.sum.us",
		"span.destination.service.response_time.count", "span.destination.service.response_time.sum.us",
		"span.db.rows_affected":
		return "long"
	case "transaction.sampled", "transaction.root", "span.sync", "error.exception.handled",
		"http.response.finished", "http.response.headers_sent":
		return "boolean"
	case "message", "error.exception.message", "error.log.message":
		return "match_only_text"
	case "url.path", "url.full", "url.original":
		return "wildcard"
	}
	return ""
}

// isKeyword says whether a field is one of the other strings that documents hold.
func isKeyword(field string) bool {
	switch field {
	case "agent.name", "agent.version", "agent.activation_method", "agent.ephemeral_id",
		"service.name", "service.version", "service.environment", "service.node.name",
		"service.framework.name", "service.framework.version", "service.language.name", "service.language.version",
		"service.runtime.name", "service.runtime.version", "service.target.type", "service.target.name",
		"host.name", "host.hostname", "host.architecture", "host.os.platform", "container.id",
		"process.title", "process.args", "process.executable",
		"trace.id", "parent.id", "transaction.id", "transaction.name", "transaction.type", "transaction.result",
		"span.id", "span.name", "span.type", "span.subtype", "span.action", "span.kind",
		"span.links.trace.id", "span.links.span.id", "span.composite.compression_strategy",
		"span.destination.service.resource", "span.destination.service.name", "span.destination.service.type",
		"span.db.instance", "span.db.statement", "span.db.type", "span.db.user.name", "span.message.queue.name",
		"destination.address", "event.outcome", "event.dataset", "processor.event", "metricset.name", "metricset.interval",
		"user.id", "user.name", "user.email", "user.domain", "user_agent.original", "user_agent.name",
		"url.scheme", "url.domain", "url.query", "url.fragment",
		"http.version", "http.request.method", "http.request.referrer",
		"error.id", "error.culprit", "error.grouping_key", "error.grouping_name", "error.exception.type",
		"error.exception.module", "error.exception.code", "error.log.level",
		"error.log.logger_name", "error.log.param_message", "log.level":
		return true
	}
	return false
}

// ofLabel is the type of a label, a string always. Patterns of ECS, which are meant
// for other fields, take hold of labels too.
func ofLabel(name string) string {
	switch name {
	case "message":
		return "match_only_text"
	case "ip":
		return "ip"
	case "location":
		return "geo_point"
	case "message_id":
		return "wildcard"
	case "timestamp", "created", "creation_date", "ctime", "mtime", "accessed", "ingested", "installed",
		"not_before", "not_after", "start", "end":
		return "date"
	}
	if strings.Contains(name, "_score") {
		return "float"
	}
	for _, end := range []struct{ suffix, typ string }{
		{"_ip", "ip"},
		{"_timestamp", "date"},
		{"stack_trace", "wildcard"},
		{"command_line", "wildcard"},
		{"structured_data", "flattened"},
		{"imports", "flattened"},
		{"exports", "flattened"},
	} {
		if strings.HasSuffix(name, end.suffix) {
			return end.typ
		}
	}
	return "keyword"
}
