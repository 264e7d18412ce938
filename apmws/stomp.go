package apmws

import (
	"bytes"
	"strings"

	"github.com/apmws/go-apmws/apmws/semconv"
)

// stompHeartbeat is the name of a message without a frame.
const stompHeartbeat = "heartbeat"

// stompCommands are the commands of frames that have no destination.
var stompCommands = [...]string{
	"CONNECT", "STOMP", "CONNECTED", "UNSUBSCRIBE", "ACK", "NACK", "BEGIN", "COMMIT", "ABORT", "DISCONNECT",
	"RECEIPT", "ERROR",
}

// stompDestinationCommands are the commands of frames that must have one.
var stompDestinationCommands = [...]string{"SEND", "SUBSCRIBE", "MESSAGE"}

// STOMP returns a NameFunc for STOMP 1.2 and 1.1
// (https://stomp.github.io/stomp-specification-1.2.html). A frame is named by
// its command; SEND, SUBSCRIBE and MESSAGE by the template of their destination
// as well, "SEND /topic/rooms/{room}". Destinations often hold ids, so they are
// never a name themselves.
//
// A template is compared with the destination (section Value Encoding: escapes
// count as what they stand for) one by one of the segments between slashes: {x},
// whatever it is called, stands for one segment that is not empty, any other
// segment for itself. The first template that matches is the name, "_OTHER" in
// its place when there is none.
//
// A message with nothing but ends of lines is a "heartbeat" (section
// Heart-beating); before a frame they are skipped. Of several frames in a
// message the first names it; a message that carries on with a frame begun in
// the one before has no name. Nor has one whose command is not among the
// specification's, or is not followed by the end of the line, or that must have
// a destination and has none, or one with an undefined escape, or headers that
// are malformed before it. Of repeated headers the first counts (section
// Repeated Header Entries). What follows is not looked at. Text and binary
// messages are treated alike.
//
// The function does not allocate unless the name outgrows dst, neither changes
// nor keeps the payload, and may be called from several goroutines at once.
// Register its names with STOMPNames, called with the same templates.
func STOMP(templates ...string) NameFunc {
	templates = append([]string(nil), templates...)
	return func(dst []byte, _ MessageType, payload []byte) []byte {
		return appendSTOMP(dst, payload, templates)
	}
}

// STOMPNames returns the names to register for STOMP with these templates: the
// commands, those with a destination once for each template and once with
// "_OTHER", and "heartbeat". The slice is the caller's.
func STOMPNames(templates ...string) []string {
	list := append([]string{stompHeartbeat}, stompCommands[:]...)
	for _, command := range stompDestinationCommands {
		list = append(list, command+" "+semconv.Other)
		for _, template := range templates {
			list = append(list, command+" "+template)
		}
	}
	return list
}

func appendSTOMP(dst, payload []byte, templates []string) []byte {
	frame := payload
	for len(frame) > 0 && len(stompEOL(frame)) > 0 {
		frame = frame[len(stompEOL(frame)):]
	}
	if len(frame) == 0 {
		if len(payload) > 0 {
			dst = append(dst, stompHeartbeat...)
		}
		return dst
	}
	line, headers, ok := cutSTOMPLine(frame)
	if !ok {
		return dst
	}
	for _, command := range stompCommands {
		if string(line) == command {
			return append(dst, command...)
		}
	}
	for _, command := range stompDestinationCommands {
		if string(line) != command {
			continue
		}
		if destination, ok := stompDestination(headers); ok {
			dst = append(append(dst, command...), ' ')
			dst = append(dst, stompTemplate(destination, templates)...)
		}
		break
	}
	return dst
}

// stompEOL returns the end of a line that b begins with, if any (section
// Augmented BNF).
func stompEOL(b []byte) []byte {
	switch {
	case b[0] == '\n':
		return b[:1]
	case len(b) > 1 && b[0] == '\r' && b[1] == '\n':
		return b[:2]
	default:
		return nil
	}
}

// cutSTOMPLine cuts the first line off. It reports whether that has an end.
func cutSTOMPLine(b []byte) (line, rest []byte, ok bool) {
	end := bytes.IndexByte(b, '\n')
	if end < 0 {
		return nil, nil, false
	}
	line, rest = b[:end], b[end+1:]
	if end > 0 && line[end-1] == '\r' {
		line = line[:end-1]
	}
	return line, rest, true
}

// stompDestination returns the value of the header destination, with its
// escapes, which are well-formed.
func stompDestination(headers []byte) ([]byte, bool) {
	for {
		line, rest, ok := cutSTOMPLine(headers)
		if !ok {
			return nil, false
		}
		colon := bytes.IndexByte(line, ':') // 1.0 and lenient clients do not escape a further one
		if colon <= 0 {
			return nil, false
		}
		if string(line[:colon]) == "destination" {
			value := line[colon+1:]
			return value, validSTOMPEscapes(value)
		}
		headers = rest
	}
}

func validSTOMPEscapes(value []byte) bool {
	for len(value) > 0 {
		_, size := stompOctet(value)
		if size == 0 {
			return false
		}
		value = value[size:]
	}
	return true
}

// stompOctet returns the first octet of a header's value and the number of bytes
// that stand for it, 0 for an escape that is not defined (section Value
// Encoding).
func stompOctet(value []byte) (octet byte, size int) {
	if value[0] != '\\' {
		return value[0], 1
	}
	if len(value) > 1 {
		switch value[1] {
		case 'r':
			return '\r', 2
		case 'n':
			return '\n', 2
		case 'c':
			return ':', 2
		case '\\':
			return '\\', 2
		}
	}
	return 0, 0
}

// stompTemplate returns the first template that matches a destination, or
// _OTHER.
func stompTemplate(destination []byte, templates []string) string {
	for _, template := range templates {
		if matchesSTOMP(destination, template) {
			return template
		}
	}
	return semconv.Other
}

// matchesSTOMP compares segment by segment. No escape stands for a slash, so the
// destination may be cut as it is.
func matchesSTOMP(destination []byte, template string) bool {
	for {
		want, further, more := strings.Cut(template, "/")
		segment, rest := destination, []byte(nil)
		slash := bytes.IndexByte(destination, '/')
		if slash >= 0 {
			segment, rest = destination[:slash], destination[slash+1:]
		}
		if more != (slash >= 0) || !matchesSTOMPSegment(segment, want) {
			return false
		}
		if !more {
			return true
		}
		template, destination = further, rest
	}
}

func matchesSTOMPSegment(segment []byte, want string) bool {
	if len(want) > 2 && want[0] == '{' && want[len(want)-1] == '}' {
		return len(segment) > 0
	}
	for len(segment) > 0 {
		octet, size := stompOctet(segment)
		if want == "" || want[0] != octet {
			return false
		}
		segment, want = segment[size:], want[1:]
	}
	return want == ""
}
