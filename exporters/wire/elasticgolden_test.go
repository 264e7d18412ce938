package wire

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/apmws/go-apmws/exporters/wire/intake"
)

// elasticGolden are Elastic's documents by their files in testdata/elastic.
func (r *Recording) elasticGolden(s *symbols) (files map[string][]document, quotes int) {
	byEvent := map[string][]*entry{}
	for _, d := range r.Documents {
		event := d.Text("processor.event")
		name := d.Text(event + ".name")
		if event == "error" {
			name = ""
		}
		byEvent[event] = append(byEvent[event], &entry{
			doc: document(d), connection: d.Text("labels.websocket_connection_id"), own: d.Text(event + ".id"),
			transact: d.Text("transaction.id"), trace: d.Text("trace.id"), name: name, at: d.Number("timestamp.us"),
		})
	}
	transactions, quotes := oneQuote(byEvent["transaction"])
	s.transactions(transactions, nil)
	spans := s.below(transactions, only(byEvent["span"], transactions), "span")
	errors := s.below(transactions, byEvent["error"], "error")

	files = map[string][]document{}
	for _, e := range transactions {
		file := map[string]string{
			"Connection": "elastic/connect", "Message": "elastic/message", "Disconnection": "elastic/disconnect",
		}[e.doc["transaction.type"].(string)]
		files[file] = append(files[file], s.elastic(e.doc))
	}
	for _, e := range spans {
		files["elastic/spans"] = append(files["elastic/spans"], s.elastic(e.doc))
	}
	for _, e := range errors {
		files["elastic/errors"] = append(files["elastic/errors"], s.elastic(e.doc))
	}
	files["elastic/metrics"] = r.elasticMetrics()
	files["elastic/aggregates"] = r.elasticAggregates()
	return files, quotes
}

// elasticNoise are the fields, by how they begin, that tell of the machine, the
// process and the agent: they are the same on each document.
var elasticNoise = []string{
	"agent.", "host.", "process.", "service.language.", "service.runtime.", "service.node.", "data_stream.", "@timestamp",
	// Of stack traces the first function says enough; the others are net/http's.
	"error.exception.stacktrace.", "span.stacktrace.",
}

// elastic normalises a document.
func (s *symbols) elastic(d document) document {
	n := document{}
	for field, value := range d {
		if slices.ContainsFunc(elasticNoise, func(noise string) bool { return strings.HasPrefix(field, noise) }) {
			continue
		}
		switch field {
		case "timestamp.us":
			value = "<time>"
		case "url.port":
			value = "<port>"
		case "error.grouping_key":
			value = "<hash>"
		case "transaction.duration.us", "span.duration.us":
			if value != 0.0 {
				value = "<time>"
			}
		case "numeric_labels.websocket_connection_duration", "numeric_labels.websocket_ping_rtt":
			value = "<time>"
		case "numeric_labels.websocket_broadcast_slowest_write":
			if value != 0.0 {
				value = "<time>"
			}
		}
		n[field] = s.value(field, value)
	}
	if functions, ok := d["error.exception.stacktrace.function"].([]any); ok {
		n["error.exception.stacktrace.function"] = []any{functions[0], "…"}
	}
	n["data stream"] = intake.Document(d).Stream()
	return n
}

// elasticMetrics sums the documents of metrics up by series: what a dashboard shows of
// a life.
func (r *Recording) elasticMetrics() []document {
	series := map[string]document{}
	for _, d := range r.Documents {
		for field := range d {
			if !strings.HasPrefix(field, "websocket.") {
				continue
			}
			typ, _ := d.FieldType(field)
			sum := document{"metric": field, "type": typ, "data stream": d.Stream()}
			for label, value := range d {
				if strings.HasPrefix(label, "labels.") {
					sum[label] = value
				}
			}
			key := fmt.Sprint(field, keyed(sum))
			if series[key] == nil {
				series[key] = sum
			}
			series[key].add(field, d[field])
		}
	}
	return slices.Collect(maps.Values(series))
}

// keyed are the fields that tell documents apart, in their order: not their numbers.
func keyed(d document) (fields []string) {
	for _, name := range slices.Sorted(maps.Keys(d)) {
		if _, isNumber := d[name].(float64); !isNumber && d[name] != byChance {
			fields = append(fields, fmt.Sprint(name, "=", d[name]))
		}
	}
	return fields
}

// byChance stands for a number that differs between lives.
const byChance = "<by chance>"

// add adds a report: a gauge is not summed up.
func (d document) add(metric string, value any) {
	switch value := value.(type) {
	case map[string]any: // a histogram
		d.sum("number of values", value["counts"])
	case float64:
		if metric != "websocket.connections.active" && metric != "websocket.send_queue.messages" {
			d.sum("sum", []any{value})
			return
		}
		if most, ok := d["most"].(float64); !ok || value > most {
			d["most"] = value
		}
		d["last"] = value // they are in order
	}
}

func (d document) sum(field string, values any) {
	sum, _ := d[field].(float64)
	list, _ := values.([]any)
	for _, v := range list {
		n, _ := v.(float64)
		sum += n
	}
	d[field] = sum
}

// elasticAggregates sums up what the APM Server derives, over all minutes.
func (r *Recording) elasticAggregates() []document {
	groups := map[string]document{}
	for _, d := range r.Aggregates {
		g := document{}
		for _, field := range []string{
			"metricset.name", "transaction.name", "transaction.type", "transaction.result", "transaction.root",
			"event.outcome", "span.name", "span.destination.service.resource", "service.target.type", "service.target.name",
		} {
			if value, ok := d[field]; ok {
				g[field] = value
			}
		}
		key := fmt.Sprint(keyed(g))
		if groups[key] == nil {
			groups[key] = g
		}
		for _, count := range []string{"_doc_count", "span.destination.service.response_time.count"} {
			if n, ok := d[count]; ok {
				groups[key].sum(count, []any{n})
			}
		}
		if strings.HasSuffix(d.Text("transaction.name"), "feed.quote") {
			groups[key]["_doc_count"] = byChance
		}
	}
	return slices.Collect(maps.Values(groups))
}

// sortDocuments brings documents of which none is before another into an order.
func sortDocuments(all []document) {
	slices.SortFunc(all, func(a, b document) int {
		return cmp.Or(cmp.Compare(text(a["metric"]), text(b["metric"])), slices.Compare(keyed(a), keyed(b)))
	})
}
