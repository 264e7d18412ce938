package collector

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// Harvest is what agents have sent, in order of arrival. A report that was split,
// or made again after a failure, is not told from another.
type Harvest struct {
	Transactions, Spans, Errors, Custom []Event

	Logs        []Log
	ErrorTraces []ErrorTrace
	Traces      []Trace
	Queries     []Query

	// Metrics are summed up over all reports.
	Metrics map[Metric]Values

	// Settings are those of the last connect: the agent's configuration.
	Settings map[string]any

	// Reports is how often each method was called.
	Reports map[string]int

	// Seen is how many events there were of each kind, by method, as the agent
	// says, with those that its reservoir had no place for.
	Seen map[string]int
}

// Event is a transaction, a span, an error or an event of the application's own.
// Numbers are float64.
type Event struct {
	// Intrinsics are New Relic's, such as name, guid, traceId, duration (s).
	Intrinsics map[string]any
	// User are the attributes that the application has set.
	User map[string]any
	// Agent are those that the agent knows, such as request.uri.
	Agent map[string]any
}

// Name returns the event's name, such as OtherTransaction/Go/Message/chat.say, or
// nothing.
func (e Event) Name() string {
	name, _ := e.Intrinsics["name"].(string)
	return name
}

// Metric names a metric. Its scope is the transaction in which it was measured, or
// empty.
type Metric struct{ Name, Scope string }

// Values are what a metric has measured; of durations, in seconds. For Apdex
// metrics they are satisfied, tolerating, frustrated, threshold, threshold and 0.
type Values struct{ Count, Total, Exclusive, Min, Max, Squares float64 }

// Log is a forwarded log line.
type Log struct {
	// Common are the attributes of all lines of the report.
	Common map[string]any
	// Line holds message, level, timestamp, and ids.
	Line map[string]any
	// Attributes are those of the line.
	Attributes map[string]any
}

// ErrorTrace is an error with its stack, whose lines are "function (file:line)",
// the innermost first.
type ErrorTrace struct {
	Transaction, Message, Class, TransactionID string
	Stack                                      []string
	Event                                      // its attributes
}

// Trace is a transaction trace: the slowest transaction of a minute.
type Trace struct {
	Name, URI, ID string
	Duration      float64 // ms
	Event                 // its attributes
	// Segments is the tree as it was sent.
	Segments any
}

// Query is a slow query.
type Query struct {
	Transaction, SQL, Metric string
	Count                    int
	Total, Min, Max          float64 // ms
	Parameters               map[string]any
}

// clone copies all but the values of attributes.
func (h *Harvest) clone() Harvest {
	c := *h
	c.Transactions, c.Spans = slices.Clone(h.Transactions), slices.Clone(h.Spans)
	c.Errors, c.Custom = slices.Clone(h.Errors), slices.Clone(h.Custom)
	c.Logs, c.ErrorTraces = slices.Clone(h.Logs), slices.Clone(h.ErrorTraces)
	c.Traces, c.Queries = slices.Clone(h.Traces), slices.Clone(h.Queries)
	c.Metrics, c.Reports, c.Seen = maps.Clone(h.Metrics), maps.Clone(h.Reports), maps.Clone(h.Seen)
	return c
}

// connect keeps what an agent says of itself.
func (h *Harvest) connect(body []byte) error {
	var payload []map[string]any
	if err := json.Unmarshal(body, &payload); err != nil || len(payload) != 1 {
		return fmt.Errorf("%w: %w", errPayload, orShape(err))
	}
	h.Settings = payload[0]
	h.count("connect")
	return nil
}

// add takes a report of any kind.
func (h *Harvest) add(method, run string, body []byte) error {
	var err error
	switch method {
	case "analytic_event_data":
		err = h.addEvents(&h.Transactions, method, run, body)
	case "span_event_data":
		err = h.addEvents(&h.Spans, method, run, body)
	case "error_event_data":
		err = h.addEvents(&h.Errors, method, run, body)
	case "custom_event_data":
		err = h.addEvents(&h.Custom, method, run, body)
	case "metric_data":
		err = h.addMetrics(run, body)
	case "log_event_data":
		err = h.addLogs(body)
	case "error_data":
		err = h.addErrorTraces(run, body)
	case "transaction_sample_data":
		err = h.addTraces(run, body)
	case "sql_trace_data":
		err = h.addQueries(body)
	case "pprof_data": // profiles are no JSON
	default:
		return errMethod
	}
	if err != nil {
		return err
	}
	h.count(method)
	return nil
}

func (h *Harvest) count(method string) {
	if h.Reports == nil {
		h.Reports = make(map[string]int)
	}
	h.Reports[method]++
}
