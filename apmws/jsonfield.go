package apmws

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// JSONField returns a NameFunc for messages that are JSON objects (RFC 8259):
// the name is the value at path, which is a key ("type") or several, joined by
// dots, each but the last holding an object ("data.event"). A key that itself
// contains a dot cannot be reached. A path with an empty segment, so also the
// empty path, or one that is not valid UTF-8, never names a message.
//
// A string gives its text, unescaped as encoding/json does it (lone surrogates
// and invalid UTF-8 become U+FFFD). A number or a boolean gives its literal
// text, 1.0 as "1.0". There is no name where the value is null, an object, an
// array or missing, or where the message is not a JSON object or is malformed
// or more than 10,000 levels deep before the end of the value. Of duplicate
// keys the first counts. Text and binary messages are treated alike.
//
// The message is scanned up to the value and not decoded. What follows the
// value is not looked at (for a number or a boolean: after the comma or brace
// behind it), so a message that is malformed further on is named all the same.
//
// The function does not allocate unless the name outgrows dst, neither changes
// nor keeps the payload, and may be called from several goroutines at once.
// The name is as long as the sender makes it; bounding it is the caller's part.
func JSONField(path string) NameFunc {
	keys := strings.Split(path, ".")
	if slices.Contains(keys, "") || !utf8.ValidString(path) {
		return func(dst []byte, _ MessageType, _ []byte) []byte { return dst }
	}
	return func(dst []byte, _ MessageType, payload []byte) []byte {
		s := jsonScanner{data: payload}
		for i, key := range keys {
			if !s.enter(key, i+1) {
				return dst
			}
		}
		return s.appendScalar(dst)
	}
}
