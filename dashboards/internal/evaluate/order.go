package evaluate

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/apmws/go-apmws/dashboards/internal/kibana"
)

// orderOf returns by which metric terms are ordered, nil if by their values.
func (r *run) orderOf(id string, p kibana.Params) (*metric, error) {
	// Lens looks at it whatever the order is said to be.
	if p.OrderAgg != nil {
		return r.hiddenOrder(id, p.OrderAgg)
	}
	switch {
	case p.OrderBy == nil:
		return nil, errors.New("no order")
	case p.OrderBy.Type == "alphabetical":
		return nil, nil
	case p.OrderBy.Type != "column":
		return nil, fmt.Errorf("order by %q is not supported", p.OrderBy.Type)
	}
	i := slices.IndexFunc(r.metrics, func(m *metric) bool { return m.id == p.OrderBy.ColumnID })
	if i < 0 {
		return nil, fmt.Errorf("column %q, to order by, is none that Elasticsearch computes", p.OrderBy.ColumnID)
	}
	m := r.metrics[i]
	if m.isFraction() {
		return nil, nil // Lens then orders by the values
	}
	return m, m.checkOrder()
}

// hiddenOrder returns a metric that is not in the table. Kibana computes it of all
// documents of a bucket, or, if metrics are shifted, of those that are not.
func (r *run) hiddenOrder(id string, c *kibana.Column) (*metric, error) {
	m, err := r.newMetric(id+" order", c)
	if err != nil {
		return nil, fmt.Errorf("order by %s: %w", c.Operation, err)
	}
	switch {
	case c.TimeShift != "" || c.ReducedTimeRange != "" || c.TimeScale != "":
		err = errors.New("its time shift, reduced time range and time scale are ignored by Kibana")
	case m.filter != nil:
		err = errors.New("its filter is ignored by Kibana")
	case m.isFraction():
		err = errors.New("it cannot order by part of a percentile")
	case len(r.shifts) > 1:
		if m.shift = slices.Index(r.shifts, 0); m.shift < 0 {
			err = errors.New("all metrics are shifted, and in several ways")
		}
	}
	if err == nil {
		err = m.checkOrder()
	}
	if err != nil {
		return nil, fmt.Errorf("order by %s of %s: %w", c.Operation, c.Field, err)
	}
	return m, nil
}

// isFraction says whether it is a percentile such as 99.9, which Elasticsearch cannot
// name in an order.
func (m *metric) isFraction() bool {
	rank := params(m.column).Percentile
	return m.column.Operation == kibana.OpPercentile && rank != math.Trunc(rank)
}

// checkOrder makes sure that there is a number to order by.
func (m *metric) checkOrder() error {
	if m.column.Operation == kibana.OpLastValue && m.kind != numbers && m.kind != dates {
		return fmt.Errorf("column %q, to order by, is no number", m.id)
	}
	return nil
}

// order compares groups as Elasticsearch does: by the metric, those without one last,
// and then by the values, from the least.
func (t *terms) order(a, b *group) int {
	byKey := slices.CompareFunc(a.key, b.key, compare)
	if t.metric == nil {
		if t.ascend {
			return byKey
		}
		return -byKey
	}
	byRank := cmp.Compare(a.rank, b.rank)
	if !t.ascend {
		byRank = -byRank
	}
	if without := math.IsNaN(a.rank); without != math.IsNaN(b.rank) {
		byRank = -1
		if without {
			byRank = 1
		}
	}
	return cmp.Or(byRank, byKey)
}
