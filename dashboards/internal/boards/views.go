package boards

import "github.com/apmws/go-apmws/dashboards/internal/kibana"

// views are the data views. APM's own cannot be relied on: it has another id in each
// space, and is not there before somebody has opened APM.
type views struct {
	traces, metrics, logs *kibana.DataView
}

func newViews() *views {
	return &views{
		traces: kibana.NewDataView(TracesID, "apmws traces", "traces-apm*", map[string]kibana.FieldFormat{
			duration:                                kibana.DurationOf("microseconds"),
			"span.duration.us":                      kibana.DurationOf("microseconds"),
			transaction:                             kibana.LinkTo("apm/link-to/transaction/{{value}}"),
			"trace.id":                              kibana.LinkTo("apm/link-to/trace/{{value}}"),
			number("websocket.connection.duration"): kibana.DurationOf("seconds"),
			number("websocket.ping.rtt"):            kibana.DurationOf("seconds"),
			number("websocket.broadcast.slowest_write"): kibana.DurationOf("seconds"),
			number("websocket.message.length"):          kibana.BytesOf(),
			number("websocket.bytes.received"):          kibana.BytesOf(),
			number("websocket.bytes.sent"):              kibana.BytesOf(),
		}),
		metrics: kibana.NewDataView(MetricsID, "apmws metrics", "metrics-apm*", map[string]kibana.FieldFormat{
			"websocket.connection.duration": kibana.DurationOf("seconds"),
			"websocket.message.duration":    kibana.DurationOf("seconds"),
			"websocket.ping.rtt":            kibana.DurationOf("seconds"),
			"websocket.write.duration":      kibana.DurationOf("seconds"),
			"websocket.bytes.received":      kibana.BytesOf(),
			"websocket.bytes.sent":          kibana.BytesOf(),
		}),
		logs: kibana.NewDataView(LogsID, "apmws logs and errors", "logs-*,filebeat-*", map[string]kibana.FieldFormat{
			"event.duration": kibana.DurationOf("nanoseconds"),
			"trace.id":       kibana.LinkTo("apm/link-to/trace/{{value}}"),
			transaction:      kibana.LinkTo("apm/link-to/transaction/{{value}}"),
		}),
	}
}

// transactions are those of connections as they are, for the story of one.
func (v *views) transactions() *kibana.Search {
	return kibana.NewSearch(TransactionsID, "[apmws] WebSocket transactions",
		"Handshakes, messages and ends of connections, the newest first. Sampled where the application samples.",
		v.traces, "processor.event: transaction and "+connectionID+": *",
		"transaction.type", name, result, duration, user, connectionID, transaction).Widths(map[string]int{
		"transaction.type": 140, result: 140, duration: 160, user: 160, connectionID: 180, transaction: 180,
	})
}

// logLines are the log's.
func (v *views) logLines() *kibana.Search {
	return kibana.NewSearch(LogLinesID, "[apmws] WebSocket log lines",
		"What the servers have logged about connections, the application's own lines included.",
		v.logs, "not processor.event: error and "+connectionID+": *",
		"log.level", "message", "event.reason", "error.message", user, route, connectionID, "trace.id").Widths(map[string]int{
		"log.level": 90, "event.reason": 140, user: 110, route: 160, connectionID: 170, "trace.id": 170,
	})
}
