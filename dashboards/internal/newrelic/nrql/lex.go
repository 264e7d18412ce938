package nrql

import (
	"fmt"
	"strings"
)

type kind int

const (
	end kind = iota
	word
	quoted   // between backticks
	text     // between quotes
	number   // such as 0.95
	operator // one of ( ) , * / + - = != < <= > >=
	variable // {{name}}
)

type token struct {
	kind  kind
	value string
	pos   int // of its first byte
}

// is tells whether the token is this word, in any case, or this operator.
func (t token) is(value string) bool {
	return t.kind == word && strings.EqualFold(t.value, value) || t.kind == operator && t.value == value
}

func (t token) String() string {
	if t.kind == end {
		return "the end"
	}
	return fmt.Sprintf("%q", t.value)
}

// SyntaxError is why a query cannot be read.
type SyntaxError struct {
	Pos  int // of the first byte that is wrong, from 0
	Text string
}

// Error implements error.
func (e *SyntaxError) Error() string { return fmt.Sprintf("nrql: at %d: %s", e.Pos, e.Text) }

func lex(query string) ([]token, error) {
	var all []token
	for pos := 0; pos < len(query); {
		if query[pos] == ' ' {
			pos++
			continue
		}
		t, length, err := lexOne(query[pos:])
		if err != "" {
			return nil, &SyntaxError{pos, err}
		}
		t.pos = pos
		all = append(all, t)
		pos += length
	}
	return append(all, token{pos: len(query)}), nil
}

// lexOne returns the first token and its length, or what is wrong.
func lexOne(s string) (t token, length int, problem string) {
	switch c := s[0]; {
	case strings.HasPrefix(s, "{{"):
		inner, _, found := strings.Cut(s[2:], "}}")
		if !found || spanOf(inner, isLetter) == 0 || spanOf(inner, isWord) != len(inner) || strings.Contains(inner, ".") {
			return t, 0, "not a variable"
		}
		return token{kind: variable, value: inner}, len(inner) + 4, ""
	case c == '`' || c == '\'':
		inner, _, found := strings.Cut(s[1:], string(c))
		if !found {
			return t, 0, "a quote is not closed"
		}
		if c == '`' && inner == "" {
			return t, 0, "an attribute without a name"
		}
		k := text
		if c == '`' {
			k = quoted
		}
		return token{kind: k, value: inner}, len(inner) + 2, ""
	case isLetter(c):
		n := spanOf(s, isWord)
		return token{kind: word, value: s[:n]}, n, ""
	case isDigit(c):
		n := spanOf(s, func(c byte) bool { return isDigit(c) || c == '.' })
		if strings.Count(s[:n], ".") > 1 || s[n-1] == '.' {
			return t, 0, "not a number"
		}
		return token{kind: number, value: s[:n]}, n, ""
	case len(s) > 1 && s[1] == '=' && strings.IndexByte("!<>", c) >= 0:
		return token{kind: operator, value: s[:2]}, 2, ""
	case strings.IndexByte("(),*/+-=<>", c) >= 0:
		return token{kind: operator, value: s[:1]}, 1, ""
	default:
		return t, 0, fmt.Sprintf("unexpected %q", c)
	}
}

func spanOf(s string, in func(byte) bool) int {
	n := 0
	for n < len(s) && in(s[n]) {
		n++
	}
	return n
}

func isLetter(c byte) bool { return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }
func isDigit(c byte) bool  { return c >= '0' && c <= '9' }
func isWord(c byte) bool   { return isLetter(c) || isDigit(c) || c == '.' }
