package kql

import (
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// Match says whether the query matches a flat document: dotted names of fields, and
// their values, each a string, a float64, a bool, a []any of these, or a map for a
// histogram.
func (q *Query) Match(doc map[string]any) bool { return q.root.match(doc) }

func (all) match(map[string]any) bool { return true }

func (a and) match(doc map[string]any) bool {
	return !slices.ContainsFunc(a, func(part node) bool { return !part.match(doc) })
}

func (o or) match(doc map[string]any) bool {
	return slices.ContainsFunc(o, func(part node) bool { return part.match(doc) })
}

func (n not) match(doc map[string]any) bool { return !n.of.match(doc) }

func (i is) match(doc map[string]any) bool {
	field := literal{parts: []string{"", ""}}
	if i.field != nil {
		field = *i.field
	}
	if field.anything() && i.value.anything() && !i.value.quoted {
		return true
	}
	return anyValue(doc, field, func(name string, value any) bool { return equal(name, value, i.value) })
}

func (b between) match(doc map[string]any) bool {
	return anyValue(doc, b.field, func(_ string, value any) bool { return b.holds(value) })
}

// anyValue says whether a value of one of the fields holds.
func anyValue(doc map[string]any, field literal, holds func(name string, value any) bool) bool {
	if !field.wild() {
		return anyElement(field.parts[0], doc[field.parts[0]], holds)
	}
	for name, value := range doc {
		if field.matches(name) && anyElement(name, value, holds) {
			return true
		}
	}
	return false
}

func anyElement(name string, value any, holds func(name string, value any) bool) bool {
	list, ok := value.([]any)
	if !ok {
		return value != nil && holds(name, value)
	}
	return slices.ContainsFunc(list, func(element any) bool { return element != nil && holds(name, element) })
}

func equal(name string, value any, wanted literal) bool {
	if wanted.anything() {
		return true
	}
	switch value := value.(type) {
	case string:
		if isText(name) {
			return hasWords(value, wanted)
		}
		return wanted.matches(value)
	case float64:
		number, ok := number(wanted)
		return ok && number == value
	case bool:
		return !wanted.wild() && wanted.parts[0] == strconv.FormatBool(value)
	}
	return false
}

// isText says which fields hold text, whose words are indexed, in the built-in
// mappings of APM data: message, error.exception.message, error.log.message.
func isText(name string) bool { return name == "message" || strings.HasSuffix(name, ".message") }

// hasWords is how text matches: a phrase by all of its words in a row, bare words by
// one of them, a pattern if it fits a word.
func hasWords(text string, wanted literal) bool {
	has := words(text)
	if wanted.wild() {
		return slices.ContainsFunc(has, wanted.lower().matches)
	}
	want := words(wanted.parts[0])
	if len(want) == 0 {
		return false
	}
	if !wanted.quoted {
		return slices.ContainsFunc(want, func(word string) bool { return slices.Contains(has, word) })
	}
	for i := 0; i+len(want) <= len(has); i++ {
		if slices.Equal(has[i:i+len(want)], want) {
			return true
		}
	}
	return false
}

func words(text string) []string {
	return strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
}

// number returns a literal's value as a number, if it is a decimal one.
func number(l literal) (value float64, ok bool) {
	if l.wild() || strings.Trim(l.parts[0], "+-.0123456789eE") != "" {
		return 0, false
	}
	value, err := strconv.ParseFloat(l.parts[0], 64)
	return value, err == nil
}

func (b between) holds(value any) bool {
	var order int
	switch value := value.(type) {
	case string:
		order = strings.Compare(value, b.value.parts[0])
	case float64:
		end, ok := number(b.value)
		if !ok {
			return false
		}
		switch {
		case value < end:
			order = -1
		case value > end:
			order = 1
		}
	default:
		return false
	}
	switch b.operator {
	case "<":
		return order < 0
	case "<=":
		return order <= 0
	case ">":
		return order > 0
	default:
		return order >= 0
	}
}
