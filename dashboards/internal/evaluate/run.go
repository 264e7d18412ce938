package evaluate

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/apmws/go-apmws/dashboards/internal/kibana"
)

// run is the computation of a layer.
type run struct {
	evaluation *evaluation
	source     *source
	layer      *kibana.Layer
	splitters  []splitter
	metrics    []*metric // what Elasticsearch computes
	shifts     []int64   // how many ms before the time range metrics look; each once
	date       string    // the column of the date histogram, if there is one
	interval   time.Duration
	rows       []map[string]any
}

// set are documents: those of each time range that a run looks at, in the order of
// run.shifts. A document may be in several.
type set [][]*document

// splitter divides documents into buckets.
type splitter interface {
	column() string
	split(s set) []bucket
}

// bucket are documents, and what they have in common.
type bucket struct {
	key       any
	documents set
}

func newRun(e *evaluation, s *source, layer *kibana.Layer) (*run, error) {
	r := &run{evaluation: e, source: s, layer: layer}
	if err := r.checkOrder(); err != nil {
		return nil, err
	}
	// Metrics first: buckets may be ordered by them.
	for _, add := range []func(id string, c *kibana.Column) error{r.addMetric, r.addSplitter} {
		for _, id := range layer.ColumnOrder {
			c := layer.Columns[id]
			if err := add(id, c); err != nil {
				return nil, fmt.Errorf("column %s (%s, %s): %w", id, c.Label, c.Operation, err)
			}
		}
	}
	r.countHits()
	return r, r.check()
}

// countHits has the documents counted as Kibana does where there is neither a bucket
// nor anything else around a count: it takes the number of hits, to which a document
// is one, whatever its _doc_count says.
func (r *run) countHits() {
	for _, m := range r.metrics {
		m.hits = len(r.splitters) == 0 && len(r.shifts) == 1 && m.filter == nil && m.since == noLimit
	}
}

// checkOrder makes sure that each column has one place.
func (r *run) checkOrder() error {
	order := slices.Sorted(slices.Values(r.layer.ColumnOrder))
	if !slices.Equal(order, slices.Sorted(maps.Keys(r.layer.Columns))) {
		return fmt.Errorf("columnOrder %v does not list each column once", r.layer.ColumnOrder)
	}
	return nil
}

// check makes sure that Lens would accept the columns together.
func (r *run) check() error {
	if len(r.splitters) > 0 && len(r.metrics) == 0 {
		return errors.New("buckets without anything to compute in them show nothing")
	}
	if r.date == "" {
		return nil
	}
	for _, m := range r.metrics {
		if m.column.ReducedTimeRange != "" {
			return fmt.Errorf("column %s: a reduced time range and a date histogram exclude each other", m.id)
		}
	}
	if len(r.shifts) < 2 {
		return nil
	}
	under := false
	for _, sp := range r.splitters {
		_, top := sp.(*terms)
		if under && top {
			return fmt.Errorf("column %s: top values of each interval cannot be combined with several time shifts", sp.column())
		}
		under = under || sp.column() == r.date
	}
	return nil
}

func (r *run) addMetric(id string, c *kibana.Column) error {
	switch c.Operation {
	case kibana.OpDateHistogram, kibana.OpTerms, kibana.OpFilters:
		return nil
	case kibana.OpStaticValue, kibana.OpFormula, kibana.OpMath:
		return checkReferences(c)
	}
	m, err := r.newMetric(id, c)
	if err != nil {
		return err
	}
	if err := m.place(r); err != nil {
		return err
	}
	r.metrics = append(r.metrics, m)
	return nil
}

func (r *run) addSplitter(id string, c *kibana.Column) error {
	var (
		sp  splitter
		err error
	)
	switch c.Operation {
	case kibana.OpDateHistogram:
		sp, err = r.newIntervals(id, c)
	case kibana.OpTerms:
		sp, err = r.newTerms(id, c)
	case kibana.OpFilters:
		sp, err = r.newFilters(id, c)
	default:
		return nil
	}
	if err != nil {
		return err
	}
	r.splitters = append(r.splitters, sp)
	return nil
}

