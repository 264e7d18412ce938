package newrelic

const rttNote = "Time blocked in writes and the histograms of ping round trips are in `Agent.Stats`, on the live page and in " +
	"Elastic; New Relic has of each connection the last round trip, in the event of its end. *Reconnect " +
	"churn* of 1 is a connect an hour for each open connection."

func connections() Page {
	return page("Connections", "Handshakes, refusals, ends, and who connects.",
		wide(3,
			// Each open connection adds 1 to six reports a minute: 360 make an hour of it.
			billboard("Reconnect churn (connects/connection-hour)", metric("360 * "+only(sum, opened)+" / "+only(sum, active)+" AS 'churn'",
				"("+opened+" OR "+active+")", ""), 6, 60),
			billboard("Unanswered pings (pings/min)", metric(perMinute+" AS 'unanswered'", unanswered, ""), 1, 60),
			billboard("Handshake p95 (s, events)", transactions("percentile(duration, 95) AS 'p95'", connects, ""), 0.5, 2),
			billboard("Connection duration p50 (s, events)",
				transactions("percentile(`websocket.connection.duration`, 50) AS 'p50'", disconnects, ""), 0, 0),
			markdown(4, "What New Relic does not have", rttNote),
		),
		wide(3,
			// What one process has open: an average of its reports, and the greatest.
			chart("line", 6, "Open in one process, average and peak (connections)", metric(
				"average(newrelic.timeslice.value) AS 'average', max(newrelic.timeslice.value) AS 'peak'", active, "FACET host TIMESERIES LIMIT 50")),
			chart("area", 6, "Handshakes by route (handshakes/min)",
				metric(transactionsPerMinute, handshakes, "FACET metricTimesliceName TIMESERIES LIMIT 20")),
		),
		wide(3,
			chart("area", 4, "Handshakes by status class (handshakes/min, events)",
				transactions("rate(count(*), 1 minute)", connects, "FACET result TIMESERIES")),
			chart("line", 4, "Handshake latency p50, p95, p99 (s, events)",
				transactions("percentile(duration, 50, 95, 99)", connects, "TIMESERIES")),
			chart("area", 4, "Refused by reason (handshakes/min)",
				segments(perMinute, "Connections/Refused/{reason}", "FACET reason TIMESERIES LIMIT 20")),
		),
		wide(3,
			chart("area", 3, "Closed by cause (connections/min)",
				segments(perMinute, "Connections/Closed/{cause}", "FACET cause TIMESERIES LIMIT 20")),
			chart("area", 3, "Closed by code (connections/min, events)",
				transactions("rate(count(*), 1 minute)", disconnects, "FACET `websocket.close.code` TIMESERIES LIMIT 20")),
			chart("pie", 3, "Who closes (connections, events)",
				transactions("count(*)", disconnects, "FACET `websocket.close.initiator`")),
			chart("pie", 3, "Handshakes by status code (handshakes, events)",
				transactions("count(*)", connects, "FACET `http.response.status_code` LIMIT 20")),
		),
		wide(3,
			chart("histogram", 4, "Durations to 24 h (connections by s, events)",
				transactions("histogram(`websocket.connection.duration`, 86400, 48)", disconnects, "")),
			chart("histogram", 4, "Durations to 10 min (connections by s, events)",
				transactions("histogram(`websocket.connection.duration`, 600, 40)", disconnects, "")),
			chart("heatmap", 4, "Durations to 1 h by route (connections by s, events)",
				transactions("histogram(`websocket.connection.duration`, 3600, 30)", disconnects, "FACET `http.route`")),
		),
		wide(4,
			chart("table", 6, "Users with most connects (handshakes, events)", transactions(
				"count(*) AS 'handshakes', "+only("count(*)", "`websocket.refusal.reason` IS NOT NULL")+" AS 'refused', "+
					"uniqueCount(`client.address`) AS 'addresses', latest(`request.headers.userAgent`) AS 'client'",
				connects+" AND `user.id` IS NOT NULL", "FACET `user.id` LIMIT 50")),
			chart("table", 6, "Addresses with most connects (handshakes, events)", transactions(
				"count(*) AS 'handshakes', "+only("count(*)", "`websocket.refusal.reason` IS NOT NULL")+" AS 'refused', "+
					"uniqueCount(`user.id`) AS 'users', latest(`request.headers.userAgent`) AS 'client'",
				connects, "FACET `client.address` LIMIT 50")),
		),
		wide(4,
			chart("table", 6, "Users with most traffic (messages and bytes of ended connections, events)", transactions(
				"count(*) AS 'connections', sum(`websocket.messages.received`) AS 'received', sum(`websocket.messages.sent`) AS 'sent', "+
					"sum(`websocket.bytes.received`) AS 'bytes received', sum(`websocket.bytes.sent`) AS 'bytes sent', "+
					"average(`websocket.connection.duration`) AS 'seconds'",
				disconnects+" AND `user.id` IS NOT NULL", "FACET `user.id` LIMIT 50")),
			chart("table", 6, "Refusals by route, reason and result (handshakes, events)", transactions(
				"count(*) AS 'handshakes', latest(`http.response.status_code`) AS 'last status', latest(`client.address`) AS 'last address'",
				connects+" AND `websocket.refusal.reason` IS NOT NULL",
				"FACET `http.route`, `websocket.refusal.reason`, result LIMIT 50")),
		),
		wide(3,
			chart("line", 4, "Last ping round trip p50, p95 (s, events)", transactions(
				"percentile(`websocket.ping.rtt`, 50, 95)", disconnects+" AND `websocket.ping.rtt` IS NOT NULL", "TIMESERIES")),
			chart("line", 4, "Unanswered pings by host (pings/min)", metric(perMinute, unanswered, "FACET host TIMESERIES LIMIT 50")),
			chart("bar", 4, "Close causes by route (connections, events)",
				transactions("count(*)", disconnects, "FACET `websocket.close.cause`, `http.route` LIMIT 20")),
		),
	)
}
