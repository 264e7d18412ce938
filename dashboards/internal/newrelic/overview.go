package newrelic

const exactness = "**Exact** are the widgets over metrics: connections, messages, bytes and failures, as `Agent.Stats` has " +
	"them, summed over all routes. **Sampled** are those marked *(events)*: they can be split by route, user or " +
	"connection, but New Relic's agent keeps 10,000 transactions a minute at most, and New Relic cannot mix metrics " +
	"and events in one query, so the route above selects events alone."

func overview() Page {
	return page("Overview", "A WebSocket service at a glance.",
		wide(2, markdown(12, "What is exact", exactness)),
		wide(3,
			ownTime(billboard("Open now (connections, all processes)", metric(open+" AS 'open'", active, "SINCE 3 minutes ago UNTIL 1 minute ago"), 0, 0)),
			billboard("Opened (connections/min)", metric(perMinute+" AS 'opened'", opened, ""), 0, 0),
			billboard("Refused (handshakes/min)", metric(perMinute+" AS 'refused'", refused, ""), 10, 100),
			billboard("Received (messages/min)", metric(perMinute+" AS 'received'", received, ""), 0, 0),
			billboard("Failed messages (%)", metric("100 * "+only(sum, failed)+" / "+only(sum, handled)+" AS 'failed'", handled, ""), 1, 5),
			billboard("Message latency p95 (s, events)", transactions("percentile(duration, 95) AS 'p95'", ofMessages, ""), 0.5, 2),
		),
		wide(3,
			// Stacked: its top is the sum over the hosts.
			chart("area", 6, "Open by host (connections, stacked)", metric(open, active, "FACET host TIMESERIES LIMIT 50")),
			chart("line", 6, "Opened, closed, refused (connections/min)", metric(perMinute+" AS 'opened'", opened, "TIMESERIES"),
				metric(perMinute+" AS 'closed'", closed, "TIMESERIES"), metric(perMinute+" AS 'refused'", refused, "TIMESERIES")),
		),
		wide(3,
			chart("line", 4, "Messages each way (messages/min)", metric(perMinute+" AS 'received'", received, "TIMESERIES"),
				metric(perMinute+" AS 'sent'", sent, "TIMESERIES")),
			chart("line", 4, "Payload each way (bytes/s)", metric(perSecond+" AS 'received'", bytesIn, "TIMESERIES"),
				metric(perSecond+" AS 'sent'", bytesOut, "TIMESERIES")),
			chart("line", 4, "Message latency p50, p95, p99 (s, events)", transactions("percentile(duration, 50, 95, 99)", ofMessages, "TIMESERIES")),
		),
		wide(3,
			chart("line", 3, "Failed messages (messages/min)", metric(perMinute+" AS 'failed'", failed, "TIMESERIES")),
			chart("pie", 3, "Close causes (connections)", segments(sum, "Connections/Closed/{cause}", "FACET cause LIMIT 20")),
			chart("bar", 3, "Busiest routes (handshakes/min)", metric(transactionsPerMinute, handshakes, "FACET metricTimesliceName LIMIT 10")),
			// Not by the name alone: names of messages may have slashes, such as
			// textDocument/didOpen, and what METRIC_FORMAT tells apart has none.
			chart("bar", 3, "Busiest by name and outcome (messages/min)", metric(perMinute, handled, "FACET metricTimesliceName LIMIT 10")),
		),
		wide(3,
			chart("line", 6, "Received, and a week before (messages/min)", metric(perMinute+" AS 'received'", received, "COMPARE WITH 1 week ago TIMESERIES")),
			chart("line", 6, "Opened, and a week before (connections/min)", metric(perMinute+" AS 'opened'", opened, "COMPARE WITH 1 week ago TIMESERIES")),
		),
	)
}
