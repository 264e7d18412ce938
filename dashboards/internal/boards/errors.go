package boards

import (
	"github.com/apmws/go-apmws/apmws/semconv"
	"github.com/apmws/go-apmws/dashboards/internal/kibana"
)

const (
	group   = "error.grouping_name"
	culprit = "error.culprit"
)

// faults are the close causes that the server is to blame for.
var faults = oneOf(closeCause, "handler_error", "panic", "slow_consumer", "write_error")

// lost are those by which peers were lost, or did not keep to the protocol.
var lost = oneOf(closeCause, "heartbeat_timeout", "message_too_big", "protocol_error", "read_error")

func (v *views) errors(transactions, logLines *kibana.Search) *kibana.Dashboard {
	b := v.start(ErrorsID, "WebSocket errors and logs",
		"What fails, on which connections, and the whole story of one of them: filter by its id.")
	row(b, tileHeight, sixth,
		panel{
			title: "Failed messages", view: v.metrics, query: metric(active, handled),
			description: "Messages whose handler returned an error, panicked or took too long, and those of the same time a week ago.",
		}.compared(tally("Failed messages", handled).of(failed).as(kibana.Number(0)), withTrend),
		panel{
			title: "Ended by a panic", view: v.metrics, query: metric(active, closed),
			description: "Connections that ended in a panic of the application. One before the upgrade is a failed handshake.",
		}.tile(noneIsGood, tally("Ended by a panic", closed).of(is(closeCause, "panic")).as(kibana.Number(0))),
		panel{
			title: "Failed handshakes", view: v.metrics, query: metric(active, refused),
			description: "Handshakes that the server could not answer but with 5xx, or not at all.",
		}.tile(noneIsGood, tally("Failed handshakes", refused).of(statusLabel+": (5* or none)").as(kibana.Number(0))),
		panel{
			title: "Connections the server failed", view: v.metrics, query: metric(active, closed),
			description: "Connections that ended because a handler failed or panicked, a write to the peer did, or the peer did not take what was sent.",
		}.tile(noneIsGood, tally("Connections the server failed", closed).of(faults).as(kibana.Number(0))),
		panel{
			title: "Connections lost", view: v.metrics, query: metric(active, closed),
			description: "Connections whose peer vanished, did not answer pings, or did not keep to the protocol.",
		}.compared(tally("Connections lost", closed).of(lost).as(kibana.Number(0)), withTrend),
		panel{
			title: "Telemetry dropped", view: v.metrics, query: metric(dropped),
			description: "What the library or an exporter had to give up, and requests that the APM Server did not take. No value means that there was none. Not told by route: choose none, or there is no value.",
		}.tile(noneIsGood, sum("Telemetry dropped", dropped).orNothing().as(kibana.Number(0))).withSubtitle("none, if there is no number"),
	)
	row(b, chartHeight, half,
		panel{
			title: "Errors per minute by kind", view: v.logs, query: errorsOnly,
			description: "Errors of messages, handshakes and connections, in groups of the same message. There is one for each failure, sampled or not; one that ends its connection has a second for that.",
		}.chart(stackedBars, "Per minute", []bucket{top(largest, "Error", "string", group), overTime()},
			count("Errors").each("m").as(kibana.Number(1)),
		).withLegendBeside(),
		panel{
			title: "Abnormal ends per minute by cause", view: v.metrics, query: and(metric(closed), "("+faults+" or "+lost+")"),
			description: "Connections that did not end as either side meant them to.",
		}.chart(stackedBars, "Per minute", []bucket{top(largest, "Cause", "string", closeCause), overTime()},
			sum("Closes", closed).each("m").as(kibana.Number(1)),
		).withLegendBeside(),
	)
	b.Row(tableHeight,
		panel{
			title: "Errors", view: v.logs, query: errorsOnly,
			description: "Groups of errors, the most frequent first: where they come from, and how many connections they have hit. A failure that ends its connection counts for both.",
		}.table([]bucket{top(50, "Error", "string", group)},
			count("Errors").as(kibana.Number(0)),
			distinct("Connections", connectionID).as(kibana.Number(0)),
			distinct("Users", user).as(kibana.Number(0)),
			latest("Transaction", "string", name),
			latest("Culprit", "string", culprit),
			latest("Last seen", "date", kibana.TimeField),
		).withNames(360).item(twoOf3),
		panel{
			title: "Telemetry dropped by reason", view: v.metrics, query: metric(dropped),
			description: "What was given up, by exporter and reason. Not told by route: choose none, or this is empty.",
		}.table([]bucket{
			{serviceID, kibana.TopOf("Service", "string", 10, measureID(0), service)},
			top(20, "Exporter and reason", "string", label(semconv.TelemetryDropExporter), label(semconv.TelemetryDropReason)),
		}, sum("Dropped", dropped).as(kibana.Number(0))).item(third),
	)
	row(b, tableHeight, half,
		panel{
			title: "Connections with most errors", view: v.logs, query: errorsOnly,
			description: "Click on a connection to filter by it: the transactions and log lines below are then its whole story.",
		}.table([]bucket{top(50, "Connection", "string", connectionID)},
			count("Errors").as(kibana.Number(0)),
			latest("Last error", "string", group),
			latest("User", "string", user),
			latest("Last seen", "date", kibana.TimeField),
		),
		panel{
			title: "Connections that ended badly", view: v.traces, query: and(disconnects, "("+faults+" or "+lost+")"),
			description: "The newest first; click on one to filter by it." + connectionsSampled,
		}.table([]bucket{newest(50, "Connection", connectionID)},
			latest("Ended", "date", kibana.TimeField),
			latest("Cause", "string", closeCause),
			latest("Code", "string", label(semconv.CloseCode)),
			maximum("Lasted", number(semconv.ConnectionDuration)).as(kibana.Duration("seconds")),
			latest("User", "string", user),
		),
	)
	b.Row(noteHeight, kibana.Item{Title: "The story of one connection", Width: whole, Markdown: story})
	row(b, logHeight, whole, panel{
		title: "Transactions", search: transactions,
		description: "Handshakes, messages and ends of connections, the newest first. Sampled where the application samples.",
	})
	row(b, logHeight, whole, panel{
		title: "Log lines", search: logLines,
		description: "What the servers have logged about connections, the newest first.",
	})
	return b.Dashboard()
}

// story explains how to get from a number to what happened.
const story = "**The story of one connection.** Click on its id above, or search for `" + connectionID + `: "…"` + "`" + `.
The transactions and the log lines below are then its own, and the tables too; the tiles are of all connections, and have no
value then. A transaction's id leads to its trace in APM.`

// newest splits by the values of a field that were seen last.
func newest(size int, label, field string) bucket {
	c := kibana.TopOf(label, "string", size, "", field)
	seen := kibana.MetricOf(kibana.OpMax, kibana.TimeField, label+" by time")
	seen.DataType = "date"
	return bucket{splitID, c.Ranked(seen)}
}
