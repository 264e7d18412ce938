// Package semconv holds the names that apmws writes: transaction types,
// attributes and metrics. Exporters, dashboards and queries depend on them, so
// a name changes only with an entry in the changelog.
//
// The names are neutral and dotted. A back end that cannot keep the dots
// changes them by its own rule: Elastic writes websocket_close_code as a label.
package semconv

// Transaction types. Elastic shows them as transaction.type.
const (
	TypeConnection    = "Connection"    // the handshake
	TypeMessage       = "Message"       // one message, or one broadcast
	TypeDisconnection = "Disconnection" // the end of a connection
)

// Attributes of transactions, spans and log lines.
const (
	Event                 = "websocket.event" // connect, message, disconnect
	ConnectionID          = "websocket.connection.id"
	Route                 = "http.route"
	Role                  = "websocket.role" // client, where this side has dialled; else absent
	Subprotocol           = "websocket.subprotocol"
	UserID                = "user.id"
	StatusCode            = "http.response.status_code"
	ClientAddress         = "client.address"
	Origin                = "websocket.origin"
	RefusalReason         = "websocket.refusal.reason"
	MessageName           = "websocket.message.name"
	MessageType           = "websocket.message.type"
	MessageLength         = "websocket.message.length" // bytes
	MessageDirection      = "websocket.message.direction"
	MessageRawName        = "websocket.message.raw_name"
	MessageElapsed        = "websocket.message.duration"  // seconds; where the back end cannot be told a start in the past; also a metric
	SamplingWeight        = "websocket.sampling.weight"   // messages that one stands for, where the back end does not scale by itself
	ConnectionRecent      = "websocket.connection.recent" // what happened on the connection before its error, newest first
	CloseCode             = "websocket.close.code"
	CloseReason           = "websocket.close.reason"
	CloseInitiator        = "websocket.close.initiator"
	CloseCause            = "websocket.close.cause"
	ConnectionDuration    = "websocket.connection.duration" // seconds; also a metric
	MessagesReceived      = "websocket.messages.received"   // also a metric
	MessagesSent          = "websocket.messages.sent"       // also a metric
	BytesReceived         = "websocket.bytes.received"      // also a metric
	BytesSent             = "websocket.bytes.sent"          // also a metric
	PingRTT               = "websocket.ping.rtt"            // seconds; also a metric
	ConnectTraceID        = "websocket.connection.trace_id"
	ConnectSpanID         = "websocket.connection.span_id"
	MessageTraceID        = "websocket.message.trace_id" // of the trace context in a message, where the back end has no links
	MessageSpanID         = "websocket.message.span_id"
	RequestMethod         = "http.request.method" // of an outbound call
	ServerAddress         = "server.address"      // the host of an outbound call, and that a Dialer has called
	EventOutcome          = "event.outcome"
	BroadcastRecipients   = "websocket.broadcast.recipients"
	BroadcastFailed       = "websocket.broadcast.failed"
	BroadcastSlowestWrite = "websocket.broadcast.slowest_write" // seconds
	TelemetryDropExporter = "exporter"
	TelemetryDropReason   = "reason"
)

// Metrics beside those above.
const (
	ConnectionsActive  = "websocket.connections.active"
	ConnectionsOpened  = "websocket.connections.opened"
	ConnectionsRefused = "websocket.connections.refused"
	ConnectionsClosed  = "websocket.connections.closed"
	MessageDuration    = "websocket.message.duration" // seconds
	MessagesHandled    = "websocket.messages.handled" // what MessageDuration counts, where a back end cannot tell by the histogram
	PingsUnanswered    = "websocket.pings.unanswered"
	WriteDuration      = "websocket.write.duration" // seconds
	SendQueueMessages  = "websocket.send_queue.messages"
	SendQueueDropped   = "websocket.send_queue.dropped"
	OutboundCalls      = "websocket.outbound.calls"
	TelemetryDropped   = "websocket.telemetry.dropped"
)

// Values of Event.
const (
	EventConnect    = "connect"
	EventMessage    = "message"
	EventDisconnect = "disconnect"
	EventBroadcast  = "broadcast"
)

// RoleClient is the value of Role.
const RoleClient = "client"

// Other stands for a name outside its registered set.
const Other = "_OTHER"

// None stands for a status or a close code that never came, and for the message of
// an outbound call that belongs to none.
const None = "none"

// Handshake stands for the handshake where outbound calls are counted by message.
const Handshake = "CONNECT"
