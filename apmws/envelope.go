package apmws

import (
	"bytes"
	"context"
	"errors"
	"slices"
)

// The members of a JSON object that carry its trace context, named as the headers
// of W3C Trace Context are.
const (
	traceParentMember = "traceparent"
	traceStateMember  = "tracestate"
)

// What is looked at of a member's raw text. ParseTraceParent needs no more of a
// traceparent, and drops a tracestate of more than maxTraceState bytes, each of
// which takes up to six as an escape.
const (
	maxRawTraceParent = 512               // bytes
	maxRawTraceState  = 6 * maxTraceState // bytes
)

// JSONTraceContext is a MessageOptions.TraceContext for messages that are JSON
// objects (RFC 8259) and carry their sender's trace context in two members of
// their own, which AppendJSONTraceContext adds:
//
//	{"traceparent":"00-…-…-01","tracestate":"…","type":"chat.say", …}
//
// Both are strings in the form of the header of that name (W3C Trace Context);
// tracestate may be missing. Members of nested objects do not count, and of
// duplicate ones the first does. There is no trace context where the first
// traceparent is not a string, nor where the message is not a JSON object or is
// malformed or more than 10,000 levels deep before it. Text and binary messages
// are treated alike.
//
// The message is scanned and not decoded, up to the second of the two, which had
// better come first. Nothing is allocated for a message without a traceparent, and
// two strings at most for one with it, however long the sender makes them. They are
// what ParseTraceParent takes, and not checked yet. The function neither changes
// nor keeps the payload, and may be called from several goroutines at once.
func JSONTraceContext(_ MessageType, payload []byte) (traceparent, tracestate string) {
	s := jsonScanner{data: payload}
	if s.next() != '{' {
		return "", ""
	}
	var parent, state envelopeMember
	for !parent.found || !state.found {
		name, ok := s.key()
		if !ok {
			break // the object is empty, or malformed
		}
		switch {
		case !parent.found && name.equal(traceParentMember):
			ok = parent.read(&s)
		case !state.found && name.equal(traceStateMember):
			ok = state.read(&s)
		default:
			ok = s.skip(1)
		}
		if !ok || s.next() != ',' {
			break
		}
	}
	raw := parent.text.raw
	if len(raw) > maxRawTraceParent {
		// Well-formed or not is decided by its beginning.
		traceparent = string(raw[:maxRawTraceParent])
	} else {
		traceparent = parent.text.string()
	}
	if traceparent != "" && len(state.text.raw) <= maxRawTraceState {
		tracestate = state.text.string()
	}
	return traceparent, tracestate
}

// envelopeMember is a member of an object, with its text if that is a string.
type envelopeMember struct {
	text  jsonText
	found bool
}

// read reads the value that is due in an object that is not nested.
func (m *envelopeMember) read(s *jsonScanner) (ok bool) {
	m.found = true
	if s.peek() != '"' {
		return s.skip(1)
	}
	m.text, ok = s.text()
	return ok
}

// string returns the text, allocating nothing but it, and that only if there is any.
func (t jsonText) string() string {
	if t.ascii {
		return string(t.raw)
	}
	var buf [maxTraceState]byte
	return string(t.appendTo(buf[:0]))
}

// SpanContextFromContext returns the trace context of the innermost span or
// transaction of ctx that has not ended: that of the first exporter that has one,
// as Transport sends it. It is zero where ctx carries none, or one that no exporter
// records.
//
// It is for what goes on elsewhere: put TraceParent and State into the message to a
// queue or to another service, and ParseTraceParent reads them there. Call it below
// a span of the sending (StartSpan): of a transaction itself it has the ids, but not
// the State that belongs beside them, and New Relic's has none where the transaction
// is not sampled.
func SpanContextFromContext(ctx context.Context) SpanContext {
	s := scopeOf(ctx).open()
	if s == nil {
		return SpanContext{}
	}
	live := s.current()
	if live == nil || live.parent == nil {
		return SpanContext{}
	}
	return live.parent.spanContext()
}

// spanContext returns the trace context of CONNECT, as handles do.
func (c *multiConn) spanContext() SpanContext {
	if c == nil {
		return SpanContext{}
	}
	for i := range c.spans {
		x := handle{c.spans[i].member, c.spans[i].span}
		if ids := x.spanContext(c.shard); ids.IsValid() {
			return ids
		}
	}
	return SpanContext{}
}

// ErrJSONObject is the error for what is to carry a trace context and is not a JSON
// object. It carries nothing of the message.
var ErrJSONObject = errors.New("apmws: not a JSON object")

const jsonSpace = " \t\n\r" // RFC 8259, section 2

// AppendJSONTraceContext appends object, the text of a JSON object, to dst, with the
// trace context as its first members, where JSONTraceContext finds it:
//
//	message, err = apmws.AppendJSONTraceContext(nil, message, apmws.SpanContextFromContext(ctx))
//
// The object is not parsed: it must not have such members already, which would stay
// where they are, nor share memory with dst. A SpanContext that is not valid adds
// nothing, and a State that ParseTraceParent would drop is left out. What is no
// object, as far as its first and last characters tell, is ErrJSONObject, and dst is
// then returned as it was.
func AppendJSONTraceContext(dst, object []byte, sc SpanContext) ([]byte, error) {
	trimmed := bytes.Trim(object, jsonSpace)
	if len(trimmed) < len("{}") || trimmed[0] != '{' || trimmed[len(trimmed)-1] != '}' {
		return dst, ErrJSONObject
	}
	if !sc.IsValid() {
		return append(dst, object...), nil
	}
	state := parseTraceState(sc.State)
	dst = slices.Grow(dst, len(`{"":"","":"",`)+len(traceParentMember)+traceParentLen+len(traceStateMember)+2*len(state)+len(trimmed))
	dst = append(dst, `{"`+traceParentMember+`":"`...)
	dst = append(append(dst, sc.TraceParent()...), '"')
	if state != "" {
		dst = append(dst, `,"`+traceStateMember+`":"`...)
		for i := range len(state) {
			if c := state[i]; c == '"' || c == '\\' {
				dst = append(dst, '\\')
			}
			dst = append(dst, state[i]) // printable ASCII
		}
		dst = append(dst, '"')
	}
	rest := bytes.TrimLeft(trimmed[1:], jsonSpace)
	if rest[0] != '}' {
		dst = append(dst, ',')
	}
	return append(dst, rest...), nil
}
