package evaluate

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sort"
	"time"

	"github.com/apmws/go-apmws/dashboards/internal/kibana"
	"github.com/apmws/go-apmws/dashboards/internal/kql"
)

// document is a document whose time has been read.
type document struct {
	fields map[string]any
	place  int     // in source.documents
	time   int64   // ms since 1970
	weight float64 // how many documents it stands for: _doc_count
}

// source is what a data view reads.
type source struct {
	view      *kibana.DataView
	documents []*document // by time
	queries   map[string]*query
	kinds     map[string]kind
	fieldType func(dataView, field string) (string, bool)
}

// query is a query and what has been found out about documents.
type query struct {
	parsed *kql.Query
	known  []answer
}

type answer uint8

const (
	unknown answer = iota
	yes
	no
)

// source returns what the data view of an id reads. The first time it asks for the
// documents.
func (e *evaluation) source(id string) (*source, error) {
	if s := e.known.sources[id]; s != nil {
		return s, nil
	}
	if id == "" {
		return nil, errors.New("empty panel: no reference leads to a data view")
	}
	view := e.dataView(id)
	if view == nil {
		return nil, fmt.Errorf("data view %q is not in the file", id)
	}
	if view.Attributes.TimeFieldName == "" {
		return nil, fmt.Errorf("data view %s has no field of time", id)
	}
	s := &source{
		view: view, queries: make(map[string]*query), kinds: make(map[string]kind), fieldType: e.opts.FieldType,
	}
	for _, fields := range e.opts.Documents(view) {
		d, err := newDocument(fields, view.Attributes.TimeFieldName)
		if err != nil {
			return nil, fmt.Errorf("data view %s: %w", id, err)
		}
		s.documents = append(s.documents, d)
	}
	slices.SortStableFunc(s.documents, func(a, b *document) int { return cmp.Compare(a.time, b.time) })
	for i, d := range s.documents {
		d.place = i
	}
	e.known.sources[id] = s
	return s, nil
}

func newDocument(fields map[string]any, timeField string) (*document, error) {
	d := &document{fields: fields, weight: 1}
	at, err := dateOf(fields[timeField])
	if err != nil {
		return nil, fmt.Errorf("%s of a document: %w", timeField, err)
	}
	d.time = at
	if weight, ok := fields["_doc_count"].(float64); ok {
		d.weight = weight
	}
	return d, nil
}

// dateOf returns a date as Elasticsearch keeps it, in ms since 1970.
func dateOf(value any) (int64, error) {
	text, ok := value.(string)
	if !ok {
		return 0, fmt.Errorf("%v is no date", value)
	}
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return 0, err
	}
	return at.UnixMilli(), nil
}

// between returns the documents from one time to another, without the latter.
func (s *source) between(from, to int64) []*document {
	first := func(at int64) int {
		return sort.Search(len(s.documents), func(i int) bool { return s.documents[i].time >= at })
	}
	return s.documents[first(from):first(to)]
}

// query returns a query of documents of the source; nil if it is empty.
func (s *source) query(text string) (*query, error) {
	if text == "" {
		return nil, nil
	}
	if q := s.queries[text]; q != nil {
		return q, nil
	}
	parsed, err := kql.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("query %s: %w", text, err)
	}
	q := &query{parsed: parsed, known: make([]answer, len(s.documents))}
	s.queries[text] = q
	return q, nil
}

// matches says whether a document matches; no query matches all.
func (q *query) matches(d *document) bool {
	if q == nil {
		return true
	}
	if q.known[d.place] == unknown {
		q.known[d.place] = no
		if q.parsed.Match(d.fields) {
			q.known[d.place] = yes
		}
	}
	return q.known[d.place] == yes
}

// matching returns those of the documents that match all queries.
func (s *source) matching(documents []*document, texts []string) ([]*document, error) {
	var queries []*query
	for _, text := range texts {
		q, err := s.query(text)
		if err != nil {
			return nil, err
		}
		if q != nil {
			queries = append(queries, q)
		}
	}
	var matching []*document
	for _, d := range documents {
		if !slices.ContainsFunc(queries, func(q *query) bool { return !q.matches(d) }) {
			matching = append(matching, d)
		}
	}
	return matching, nil
}
