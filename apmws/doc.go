// Package apmws makes WebSocket traffic visible in application performance
// monitoring.
//
// APM agents and access logs see HTTP requests. A WebSocket is hijacked from
// HTTP after its handshake and vanishes from them: its connections are not
// logged, its messages have no transaction. An Agent watches WebSockets at two
// places.
//
// At the wire, Agent.Handler wraps the handler that upgrades, whatever library
// it uses. It follows the frames of the hijacked connection, so every connection
// is logged when its handshake arrives, counted exactly, and summed up when it
// is closed: messages, bytes, pings, close codes and causes.
//
// At the handler, Serve, or StartMessage for programs with a read loop of their
// own, makes each message a transaction of its own, named by its event and
// carried in the context, so that whatever the handler calls becomes a span of
// it.
//
// With gorilla/websocket, Agent.Endpoint does both and runs the whole life of a
// connection: authentication, the upgrade, messages, the end. Agent.Dialer is the
// client: it connects, serves, and comes back.
//
// What is seen goes to exporters: Elastic APM (exporters/elasticws), New Relic
// (exporters/newrelicws), a page of its own (exporters/livews), or any
// implementation of Exporter, several at once. Options.Sampling decides which
// messages become transactions; counters and histograms are exact in any case.
//
// # The model
//
//   - CONNECT, of type Connection, lasts from the request's arrival until the
//     101 has been written, or an Endpoint's Connect has returned, or the
//     handshake has been refused. It is exported then, while the connection lives
//     on. That of a Dialer is an attempt to connect.
//   - A Message lasts from the moment the whole message has been read until its
//     handler returns. It is a trace of its own, linked to CONNECT.
//   - DISCONNECT, of type Disconnection, is a moment: the connection has been
//     closed, by whomever. It carries the summary.
//
// Nothing is ever as long as a connection: a transaction that lasted for hours
// would be invisible until its end and distort every latency.
//
// # Contexts
//
// The context of a request in Agent.Handler may be used for as long as the
// connection lives. Until the 101 has been written it carries the CONNECT
// transaction; afterwards no vendor's transaction is found in it, since those
// have ended. The same goes for a message's context and its transaction.
//
// # What never leaves
//
// Payloads, query strings, cookies, Authorization, Referer, and subprotocols
// that are not known to be harmless reach no log line and no exporter. What a
// peer chose (close reasons, user agents) is cut and cleaned.
package apmws
