package nrql_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/apmws/go-apmws/dashboards/internal/newrelic"
	"github.com/apmws/go-apmws/dashboards/internal/newrelic/nrql"
)

func TestParse(t *testing.T) {
	q, err := nrql.Parse("FROM Metric SELECT 100 * filter(sum(newrelic.timeslice.value), where a = 'b') / 2 AS 'share', " +
		"rate(count(`c.d` OR 1), 10 seconds) WHERE appName IN ({{application}}) AND (x LIKE 'y%' OR NOT z IS NOT NULL) " +
		"WITH METRIC_FORMAT 'Custom/{part}' FACET part, host SINCE 3 minutes ago UNTIL 1 minute ago " +
		"COMPARE WITH 1 week ago TIMESERIES LIMIT max")
	if err != nil {
		t.Fatal(err)
	}
	value := nrql.Attr{Name: "newrelic.timeslice.value"}
	share := nrql.Call{Function: "filter", Args: []nrql.Expr{
		nrql.Call{Function: "sum", Args: []nrql.Expr{value}},
		nrql.Filter{Cond: nrql.Compare{Left: nrql.Attr{Name: "a"}, Op: "=", Right: []nrql.Expr{nrql.Text{Value: "b"}}}},
	}}
	want := &nrql.Query{
		From: "Metric",
		Select: []nrql.Item{
			{Expr: nrql.Binary{Op: "/", Left: nrql.Binary{Op: "*", Left: nrql.Number{Literal: "100"}, Right: share}, Right: nrql.Number{Literal: "2"}}, Alias: "share"},
			{Expr: nrql.Call{Function: "rate", Args: []nrql.Expr{
				nrql.Call{Function: "count", Args: []nrql.Expr{nrql.Default{
					Expr: nrql.Attr{Name: "c.d", Quoted: true}, Else: nrql.Number{Literal: "1"},
				}}},
				nrql.Duration{Number: "10", Unit: "second"},
			}}},
		},
		Where: nrql.And{Conds: []nrql.Cond{
			nrql.Compare{Left: nrql.Attr{Name: "appName"}, Op: "IN", Right: []nrql.Expr{nrql.Variable{Name: "application"}}},
			nrql.Or{Conds: []nrql.Cond{
				nrql.Compare{Left: nrql.Attr{Name: "x"}, Op: "LIKE", Right: []nrql.Expr{nrql.Text{Value: "y%"}}},
				nrql.Not{Cond: nrql.Compare{Left: nrql.Attr{Name: "z"}, Op: "IS NOT NULL"}},
			}},
		}},
		MetricFormat: "Custom/{part}",
		Facet:        []nrql.Expr{nrql.Attr{Name: "part"}, nrql.Attr{Name: "host"}},
		Since:        "3 minutes ago", Until: "1 minute ago", CompareWith: "1 week ago",
		Timeseries: true, Limit: "MAX",
	}
	if !reflect.DeepEqual(q, want) {
		t.Errorf("got  %+v\nwant %+v", q, want)
	}
}

