package evaluate

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/apmws/go-apmws/dashboards/internal/newrelic/nrql"
)

// Result is the answer to a query.
type Result struct {
	// Groups has one group for each combination of facets that there is, or one in all
	// without FACET. Nil: the query selects rows.
	Groups []Group
	// Rows are the values of the selected attributes, in no order.
	Rows [][]any
}

// Group is what was selected of events with the same facets. A value is nil, float64,
// string, bool, or of percentile, histogram and uniques a []float64 or []string.
type Group struct {
	Facets []string
	Values []any
}

// Variables are the chosen values of the dashboard's variables, by name.
type Variables map[string][]string

// ErrUnsupported is returned for what the evaluator does not know.
var ErrUnsupported = errors.New("evaluate: not supported")

// Run answers a query. LIMIT is not looked at.
func (d *Data) Run(q *nrql.Query, variables Variables) (Result, error) {
	e := &evaluator{variables: variables}
	rows := d.rows[q.From]
	if q.MetricFormat != "" {
		rows = formatted(rows, q.MetricFormat)
	}
	rows = e.matching(rows, q.Where)
	if !aggregates(q.Select[0].Expr) {
		result := Result{}
		for _, r := range rows {
			result.Rows = append(result.Rows, e.row(r, q.Select))
		}
		return result, e.err
	}
	result := Result{Groups: []Group{}}
	if len(q.Facet) == 0 {
		result.Groups = append(result.Groups, Group{Values: e.group(rows, q.Select)})
		return result, e.err
	}
	groups := make(map[string][]row)
	for _, r := range rows {
		if key, ok := e.facets(r, q.Facet); ok {
			groups[key] = append(groups[key], r)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(groups)) {
		result.Groups = append(result.Groups, Group{strings.Split(key, separator), e.group(groups[key], q.Select)})
	}
	return result, e.err
}

const separator = "\x00"

type evaluator struct {
	variables Variables
	err       error
}

func (e *evaluator) unsupported(what any) any {
	if e.err == nil {
		e.err = fmt.Errorf("%w: %+v", ErrUnsupported, what)
	}
	return nil
}

// facets returns the facets of a row. New Relic is taken to leave out those that are
// null.
func (e *evaluator) facets(r row, exprs []nrql.Expr) (string, bool) {
	all := make([]string, len(exprs))
	for i, expr := range exprs {
		v := e.scalar(r, expr)
		if v == nil {
			return "", false
		}
		all[i] = fmt.Sprint(v)
	}
	return strings.Join(all, separator), true
}

func (e *evaluator) row(r row, items []nrql.Item) []any {
	all := make([]any, len(items))
	for i, item := range items {
		all[i] = e.scalar(r, item.Expr)
	}
	return all
}

func (e *evaluator) group(rows []row, items []nrql.Item) []any {
	all := make([]any, len(items))
	for i, item := range items {
		all[i] = e.aggregate(rows, item.Expr)
	}
	return all
}

// aggregates tells whether an expression makes one value of many rows.
func aggregates(expr nrql.Expr) bool {
	switch expr := expr.(type) {
	case nrql.Call:
		return nrql.Functions[expr.Function].Aggregate
	case nrql.Binary:
		return aggregates(expr.Left) || aggregates(expr.Right)
	default:
		return false
	}
}

var placeholder = regexp.MustCompile(`\\{(\w+)\\}`)

// formatted returns the metrics whose names have the format, with the attributes that
// it names. A placeholder is taken to be one segment of a name, without a slash; New
// Relic calls it a segment, and segments what is between slashes:
// https://docs.newrelic.com/docs/data-apis/understand-data/metric-data/query-apm-metric-timeslice-data-nrql/#wildcard.
func formatted(rows []row, format string) []row {
	pattern := regexp.MustCompile("^" + placeholder.ReplaceAllString(regexp.QuoteMeta(format), `(?P<$1>[^/]+)`) + "$")
	var all []row
	for _, r := range rows {
		name, _ := r["metricTimesliceName"].(string)
		parts := pattern.FindStringSubmatch(name)
		if parts == nil {
			continue
		}
		r = maps.Clone(r)
		for i, attribute := range pattern.SubexpNames() {
			if i > 0 {
				r[attribute] = parts[i]
			}
		}
		all = append(all, r)
	}
	return all
}
