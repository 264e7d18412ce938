package newrelic

const (
	storyNote = "Put a connection's id, from a log line or a table here, into *Connection's id* above to see its handshake, " +
		"its messages and its end. Elastic and the log have more of the story: spans and log lines that were not sampled here."
	story = "`websocket.connection.id` LIKE {{connection}}"
)

func errorsPage() Page {
	return page("Errors", "What failed, why, and one connection's story.",
		wide(3,
			billboard("Failed messages (messages/min)", metric(perMinute+" AS 'failed'", failed, ""), 1, 60),
			billboard("Errors noticed (errors/min)", metric(transactionsPerMinute+" AS 'errors'", errorCount, ""), 1, 60),
			billboard("Panics (errors, events)", failures("count(*) AS 'panics'", "`error.class` = 'panic'", ""), 0.5, 5),
			billboard("Connections the server failed (connections/min)", metric(perMinute+" AS 'failed'",
				oneOf("metricTimesliceName", "Custom/WebSocket/Connections/Closed/", faults()), ""), 1, 60),
			billboard("Handshakes that failed (%, events)", transactions(
				"percentage(count(*), WHERE `event.outcome` = 'failure') AS 'failed'", connects, ""), 1, 5),
			billboard("Telemetry dropped (items)", metric(sum+" AS 'dropped'", dropped, ""), 0.5, 1000),
		),
		wide(3,
			chart("area", 6, "Failed messages by name (messages/min)", metric(perMinute, failed, "FACET metricTimesliceName TIMESERIES LIMIT 20")),
			chart("area", 6, "Errors by class (errors/min, events)",
				failures("rate(count(*), 1 minute)", anyEvent, "FACET `error.class` TIMESERIES LIMIT 20")),
		),
		wide(3,
			chart("bar", 4, "Failed messages by name (messages)", metric(sum, failed, "FACET metricTimesliceName LIMIT 20")),
			chart("bar", 4, "Failures by name and result (messages, events)", transactions("count(*)",
				inbound+" AND `event.outcome` = 'failure'", "FACET name, result LIMIT 20")),
			chart("bar", 4, "Errors by transaction (errors)", metric("count(newrelic.timeslice.value)", errorCount, "FACET metricTimesliceName LIMIT 20")),
		),
		wide(4,
			chart("table", 12, "Errors grouped (errors, events)", failures(
				"count(*) AS 'errors', uniqueCount(`websocket.connection.id`) AS 'connections', uniqueCount(`user.id`) AS 'users', "+
					"latest(`websocket.connection.id`) AS 'last connection'",
				anyEvent, "FACET `error.class`, `error.message`, transactionName LIMIT 100")),
		),
		wide(4,
			chart("table", 12, "Latest errors, and what happened on the connection before (events)", failures(
				"timestamp, transactionName, `error.class`, `error.message`, `user.id`, `http.route`, `websocket.connection.id`, "+
					"`websocket.connection.recent`",
				anyEvent, "LIMIT 100")),
		),
		wide(4,
			chart("table", 6, "Latest panics, innermost frames (events)", failures(
				"timestamp, transactionName, `error.message`, stack, `websocket.connection.id`", "`error.class` = 'panic'", "LIMIT 50")),
			chart("table", 6, "Connections that ended badly (events)", transactions(
				"timestamp, `websocket.close.cause`, `websocket.close.code`, `websocket.close.reason`, `user.id`, `http.route`, "+
					"`websocket.connection.duration`, `websocket.connection.id`",
				disconnects+" AND "+oneOf("`websocket.close.cause`", "", append(faults(), lost()...)), "LIMIT 50")),
		),
		wide(4,
			markdown(2, "One connection's story", storyNote),
			chart("table", 10, "The story: handshake, messages, end (s, bytes; events)", transactions(
				"timestamp, `websocket.event`, name, result, duration, `websocket.message.duration`, `websocket.message.length`, "+
					"`websocket.close.cause`, `websocket.messages.received`, `websocket.messages.sent`, `user.id`, "+
					"`websocket.connection.id`, traceId", story, "LIMIT 500")),
		),
		wide(3,
			chart("table", 4, "Telemetry dropped by exporter and reason (items)",
				segments(sum+" AS 'dropped'", "Telemetry/Dropped/{exporter}/{reason}", "FACET exporter, reason LIMIT 50")),
			chart("area", 4, "Telemetry dropped (items/min)",
				segments(perMinute, "Telemetry/Dropped/{exporter}/{reason}", "FACET exporter, reason TIMESERIES LIMIT 20")),
			chart("table", 4, "The story's errors (events)", failures(
				"timestamp, `error.class`, `error.message`, transactionName", story, "LIMIT 100")),
		),
	)
}
