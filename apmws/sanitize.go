package apmws

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// cutRunes returns the first n characters of s.
func cutRunes(s string, n int) string {
	for i := range s {
		if n--; n < 0 {
			return s[:i]
		}
	}
	return s
}

// sanitize makes a string that a peer chose fit for a log or a label: valid
// UTF-8, without control characters, at most limit bytes.
func sanitize(s string, limit int) string {
	if len(s) > 4*limit {
		s = s[:4*limit] // do not work on what will be cut anyway
	}
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' || r == utf8.RuneError {
			return ' '
		}
		return r
	}, s)
	if len(s) > limit {
		for limit > 0 && !utf8.RuneStart(s[limit]) {
			limit--
		}
		s = s[:limit]
	}
	return s
}
