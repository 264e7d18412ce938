package kql

import (
	"strconv"
	"strings"
	"unicode"
)

// literal is a name or a value. Wildcards are between the parts, so that an escaped
// star, which is in a part, is not one.
type literal struct {
	parts  []string // at least one
	quoted bool
}

// String returns the text without quotes and escapes.
func (l literal) String() string { return strings.Join(l.parts, "*") }

// wild says whether there is a wildcard.
func (l literal) wild() bool { return len(l.parts) > 1 }

// anything says whether there is nothing but a wildcard.
func (l literal) anything() bool { return len(l.parts) == 2 && l.parts[0] == "" && l.parts[1] == "" }

// matches says whether the text is what the literal says.
func (l literal) matches(text string) bool {
	first, last := l.parts[0], l.parts[len(l.parts)-1]
	if !l.wild() {
		return text == first
	}
	text, ok := strings.CutPrefix(text, first)
	if !ok {
		return false
	}
	if text, ok = strings.CutSuffix(text, last); !ok {
		return false
	}
	for _, part := range l.parts[1 : len(l.parts)-1] {
		_, rest, found := strings.Cut(text, part)
		if !found {
			return false
		}
		text = rest
	}
	return true
}

// lower returns the literal in lower case.
func (l literal) lower() literal {
	parts := make([]string, len(l.parts))
	for i, part := range l.parts {
		parts[i] = strings.ToLower(part)
	}
	return literal{parts, l.quoted}
}

// isSpace says what separates words of the language.
func isSpace(r rune) bool {
	return r == ' ' || r == '\t' || r == '\r' || r == '\n' || r == '\u00a0'
}

// isBlank says what is cut off the ends of a bare value: what JavaScript's trim
// does.
func isBlank(r rune) bool {
	switch r {
	case '\t', '\n', '\v', '\f', '\r', '\ufeff', '\u2028', '\u2029':
		return true
	}
	return unicode.Is(unicode.Zs, r)
}

// isSpecial says which characters have a meaning, and need an escape without one.
func isSpecial(r rune) bool { return strings.ContainsRune(`\():<>"*{}`, r) }

// literal reads a name or a value, whose absence is an error that says what was
// wanted.
func (p *parser) literal(wanted string) (literal, error) {
	if p.pos < len(p.text) && p.text[p.pos] == '"' {
		return p.quoted()
	}
	return p.bare(wanted)
}

func (p *parser) quoted() (literal, error) {
	start := p.pos
	p.pos++
	var b strings.Builder
	for p.pos < len(p.text) {
		r := p.text[p.pos]
		switch r {
		case '"':
			p.pos++
			return literal{[]string{b.String()}, true}, nil
		case '\\':
			escaped, err := p.whitespaceOrCode()
			if err != nil {
				return literal{}, err
			}
			if escaped != 0 {
				b.WriteRune(escaped)
				continue
			}
			if next := p.at(1); next == '"' || next == '\\' {
				b.WriteRune(next)
				p.pos += 2
				continue
			}
			// Any other backslash stands for itself.
		}
		b.WriteRune(r)
		p.pos++
	}
	return literal{}, errorAt(start, "the quotation mark is not closed")
}

// bare reads a value without quotation marks, which may hold spaces.
func (p *parser) bare(wanted string) (literal, error) {
	start := p.pos
	parts := []string{""}
	add := func(s string) { parts[len(parts)-1] += s }
	for p.pos < len(p.text) && p.keyword() == 0 {
		r := p.text[p.pos]
		if r == '*' {
			parts = append(parts, "")
			p.pos++
			continue
		}
		if r == '\\' {
			escaped, err := p.escape()
			if err != nil {
				return literal{}, err
			}
			add(escaped)
			continue
		}
		if isSpecial(r) {
			break
		}
		add(string(r))
		p.pos++
	}
	last := len(parts) - 1
	parts[0] = strings.TrimLeftFunc(parts[0], isBlank)
	parts[last] = strings.TrimRightFunc(parts[last], isBlank)
	if last == 0 && parts[0] == "" {
		return literal{}, errorAt(start, "%s is missing%s", wanted, p.found())
	}
	return literal{parts, false}, nil
}

// escape reads what a backslash outside quotation marks begins. The keyword not
// cannot be escaped, as in Kibana: its n makes a line break.
func (p *parser) escape() (string, error) {
	switch r, err := p.whitespaceOrCode(); {
	case err != nil:
		return "", err
	case r != 0:
		return string(r), nil
	}
	if next := p.at(1); next != 0 && isSpecial(next) {
		p.pos += 2
		return string(next), nil
	}
	for _, word := range []string{"or", "and"} {
		if p.hasWord(p.pos+1, word) {
			text := string(p.text[p.pos+1 : p.pos+1+len(word)])
			p.pos += 1 + len(word)
			return text, nil
		}
	}
	return "", errorAt(p.pos, `a backslash that escapes nothing; write \\`)
}

// whitespaceOrCode reads \t, \r, \n or \u and four hexadecimal digits, or nothing
// and returns 0.
func (p *parser) whitespaceOrCode() (rune, error) {
	switch p.at(1) {
	case 't':
		p.pos += 2
		return '\t', nil
	case 'r':
		p.pos += 2
		return '\r', nil
	case 'n': // of \not, too
		p.pos += 2
		return '\n', nil
	case 'u':
	default:
		return 0, nil
	}
	if p.pos+6 > len(p.text) {
		return 0, nil
	}
	digits := string(p.text[p.pos+2 : p.pos+6])
	if strings.Trim(digits, "0123456789abcdefABCDEF") != "" {
		return 0, nil
	}
	code, err := strconv.ParseUint(digits, 16, 16)
	if err != nil {
		return 0, err
	}
	if code == 0 || code >= 0xd800 && code < 0xe000 {
		return 0, errorAt(p.pos, "the code is no character")
	}
	p.pos += 6
	return rune(code), nil
}
