package apmws

import (
	"context"
	"log/slog"
	"time"
)

// Exporter sends what the agent sees to one back end. It is the seam between
// the core, which knows no vendor, and a vendor's library.
//
// The agent calls StartConn for each handshake, on the goroutine that serves
// the request, or runs the Dialer. Every method of an Exporter and of the handles that it returns
// must be safe for concurrent use, must not block (hand over, or drop and
// count), and must record even when ctx is cancelled. The agent contains a panic,
// and leaves an exporter out while a call of its has lasted for more than two to
// four seconds; both are counted in Stats.Dropped. After ten such faults, each
// within a minute of the one before, the exporter is switched off for good.
//
// The slices of attributes in events are scratch memory of the caller: they
// are valid until the call returns and must not be changed. The application may
// put any slog.Value into them: what a back end has no kind for is put into words
// or left out, and takes nothing else with it.
//
// An exporter may also implement Broadcaster, Attacher, Masker, LogCorrelator, Flusher,
// Shutdowner and DropReporter; its handles may implement SpanStarter and
// Identifier.
type Exporter interface {
	// StartConn starts the CONNECT transaction. The context that it returns is
	// derived from ctx and carries the vendor's transaction, so that the
	// vendor's own integrations add to it until CONNECT ends; after that the
	// agent hides it. A nil ConnSpan means that nothing is recorded.
	StartConn(ctx context.Context, start ConnStart) (context.Context, ConnSpan)
}

// ConnSpan is an exporter's handle of one connection.
type ConnSpan interface {
	// Opened ends the CONNECT transaction: the connection was accepted or
	// refused. It is called at most once: never when the exporter is left out at
	// that moment. After a refusal nothing else is called.
	Opened(end OpenEnd)
	// StartMessage starts a Message transaction: a trace of its own that is
	// linked to CONNECT, or substitutes a link with attributes. ctx is the
	// connection's context or one derived from it. A nil MessageSpan means that
	// the message is not recorded.
	StartMessage(ctx context.Context, start MessageStart) (context.Context, MessageSpan)
	// End records the DISCONNECT transaction, at most once. Messages in hand may
	// end after it, and those that are Late start after it, too.
	End(end ConnEnd)
}

// MessageSpan is an exporter's handle of one message.
type MessageSpan interface {
	// End is called at most once, from any goroutine: never when the exporter is
	// left out at that moment.
	End(end MessageEnd)
}

// ChildSpan is an exporter's handle of one span.
type ChildSpan interface {
	// End is called at most once, from any goroutine, perhaps after the
	// transaction above it has ended.
	End(end SpanEnd)
}

// SpanStarter is implemented by a ConnSpan, MessageSpan or ChildSpan that can
// have spans below it.
type SpanStarter interface {
	// StartSpan starts a span below the receiver, or below a span of the same
	// transaction that the vendor's own API has put into ctx since. A nil
	// ChildSpan means that nothing is recorded.
	StartSpan(ctx context.Context, start SpanStart) (context.Context, ChildSpan)
}

// Identifier is implemented by a ConnSpan or MessageSpan that log lines can be
// joined with, and by a ChildSpan whose trace context can be sent to the service
// that it calls.
type Identifier interface {
	// SpanContext returns the transaction's ids: those of CONNECT for a
	// ConnSpan. It may be called after the transaction has ended. The result
	// never changes.
	//
	// For a ChildSpan it returns what the called service is to go on from, with the
	// State that belongs beside it: the span, or what stands for it where the span
	// itself is not recorded. It is zero where nothing is to be sent on, and is
	// called before the span ends.
	SpanContext() SpanContext
}

// LogCorrelator is implemented by an exporter that says by which fields its back
// end joins log lines with a transaction. Without it they are trace.id and
// transaction.id, and those of a sampled transaction alone.
type LogCorrelator interface {
	// Vendor is the prefix of the fields, and a dot, where this is not the first
	// LogCorrelator of Options.Exporters: "newrelic" for newrelic.trace.id. It is
	// called once, by New.
	Vendor() string
	// LogFields returns the fields of a line that is written under the
	// transaction with these ids, and none when no document with them will be
	// found: the line then carries the connection's id alone.
	LogFields(ids SpanContext) []slog.Attr
}

// Broadcaster is implemented by an exporter that records broadcasts.
type Broadcaster interface {
	// StartBroadcast starts the transaction of a broadcast, which is of no
	// connection: it has the attributes of its events alone, and is linked to
	// nothing. parent is the exporter's own handle, a ConnSpan, MessageSpan or
	// ChildSpan, of what the broadcast happens in: the transaction is a child of
	// that, in its trace, and Remote is to be ignored. Where parent is nil it is
	// a child of Remote, with Continue, or the root of a trace. What is Late has
	// neither. ctx is the program's. A nil MessageSpan means that the broadcast is
	// not recorded; its End may be called on any goroutine, long after ctx is over.
	StartBroadcast(ctx context.Context, parent any, start MessageStart) MessageSpan
}

// Attacher is implemented by an exporter that reads the agent: its counters,
// its connections.
type Attacher interface {
	// Attach is called once, by New. What it starts, Shutdown ends.
	Attach(agent *Agent)
}

// Masker is implemented by an exporter whose vendor keeps a transaction in the
// context.
type Masker interface {
	// Mask returns a context in which the vendor's API finds no transaction.
	// Once CONNECT has ended, a handler's context answers from it, so that what
	// an HTTP middleware outside the agent has opened does not go on collecting
	// spans for hours.
	Mask(ctx context.Context) context.Context
}

