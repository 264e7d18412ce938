package board

import "github.com/grafana/grafana-foundation-sdk/go/units"

const (
	active     = "websocket_connections_active"
	opened     = "websocket_connections_opened_total"
	refused    = "websocket_connections_refused_total"
	closed     = "websocket_connections_closed_total"
	lasted     = "websocket_connection_duration_seconds"
	received   = "websocket_messages_received_total"
	sent       = "websocket_messages_sent_total"
	bytesIn    = "websocket_bytes_received_total"
	bytesOut   = "websocket_bytes_sent_total"
	handling   = "websocket_message_duration_seconds"
	pingRTT    = "websocket_ping_rtt_seconds"
	unanswered = "websocket_pings_unanswered_total"
	writing    = "websocket_write_duration_seconds"
	calls      = "websocket_outbound_calls_total"
	waiting    = "websocket_send_queue_messages"
	givenUp    = "websocket_send_queue_dropped_total"
	dropped    = "websocket_telemetry_dropped_total"
)

const failed = `event_outcome="failure"`

// late says of which counters Prometheus misses the first event.
const late = " A series appears with its first event, which Prometheus' rate does not see."

// How exact a percentile is: of times, and of how long connections were open.
const (
	bucketed = " Buckets double, from 256 µs to 16.8 s: between these a percentile is at most twice or half of the true one. " +
		"Below it is a guess between 0 and 256 µs, above it is 16.8 s."
	bucketedLong = " Buckets double, from 131 ms to 38 h: between these a percentile is at most twice or half of the true one. " +
		"Below it is a guess between 0 and 131 ms, above it is 38 h."
)

func rows() []row {
	return []row{
		{"Now", now()},
		{"Connections", connections()},
		{"Messages", messages()},
		{"Peers", peers()},
		{"Outbound calls and telemetry", outside()},
	}
}

func now() []panel {
	return []panel{
		{
			title: "Open connections", unit: units.Short, number: true, width: 4,
			description: "Connections that are open on the chosen instances: what to scale by.",
			queries:     []query{{sum(gauge(active)), ""}},
		},
		{
			title: "Opened", unit: units.CountsPerSecond, number: true, width: 4,
			description: "Handshakes that became connections, per second. High beside a flat number of open connections: clients that come and go.",
			queries:     []query{{sum(rate(opened)), ""}},
		},
		{
			title: "Refused", unit: units.PercentUnit, number: true, width: 4,
			description: "The part of all handshakes that was refused.",
			queries:     []query{{share(sum(rate(refused)), "("+sum(rate(opened))+" + "+orZero(sum(rate(refused)))+")"), ""}},
		},
		{
			title: "Messages handled", unit: units.MessagesPerSecond, number: true, width: 4,
			description: "Messages whose handling ended, per second, whatever is sampled.",
			queries:     []query{{sum(rate(handling + "_count")), ""}},
		},
		{
			title: "Failed", unit: units.PercentUnit, number: true, width: 4,
			description: "The part of the handled messages that failed: an error, a panic or a timeout.",
			queries:     []query{{share(sum(rate(handling+"_count", failed)), sum(rate(handling+"_count"))), ""}},
		},
		{
			title: "Handling, p99", unit: units.Seconds, number: true, width: 4,
			description: "99 of 100 messages were handled in less." + bucketed,
			queries:     []query{{percentile("0.99", handling), ""}},
		},
	}
}

func connections() []panel {
	return []panel{
		{
			title: "Open by route", unit: units.Short, width: 12, stacked: true,
			description: "Connections that are open.",
			queries:     []query{{sum(gauge(active), "http_route"), "{{http_route}}"}},
		},
		{
			title: "Open by instance", unit: units.Short, width: 12,
			description: "Connections do not move: an instance that was just started has few until the others' clients come back.",
			queries:     []query{{sum(gauge(active), "instance"), "{{instance}}"}},
		},
		{
			title: "Opened by route", unit: units.CountsPerSecond, width: 8,
			description: "Handshakes that became connections. A spike is clients that reconnect.",
			queries:     []query{{sum(rate(opened), "http_route"), "{{http_route}}"}},
		},
		{
			title: "Refused by reason", unit: units.CountsPerSecond, width: 8, stacked: true,
			description: "Handshakes that were refused, by the reason and the status of the answer; none, where there was none." + late,
			queries: []query{{
				sum(rate(refused), "websocket_refusal_reason", "http_response_status_code"),
				"{{websocket_refusal_reason}} {{http_response_status_code}}",
			}},
		},
		{
			title: "Closed by cause", unit: units.CountsPerSecond, width: 8, stacked: true,
			description: "Connections that ended, by what ended them." + late,
			queries:     []query{{sum(rate(closed), "websocket_close_cause"), "{{websocket_close_cause}}"}},
		},
		{
			title: "How long closed connections were open", unit: units.Seconds, width: 24,
			description: "Of the connections that ended." + bucketedLong,
			queries:     percentiles(lasted),
		},
	}
}

