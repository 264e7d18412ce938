package wire

import (
	"strings"

	"github.com/apmws/go-apmws/exporters/wire/collector"
)

// newRelicGolden are New Relic's events by their files in testdata/newrelic.
func (r *Recording) newRelicGolden(s *symbols) (files map[string][]document, quotes int) {
	s.vendor = "NR "
	roots := map[string]string{} // spans that stand for transactions, by those
	var transactions, spans, errors, traces []*entry
	for _, e := range r.Harvest.Spans {
		if e.Intrinsics["nr.entryPoint"] == true {
			roots[text(e.Intrinsics["transactionId"])] = text(e.Intrinsics["guid"])
		}
		spans = append(spans, newRelicEntry(e, e.Name(), "guid", "transactionId"))
	}
	for _, e := range r.Harvest.Transactions {
		transactions = append(transactions, newRelicEntry(e, shortName(e.Name()), "guid", "guid"))
	}
	for _, e := range r.Harvest.Errors {
		errors = append(errors, newRelicEntry(e, "", "", "guid"))
	}
	for _, t := range r.Harvest.ErrorTraces {
		e := newRelicEntry(t.Event, "", "", "guid")
		e.doc["transaction"], e.doc["message"], e.doc["class"] = t.Transaction, t.Message, t.Class
		e.doc["transaction id"], e.doc["frames"] = t.TransactionID, float64(len(t.Stack))
		traces = append(traces, e)
	}
	transactions, quotes = oneQuote(transactions)
	s.transactions(transactions, roots)

	files = map[string][]document{}
	add := func(file string, all []*entry) {
		for _, e := range all {
			files["newrelic/"+file] = append(files["newrelic/"+file], s.newRelic(e.doc))
		}
	}
	add("spans", s.below(transactions, only(spans, transactions), "span"))
	add("errors", s.below(transactions, errors, "error"))
	add("errortraces", s.below(transactions, traces, "error trace"))
	for _, e := range transactions {
		file := map[string]string{
			"Connection": "connect", "Message": "message", "MessageKept": "message", "Disconnection": "disconnect",
		}[e.kind()]
		add(file, []*entry{e})
	}
	files["newrelic/metrics"] = r.newRelicMetrics()
	return files, quotes
}

const newRelicPrefix = "OtherTransaction/Go/"

// kind is the contract's type of a transaction.
func (e *entry) kind() string {
	kind, _, _ := strings.Cut(strings.TrimPrefix(text(e.doc["intrinsic name"]), newRelicPrefix), "/")
	return kind
}

// shortName is the name of a transaction without what New Relic has before it.
func shortName(name string) string {
	_, name, _ = strings.Cut(strings.TrimPrefix(name, newRelicPrefix), "/")
	return name
}

func text(value any) string {
	s, _ := value.(string)
	return s
}

// newRelicEntry makes an event flat. Its own id, and that of its transaction, are in
// these fields.
func newRelicEntry(e collector.Event, name, own, transact string) *entry {
	doc := document{}
	for kind, fields := range map[string]map[string]any{"intrinsic ": e.Intrinsics, "": e.User, "agent ": e.Agent} {
		for field, value := range fields {
			doc[kind+field] = value
		}
	}
	at, _ := e.Intrinsics["timestamp"].(float64)
	return &entry{
		doc: doc, connection: text(e.User["websocket.connection.id"]), own: text(e.Intrinsics[own]),
		transact: text(e.Intrinsics[transact]), trace: text(e.Intrinsics["traceId"]), name: name, at: at,
	}
}

// newRelic normalises an event.
func (s *symbols) newRelic(d document) document {
	n := document{}
	for field, value := range d {
		switch field {
		case "intrinsic timestamp", "intrinsic duration", "intrinsic totalTime", "intrinsic externalDuration",
			"intrinsic databaseDuration", "websocket.connection.duration", "websocket.ping.rtt", "websocket.message.duration",
			"agent parent.transportDuration", "intrinsic parent.transportDuration":
			value = "<time>"
		case "websocket.broadcast.slowest_write":
			if value != 0.0 {
				value = "<time>"
			}
		case "intrinsic priority":
			value = "<random>"
		case "agent peer.address", "agent peer.hostname":
			value = "<host>"
		case "stack":
			value = codeLine.ReplaceAllString(firstLines(text(value)), ".go:<line>")
		}
		n[field] = s.value(field, value)
	}
	return n
}

// firstLines returns the first function of a stack: the others are net/http's.
func firstLines(stack string) string {
	first, _, _ := strings.Cut(stack, "\n")
	return first + "\n…"
}

// newRelicMetrics are those of the contract, and how often the agent has counted
// what bears names of this library's.
func (r *Recording) newRelicMetrics() (all []document) {
	for m, v := range r.Harvest.Metrics {
		d := document{"metric": instance.ReplaceAllString(m.Name, "$1<host>/<port>")}
		if m.Scope != "" {
			d["scope"] = m.Scope
		}
		switch {
		case m.Name == "Custom/WebSocket/Connections/Active":
			d["least"], d["most"] = v.Min, v.Max
		case m.Name == "Custom/WebSocket/SendQueue/Messages":
			// Of a life that lasts for long there is a report each ten seconds, and some
			// may wait then.
			d["least"] = v.Min
		case strings.HasPrefix(m.Name, "Custom/WebSocket/"):
			d["sum"] = v.Total
		case strings.Contains(m.Name, "Agent/") || strings.HasPrefix(m.Name, "Supportability/") || strings.HasPrefix(m.Name, "Instance/"):
			continue // the agent's business
		default:
			d["count"] = v.Count
		}
		if strings.HasSuffix(m.Name, "Message/feed.quote") || strings.HasSuffix(m.Scope, "Message/feed.quote") || isTotal(m) {
			d["count"] = byChance
		}
		all = append(all, d)
	}
	return all
}

// isTotal reports whether messages that are left to chance are counted in a metric
// with others.
func isTotal(m collector.Metric) bool {
	if m.Scope != "" {
		return false
	}
	switch m.Name {
	case "Custom/look up", "Custom/send _OTHER", "OtherTransaction/all", "OtherTransactionTotalTime",
		"DurationByCaller/Unknown/Unknown/Unknown/Unknown/all", "DurationByCaller/Unknown/Unknown/Unknown/Unknown/allOther":
		return true
	}
	return false
}
