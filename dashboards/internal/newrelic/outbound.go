package newrelic

const callsNote = "*Outbound calls* are HTTP requests through `apmws.Transport`, by host and caller: the name of the message whose " +
	"context the request has, `CONNECT` for those of handshakes, `none` for those of neither. Where `CONNECT` rises together with " +
	"the connects, clients that come back again and again make the calls: *Connections* has their users and addresses."

func outbound() Page {
	return page("Sends and calls", "Whose calls of other services these are, and what messages send.",
		wide(3,
			billboard("Outbound calls (calls/min)", metric(perMinute+" AS 'calls'", outboundCalls, ""), 0, 0),
			billboard("Outbound calls per connect (calls)", metric(only(sum, outboundCalls)+" / "+only(sum, opened)+" AS 'per connect'",
				"("+outboundCalls+" OR "+opened+")", ""), 0, 0),
			billboard("Of handshakes, per connect (calls)", metric(only(sum, inHandshakes)+" / "+only(sum, opened)+" AS 'per connect'",
				"("+inHandshakes+" OR "+opened+")", ""), 0, 0),
			markdown(6, "Whose calls are these?", callsNote),
		),
		// Not by host alone: names of messages may have slashes, and what METRIC_FORMAT
		// tells apart has none.
		wide(4,
			chart("area", 6, "Outbound calls by host and caller (calls/min)",
				metric(perMinute, outboundCalls, "FACET metricTimesliceName TIMESERIES LIMIT 20")),
			chart("table", 6, "Whose calls are these? (calls)",
				metric(sum+" AS 'calls'", outboundCalls, "FACET metricTimesliceName LIMIT 100")),
		),
		wide(3,
			billboard("Slow consumers (connections/min)", metric(perMinute+" AS 'slow'", slow, ""), 1, 60),
			billboard("Given up by send queues (messages/min)", metric(perMinute+" AS 'given up'", givenUp, ""), 1, 60),
			// Stacked: its top is the sum over the hosts.
			chart("area", 4, "Waiting in send queues by host (messages, stacked)", metric(open, waiting, "FACET host TIMESERIES LIMIT 50")),
			chart("area", 4, "Given up by send queues by host (messages/min)", metric(perMinute, givenUp, "FACET host TIMESERIES LIMIT 50")),
		),
		wide(3,
			chart("area", 4, "Broadcasts by name (broadcasts/min, events)", transactions("rate(count(*), 1 minute)", broadcasts, "FACET name TIMESERIES LIMIT 20")),
			chart("table", 8, "Broadcasts (broadcasts, copies, s; events)", transactions(
				"count(*) AS 'broadcasts', average(`websocket.broadcast.recipients`) AS 'recipients', "+
					"sum(`websocket.broadcast.recipients`) AS 'copies', sum(`websocket.broadcast.failed`) AS 'failed', "+
					"percentile(duration, 95), max(`websocket.broadcast.slowest_write`) AS 'slowest write'",
				broadcasts, "FACET name LIMIT 50")),
		),
		wide(4,
			chart("table", 6, "What messages call (calls, s)", metric(
				"count(newrelic.timeslice.value) AS 'calls', average(newrelic.timeslice.value) AS 'average', max(newrelic.timeslice.value) AS 'max'",
				calls, "FACET metricTimesliceName, scope LIMIT 100")),
			chart("table", 6, "Slowest calls (s, events of sampled traces, all routes)",
				"FROM Span SELECT count(*) AS 'calls', percentile(duration, 50, 95, 99), max(duration) AS 'max' "+
					"WHERE appName IN ({{application}}) AND category IN ('datastore', 'http') FACET name, category LIMIT 100"),
		),
		wide(3,
			chart("area", 6, "Calls of messages (calls/min)", metric(transactionsPerMinute, calls, "FACET metricTimesliceName TIMESERIES LIMIT 20")),
			chart("table", 6, "Messages sent inside handlers (writes, s, bytes; events of sampled traces)", events("Span",
				"count(*) AS 'writes', percentile(duration, 50, 95), average(`websocket.message.length`) AS 'bytes'",
				"name LIKE 'Custom/send %'", "FACET name LIMIT 50")),
		),
	)
}
