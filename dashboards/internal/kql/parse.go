package kql

import (
	"fmt"
	"strings"
	"unicode"
)

// deepest is how deep parentheses may be nested, which bounds the stack.
const deepest = 100

// Parse reads a query. The empty query matches everything. An error says at which
// character, counted from 1, the query cannot be read on.
func Parse(query string) (*Query, error) {
	p := &parser{text: []rune(query)}
	p.spaces()
	if p.pos == len(p.text) {
		return &Query{all{}}, nil
	}
	root, err := p.or(p.part)
	if err != nil {
		return nil, err
	}
	p.spaces()
	if p.pos < len(p.text) {
		return nil, errorAt(p.pos, "and, or, or the end is wanted%s", p.found())
	}
	return &Query{root}, nil
}

// parser reads text from pos on.
type parser struct {
	text  []rune
	pos   int
	depth int // of parentheses
}

func errorAt(pos int, format string, args ...any) error {
	return fmt.Errorf("kql: character %d: %s", pos+1, fmt.Sprintf(format, args...))
}

// found tells what is there instead of what is wanted.
func (p *parser) found() string {
	if p.pos >= len(p.text) {
		return ", the query ends"
	}
	return fmt.Sprintf(", found %q", p.text[p.pos])
}

// at returns the character that many after the present one, or 0.
func (p *parser) at(offset int) rune {
	if p.pos+offset >= len(p.text) {
		return 0
	}
	return p.text[p.pos+offset]
}

func (p *parser) spaces() {
	for p.pos < len(p.text) && isSpace(p.text[p.pos]) {
		p.pos++
	}
}

// hasWord says whether the word, in whatever case, is at that place.
func (p *parser) hasWord(pos int, word string) bool {
	for i, r := range word {
		if pos+i >= len(p.text) || unicode.ToLower(p.text[pos+i]) != r || p.text[pos+i] > unicode.MaxASCII {
			return false
		}
	}
	return true
}

// junction returns where the word ends that joins two parts, spaces before and
// after it included, or 0 if it is not next.
func (p *parser) junction(word string) int {
	pos := p.pos
	for pos < len(p.text) && isSpace(p.text[pos]) {
		pos++
	}
	if pos == p.pos || !p.hasWord(pos, word) {
		return 0
	}
	return p.afterSpaces(pos + len(word))
}

// negation returns where a not ends, spaces after it included, or 0.
func (p *parser) negation() int {
	if !p.hasWord(p.pos, "not") {
		return 0
	}
	return p.afterSpaces(p.pos + len("not"))
}

// afterSpaces skips at least one space, or returns 0.
func (p *parser) afterSpaces(from int) int {
	pos := from
	for pos < len(p.text) && isSpace(p.text[pos]) {
		pos++
	}
	if pos == from {
		return 0
	}
	return pos
}

// keyword returns where a keyword ends that is next, or 0. It ends a bare value
// even within a word: Kibana does not read "cannot say".
func (p *parser) keyword() int {
	return max(p.junction("or"), p.junction("and"), p.negation())
}

// or reads what is between parentheses or all there is; part reads the smallest
// piece of it.
func (p *parser) or(part func() (node, error)) (node, error) {
	parts, err := p.joined("or", func() (node, error) {
		parts, err := p.joined("and", func() (node, error) { return p.negated(part) })
		if len(parts) == 1 || err != nil {
			return first(parts), err
		}
		return and(parts), nil
	})
	if len(parts) == 1 || err != nil {
		return first(parts), err
	}
	return or(parts), nil
}

func first(parts []node) node {
	if len(parts) == 0 {
		return nil
	}
	return parts[0]
}

func (p *parser) joined(word string, read func() (node, error)) ([]node, error) {
	var parts []node
	for {
		part, err := read()
		if err != nil {
			return nil, err
		}
		parts = append(parts, part)
		end := p.junction(word)
		if end == 0 {
			return parts, nil
		}
		p.pos = end
	}
}

func (p *parser) negated(part func() (node, error)) (node, error) {
	end := p.negation()
	if end == 0 {
		return part()
	}
	p.pos = end
	of, err := part()
	return not{of}, err
}

// grouped reads parentheses around more of the same.
func (p *parser) grouped(part func() (node, error)) (node, error) {
	start := p.pos
	if p.depth++; p.depth > deepest {
		return nil, errorAt(start, "parentheses are nested deeper than %d", deepest)
	}
	defer func() { p.depth-- }()
	p.pos++
	p.spaces()
	inside, err := p.or(part)
	if err != nil {
		return nil, err
	}
	p.spaces()
	if p.at(0) != ')' {
		return nil, errorAt(p.pos, "the parenthesis of character %d is not closed%s", start+1, p.found())
	}
	p.pos++
	return inside, nil
}

// part reads a group, a comparison, or a value without a field.
func (p *parser) part() (node, error) {
	if p.at(0) == '(' {
		return p.grouped(p.part)
	}
	start := p.pos
	field, err := p.literal("a field or a value")
	if err != nil {
		return nil, err
	}
	after := p.pos
	p.spaces()
	for _, operator := range []string{"<=", ">=", "<", ">"} {
		if strings.HasPrefix(string(p.text[p.pos:min(p.pos+2, len(p.text))]), operator) {
			p.pos += len(operator)
			p.spaces()
			return p.end(field, operator)
		}
	}
	if p.at(0) != ':' {
		p.pos = after
		return p.comparison(nil, field, start)
	}
	p.pos++
	p.spaces()
	if p.at(0) == '{' {
		return nil, errorAt(p.pos, "nested groups are not used here")
	}
	return p.value(&field)
}

// end reads the end of a range.
func (p *parser) end(field literal, operator string) (node, error) {
	start := p.pos
	value, err := p.literal("the end of the range")
	if err != nil {
		return nil, err
	}
	text := value.String()
	switch {
	case value.wild():
		return nil, errorAt(start, "the end of a range has no wildcard; write \\*")
	case text == "now", strings.HasPrefix(text, "now+"), strings.HasPrefix(text, "now-"), strings.HasPrefix(text, "now/"),
		strings.Contains(text, "||"):
		return nil, errorAt(start, "computed dates are not used here")
	case isNull(value):
		return nil, errorAt(start, "nothing is compared with null")
	}
	return between{field, operator, value}, nil
}

// value reads a field's value, or a list of values in parentheses.
func (p *parser) value(field *literal) (node, error) {
	if p.at(0) == '(' {
		return p.grouped(func() (node, error) { return p.value(field) })
	}
	start := p.pos
	value, err := p.literal("a value")
	if err != nil {
		return nil, err
	}
	return p.comparison(field, value, start)
}

func (p *parser) comparison(field *literal, value literal, start int) (node, error) {
	if isNull(value) {
		return nil, errorAt(start, "nothing is null; a field without a value is: not field: *")
	}
	return is{field, value}, nil
}

func isNull(value literal) bool { return !value.quoted && !value.wild() && value.parts[0] == "null" }