func messages() []panel {
	return []panel{
		{
			title: "Messages", unit: units.MessagesPerSecond, width: 12,
			description: "Messages as they passed on the wire, control frames apart.",
			queries:     []query{{sum(rate(received)), "received"}, {sum(rate(sent)), "sent"}},
		},
		{
			title: "Bytes", unit: units.BytesPerSecondSI, width: 12,
			description: "Payload of data frames, compressed where it is.",
			queries:     []query{{sum(rate(bytesIn)), "received"}, {sum(rate(bytesOut)), "sent"}},
		},
		{
			title: "Handled by name", unit: units.MessagesPerSecond, width: 12, stacked: true,
			description: "Messages whose handling ended; _OTHER is every name that is not registered." + late,
			queries:     []query{{sum(rate(handling+"_count"), "websocket_message_name"), "{{websocket_message_name}}"}},
		},
		{
			title: "Failed by name", unit: units.MessagesPerSecond, width: 12, stacked: true,
			description: "Messages whose handling failed: an error, a panic or a timeout." + late,
			queries:     []query{{sum(rate(handling+"_count", failed), "websocket_message_name"), "{{websocket_message_name}}"}},
		},
		{
			title: "Handling time", unit: units.Seconds, width: 12,
			description: "From a message's last byte to the handler's return." + bucketed,
			queries:     percentiles(handling),
		},
		{
			title: "Handling time by name, p95", unit: units.Seconds, width: 12,
			description: "95 of 100 messages of a name were handled in less." + bucketed,
			queries:     []query{{percentile("0.95", handling, "websocket_message_name"), "{{websocket_message_name}}"}},
		},
	}
}

func peers() []panel {
	return []panel{
		{
			title: "Ping round trips", unit: units.Seconds, width: 8,
			description: "From a ping to its pong." + bucketed,
			queries:     percentiles(pingRTT),
		},
		{
			title: "Unanswered pings", unit: units.CountsPerSecond, width: 8,
			description: "Pings for which no pong came: peers that vanished, or are too busy to answer.",
			queries:     []query{{sum(rate(unanswered), "instance"), "{{instance}}"}},
		},
		{
			title: "Writes", unit: units.Seconds, width: 8,
			description: "Time that a write to a peer blocked. Long ones are peers that do not read." + bucketed,
			queries:     percentiles(writing),
		},
		{
			title: "Goroutines blocked in writes", unit: units.Short, width: 8,
			description: "Seconds per second that were spent in writes: how many goroutines were, on average.",
			queries:     []query{{sum(rate(writing+"_sum"), "http_route"), "{{http_route}}"}},
		},
		{
			title: "Waiting in send queues", unit: units.Short, width: 8,
			description: "Messages that wait for a peer to read those before them.",
			queries:     []query{{sum(gauge(waiting), "http_route"), "{{http_route}}"}},
		},
		{
			title: "Given up by send queues", unit: units.MessagesPerSecond, width: 8,
			description: "Messages that were not sent since their queue was full.",
			queries:     []query{{sum(rate(givenUp), "http_route"), "{{http_route}}"}},
		},
	}
}

func outside() []panel {
	return []panel{
		{
			title: "Calls by host", unit: units.RequestsPerSecond, width: 8, stacked: true,
			description: "HTTP requests through apmws.Transport, by the host that they go to." + late,
			queries:     []query{{sum(rate(calls), "server_address"), "{{server_address}}"}},
		},
		{
			title: "Calls by route and message", unit: units.RequestsPerSecond, width: 8, stacked: true,
			description: "Whose calls these are. CONNECT is a handshake's: a spike of them is clients that reconnect." + late,
			queries: []query{{
				sum(rate(calls), "http_route", "websocket_message_name"), "{{http_route}} {{websocket_message_name}}",
			}},
		},
		{
			title: "Telemetry dropped", unit: units.CountsPerSecond, width: 8, stacked: true,
			description: "What an exporter or apmws itself gave up. Anything here means that another back end does not have all." + late,
			queries: []query{{
				sum("rate("+dropped+"{"+ofNodes+"}[$__rate_interval])", "exporter", "reason"), "{{exporter}} {{reason}}",
			}},
		},
	}
}
