package exportertest

import (
	"time"

	"github.com/apmws/go-apmws/apmws"
)

// Backend is an exporter under test, with what reads back what it has sent. A rule
// takes one or more of its own, and none is used by two rules.
type Backend struct {
	Exporter apmws.Exporter
	// Sent makes the exporter, and the vendor's library below it, send what they
	// hold, and returns all that has reached the back end, read from there and not
	// from the exporter's memory. It is called at most once, when all that a rule
	// records has ended; nothing is recorded afterwards. An error fails the rule. It
	// is called on a goroutine of the kit's, where t.Fatal must not be.
	Sent func() (Telemetry, error)
	// Stall makes the back end accept nothing and answer nothing until resume is
	// called, so that a call which waits for it is found out: requests hang, the
	// pipe is not read. nil for a back end that nobody can wait for, in memory.
	Stall func() (resume func())
	// Limits say what the back end cannot do. The zero value is one that can do
	// everything.
	Limits Limits
}

// Limits are what a back end cannot do. For each the rules demand a substitute.
type Limits struct {
	// NoLinks: transactions cannot be linked. Those of messages and ends carry the
	// ids of CONNECT as websocket.connection.trace_id and .span_id, those of
	// messages a remote trace context that they do not continue as
	// websocket.message.trace_id and .span_id.
	NoLinks bool
	// OwnClock: the vendor's library takes the time of each call by itself. The
	// rules then let real time pass, and demand that a duration is at least that.
	OwnClock bool
	// NoLateStart: nothing can be recorded with a start in the past. A Late message
	// carries how long it took as websocket.message.duration, in seconds.
	NoLateStart bool
	// NoWeights: the back end does not scale its estimates by itself. A sampled
	// message carries its weight as websocket.sampling.weight, unless it is 1.
	NoWeights bool
	// NoIDs: transactions have no ids of their own, since the back end is no
	// tracing one: a list of what happened, a log. They are told apart by
	// websocket.connection.id, and there is nothing to link, to continue or to
	// weigh. SpanID and ParentID are then unique within a transaction only; Sent
	// makes them up from what says which span is below which.
	NoIDs bool
	// BareErrors: an error is a part of its transaction and has a message and a
	// type alone. The attributes are then those of the transaction.
	BareErrors bool
	// MaxString is the length in bytes, or runes, to which string attributes are
	// cut; 0 for never.
	MaxString int
	// Spelling is how the back end spells the name of an attribute; nil for as it
	// is.
	Spelling func(name string) string
}

// Telemetry is what a back end has got.
type Telemetry struct {
	Transactions []Transaction // in any order
	// Raw is every byte of it as text, decompressed, where secrets are looked for.
	Raw string
}

// Transaction is one of a back end, in the words of the seam. What the back end has
// no field for is read from the attribute that stands in for it.
type Transaction struct {
	Type     string // Connection, Message or Disconnection
	Name     string // without what the back end puts before it
	Result   string
	Outcome  apmws.Outcome
	TraceID  string // 32 lower-case hex digits
	SpanID   string // 16 of them: the id that its children have as their parent
	ParentID string // 16, or empty for the root of a trace
	Links    []Link
	Start    time.Time
	Duration time.Duration
	Weight   float64 // events that it stands for
	User     string
	// Attrs are its attributes as the back end spells their names, numbers as
	// float64. An attribute that the back end has a field of its own for, such as
	// the status of a response, is read from there.
	Attrs  map[string]any
	Spans  []Span // in any order
	Errors []Error
}

// Link names another transaction.
type Link struct{ TraceID, SpanID string }

// Span is a part of a transaction.
type Span struct {
	Name        string
	Destination string // of an exit span, else empty
	Outcome     apmws.Outcome
	SpanID      string
	ParentID    string
	Start       time.Time
	Duration    time.Duration
	Attrs       map[string]any
}

// Error is an error document of a transaction.
type Error struct {
	Message string
	Type    string
	// Time is when it happened: the end of its transaction. It is zero where the
	// back end keeps no time of an error, and not looked at with OwnClock.
	Time  time.Time
	Stack string // of a panic; any text that names its functions
	Attrs map[string]any
}
