package boards

import "github.com/apmws/go-apmws/dashboards/internal/kibana"

const (
	active   = "websocket.connections.active"
	opened   = "websocket.connections.opened"
	refused  = "websocket.connections.refused"
	closed   = "websocket.connections.closed"
	lifetime = "websocket.connection.duration"
	received = "websocket.messages.received"
	sent     = "websocket.messages.sent"
	bytesIn  = "websocket.bytes.received"
	bytesOut = "websocket.bytes.sent"
	handling = "websocket.message.duration"
	rtt      = "websocket.ping.rtt"
	unheard  = "websocket.pings.unanswered"
	blocked  = "websocket.write.duration"
	dropped  = "websocket.telemetry.dropped"
	outbound = "websocket.outbound.calls"
	waiting  = "websocket.send_queue.messages"
	givenUp  = "websocket.send_queue.dropped"

	handled = "websocket.messages.handled"

	messageName = "labels.websocket_message_name" // of metrics
)

func share(part, whole kibana.Expr) kibana.Expr {
	return kibana.Calc{Op: "divide", Left: part, Right: whole}
}

func total(field string) kibana.Expr { return kibana.Part{Op: kibana.OpSum, Field: field} }

func totalOf(field, query string) kibana.Expr {
	return kibana.Part{Op: kibana.OpSum, Field: field, KQL: query}
}

// failures are the part of messages that failed.
func failures() kibana.Expr { return share(totalOf(handled, failed), total(handled)) }

func plus(left, right kibana.Expr) kibana.Expr {
	return kibana.Calc{Op: "add", Left: left, Right: right}
}

func (v *views) overview() *kibana.Dashboard {
	b := v.start(OverviewID, "WebSocket overview",
		"Connections and messages at a glance. Counts are exact for what the APM Server took, sampled or not; times within 12.5 %.")
	row(b, tileHeight, sixth,
		v.openNow(),
		panel{
			title: "Connects per minute", view: v.metrics, query: metric(active, opened),
			description: "Accepted handshakes per minute, and those of the same time a week ago.",
		}.compared(tally("Connects", opened).each("m").as(kibana.Number(1)), withTrend),
		panel{
			title: "Refused handshakes", view: v.metrics, query: metric(opened, refused),
			description: "The part of all handshakes that was refused, for whatever reason.",
		}.tile(limits(0.05, 0.2), formula("Refused handshakes", share(total(refused), plus(total(refused), total(opened)))).as(kibana.Percent(1))),
		panel{
			title: "Messages received", view: v.metrics, query: metric(active, received),
			description: "Messages received per second, and those of the same time a week ago.",
		}.compared(tally("Messages received", received).each("s").as(kibana.Number(1)), withTrend),
		panel{
			title: "Message handling, p95", view: v.metrics, query: metric(handling),
			description: "95 of 100 messages were handled faster, from the moment when a message had been read to the handler's return.",
		}.compared(percentile("Message handling, p95", 95, handling).as(kibana.Duration("seconds")), numberOnly),
		v.failedShare(),
	)
	row(b, chartHeight, half,
		panel{
			title: "Open connections by node", view: v.metrics, query: metric(active),
			description: "Open connections of the ten largest servers, on average over each interval. In the interval of a deployment both the old servers and the new are in it.",
		}.chart(stackedAreas, "Connections", []bucket{topBy(largest, kibana.OpMax, active, "Service and node", service, node), overTime()},
			formula("Open connections", perRoute(active)).as(kibana.Number(0)),
		).withLegendBeside(),
		panel{
			title: "Connects, refusals and closes per minute", view: v.metrics, query: metric(opened, refused, closed),
			description: "A deployment closes many at once, and they come back; connects far above closes mean growth, and refusals that rise with them a client that does not give up.",
		}.chart(lines, "Per minute", []bucket{overTime()},
			sum("Connects", opened).each("m").as(kibana.Number(1)).in(blue),
			sum("Closes", closed).each("m").as(kibana.Number(1)).in(purple),
			sum("Refusals", refused).each("m").as(kibana.Number(1)).in(red),
		).withLegendBeside(),
	)
	row(b, chartHeight, third, v.messageRates(), v.byteRates(),
		panel{
			title: "Message handling", view: v.metrics, query: metric(handling),
			description: "How long handlers took: percentiles of all messages, failed ones included. Waiting for a message is not counted.",
		}.chart(lines, "Duration", []bucket{overTime()}, percentiles(handling)...),
	)
	row(b, causesHeight, third,
		panel{
			title: "Failed messages per minute", view: v.metrics, query: and(metric(handled), failed),
			description: "Messages whose handler returned an error, panicked or took too long, by name.",
		}.chart(stackedBars, "Per minute", []bucket{top(largest, "Message", "string", messageName), overTime()},
			sum("Failed messages", handled).each("m").as(kibana.Number(1))),
		panel{
			title: "Why connections end", view: v.metrics, query: metric(closed),
			description: "Close causes: who left, who was lost, and what failed.",
		}.donut(top(causes, "Cause", "string", closeCause), sum("Closes", closed).as(kibana.Number(0))),
		panel{
			title: "Connects now and a week before", view: v.metrics, query: metric(opened),
			description: "Connects per minute, and those of the same time range a week before.",
		}.chart(lines, "Per minute", []bucket{overTime()},
			sum("Now", opened).each("m").as(kibana.Number(1)).in(blue),
			sum("A week ago", opened).each("m").aWeekBefore().as(kibana.Number(1)).in(grey).dash()),
	)
	row(b, tableHeight, half,
		panel{
			title: "Busiest routes", view: v.metrics, query: metric(opened, refused, received, outbound),
			description: "Routes with the most messages: what was received and sent, who connected, and the calls of other services that came of it.",
		}.table([]bucket{top(20, "Route", "string", route)},
			sum("Received", received).as(kibana.Number(0)),
			sum("Sent", sent).as(kibana.Number(0)),
			sum("Bytes in", bytesIn).as(kibana.Bytes()),
			sum("Bytes out", bytesOut).as(kibana.Bytes()),
			sum("Connects", opened).as(kibana.Number(0)),
			sum("Refused", refused).as(kibana.Number(0)),
			sum("Calls", outbound).as(kibana.Number(0)),
		),
		v.busiestMessages(),
	)
	return b.Dashboard()
}

