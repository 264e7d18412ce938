package apmws

import (
	"encoding/hex"
	"errors"
	"strings"
)

// ErrTraceParent is the error for a traceparent that does not follow W3C Trace
// Context. It carries nothing of the value, which a peer chose.
var ErrTraceParent = errors.New("apmws: malformed traceparent")

// The bits of SpanContext.Flags that W3C Trace Context defines (level 2,
// trace-flags): the caller may have recorded the trace; the last seven bytes of
// its id are random.
const (
	traceFlagSampled = 0x01
	traceFlagRandom  = 0x02
	traceFlags       = traceFlagSampled | traceFlagRandom
)

const (
	traceParentLen      = len("00-0123456789abcdef0123456789abcdef-0123456789abcdef-01")
	maxTraceState       = 512 // bytes
	maxTraceStateMember = 32
	maxTraceStateField  = 256 // bytes of a key, and of a value
)

// SpanContext identifies a span of any vendor by the fields of W3C Trace
// Context (https://www.w3.org/TR/trace-context/), so that others can be its
// children or linked to it. It is a plain value; the zero value identifies
// nothing.
type SpanContext struct {
	// TraceID is the trace-id, shared by all spans of a trace. All zero is
	// invalid.
	TraceID [16]byte
	// SpanID is the span's own id, which W3C calls parent-id. All zero is
	// invalid.
	SpanID [8]byte
	// Flags are the trace-flags: 0x01 sampled, 0x02 random trace id. Other bits
	// are reserved and not sent on.
	Flags byte
	// State is the tracestate, at most 512 bytes, empty if there is none.
	State string
}

// IsValid reports whether both ids are set.
func (sc SpanContext) IsValid() bool {
	return sc.TraceID != [16]byte{} && sc.SpanID != [8]byte{}
}

// Sampled reports whether the sampled flag is set: whoever made the span may
// have recorded it.
func (sc SpanContext) Sampled() bool {
	return sc.Flags&traceFlagSampled != 0
}

// TraceIDString returns the trace id as 32 lower-case hexadecimal digits, also
// where it is all zero.
func (sc SpanContext) TraceIDString() string {
	return hex.EncodeToString(sc.TraceID[:])
}

// SpanIDString returns the span id as 16 lower-case hexadecimal digits, also
// where it is all zero.
func (sc SpanContext) SpanIDString() string {
	return hex.EncodeToString(sc.SpanID[:])
}

// TraceParent returns sc as a traceparent of version 00 (W3C Trace Context,
// traceparent header), 55 characters, with reserved flags cleared; "" if sc is
// not valid, since there is no traceparent for it. The tracestate that belongs
// beside it is sc.State.
func (sc SpanContext) TraceParent() string {
	if !sc.IsValid() {
		return ""
	}
	var b [traceParentLen]byte
	copy(b[:], "00-")
	hex.Encode(b[3:], sc.TraceID[:])
	b[35] = '-'
	hex.Encode(b[36:], sc.SpanID[:])
	b[52] = '-'
	hex.Encode(b[53:], []byte{sc.Flags & traceFlags})
	return string(b[:])
}

// ParseTraceParent reads the values of the headers traceparent and tracestate
// (W3C Trace Context), which may as well come from a message. Several
// tracestate headers are to be joined by commas first; none is "".
//
// The traceparent is read strictly: lower-case digits, no white space around
// it, ids that are not all zero, 55 characters in version 00. A later version
// may go on after a dash; what follows is ignored, version ff is malformed.
// Reserved flags are cleared. The error is ErrTraceParent, and the SpanContext
// then zero.
//
// A tracestate never makes an error. It is kept without white space and empty
// members between the commas; one that is malformed (keys may take the form of
// either level of the specification, duplicates are let pass) or is longer than
// 512 bytes or 32 members is dropped as a whole. State may share memory with
// tracestate.
func ParseTraceParent(traceparent, tracestate string) (SpanContext, error) {
	var version, flags [1]byte
	var sc SpanContext
	s := traceparent
	if len(s) < traceParentLen || s[2] != '-' || s[35] != '-' || s[52] != '-' ||
		!decodeLowerHex(version[:], s) ||
		!decodeLowerHex(sc.TraceID[:], s[3:]) ||
		!decodeLowerHex(sc.SpanID[:], s[36:]) ||
		!decodeLowerHex(flags[:], s[53:]) ||
		!sc.IsValid() {
		return SpanContext{}, ErrTraceParent
	}
	more := len(s) > traceParentLen
	if version[0] == 0xff || more && (version[0] == 0 || s[traceParentLen] != '-') {
		return SpanContext{}, ErrTraceParent
	}
	sc.Flags = flags[0] & traceFlags
	sc.State = parseTraceState(tracestate)
	return sc, nil
}

// decodeLowerHex fills dst from the start of s, which must be long enough. It
// takes no upper case, as encoding/hex would.
func decodeLowerHex(dst []byte, s string) bool {
	for i := range 2 * len(dst) {
		c := s[i]
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		default:
			return false
		}
		dst[i/2] = dst[i/2]<<4 | c
	}
	return true
}

// parseTraceState returns s in the form that ParseTraceParent promises.
func parseTraceState(s string) string {
	if len(s) > maxTraceState {
		return ""
	}
	members, size := 0, 0
	for member := range strings.SplitSeq(s, ",") {
		member = strings.Trim(member, " \t")
		if member == "" {
			continue
		}
		if members++; members > maxTraceStateMember || !validTraceStateMember(member) {
			return ""
		}
		size += len(member)
	}
	if members == 0 {
		return ""
	}
	if size += members - 1; size == len(s) {
		return s
	}
	var b strings.Builder
	b.Grow(size)
	for member := range strings.SplitSeq(s, ",") {
		if member = strings.Trim(member, " \t"); member == "" {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		b.WriteString(member)
	}
	return b.String()
}

// validTraceStateMember checks a member without the white space around it.
func validTraceStateMember(member string) bool {
	key, value, _ := strings.Cut(member, "=")
	if key == "" || len(key) > maxTraceStateField || value == "" || len(value) > maxTraceStateField {
		return false
	}
	for i := range len(key) {
		c := key[i]
		switch {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
		case i > 0 && strings.IndexByte("_-*/@", c) >= 0:
		default:
			return false
		}
	}
	for i := range len(value) {
		if c := value[i]; c < ' ' || c > '~' || c == '=' {
			return false
		}
	}
	return true
}
