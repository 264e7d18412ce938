package newrelic

import "strings"

// Timeslice metrics. In a pattern, % alone stands for others. Custom ones are those of apmws; the others are New Relic's, of
// transactions by their names.
const (
	active     = "metricTimesliceName = 'Custom/WebSocket/Connections/Active'"
	opened     = "metricTimesliceName = 'Custom/WebSocket/Connections/Opened'"
	refused    = "metricTimesliceName LIKE 'Custom/WebSocket/Connections/Refused/%'"
	closed     = "metricTimesliceName LIKE 'Custom/WebSocket/Connections/Closed/%'"
	received   = "metricTimesliceName = 'Custom/WebSocket/Messages/Received'"
	sent       = "metricTimesliceName = 'Custom/WebSocket/Messages/Sent'"
	bytesIn    = "metricTimesliceName = 'Custom/WebSocket/Bytes/Received'"
	bytesOut   = "metricTimesliceName = 'Custom/WebSocket/Bytes/Sent'"
	handled    = "metricTimesliceName LIKE 'Custom/WebSocket/Messages/Handled/%'"
	failed     = "metricTimesliceName LIKE 'Custom/WebSocket/Messages/Handled/%/failure'"
	other      = "metricTimesliceName LIKE 'Custom/WebSocket/Messages/Handled/_OTHER/%'"
	unanswered = "metricTimesliceName = 'Custom/WebSocket/Pings/Unanswered'"
	dropped    = "metricTimesliceName LIKE 'Custom/WebSocket/Telemetry/Dropped/%'"
	waiting    = "metricTimesliceName = 'Custom/WebSocket/SendQueue/Messages'"
	givenUp    = "metricTimesliceName = 'Custom/WebSocket/SendQueue/Dropped'"
	slow       = "metricTimesliceName = 'Custom/WebSocket/Connections/Closed/slow_consumer'"

	// Outbound HTTP requests, by host and caller.
	outboundCalls = "metricTimesliceName LIKE 'Custom/WebSocket/Calls/%'"
	inHandshakes  = "metricTimesliceName LIKE 'Custom/WebSocket/Calls/%/CONNECT'"

	handshakes = "metricTimesliceName LIKE 'OtherTransaction/Go/Connection/CONNECT %'"
	recorded   = "metricTimesliceName LIKE 'OtherTransaction/Go/Message/%'"
	errorCount = "metricTimesliceName LIKE 'Errors/OtherTransaction/Go/%'"

	// The segments below messages have the message as their scope.
	inMessages = "scope LIKE 'OtherTransaction/Go/Message/%'"
	calls      = inMessages + " AND (metricTimesliceName LIKE 'Datastore/operation/%' " +
		"OR metricTimesliceName LIKE 'External/%' OR metricTimesliceName LIKE 'MessageBroker/%')"
)

// What metrics are asked for.
const (
	sum = "sum(newrelic.timeslice.value)"
	// A counter's values are what has been added since the last report.
	perMinute = "rate(" + sum + ", 1 minute)"
	perSecond = "rate(" + sum + ", 1 second)"
	// Each process reports its open connections every ten seconds. The sum of the
	// reports of ten seconds is therefore the sum over the processes, which neither an
	// average nor a maximum of all reports would be.
	open = "rate(" + sum + ", 10 seconds)"
	// Of metrics of transactions, the number of values is the number of transactions.
	transactionsPerMinute = "rate(count(newrelic.timeslice.value), 1 minute)"
)

// metric asks for timeslice metrics.
func metric(what, where, rest string) string {
	return "FROM Metric SELECT " + what + " WHERE appName IN ({{application}}) AND " + where + then(rest)
}

// segments asks for timeslice metrics by their parts, such as .../Closed/{cause}.
func segments(what, format, rest string) string {
	return "FROM Metric SELECT " + what + " WHERE appName IN ({{application}}) WITH METRIC_FORMAT 'Custom/WebSocket/" +
		format + "'" + then(rest)
}

// only is one of several values that a query asks for side by side.
func only(what, where string) string { return "filter(" + what + ", WHERE " + where + ")" }

// events asks for those that apmws made, of a type.
func events(from, what, where, rest string) string {
	return "FROM " + from + " SELECT " + what + " WHERE appName IN ({{application}}) AND `http.route` IN ({{route}}) AND " +
		where + then(rest)
}

// Which events.
const (
	connects    = "`websocket.event` = 'connect'"
	inbound     = "`websocket.event` = 'message'"
	disconnects = "`websocket.event` = 'disconnect'"
	broadcasts  = "`websocket.event` = 'broadcast'"
	anyEvent    = "`websocket.event` IS NOT NULL"

	// With Sampling, those that were chosen: a sample, whose shape is that of all. The
	// others, all failed and slow ones, are no part of it. Inbound are both.
	ofMessages = inbound + " AND name LIKE 'OtherTransaction/Go/Message/%'"
	keptOnes   = "name LIKE 'OtherTransaction/Go/MessageKept/%'"
)

// faults are the close causes that the server is to blame for.
func faults() []string { return []string{"handler_error", "panic", "slow_consumer", "write_error"} }

// lost are those by which peers were lost, or did not keep to the protocol.
func lost() []string {
	return []string{"heartbeat_timeout", "message_too_big", "protocol_error", "read_error"}
}

// oneOf tells that an attribute is one of the values, which all begin with prefix.
func oneOf(attribute, prefix string, values []string) string {
	return attribute + " IN ('" + prefix + strings.Join(values, "', '"+prefix) + "')"
}

func transactions(what, where, rest string) string { return events("Transaction", what, where, rest) }

func failures(what, where, rest string) string { return events("TransactionError", what, where, rest) }

func then(rest string) string {
	if rest == "" {
		return ""
	}
	return " " + rest
}