// shiftOf returns the place of a metric's time range among the set.
func (r *run) shiftOf(c *kibana.Column) (int, error) {
	shift := int64(0)
	switch c.TimeShift {
	case "":
	case "previous":
		if slices.ContainsFunc(r.layer.ColumnOrder, func(id string) bool {
			return r.layer.Columns[id].Operation == kibana.OpDateHistogram
		}) {
			return 0, errors.New("the previous time range and a date histogram exclude each other")
		}
		shift = r.evaluation.to - r.evaluation.from
	default:
		length, err := span(c.TimeShift)
		if err != nil {
			return 0, fmt.Errorf("time shift: %w", err)
		}
		shift = length.Milliseconds()
	}
	if i := slices.Index(r.shifts, shift); i >= 0 {
		return i, nil
	}
	r.shifts = append(r.shifts, shift)
	return len(r.shifts) - 1, nil
}

// documents returns what matches in each time range.
func (r *run) documents(queries []string) (set, error) {
	all := make(set, len(r.shifts))
	for i, shift := range r.shifts {
		var err error
		within := r.source.between(r.evaluation.from-shift, r.evaluation.to-shift)
		if all[i], err = r.source.matching(within, queries); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// split adds the rows of documents that the splitters before a level have left
// together, and what these say of them.
func (r *run) split(level int, documents set, row map[string]any) {
	if level == len(r.splitters) {
		row = maps.Clone(row)
		for _, m := range r.metrics {
			row[m.id] = m.value(documents)
		}
		r.rows = append(r.rows, row)
		return
	}
	sp := r.splitters[level]
	for _, b := range sp.split(documents) {
		row[sp.column()] = b.key
		r.split(level+1, b.documents, row)
	}
}

// table returns the rows with what is computed from them.
func (r *run) table() (*Table, error) {
	for _, row := range r.rows {
		if err := r.calculate(row); err != nil {
			return nil, err
		}
	}
	r.scale()
	t := &Table{Rows: r.rows, Interval: r.interval}
	hidden := r.parts()
	for _, id := range r.layer.ColumnOrder {
		if !hidden[id] {
			t.Columns = append(t.Columns, id)
		}
	}
	for _, row := range t.Rows {
		maps.DeleteFunc(row, func(id string, _ any) bool { return hidden[id] })
	}
	return t, nil
}

// filters are buckets of one query each.
type filters struct {
	id      string
	labels  []string
	queries []*query
}

func (r *run) newFilters(id string, c *kibana.Column) (splitter, error) {
	f := &filters{id: id}
	for _, b := range params(c).Filters {
		text, err := textOfQuery(b.Input)
		if err != nil {
			return nil, err
		}
		q, err := r.source.query(text)
		if err != nil {
			return nil, err
		}
		label := b.Label
		if label == "" {
			label = text
		}
		if label == "" {
			label = "*"
		}
		if slices.Contains(f.labels, label) {
			return nil, fmt.Errorf("two filters are named %q", label)
		}
		f.labels, f.queries = append(f.labels, label), append(f.queries, q)
	}
	if len(f.labels) == 0 {
		return nil, errors.New("there are no filters")
	}
	return f, nil
}

func (f *filters) column() string { return f.id }

// split has a bucket for each query, and a document in every one that it matches.
func (f *filters) split(s set) []bucket {
	var buckets []bucket
	for i, q := range f.queries {
		b := bucket{key: f.labels[i], documents: make(set, len(s))}
		for shift, documents := range s {
			for _, d := range documents {
				if q.matches(d) {
					b.documents[shift] = append(b.documents[shift], d)
				}
			}
		}
		buckets = append(buckets, b)
	}
	return buckets
}

// params returns the parameters of a column that may have none.
func params(c *kibana.Column) kibana.Params {
	if c.Params == nil {
		return kibana.Params{}
	}
	return *c.Params
}

func isTrue(b *bool) bool { return b != nil && *b }
