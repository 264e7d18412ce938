package life

import (
	"time"

	"github.com/apmws/go-apmws/apmws"
)

// Story is what was driven in, as the clients and the application know it. It owes
// nothing to the library but the ids of the connections.
type Story struct {
	// Connections were accepted, Refusals were not: both in the order of their
	// handshakes.
	Connections []*Connection
	Refusals    []*Refusal
	// Messages were sent to handlers that make transactions of them, in that order.
	Messages []*Message
	// Broadcasts were made, in that order.
	Broadcasts []*Broadcast
	// Calls were made through the library's transport, in that order.
	Calls []Call
	// Lines are the log, in the order of its lines.
	Lines []Line
	// Remote are the ids of spans that clients claim to come from, by id: of traces
	// 32 hex digits, of spans 16.
	Remote map[string]string
	// Malformed is how many trace contexts were none.
	Malformed int64
	// Secrets must be nowhere in what is told of all this. Each was on its way:
	// payloads, queries, cookies, tokens.
	Secrets []string
	// Stats are the counters of each agent when all was over: first that of the
	// application, then the one that samples.
	Stats []apmws.Stats
}

// Connection is a connection that was accepted. The counts are of data frames, by
// the bytes that passed the client's socket.
type Connection struct {
	Name        string // for readers; the client's User-Agent begins with it
	ID          string
	Route       string
	Level       int // 1 to 3, of the library's adoption
	User        string
	Origin      string
	Client      string // its address
	Subprotocol string // as it may be told
	Sampling    bool   // its agent decides which messages are recorded
	Opened      time.Time

	Cause     apmws.CloseCause
	Code      string // of the first close frame, or "none"
	Initiator string // client, server or network

	MessagesReceived, MessagesSent int64 // as the server sees them
	BytesReceived, BytesSent       int64
	PingsAnswered, PingsUnanswered int64
	QueueDropped                   int64 // messages that its send queue gave up
}

// Broadcast is a message to many connections.
type Broadcast struct {
	Route      string // of the recipients
	Name       string // of the message
	Type       string
	Length     int // bytes of one copy
	Recipients int
	Failed     int // of them
	Result     string
}

// Refusal is a handshake that was not accepted.
type Refusal struct {
	Name   string
	ID     string
	Route  string
	Status int // 0: there was no answer
	Reason string
}

// Call is an outbound request of the application's.
type Call struct {
	Route   string
	Name    string // of the message, or what stands for it
	Address string // of whom was called
}

// Message is a message to a handler that makes a transaction of it.
type Message struct {
	Connection string // its name
	Route      string
	Name       string // as it is told: registered, or _OTHER
	Type       string // text or binary
	Length     int    // bytes of the payload, decoded
	Result     string // ok, error, timeout or panic
	Fate       Fate
}

// Fate is what becomes of a message where all goes well.
type Fate string

// Fates.
const (
	Recorded   Fate = "recorded"
	Late       Fate = "late"       // recorded when it had been handled, since it failed or was slow
	ByChance   Fate = "by chance"  // recorded at a rate of ChanceRate
	Unrecorded Fate = "unrecorded" // counted alone
)

// ChanceRate is the sampling rate of messages that are left to chance.
const ChanceRate = 0.5

// Line is a line of the log.
type Line map[string]any

// Str returns a field that is a string, else the empty string.
func (l Line) Str(field string) string {
	s, _ := l[field].(string)
	return s
}

// NameOf returns the name of a connection or of a refused handshake by its id, or
// the empty string.
func (s *Story) NameOf(id string) string {
	for _, c := range s.Connections {
		if c.ID == id {
			return c.Name
		}
	}
	for _, r := range s.Refusals {
		if r.ID == id {
			return r.Name
		}
	}
	return ""
}
