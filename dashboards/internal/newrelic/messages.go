package newrelic

func messages() Page {
	return page("Messages", "Rates, latencies and sizes by message.",
		wide(3,
			billboard("Handled (messages/min)", metric(perMinute+" AS 'handled'", handled, ""), 0, 0),
			billboard("Named _OTHER (%)", metric("100 * "+only(sum, other)+" / "+only(sum, handled)+" AS '_OTHER'", handled, ""), 5, 25),
			billboard("Sent for each received (messages)", metric(only(sum, sent)+" / "+only(sum, received)+" AS 'fan-out'",
				"("+sent+" OR "+received+")", ""), 0, 0),
			billboard("Payload received (bytes/message)", metric(only(sum, bytesIn)+" / "+only(sum, received)+" AS 'bytes'",
				"("+bytesIn+" OR "+received+")", ""), 0, 0),
			billboard("Latency p99 (s, events)", transactions("percentile(duration, 99) AS 'p99'", ofMessages, ""), 0.5, 2),
			billboard("Message length p95 (bytes, events)",
				transactions("percentile(`websocket.message.length`, 95) AS 'p95'", ofMessages, ""), 0, 0),
		),
		wide(3,
			chart("area", 6, "Handled by name and outcome (messages/min)", metric(perMinute, handled, "FACET metricTimesliceName TIMESERIES LIMIT 20")),
			chart("area", 6, "Transactions by name (messages/min; with Sampling, those chosen)",
				metric(transactionsPerMinute, recorded, "FACET metricTimesliceName TIMESERIES LIMIT 20")),
		),
		wide(4,
			chart("table", 8, "Latency by name (s, events)", transactions(
				"count(*) AS 'events', percentile(duration, 50, 95, 99), max(duration) AS 'max', "+
					"percentage(count(*), WHERE `event.outcome` = 'failure') AS 'failed %'",
				ofMessages, "FACET name LIMIT 100")),
			chart("bar", 4, "Slowest names p95 (s, events)", transactions("percentile(duration, 95)", ofMessages, "FACET name LIMIT 10")),
		),
		wide(3,
			chart("line", 6, "Latency p95 by name (s, events)", transactions("percentile(duration, 95)", ofMessages, "FACET name TIMESERIES LIMIT 10")),
			chart("heatmap", 6, "Latency to 1 s by name (messages by s, events)",
				transactions("histogram(duration, 1, 40)", ofMessages, "FACET name LIMIT 20")),
		),
		wide(3,
			chart("line", 3, "Fan-out (messages sent for each received)", metric(only(sum, sent)+" / "+only(sum, received)+" AS 'fan-out'",
				"("+sent+" OR "+received+")", "TIMESERIES")),
			chart("histogram", 3, "Lengths to 16 KiB (messages by bytes, events)",
				transactions("histogram(`websocket.message.length`, 16384, 32)", ofMessages, "")),
			chart("pie", 3, "Text and binary (messages, events)", transactions("count(*)", ofMessages, "FACET `websocket.message.type`")),
			// Of all that there are: a name that is seldom chosen may fail.
			chart("table", 3, "Behind _OTHER, where asked for (events)", transactions("count(*) AS 'events'",
				inbound+" AND `websocket.message.raw_name` IS NOT NULL", "FACET `websocket.message.raw_name` LIMIT 50")),
		),
		wide(4,
			chart("table", 6, "With Sampling: estimated by weight (messages, events)", transactions(
				"sum(`websocket.sampling.weight` OR 1) AS 'estimated', count(*) AS 'events', "+
					only("count(*)", "`websocket.sampling.weight` = 0")+" AS 'kept after the fact'",
				inbound, "FACET name LIMIT 50")),
			chart("table", 6, "With Sampling: failed and slow ones, kept after the fact (s, events)", transactions(
				"count(*) AS 'events', percentile(`websocket.message.duration`, 50, 95, 99), max(`websocket.message.duration`) AS 'max'",
				keptOnes, "FACET name LIMIT 50")),
		),
	)
}