// perRoute is the mean of a gauge that is kept for each route, summed over them.
// Every report has all routes, so the mean over all times their number is the sum of
// each one's.
func perRoute(gauge string) kibana.Expr {
	return kibana.Calc{
		Op: "multiply", Left: kibana.Part{Op: kibana.OpAverage, Field: gauge}, Right: kibana.Part{Op: kibana.OpUniqueCount, Field: route},
	}
}

// percentiles are three of a histogram of seconds.
func percentiles(field string) []*measure {
	return []*measure{
		percentile("p50", 50, field).as(kibana.Duration("seconds")).in(green),
		percentile("p95", 95, field).as(kibana.Duration("seconds")).in(orange),
		percentile("p99", 99, field).as(kibana.Duration("seconds")).in(red),
	}
}

// now is a gauge at the end of the time range.
func now(label, gauge string) *measure {
	return latest(label, "number", gauge).within("5m").as(kibana.Number(0))
}

func (v *views) openNow() panel {
	return panel{
		title: "Open connections", view: v.metrics, query: metric(active),
		description: "Connections that are open at the end of the time range: the last report of each server and route within five minutes, summed up. Those of a server that has crashed are counted for so long. Processes of one service on one host need a node name each.",
	}.total(neutral, everyNodeAndRoute(),
		now("Open connections", active))
}

// everyNodeAndRoute splits into what gauges are kept for.
func everyNodeAndRoute() bucket {
	return bucket{splitID, kibana.TopOf("Service, node and route", "string", 1000, "", service, node, route).Alphabetical()}
}

func (v *views) failedShare() panel {
	return panel{
		title: "Failed messages", view: v.metrics, query: metric(handled),
		description: "The part of all handled messages whose handler returned an error, panicked or took too long.",
	}.tile(limits(0.01, 0.05), formula("Failed messages", failures()).as(kibana.Percent(2)))
}

func (v *views) messageRates() panel {
	return panel{
		title: "Messages per second", view: v.metrics, query: metric(received, sent),
		description: "Messages that servers have received and sent, whatever became of them.",
	}.chart(lines, "Per second", []bucket{overTime()},
		sum("Received", received).each("s").as(kibana.Number(1)).in(blue),
		sum("Sent", sent).each("s").as(kibana.Number(1)).in(purple))
}

func (v *views) byteRates() panel {
	return panel{
		title: "Bytes per second", view: v.metrics, query: metric(bytesIn, bytesOut),
		description: "Payload of data frames as it passed on the wire, compressed where it is.",
	}.chart(lines, "Per second", []bucket{overTime()},
		sum("Received", bytesIn).each("s").as(kibana.Bytes()).in(blue),
		sum("Sent", bytesOut).each("s").as(kibana.Bytes()).in(purple))
}

func (v *views) busiestMessages() panel {
	return panel{
		title: "Busiest messages", view: v.metrics, query: metric(handling, handled),
		description: "Messages by name, those first that took most of the servers' time in all.",
	}.table([]bucket{top(20, "Message", "string", messageName)},
		append([]*measure{sum("Time in all", handling).as(kibana.Duration("seconds"))}, messageColumns()...)...)
}

// messageColumns tell of messages by name.
func messageColumns() []*measure {
	return []*measure{
		sum("Handled", handled).as(kibana.Number(0)),
		percentile("p50", 50, handling).as(kibana.Duration("seconds")),
		percentile("p95", 95, handling).as(kibana.Duration("seconds")),
		percentile("p99", 99, handling).as(kibana.Duration("seconds")),
		formula("Failed", failures()).as(kibana.Percent(2)).withCells(textLimits(0.01, 0.05)),
	}
}
