package kql

import "slices"

// Query is a query that has been read. It never changes, and may be used by many
// goroutines.
type Query struct {
	root node
}

// node is a part of a query: all, and, or, not, is or between.
type node interface {
	match(doc map[string]any) bool
	write(w *writer)
	// eachField calls f with the name of each field, as a pattern.
	eachField(f func(literal))
}

type (
	// all matches everything.
	all struct{}
	// and matches what all of its parts match; there are at least two.
	and []node
	// or matches what one of its parts matches; there are at least two.
	or []node
	// not matches what its part does not.
	not struct{ of node }
	// is compares fields with a value. Without a field it is about every one.
	is struct {
		field *literal
		value literal
	}
	// between compares fields with one end of a range.
	between struct {
		field    literal
		operator string // >, >=, < or <=
		value    literal
	}
)

// Fields returns the names of the fields that the query mentions, in order and each
// once, without escapes. A name with wildcards is one entry.
func (q *Query) Fields() []string {
	var names []string
	q.root.eachField(func(field literal) {
		if name := field.String(); !slices.Contains(names, name) {
			names = append(names, name)
		}
	})
	return names
}

func (all) eachField(func(literal)) {}

func (a and) eachField(f func(literal)) {
	for _, part := range a {
		part.eachField(f)
	}
}

func (o or) eachField(f func(literal)) {
	for _, part := range o {
		part.eachField(f)
	}
}

func (n not) eachField(f func(literal)) { n.of.eachField(f) }

func (i is) eachField(f func(literal)) {
	if i.field != nil {
		f(*i.field)
	}
}

func (b between) eachField(f func(literal)) { f(b.field) }