func TestSyntaxErrors(t *testing.T) {
	for query, want := range map[string]string{
		"":                                                                     "expected FROM",
		"SELECT count(*) FROM Transaction":                                     "expected FROM",
		"FROM Transaction":                                                     "expected SELECT",
		"FROM Transaction SELECT":                                              "expected an expression",
		"FROM Transaction SELECT count(*":                                      "expected )",
		"FROM Transaction SELECT count(*))":                                    "not in its place",
		"FROM Transaction SELECT (name":                                        "expected )",
		"FROM Transaction SELECT `name":                                        "a quote is not closed",
		"FROM Transaction SELECT ``":                                           "without a name",
		"FROM Transaction SELECT name WHERE a = 'b":                            "a quote is not closed",
		"FROM Transaction SELECT name WHERE a = {{b}":                          "not a variable",
		"FROM Transaction SELECT name WHERE a = {{b.c}}":                       "not a variable",
		"FROM Transaction SELECT name WHERE a = {{}}":                          "not a variable",
		"FROM Transaction SELECT counts(*)":                                    `no function "counts"`,
		"FROM Transaction SELECT percentile(duration)":                         "with 1 arguments",
		"FROM Transaction SELECT count(*, *)":                                  "with 2 arguments",
		"FROM Transaction SELECT rate(count(*), 1 fortnight)":                  "no unit of time",
		"FROM Transaction SELECT name WHERE":                                   "expected an expression",
		"FROM Transaction SELECT name WHERE a":                                 "expected a comparison",
		"FROM Transaction SELECT name WHERE a IN 'b'":                          "expected (",
		"FROM Transaction SELECT name WHERE a = 1.":                            "not a number",
		"FROM Transaction SELECT name WHERE a = 1.2.3":                         "not a number",
		"FROM Transaction SELECT name WHERE a ! 'b'":                           "unexpected",
		"FROM Transaction SELECT name WHERE a = \"b\"":                         "unexpected",
		"FROM Transaction SELECT name FACET a WHERE b = 1":                     "not in its place",
		"FROM Transaction SELECT name TIMESERIES FACET a":                      "not in its place",
		"FROM Transaction SELECT name LIMIT 10 TIMESERIES":                     "not in its place",
		"FROM Transaction SELECT name COMPARE WITH 1 week ago SINCE 1 day ago": "not in its place",
		"FROM Transaction SELECT name SINCE 1 day":                             "expected ago",
		"FROM Transaction SELECT name SINCE yesterday":                         "expected a number",
		"FROM Transaction SELECT name LIMIT many":                              "a number or MAX",
		"FROM Transaction SELECT name AS n":                                    "a name in quotes",
		"FROM Transaction SELECT where":                                        "expected an expression",
		"FROM Transaction SELECT " + strings.Repeat("(", 1000):                 "nested too deep",
		"FROM Transaction SELECT name WHERE " + strings.Repeat("NOT ", 1000):   "nested too deep",
	} {
		q, err := nrql.Parse(query)
		var syntax *nrql.SyntaxError
		if !errors.As(err, &syntax) || q != nil || !strings.Contains(err.Error(), want) || syntax.Pos > len(query) {
			t.Errorf("%.80s: got %v, want %q", query, err, want)
		}
	}
}

func TestAttributesAndComparisons(t *testing.T) {
	q, err := nrql.Parse("FROM Transaction SELECT filter(count(*), WHERE name LIKE 'a%'), sum(b OR c) " +
		"WHERE NOT (name = 'd' OR `e.f` IS NULL) FACET g, b")
	if err != nil {
		t.Fatal(err)
	}
	want := []nrql.Attr{{Name: "name"}, {Name: "b"}, {Name: "c"}, {Name: "e.f", Quoted: true}, {Name: "g"}}
	if got := q.Attributes(); !reflect.DeepEqual(got, want) {
		t.Errorf("attributes: %+v", got)
	}
	var ops []string
	for _, c := range q.Comparisons("name") {
		ops = append(ops, c.Op)
	}
	if !reflect.DeepEqual(ops, []string{"=", "LIKE"}) {
		t.Errorf("comparisons: %v", ops)
	}
}

// What has been read means the same when it is written and read again.
func FuzzParse(f *testing.F) {
	for _, p := range newrelic.New().Pages {
		for _, w := range p.Widgets {
			for _, q := range w.Configuration.Queries {
				f.Add(q.Query)
			}
		}
	}
	f.Add("FROM a SELECT 1 - 2 - (3 + *), f WHERE NOT (a <= 1.5 AND b NOT LIKE 'c' OR d NOT IN (1, {{e}})) LIMIT 3")
	f.Fuzz(func(t *testing.T, query string) {
		q, err := nrql.Parse(query)
		if err != nil {
			var syntax *nrql.SyntaxError
			if !errors.As(err, &syntax) || syntax.Pos < 0 || syntax.Pos > len(query) {
				t.Errorf("%q: %v", query, err)
			}
			return
		}
		written := q.String()
		again, err := nrql.Parse(written)
		if err != nil {
			t.Fatalf("%q was written as %q: %v", query, written, err)
		}
		if got := again.String(); got != written {
			t.Errorf("%q was written as %q, then as %q", query, written, got)
		}
	})
}