// Flusher is implemented by an exporter that buffers.
type Flusher interface {
	// Flush sends what is buffered, or returns ctx's error when it expires.
	Flush(ctx context.Context) error
}

// Shutdowner is implemented by an exporter that holds resources.
type Shutdowner interface {
	// Shutdown reports the counters a last time, flushes, and releases what the
	// exporter owns. It returns ctx's error when ctx expires first. What the
	// application made, such as a vendor's tracer, stays the application's.
	Shutdown(ctx context.Context) error
}

// DropReporter is implemented by an exporter that counts what it gave up.
type DropReporter interface {
	// Dropped returns cumulative counts by reason, without the exporter's name.
	Dropped() []Dropped
}

// Dropped counts telemetry that was given up. Traffic was not affected.
type Dropped struct {
	Exporter string // the exporter's package, such as elasticws; "apmws" for the core
	Reason   string // from a small fixed set
	Count    int64  // since the start
}

// Outcome says whether a transaction or span succeeded, in the words of ECS's
// event.outcome.
type Outcome string

// Outcomes. A close by a peer that simply went away is OutcomeUnknown.
const (
	OutcomeSuccess Outcome = "success"
	OutcomeFailure Outcome = "failure"
	OutcomeUnknown Outcome = "unknown"
)

// ConnStart describes a handshake that has arrived, or that a Dialer is about to make.
type ConnStart struct {
	Time   time.Time
	ID     string // the connection's id: 16 hex digits
	Route  string // the template given to Handler, never the raw path
	Name   string // the transaction's name, "CONNECT <route>"
	Remote SpanContext
	// Request is what may be known of the HTTP request. There is no query, no
	// cookie and no credential in it.
	Request RequestInfo
	Attrs   []slog.Attr
}

// RequestInfo is the harmless part of a handshake's HTTP request. The strings
// that the peer chose are cut and free of control characters. It is zero for a
// connection of a Dialer, whose request is this side's own.
type RequestInfo struct {
	Method    string
	Host      string
	Path      string // without the query
	UserAgent string
	Origin    string // scheme and host, or empty
	Peer      string // the socket's address, host:port; of a proxy where one is in between
	Client    string // the client's address, without a port: see Options.TrustedProxies
	Proto     string // such as HTTP/1.1
	TLS       bool
}

// OpenEnd says how a handshake ended.
type OpenEnd struct {
	Time     time.Time
	Accepted bool // a 101 was written
	Status   int  // 101, the refusal's status, or 0 when no answer was written; in Attrs, too, unless it is 0
	Result   string
	Outcome  Outcome
	User     string // as set by the application, else empty
	Failure  *Failure
	Attrs    []slog.Attr // those known since the start
}

// ConnEnd is the summary of a connection that was open and is closed.
type ConnEnd struct {
	Time    time.Time
	Name    string // the transaction's name, "DISCONNECT <route>"
	Result  string // the close cause
	Outcome Outcome
	User    string
	Failure *Failure
	Attrs   []slog.Attr // all attributes of the transaction
}

// MessageStart describes a message that has been read and is about to be
// handled, or, when it is Late, has been.
type MessageStart struct {
	Time time.Time // when it had been read
	Name string    // registered, or _OTHER
	// Sampled says that Options.Sampling has decided to record this message. An
	// exporter's own sampler decides when it is false.
	Sampled bool
	// Weight is the number of messages that this one stands for when it is
	// Sampled: 1 divided by the sampling rate, and 0 for a message that is kept
	// for its failure or slowness alone. A back end that scales its estimates
	// counts it that often; a message that continues a sampled trace has the
	// weight of that trace instead.
	Weight float64
	// Late says that the message has been handled already, and is recorded since
	// it failed or was slow: End follows at once, there are no spans, and Continue
	// is false. A back end that cannot be told a start in the past substitutes an
	// attribute.
	Late bool
	// Remote is the trace context that came in the message, if any. It is
	// linked; with Continue the transaction becomes its child.
	Remote   SpanContext
	Continue bool
	User     string
	Attrs    []slog.Attr
}

// MessageEnd says how the handling of a message ended.
type MessageEnd struct {
	// Time is the start plus what the handler took. What the exporters took to
	// start is not in it, so that messages which are recorded look as fast as
	// those which are not.
	Time    time.Time
	Result  string // ok, error, panic or timeout; of a broadcast ok, partial or error
	Outcome Outcome
	User    string // may have been set since the start
	Failure *Failure
	Attrs   []slog.Attr // those known since the start
}

// SpanStart describes a span.
type SpanStart struct {
	Time time.Time
	Name string
	Type string // dotted: type, subtype, action; "app" by default
	// Destination names the service that the span calls, such as "redis" or
	// "billing.example:443". When it is set the span is an exit span.
	Destination string
	Attrs       []slog.Attr
}

// SpanEnd says how a span ended.
type SpanEnd struct {
	Time    time.Time
	Outcome Outcome
	Attrs   []slog.Attr // those known since the start
}

// Failure is what an error document is made of.
type Failure struct {
	Message string // the error's text
	Type    string // the error's Go type, or the close cause
	Err     error  // nil for a panic and for a bad close without an error; its methods, and those of its causes, may panic
	Panic   any    // the value of a panic, else nil
	Stack   []byte // of a panic, as runtime/debug.Stack prints it
	// Attrs are all attributes of the transaction, those of its start included,
	// since an error document stands alone.
	Attrs []slog.Attr
}
