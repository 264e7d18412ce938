// Package newrelicws exports to New Relic APM what an apmws.Agent sees, through
// New Relic's own Go agent. A program makes its newrelic.Application as usual and
// hands it over:
//
//	agent := apmws.New(apmws.Options{Exporters: []apmws.Exporter{newrelicws.New(app)}})
//
// When the program ends, agent.Shutdown hands over what is left, and app.Shutdown
// sends it; the order matters.
//
// # Transactions
//
// A handshake is the transaction Connection/CONNECT <route>; it continues the
// trace that came with the request. Each message is Message/<name> and the end of
// a connection Disconnection/DISCONNECT <route>. New Relic prefixes the names with
// OtherTransaction/Go/: none is a web transaction, and none has an Apdex. Messages
// and ends are traces of their own. New Relic has no span links, so they carry the
// ids of the handshake as websocket.connection.trace_id and .span_id. The latter
// is missing when the handshake was not sampled, since there is no span then; the
// id of the connection, websocket.connection.id, always finds both. The trace
// context that came in a message and is not continued is in
// websocket.message.trace_id and .span_id.
//
// The contract's attributes are attributes of the transaction; result and
// event.outcome are too. The user is in user.id and in enduser.id, which New
// Relic's error inbox counts. A failure becomes a TransactionError with its class;
// a refusal with a status of 400 or more is none by itself. Of a panic's stack the
// innermost frames are in the attribute stack; error traces have a stack only when
// the error brings one, by a method StackTrace.
//
// New Relic keeps 64 attributes of a transaction, of which nine are for what this
// package adds, such as the result, and 32 of an error, of 255 bytes each. Strings
// are cut, durations become seconds, times RFC 3339, groups dotted names. Of the
// HTTP request only what apmws.RequestInfo holds is sent.
//
// # Spans
//
// Spans of apmws.StartSpan are segments. One without a destination is
// Custom/<name>. One with a destination is, by the first part of its type, db,
// messaging or another, Datastore/operation/<product>/<name>,
// MessageBroker/<product>/Topic/Produce/Named/<name> or
// External/<destination>/<product>/<name>, where the product is the second part.
// Where that is http the name is the HTTP method with which the span's name begins,
// as in "GET billing", or is left out.
//
// New Relic's segments nest: a span that outlives the one above it ends with it. It
// is recorded as it is then, with the outcome unknown, and its own End does nothing.
// Otherwise spans may end in any order and on any goroutine. A span is below its
// parent only when nothing else is open there at its start. One that overlaps with
// others below the same parent, or starts while a segment of the application's is
// open, has a goroutine of New Relic's own: New Relic shows it directly below the
// transaction, and it ends when it ends. So it is with each of a transaction that is
// not sampled, of which New Relic shows no spans, only their times in metrics. New
// Relic's total time counts these goroutines on top of the duration. A transaction has at most 1,000 of them: a
// span that finds none free is not recorded, and counted in Dropped. Nor is one
// recorded that has not ended by the time its transaction does.
//
// A handler's context carries New Relic's transaction, so that New Relic's
// integrations add to it; with a span's context they add below the span until it has
// ended. Their segments obey New Relic's rule: one that is still open when the span
// around it ends is lost, and so are the attributes of that span's end. A handler
// that calls integrations on several goroutines at once needs a span for each, or
// Transaction.NewGoroutine as without apmws.
//
// An HTTP middleware of New Relic's outside the agent opens a transaction that
// would last as long as the HTTP handler, which is as long as the connection. It is
// ignored once the handshake is accepted. That of a refusal is left alone, and so
// is that of an Endpoint, which is as long as the handshake.
//
// # What New Relic keeps
//
// In each minute the agent keeps 10,000 transaction events, 100 error events and
// 2,000 spans of as many transactions as New Relic's sampler chooses, by default
// about ten. The metric of a transaction's name counts all of them. So counts and
// rates are to be read from metrics, and the shape, such as percentiles and
// facets, from events.
//
// With apmws.Options.Sampling below 1 the agent never learns of the other
// messages, and New Relic's metrics of the names under Message count those that
// were chosen. What is exact then is Custom/WebSocket/Messages/Handled below. Each
// chosen message stands for websocket.sampling.weight messages, or for one where
// the attribute is missing, and New Relic's sampler decides on its spans as usual.
// A message that was not chosen, but failed or was slow, is recorded after the
// fact. New Relic cannot be told a start in the past, so it is a transaction of its
// own name, MessageKept/<name>, whose own duration means nothing; the message's is
// in websocket.message.duration, in seconds. Its weight is 0: events under both
// names, weighted, estimate all messages, as long as there are no more than 10,000
// in a minute.
//
// The agent merges all transactions on one goroutine, some 100,000 in a second at
// best. Handlers do not wait for it as they would with New Relic's API alone: what
// it cannot take, beyond a burst of about 1,200, is dropped and counted in Dropped.
//
// # Metrics
//
// New Relic's custom metrics have no labels; they are sums over the routes. Below
// Custom/WebSocket/ there are Connections/Active, Connections/Opened,
// Connections/Refused/<reason>, Connections/Closed/<cause>, Messages/Received,
// Messages/Sent, Messages/Handled/<name>/<outcome>, Bytes/Received, Bytes/Sent,
// Pings/Unanswered and Telemetry/Dropped/<exporter>/<reason>. They are reported
// every ten seconds: Active is the number then, to be read as average or max, the
// others are what has happened since the last report, to be read as sum. With
// several processes the average and max of Active are those of one of them. Beyond
// 500 pairs of a message's name and outcome the rest is counted as _OTHER. Until
// the agent is connected, and again while it is not, the counters are held. What
// the agent has taken is lost, with all that it has recorded itself, when New Relic
// makes it connect anew before it has sent that, when New Relic refuses it for good,
// as with a status of 413, or when it has failed to send for five minutes. With
// CountRequests in the agent's configuration, posts that failed are counted in
// Dropped.
//
// # Queries
//
// Events and these metrics cannot be mixed in one query.
//
//	FROM Metric SELECT rate(count(newrelic.timeslice.value), 1 minute) WHERE appName = 'chat' AND metricTimesliceName LIKE 'OtherTransaction/Go/Message/%' FACET metricTimesliceName TIMESERIES
//	FROM Metric SELECT average(newrelic.timeslice.value), max(newrelic.timeslice.value) WHERE appName = 'chat' AND metricTimesliceName = 'Custom/WebSocket/Connections/Active' TIMESERIES
//	FROM Metric SELECT sum(newrelic.timeslice.value) WHERE appName = 'chat' AND metricTimesliceName LIKE 'Custom/WebSocket/Connections/Closed/%' FACET metricTimesliceName TIMESERIES
//	FROM Transaction SELECT percentile(duration, 50, 95, 99) WHERE name LIKE 'OtherTransaction/Go/Message/%' FACET name
//	FROM Transaction SELECT sum(`websocket.sampling.weight` OR 1) WHERE `websocket.event` = 'message' FACET `websocket.message.type`
//	FROM TransactionError SELECT count(*) WHERE error.expected IS NOT true FACET error.class
//	FROM Transaction SELECT * WHERE `websocket.connection.id` = '…'
package newrelicws
