package apmws

import (
	"time"

	"github.com/apmws/go-apmws/apmws/semconv"
)

// MessageType is the type of a data message: the opcode of its first frame
// (RFC 6455, section 5.2), with the values that gorilla/websocket uses.
type MessageType int

// The two message types.
const (
	TextMessage   MessageType = 1
	BinaryMessage MessageType = 2
)

func (t MessageType) valid() bool { return t == TextMessage || t == BinaryMessage }

// String returns "text" or "binary".
func (t MessageType) String() string {
	switch t {
	case TextMessage:
		return "text"
	case BinaryMessage:
		return "binary"
	default:
		return semconv.Other
	}
}

// NameFunc names a message by its content. It appends the name to dst and
// returns the extended slice; to append nothing means that the message has no
// name. The name is looked up among the registered ones and not kept, so
// appending a part of the payload is safe. It runs on the goroutine that reads
// the connection, for every message, and must be safe for concurrent use by
// several connections.
//
//	func(dst []byte, _ apmws.MessageType, payload []byte) []byte {
//		return append(dst, payload[:min(4, len(payload))]...)
//	}
type NameFunc func(dst []byte, typ MessageType, payload []byte) []byte

// names is a registered set. Lookups do not allocate.
type names map[string]string

func newNames(registered []string) names {
	set := make(names, len(registered))
	for _, name := range registered {
		set[name] = name
	}
	return set
}

// lookupString returns the registered name equal to name, or _OTHER.
func (n names) lookupString(name string) string {
	if registered, ok := n[name]; ok {
		return registered
	}
	return semconv.Other
}

// messageName is a registered name, or _OTHER, with how long its messages took.
type messageName struct {
	name              string
	success, failures histogram
}

// handled records the handling of one message.
func (n *messageName) handled(shard int, outcome Outcome, d time.Duration) {
	if outcome == OutcomeSuccess {
		n.success.record(shard, d)
	} else {
		n.failures.record(shard, d)
	}
}

// messageNames are a route's registered names. Lookups do not allocate.
type messageNames struct {
	registered map[string]*messageName
	other      *messageName
}

func newMessageNames(registered []string) messageNames {
	n := messageNames{
		registered: make(map[string]*messageName, len(registered)),
		other:      &messageName{name: semconv.Other},
	}
	n.registered[semconv.Other] = n.other
	n.add(registered)
	return n
}

func (n *messageNames) add(names []string) {
	for _, name := range names {
		if n.registered[name] == nil {
			n.registered[name] = &messageName{name: name}
		}
	}
}

// lookup returns the name of a message; likely, which may be nil, is tried first.
func (n *messageNames) lookup(name []byte, likely *messageName) *messageName {
	if likely != nil && likely.name == string(name) {
		return likely
	}
	if known := n.registered[string(name)]; known != nil {
		return known
	}
	return n.other
}

func (n *messageNames) lookupString(name string) *messageName {
	if known := n.registered[name]; known != nil {
		return known
	}
	return n.other
}

// nameOf names a message among the registered names.
func (c *Conn) nameOf(m Message, names *messageNames) (name *messageName) {
	if c.route.messages.Name == nil {
		return names.other
	}
	// What comes back from a NameFunc may be the application's memory, the payload's
	// even: only the buffer that was handed out goes back to the pool.
	scratch := getNameBuffer()
	name, _ = c.nameIn(scratch.buf[:0], m, names, nil)
	scratch.put()
	return name
}

// nameIn is nameOf with a buffer for the name, and a likely one. raw is the unregistered
// name, when that is to be kept.
func (c *Conn) nameIn(buf []byte, m Message, names *messageNames, likely *messageName) (name *messageName, raw string) {
	opts := &c.route.messages
	name = names.other
	if opts.Name == nil {
		return name, ""
	}
	defer c.agent.containCallback()
	given := opts.Name(buf, m.Type, m.Data)
	name = names.lookup(given, likely)
	if name == names.other && opts.RecordRawNames {
		raw = cutRunes(sanitize(string(given[:min(len(given), 4*maxRawName)]), 4*maxRawName), maxRawName)
	}
	return name, raw
}

// maxRawName bounds an unregistered name that is kept.
const maxRawName = 64 // characters

// remoteOf returns the trace context that came in a message.
func (c *Conn) remoteOf(m Message) SpanContext {
	extract := c.route.messages.TraceContext
	if extract == nil {
		return SpanContext{}
	}
	defer c.agent.containCallback()
	return c.agent.remoteContext(extract(m.Type, m.Data))
}

// containCallback is deferred around the application's functions of
// MessageOptions: a fault in naming must not end the connection.
func (a *Agent) containCallback() {
	if p := recover(); p != nil {
		a.drops.callbacks.Add(1)
	}
}
