package hour

import (
	"time"

	"github.com/apmws/go-apmws/apmws"
)

// Driven is what was driven in until the end of the hour. Each list is by time.
//
// Connections, their addresses, users and HandshakeTook, and Refusals are what the
// clients know. Transfers, Pings, Writes, and with them when a connection was
// closed and what it has sent and received, are what the network has seen at the
// server's socket: an own reading of the frames. Calls of hosts are what has arrived
// there. Other calls and malformed trace contexts are what the script has made of them.
//
// Not independent of the library is what the script is told by it. Messages are
// those that a handler was called for, which on routes with an endpoint the library
// does; their times are the handler's own. And of the reasons of an end the script
// knows all but two, which it takes from errors that it is given: that nobody
// answers pings from the hook Close, and that nobody reads from Conn.Write. Those that
// are sent away by the library itself know it by the close frame, and by their queue.
type Driven struct {
	Connections []*Connection
	Refusals    []*Refusal
	Messages    []*Message
	Transfers   []Transfer
	Pings       []Ping
	Writes      []Write
	Calls       []Call
	Queued      []Queued
	Broadcasts  []*Broadcast

	// MalformedTraceContexts came with handshakes and messages, and are none.
	MalformedTraceContexts []Event
}

// Place is where something happened.
type Place struct {
	Service, Environment, Node, Route string
}

// Connection is one that was accepted.
type Connection struct {
	Place
	User, Address, Origin string

	Opened time.Time // when the handshake arrived
	Closed time.Time // zero: still open at the end of the hour

	// HandshakeTook is the time from the arrival until all was answered.
	HandshakeTook time.Duration

	// Cause, Code and Initiator are those of the end; empty while it is open.
	Cause           apmws.CloseCause
	Code, Initiator string

	// What passed until the end of the hour: data messages, and bytes of their
	// payload.
	MessagesReceived, MessagesSent int64
	BytesReceived, BytesSent       int64
}

// OpenAt reports whether the connection was open at a time.
func (c *Connection) OpenAt(at time.Time) bool {
	return !c.Opened.Add(c.HandshakeTook).After(at) && (c.Closed.IsZero() || c.Closed.After(at))
}

// Refusal is a handshake that was not accepted.
type Refusal struct {
	Place
	At            time.Time // when it arrived
	Took          time.Duration
	Status        int
	Reason        string
	Address, User string // no User: nobody knew
	Origin        string
}

// Message is one that was handled.
type Message struct {
	Place
	Name       string        // as it is told: registered, or _OTHER
	At         time.Time     // when all of it had been read
	Took       time.Duration // until the handler returned, exactly
	Result     string        // ok, error, timeout or panic
	Error      string        // the text of the error or panic, if any
	Length     int           // bytes of the payload
	Connection *Connection
}

// Done is when the message had been handled, which is when it is counted.
func (m *Message) Done() time.Time { return m.At.Add(m.Took) }

// Failed reports whether the outcome is failure.
func (m *Message) Failed() bool { return m.Result != resultOK }

// Transfer is what passed the server's socket at one time in one direction, as far as
// it belongs to data messages.
type Transfer struct {
	Place
	At       time.Time
	Received bool  // else sent
	Messages int64 // that ended with it
	Bytes    int64 // of payload
}

// Ping is one that a server has sent: every 30 seconds, or about that where the library
// does.
type Ping struct {
	Place
	At       time.Time
	RTT      time.Duration // until the server has read the answer
	Answered bool

	// Lost says that the connection has ended without an answer to this ping or to
	// a later one. A ping that is neither answered nor lost was skipped by a client
	// that answered a later one, or is under way at the end of the hour.
	Lost bool
	// Ended is when the connection of a lost ping ended.
	Ended time.Time
}

// Write is one call of Write of the server's socket, after the handshake, but for the
// pings of the library.
type Write struct {
	Place
	At      time.Time // when it returned
	Blocked time.Duration
}

// Call is one of a server to another service: an exit span, unless it is from none.
type Call struct {
	Place
	At          time.Time // when it began
	Name        string    // of the span
	Destination string    // the resource, such as redis
	Host        string    // that was called by HTTP through apmws.Transport; else empty
	Took        time.Duration
	Outcome     apmws.Outcome
	From        string // CONNECT, the name of the message as it is told, or none
}

// Queued is a message that was put into the send queue of a connection, which are
// those of the route of the news.
type Queued struct {
	Place
	At        time.Time  // when it was put there
	Done      time.Time  // when it was written or given up; zero: not yet
	Dropped   bool       // it was given up
	Broadcast *Broadcast // that it is of, or nil
}

// WaitsAt reports whether the message is in the queue at a time.
func (q *Queued) WaitsAt(at time.Time) bool {
	return !q.At.After(at) && (q.Done.IsZero() || q.Done.After(at))
}

// Broadcast is one message to many connections.
type Broadcast struct {
	Place
	At                 time.Time
	Name               string
	Length             int // bytes of one copy
	Recipients, Failed int
	Took               time.Duration // until the last copy was written or given up
	Slowest            time.Duration // of the writes

	open bool // some copies are still in queues
}

// Complete reports whether all copies have been written or given up.
func (b *Broadcast) Complete() bool { return !b.open }

// Result is as the telemetry is to say.
func (b *Broadcast) Result() string {
	switch b.Failed {
	case 0:
		return resultOK
	case b.Recipients:
		return resultError
	default:
		return resultPartial
	}
}

// Event is something that happened.
type Event struct {
	Place
	At time.Time
}

// Results of a message.
const (
	resultOK      = "ok"
	resultError   = "error"
	resultTimeout = "timeout"
	resultPanic   = "panic"
	resultPartial = "partial" // of a broadcast
)
