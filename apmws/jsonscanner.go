package apmws

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"math/bits"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// maxJSONDepth is how deeply a message may nest before it is given up,
// the limit of encoding/json (permitted by RFC 8259, section 9).
const maxJSONDepth = 10_000

// jsonEscapes are the characters that stand, after a backslash, for one character.
const jsonEscapes = `"\/bfnrt`

// jsonScanner reads JSON text forwards. Its methods report false, or 0 for a
// byte, where the text ends or is malformed; it is of no use after that.
type jsonScanner struct {
	data []byte
	pos  int
}

// enter reads the object that is due, which is nested depth levels deep, up to
// the value of its first member named key. It reports whether there is one.
func (s *jsonScanner) enter(key string, depth int) bool {
	if depth > maxJSONDepth || s.next() != '{' {
		return false
	}
	for { // an empty object ends at key, a full one at the comma
		name, ok := s.key()
		if !ok {
			return false
		}
		if name.equal(key) {
			return true
		}
		if !s.skip(depth) || s.next() != ',' {
			return false
		}
	}
}

// appendScalar appends the value that is due if it has a text of its own.
func (s *jsonScanner) appendScalar(dst []byte) []byte {
	switch s.peek() {
	case '"':
		if text, ok := s.text(); ok {
			return text.appendTo(dst)
		}
	case 'n': // null
	default:
		start := s.pos
		if !s.literal() {
			return dst
		}
		end := s.pos
		// Without the byte that ends it, a number may be cut short.
		if c := s.next(); c == ',' || c == '}' {
			return append(dst, s.data[start:end]...)
		}
	}
	return dst
}

// stringValue reads the value that is due if it is a string, and what follows
// it: a comma, or the closer of the object or array that it is in.
func (s *jsonScanner) stringValue(closer byte) (jsonText, bool) {
	text, ok := s.text()
	if !ok {
		return jsonText{}, false
	}
	c := s.next()
	return text, c == ',' || c == closer
}

// end reports whether nothing but white space is left.
func (s *jsonScanner) end() bool {
	s.peek()
	return s.pos == len(s.data)
}

// skip reads the value that is due in an object depth levels deep.
func (s *jsonScanner) skip(depth int) bool {
	if c := s.peek(); c == '{' || c == '[' {
		return s.skipNested(depth)
	}
	return s.skipScalar()
}

// skipNested reads an object or array with all that is in it. It does not
// recurse, since the sender chooses the depth.
func (s *jsonScanner) skipNested(depth int) bool {
	var levels jsonLevels
	for {
		c := s.peek()
		opened := c == '{' || c == '['
		if opened {
			s.pos++
			if depth+levels.open == maxJSONDepth {
				return false
			}
			levels.push(c == '{')
		} else if !s.skipScalar() {
			return false
		}
		// Unless a level was opened and has a first element, an element has
		// ended, and perhaps levels with it.
		for !opened || s.peek() == levels.closer() {
			if c = s.next(); c == ',' {
				break
			}
			if c != levels.closer() {
				return false
			}
			if levels.open--; levels.open == 0 {
				return true
			}
			opened = false
		}
		if levels.closer() == '}' {
			if _, ok := s.key(); !ok {
				return false
			}
		}
	}
}

// key reads a member's name and the colon after it.
func (s *jsonScanner) key() (jsonText, bool) {
	name, ok := s.text()
	return name, ok && s.next() == ':'
}

func (s *jsonScanner) skipScalar() bool {
	if s.peek() == '"' {
		_, ok := s.text()
		return ok
	}
	return s.literal()
}

// literal reads a number, true, false or null.
func (s *jsonScanner) literal() bool {
	s.peek()
	for _, word := range [...]string{"true", "false", "null"} {
		if bytes.HasPrefix(s.data[s.pos:], []byte(word)) {
			s.pos += len(word)
			return true
		}
	}
	return s.number()
}

// number reads a number (RFC 8259, section 6).
func (s *jsonScanner) number() bool {
	s.accept('-', '-')
	if !s.accept('0', '0') && !s.digits() {
		return false
	}
	if s.accept('.', '.') && !s.digits() {
		return false
	}
	if s.accept('e', 'E') {
		s.accept('+', '-')
		return s.digits()
	}
	return true
}

// digits reads one digit or more.
func (s *jsonScanner) digits() bool {
	start := s.pos
	for s.pos < len(s.data) && '0' <= s.data[s.pos] && s.data[s.pos] <= '9' {
		s.pos++
	}
	return s.pos > start
}

// accept reads the next byte if it is a or b.
func (s *jsonScanner) accept(a, b byte) bool {
	if s.pos == len(s.data) || s.data[s.pos] != a && s.data[s.pos] != b {
		return false
	}
	s.pos++
	return true
}

