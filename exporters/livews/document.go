package livews

import "encoding/json"

// Document is what data.json answers. All times are Unix times in milliseconds,
// durations and offsets are in nanoseconds, sizes in bytes of payload. Lists
// are never null. Strings that a peer chose are cut and free of control
// characters, but not escaped for anything but JSON.
type Document struct {
	// Instance changes when the process does; what was known before is void
	// then.
	Instance string `json:"instance"`
	// Seq is the number to pass as since.
	Seq  uint64 `json:"seq"`
	Time int64  `json:"time"`
	// Attached: an Agent has the view among its exporters.
	Attached bool   `json:"attached"`
	Limits   Limits `json:"limits"`
	Totals   Totals `json:"totals"`

	// Drain says how far Agent.Shutdown is; absent until that is called.
	Drain *Drain `json:"drain,omitempty"`

	// Connections are the newest open ones, newest first; Totals.Active counts
	// all.
	Connections []Connection `json:"connections"`
	// Calls are outbound HTTP requests by whose they are, most frequent first, at
	// most 200 of CallsTotal.
	Calls      []Calls `json:"calls"`
	CallsTotal int     `json:"calls_total"`
	// Running are transactions in progress, oldest first, at most 100 of
	// RunningTotal.
	Running      []Transaction `json:"running"`
	RunningTotal int           `json:"running_total"`
	// Transactions are finished, in the order in which they finished; with
	// since, those that have changed. FinishedTotal counts all since the start.
	Transactions  []Transaction `json:"transactions"`
	FinishedTotal uint64        `json:"finished_total"`
}

// Limits are the view's bounds.
type Limits struct {
	Connections  int `json:"connections"`
	Transactions int `json:"transactions"`
	Failures     int `json:"failures"` // kept beyond the latest transactions
	Spans        int `json:"spans"`    // of one transaction
}

// Totals are the agent's exact counters since its start, over all routes.
type Totals struct {
	Active           int64     `json:"active"` // open now
	Opened           int64     `json:"opened"`
	Refused          int64     `json:"refused"`
	RefusedBy        []Refused `json:"refused_by"` // by status and reason, most frequent first
	Closed           int64     `json:"closed"`
	ClosedBy         []Closed  `json:"closed_by"` // by cause, most frequent first
	MessagesReceived int64     `json:"messages_received"`
	MessagesSent     int64     `json:"messages_sent"`
	BytesReceived    int64     `json:"bytes_received"`
	BytesSent        int64     `json:"bytes_sent"`
	Dropped          int64     `json:"dropped"` // telemetry given up, by any exporter
	DroppedBy        []Dropped `json:"dropped_by"`
}

// Refused counts refused handshakes. Status 0: there was no answer.
type Refused struct {
	Status int    `json:"status"`
	Reason string `json:"reason"`
	Count  int64  `json:"count"`
}

// Closed counts closed connections.
type Closed struct {
	Cause   string `json:"cause"`
	Outcome string `json:"outcome"` // success, failure or unknown
	Count   int64  `json:"count"`
}

// Dropped counts telemetry that was given up.
type Dropped struct {
	Exporter string `json:"exporter"`
	Reason   string `json:"reason"`
	Count    int64  `json:"count"`
}

// Calls counts the outbound HTTP requests through apmws.Transport that belong
// together, exactly, since the agent's start.
type Calls struct {
	Host  string `json:"host"` // without the port
	Route string `json:"route"`
	// Name is that of the message, or CONNECT in the handshake, or none.
	Name  string `json:"name"`
	Count int64  `json:"count"`
}

// Drain is an agent's shutdown.
type Drain struct {
	Open    int  `json:"open"`
	Closed  int  `json:"closed"`  // since it began
	CutOff  int  `json:"cut_off"` // of them
	Drained bool `json:"drained"`
}

// Connection is an open connection.
type Connection struct {
	ID               string `json:"id"`
	User             string `json:"user"`
	Route            string `json:"route"`
	Peer             string `json:"peer"`
	Opened           int64  `json:"opened"`
	MessagesReceived int64  `json:"messages_received"`
	MessagesSent     int64  `json:"messages_sent"`
	BytesReceived    int64  `json:"bytes_received"`
	BytesSent        int64  `json:"bytes_sent"`
	MessagesQueued   int    `json:"messages_queued"` // that wait in the send queue
	RTT              int64  `json:"rtt"`             // of the last ping; 0 when unknown
}

// Transaction is a handshake, a message or a connection's end.
type Transaction struct {
	ID         uint64 `json:"id"`   // in the order of their starts
	Seq        uint64 `json:"seq"`  // of the last change; 0 in progress
	Type       string `json:"type"` // Connection, Message or Disconnection
	Name       string `json:"name"`
	Connection string `json:"connection"`
	Route      string `json:"route"`
	User       string `json:"user"`
	Start      int64  `json:"start"`
	// Duration is null in progress, as Result and Outcome are empty.
	Duration *int64     `json:"duration"`
	Result   string     `json:"result"`
	Outcome  string     `json:"outcome"` // success, failure or unknown
	Error    *Error     `json:"error"`   // null without one
	Attrs    Attributes `json:"attributes"`
	// AttrsDropped and SpansDropped count those that were not kept.
	AttrsDropped int    `json:"attributes_dropped"`
	Spans        []Span `json:"spans"` // in the order of their starts
	SpansDropped int    `json:"spans_dropped"`
}

// Error is a failure's message and type.
type Error struct {
	Message string `json:"message"`
	Type    string `json:"type"`
}

// Span is a part of a transaction.
type Span struct {
	Number      int        `json:"number"` // within the transaction, from 1
	Parent      int        `json:"parent"` // a smaller number; 0 is the transaction
	Name        string     `json:"name"`
	Type        string     `json:"type"`
	Destination string     `json:"destination"`
	Offset      int64      `json:"offset"`   // since the transaction's start
	Duration    *int64     `json:"duration"` // null in progress
	Outcome     string     `json:"outcome"`  // empty in progress
	Attrs       Attributes `json:"attributes"`
}

// Attributes are pairs of a name and a value in the order in which they were
// set.
type Attributes []Attribute

// Attribute is one pair. The value is a string, a boolean or a number; a number
// that JavaScript cannot hold exactly is a string.
type Attribute struct {
	Name  string `json:"name"`
	Value any    `json:"value"`
}

// encode returns the document as JSON in which characters that have no shape of
// their own, such as marks of writing direction, are escaped.
func (d *Document) encode() ([]byte, error) {
	plain, err := json.Marshal(d)
	if err != nil {
		return nil, err
	}
	return escapeFormat(plain), nil
}
