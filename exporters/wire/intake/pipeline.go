package intake

import (
	"math"

	"github.com/elastic/apm-data/model/modelpb"
)

// rewrite does what the built-in pipelines of Elasticsearch do to a document of
// that type, and adds the fields that its mapping computes.
func rewrite(source map[string]any, kind modelpb.APMEventType) {
	switch kind {
	case modelpb.TransactionEventType:
		rewriteTrace(source, "transaction")
	case modelpb.SpanEventType:
		rewriteTrace(source, "span")
	case modelpb.MetricEventType:
		object(source, "processor")["event"] = "metric" // of the mapping: a constant
		rewriteMetrics(source)
	case modelpb.ErrorEventType:
		object(source, "processor")["event"] = "error" // of the mapping: a constant
		rewriteLog(source)
		nameGroup(source)
	case modelpb.LogEventType:
		rewriteLog(source)
	default: // the decoder makes no other
	}
	if process, ok := source["process"].(map[string]any); ok && process["ppid"] != nil {
		object(process, "parent")["pid"] = process["ppid"]
		delete(process, "ppid")
	}
}

// rewriteTrace is the pipeline of traces-apm*.
func rewriteTrace(source map[string]any, kind string) {
	object(source, "processor")["event"] = kind
	event, root := object(source, "event"), object(source, kind)
	duration, _ := event["duration"].(float64) // ns
	root["duration"] = map[string]any{"us": math.Trunc(duration / 1000)}
	delete(event, "duration")
	switch event["outcome"] {
	case "failure":
		event["success_count"] = 0.0
	case "success":
		event["success_count"] = 1.0
		if count, ok := root["representative_count"].(float64); ok {
			event["success_count"] = count
		}
	}
}

// rewriteMetrics is the pipeline of metrics-apm*: every sample becomes a field.
func rewriteMetrics(source map[string]any) {
	set, _ := source["metricset"].(map[string]any)
	samples, _ := set["samples"].([]any)
	for _, sample := range samples {
		sample, _ := sample.(map[string]any)
		name, _ := sample["name"].(string)
		switch sample["type"] {
		case "histogram":
			source[name] = map[string]any{"values": sample["values"], "counts": sample["counts"]}
		case "summary":
			source[name] = map[string]any{"value_count": sample["value_count"], "sum": sample["sum"]}
		default:
			source[name] = sample["value"]
		}
	}
	delete(set, "samples")
}

// rewriteLog is the pipeline of logs-apm*.
func rewriteLog(source map[string]any) {
	stream, _ := source["data_stream"].(map[string]any)
	if event := object(source, "event"); event["dataset"] == nil {
		event["dataset"] = stream["dataset"]
	}
}

// nameGroup sets error.grouping_name, which the mapping computes.
func nameGroup(source map[string]any) {
	e := object(source, "error")
	log, _ := e["log"].(map[string]any)
	if message, _ := log["message"].(string); message != "" {
		e["grouping_name"] = message
		return
	}
	exceptions, _ := e["exception"].([]any)
	if len(exceptions) == 0 {
		return
	}
	first, _ := exceptions[0].(map[string]any)
	if message, _ := first["message"].(string); message != "" {
		e["grouping_name"] = message
	}
}

// object returns the object of that name, which it makes if there is none.
func object(source map[string]any, name string) map[string]any {
	o, ok := source[name].(map[string]any)
	if !ok {
		o = make(map[string]any)
		source[name] = o
	}
	return o
}
