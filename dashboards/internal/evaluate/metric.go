package evaluate

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/apmws/go-apmws/dashboards/internal/kibana"
)

// metric is a column that Elasticsearch computes of the documents of a bucket.
type metric struct {
	id      string
	column  *kibana.Column
	source  *source
	kind    kind  // of the field
	shift   int   // in run.shifts
	since   int64 // ms since 1970: of a reduced time range
	filter  *query
	compute func(m *metric, documents []*document) result
	// hits counts documents that stand for many as one each, see run.countHits.
	hits bool
}

// noLimit is before every document.
const noLimit = math.MinInt64

// result is a value, nil if there is none, and what Elasticsearch orders by, which
// may be infinite, or not a number.
type result struct {
	value any
	rank  float64
}

// newMetric returns a metric of documents of the first time range, see place.
func (r *run) newMetric(id string, c *kibana.Column) (*metric, error) {
	m := &metric{id: id, column: c, source: r.source, since: noLimit}
	compute, ok := operations[c.Operation]
	if !ok {
		return nil, errors.New("the operation is not supported")
	}
	m.compute = compute
	if c.Operation != kibana.OpCount || c.Field != kibana.Records {
		var err error
		if m.kind, err = r.source.kind(c.Field); err != nil {
			return nil, err
		}
	}
	if err := m.check(); err != nil {
		return nil, err
	}
	if c.Filter != nil {
		text, err := textOfQuery(*c.Filter)
		if err != nil {
			return nil, err
		}
		if m.filter, err = r.source.query(text); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// place finds out which documents, by their time, the metric is of.
func (m *metric) place(r *run) error {
	var err error
	if m.shift, err = r.shiftOf(m.column); err != nil {
		return err
	}
	if m.column.ReducedTimeRange == "" {
		return nil
	}
	length, err := span(m.column.ReducedTimeRange)
	if err != nil {
		return fmt.Errorf("reduced time range: %w", err)
	}
	m.since = r.evaluation.to - length.Milliseconds() - r.shifts[m.shift]
	return nil
}

// check makes sure that the operation can be done with the field.
func (m *metric) check() error {
	p := params(m.column)
	var ok bool
	switch m.column.Operation {
	case kibana.OpCount, kibana.OpUniqueCount, kibana.OpLastValue:
		ok = m.kind != histograms && m.kind != summaries && m.kind != texts
	case kibana.OpMin, kibana.OpMax:
		ok = m.kind == numbers || m.kind == histograms || m.kind == dates
	case kibana.OpMedian, kibana.OpPercentile:
		ok = m.kind == numbers || m.kind == histograms
	default:
		ok = m.kind == numbers || m.kind == histograms || m.kind == summaries
	}
	switch {
	case !ok:
		return fmt.Errorf("field %s is of %s", m.column.Field, m.kind)
	case m.column.Operation == kibana.OpPercentile && (p.Percentile <= 0 || p.Percentile > 100):
		return fmt.Errorf("percentile %v", p.Percentile)
	case m.column.Operation == kibana.OpLastValue:
		return m.checkLast(p)
	case m.column.TimeScale == "":
		return nil
	case unit(m.column.TimeScale) == 0:
		return fmt.Errorf("time scale %q is not supported", m.column.TimeScale)
	case m.column.Operation != kibana.OpCount && m.column.Operation != kibana.OpSum:
		return errors.New("only counts and sums can be scaled by time")
	}
	return nil
}

func (m *metric) checkLast(p kibana.Params) error {
	if isTrue(p.ShowArrayValues) {
		return errors.New("array values are not supported")
	}
	if m.column.TimeScale != "" {
		return errors.New("only counts and sums can be scaled by time")
	}
	k, err := m.source.kind(p.SortField)
	if err != nil {
		return err
	}
	if k != dates && k != keywords { // dates look like keywords where types are not known
		return fmt.Errorf("field %s, to sort by, is of %s", p.SortField, k)
	}
	return nil
}

// of computes the metric of the documents of a bucket.
func (m *metric) of(s set) result {
	documents := s[m.shift]
	if m.filter != nil || m.since != noLimit {
		documents = nil
		for _, d := range s[m.shift] {
			if d.time >= m.since && m.filter.matches(d) {
				documents = append(documents, d)
			}
		}
	}
	return m.compute(m, documents)
}

// value returns what is in the table.
func (m *metric) value(s set) any {
	value := m.of(s).value
	switch m.column.Operation {
	case kibana.OpCount, kibana.OpSum, kibana.OpUniqueCount:
		if value == 0.0 && isTrue(params(m.column).EmptyAsNull) {
			return nil
		}
	}
	return value
}

// rank returns what buckets are ordered by.
func (m *metric) rank(s set) float64 { return m.of(s).rank }

// scale divides what is to be shown for a unit of time by the time there was.
func (r *run) scale() {
	for _, id := range r.layer.ColumnOrder {
		c := r.layer.Columns[id]
		if c.TimeScale == "" {
			continue
		}
		for _, row := range r.rows {
			value, ok := row[id].(float64)
			if !ok {
				continue
			}
			row[id] = nil
			if length := r.timeOf(row, c); length > 0 {
				row[id] = value / (float64(length) / float64(unit(c.TimeScale).Milliseconds()))
			}
		}
	}
}

// timeOf returns the ms that a row is about, within the time range.
func (r *run) timeOf(row map[string]any, c *kibana.Column) int64 {
	from, to := r.evaluation.from, r.evaluation.to
	if at, ok := row[r.date].(time.Time); ok {
		return min(at.Add(r.interval).UnixMilli(), to) - max(at.UnixMilli(), from)
	}
	if length, err := span(c.ReducedTimeRange); err == nil {
		from = max(from, to-length.Milliseconds())
	}
	return to - from
}
