package kql

import "strings"

// String returns the query in one form for all that mean the same to [Parse]: lists
// of values written out field by field, one space at each place, parentheses around
// what is joined within what is joined. Parse reads it to the same query.
func (q *Query) String() string {
	var w writer
	q.root.write(&w)
	return w.String()
}

type writer struct{ strings.Builder }

func (all) write(*writer) {}

func (a and) write(w *writer) { w.joined(a, " and ") }

func (o or) write(w *writer) { w.joined(o, " or ") }

func (n not) write(w *writer) {
	w.WriteString("not ")
	w.part(n.of)
}

func (i is) write(w *writer) {
	if i.field != nil {
		w.literal(*i.field)
		w.WriteString(": ")
	}
	w.literal(i.value)
}

func (b between) write(w *writer) {
	w.literal(b.field)
	w.WriteString(" " + b.operator + " ")
	w.literal(b.value)
}

func (w *writer) joined(parts []node, by string) {
	for i, part := range parts {
		if i > 0 {
			w.WriteString(by)
		}
		if n, ok := part.(not); ok {
			n.write(w)
			continue
		}
		w.part(part)
	}
}

// part writes what is to be read as one.
func (w *writer) part(n node) {
	switch n.(type) {
	case is, between:
		n.write(w)
	default:
		w.WriteByte('(')
		n.write(w)
		w.WriteByte(')')
	}
}

func (w *writer) literal(l literal) {
	if l.quoted {
		w.WriteByte('"')
		for _, r := range l.parts[0] {
			if r == '"' || r == '\\' {
				w.WriteByte('\\')
			}
			w.WriteRune(r)
		}
		w.WriteByte('"')
		return
	}
	for i, part := range l.parts {
		if i > 0 {
			w.WriteByte('*')
		}
		w.bare([]rune(part))
	}
}

// bare writes text without quotation marks.
func (w *writer) bare(text []rune) {
	p := parser{text: text}
	for p.pos < len(text) {
		r := text[p.pos]
		switch {
		case isSpecial(r), p.startsJunction():
			w.WriteByte('\\')
			w.WriteRune(r)
		case r == '\t':
			w.WriteString(`\t`)
		case r == '\r':
			w.WriteString(`\r`)
		case r == '\n':
			w.WriteString(`\n`)
		case p.hasWord(p.pos, "not") && p.endsAfter(3):
			// There is no escape for the word.
			w.WriteString(map[rune]string{'n': `\u006e`, 'N': `\u004e`}[r])
		default:
			w.WriteRune(r)
		}
		p.pos++
	}
}

// startsJunction says whether an and or an or begins here, which spaces, or what is
// written beside the text, could make a keyword.
func (p *parser) startsJunction() bool {
	if p.pos > 0 && !isSpace(p.text[p.pos-1]) {
		return false
	}
	return p.hasWord(p.pos, "or") && p.endsAfter(2) || p.hasWord(p.pos, "and") && p.endsAfter(3)
}

// endsAfter says whether a word of that length, which begins here, ends there.
func (p *parser) endsAfter(length int) bool { return p.at(length) == 0 || isSpace(p.at(length)) }