// peek returns the next byte that is not white space, without reading it.
func (s *jsonScanner) peek() byte {
	for ; s.pos < len(s.data); s.pos++ {
		if c := s.data[s.pos]; c > ' ' || c != ' ' && c != '\t' && c != '\n' && c != '\r' {
			return c
		}
	}
	return 0
}

// next reads the next byte that is not white space.
func (s *jsonScanner) next() byte {
	c := s.peek()
	if c != 0 {
		s.pos++
	}
	return c
}

// jsonLevels are the objects and arrays that are open at a point of a text.
type jsonLevels struct {
	open    int
	objects [maxJSONDepth/64 + 1]uint64 // bit n: level n is an object
}

func (l *jsonLevels) push(object bool) {
	l.open++
	word, bit := l.open/64, uint64(1)<<(l.open%64)
	l.objects[word] &^= bit
	if object {
		l.objects[word] |= bit
	}
}

// closer returns the byte that ends the innermost level.
func (l *jsonLevels) closer() byte {
	if l.objects[l.open/64]>>(l.open%64)&1 == 1 {
		return '}'
	}
	return ']'
}

// jsonText is the inside of a well-formed JSON string.
type jsonText struct {
	raw   []byte
	ascii bool // neither escapes nor bytes beyond ASCII: raw is the text
}

// text reads a string.
func (s *jsonScanner) text() (jsonText, bool) {
	if s.next() != '"' {
		return jsonText{}, false
	}
	start, ascii := s.pos, true
	for i := start; ; i++ {
		i += plainLen(s.data[i:])
		if i == len(s.data) {
			return jsonText{}, false
		}
		switch c := s.data[i]; {
		case c == '"':
			s.pos = i + 1
			return jsonText{raw: s.data[start:i], ascii: ascii}, true
		case c == '\\':
			ascii = false
			size := escapeLen(s.data[i:])
			if size == 0 {
				return jsonText{}, false
			}
			i += size - 1
		case c < ' ':
			return jsonText{}, false
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
}

// plainLen returns how many bytes at the start of b mean nothing in a string
// but themselves, or fewer near the end of b. It looks at eight at a time, since
// most of a message is text to be skipped.
func plainLen(b []byte) int {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	n := 0
	for ; len(b)-n >= 8; n += 8 {
		w := binary.LittleEndian.Uint64(b[n:])
		quotes, slashes := w^(ones*'"'), w^(ones*'\\')
		// A byte's top bit is set if it is beyond ASCII or a subtraction takes
		// it below zero; what a subtraction borrows spoils only later bytes.
		special := (w | (w - ones*' ') | (quotes - ones) | (slashes - ones)) & tops
		if special != 0 {
			return n + bits.TrailingZeros64(special)/8
		}
	}
	return n
}

// escapeLen returns the length of the escape that b begins with, 0 if it is
// malformed.
func escapeLen(b []byte) int {
	switch {
	case len(b) < 2:
	case strings.IndexByte(jsonEscapes, b[1]) >= 0:
		return 2
	case b[1] == 'u' && len(b) >= 6:
		if _, ok := parseHex4(b[2:]); ok {
			return 6
		}
	}
	return 0
}

func (t jsonText) equal(s string) bool {
	if t.ascii {
		return string(t.raw) == s
	}
	for raw := t.raw; len(raw) > 0; {
		r, size := decodeJSONRune(raw)
		raw = raw[size:]
		want, width := utf8.DecodeRuneInString(s)
		if width == 0 || r != want {
			return false
		}
		s = s[width:]
	}
	return s == ""
}

func (t jsonText) appendTo(dst []byte) []byte {
	if t.ascii {
		return append(dst, t.raw...)
	}
	for raw := t.raw; len(raw) > 0; {
		r, size := decodeJSONRune(raw)
		raw = raw[size:]
		dst = utf8.AppendRune(dst, r)
	}
	return dst
}

// decodeJSONRune returns the first character of raw, the inside of a
// well-formed JSON string, and the number of bytes that stand for it.
func decodeJSONRune(raw []byte) (rune, int) {
	if raw[0] != '\\' {
		return utf8.DecodeRune(raw)
	}
	if i := strings.IndexByte(jsonEscapes, raw[1]); i >= 0 {
		return rune("\"\\/\b\f\n\r\t"[i]), 2
	}
	r, _ := parseHex4(raw[2:])
	if !utf16.IsSurrogate(r) {
		return r, 6
	}
	if len(raw) >= 12 && raw[6] == '\\' && raw[7] == 'u' {
		low, _ := parseHex4(raw[8:])
		if pair := utf16.DecodeRune(r, low); pair != utf8.RuneError {
			return pair, 12
		}
	}
	return utf8.RuneError, 6
}

// parseHex4 reads the four hexadecimal digits, of either case, of a \u escape.
func parseHex4(b []byte) (rune, bool) {
	var v [2]byte
	_, err := hex.Decode(v[:], b[:4])
	return rune(v[0])<<8 | rune(v[1]), err == nil
}
