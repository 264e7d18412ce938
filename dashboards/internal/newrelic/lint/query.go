package lint

import (
	"slices"
	"strings"

	"github.com/apmws/go-apmws/dashboards/internal/newrelic/nrql"
)

// Query returns what is wrong with a widget's query by itself.
func Query(query string) []Finding {
	l := &linter{where: query, used: make(map[string]bool)}
	q, err := nrql.Parse(query)
	if err != nil {
		l.find(Syntax, "%v", err)
		return l.findings
	}
	l.query(q)
	return l.findings
}

const timeslice = "newrelic.timeslice.value"

// ofMetrics are the attributes of timeslice metrics, which events do not have.
var ofMetrics = []string{timeslice, "metricTimesliceName", "scope"}

// shared are those that New Relic gives to both.
var shared = []string{"appName", "host"}

func (l *linter) query(q *nrql.Query) {
	q.Walk(func(e nrql.Expr) {
		if v, ok := e.(nrql.Variable); ok {
			l.used[v.Name] = true
		}
	})
	l.data(q)
	l.application(q)
	l.aggregation(q)
	for _, a := range q.Attributes() {
		if strings.Contains(a.Name, ".") && !a.Quoted && a.Name != timeslice {
			l.find(Quotes, "%s", a.Name)
		}
	}
}

func (l *linter) data(q *nrql.Query) {
	if !slices.Contains([]string{"Metric", "Transaction", "TransactionError", "Span"}, q.From) {
		l.find(Data, "%q is no type of data here", q.From)
	}
	if q.From != "Metric" {
		if q.MetricFormat != "" {
			l.find(Data, "METRIC_FORMAT, of events")
		}
		for _, a := range q.Attributes() {
			if slices.Contains(ofMetrics, a.Name) {
				l.find(Data, "%s, of events", a.Name)
			}
		}
		return
	}
	named := q.MetricFormat != ""
	for _, a := range q.Attributes() {
		named = named || a.Name == "metricTimesliceName"
		if !slices.Contains(ofMetrics, a.Name) && !slices.Contains(shared, a.Name) &&
			!strings.Contains(q.MetricFormat, "{"+a.Name+"}") {
			l.find(Data, "%s, of metrics", a.Name)
		}
	}
	if !named {
		l.find(Data, "metrics of all names")
	}
}

// application: the condition that all rows must meet is IN ({{application}}).
func (l *linter) application(q *nrql.Query) {
	conds := []nrql.Cond{q.Where}
	if and, ok := q.Where.(nrql.And); ok {
		conds = and.Conds
	}
	for _, c := range conds {
		compare, ok := c.(nrql.Compare)
		if !ok || compare.Op != "IN" || len(compare.Right) != 1 {
			continue
		}
		if compare.Left == (nrql.Attr{Name: "appName"}) && compare.Right[0] == (nrql.Variable{Name: "application"}) {
			return
		}
	}
	l.find(Application, "there is no appName IN ({{application}})")
}

func (l *linter) aggregation(q *nrql.Query) {
	first := aggregated(q.Select[0].Expr)
	for _, item := range q.Select {
		if aggregated(item.Expr) != first {
			l.find(Aggregation, "some is aggregated, and some is not")
			return
		}
	}
	if !first && (len(q.Facet) > 0 || q.Timeseries || q.CompareWith != "") {
		l.find(Aggregation, "rows have no FACET, TIMESERIES or COMPARE WITH")
	}
}

func aggregated(e nrql.Expr) bool {
	switch e := e.(type) {
	case nrql.Call:
		return nrql.Functions[e.Function].Aggregate
	case nrql.Binary:
		return aggregated(e.Left) || aggregated(e.Right)
	default:
		return false
	}
}
