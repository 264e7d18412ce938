package evaluate_test

import (
	"errors"
	"reflect"
	"testing"

	"github.com/apmws/go-apmws/dashboards/internal/newrelic/evaluate"
	"github.com/apmws/go-apmws/dashboards/internal/newrelic/nrql"
	"github.com/apmws/go-apmws/exporters/wire/collector"
)

func event(name string, duration, at float64, user map[string]any) collector.Event {
	return collector.Event{
		Intrinsics: map[string]any{"name": name, "duration": duration, "timestamp": at},
		User:       user, Agent: map[string]any{"agent": "go"},
	}
}

func data() *evaluate.Data {
	return evaluate.Of(collector.Harvest{
		Transactions: []collector.Event{
			event("A/one", 1, 10, map[string]any{"user.id": "x", "weight": 2.0}),
			event("A/two", 2, 30, map[string]any{"user.id": "y", "ok": true}),
			event("A/two", 3, 20, map[string]any{"user.id": "x"}),
			event("B/one", 40, 40, nil),
		},
		Metrics: map[collector.Metric]collector.Values{
			{Name: "C/red"}:             {Count: 2, Total: 6, Min: 1, Max: 5},
			{Name: "C/blue"}:            {Count: 1, Total: 3, Min: 3, Max: 3},
			{Name: "C/blue/deep"}:       {Count: 1, Total: 1, Min: 1, Max: 1},
			{Name: "D", Scope: "A/one"}: {Count: 4, Total: 8, Min: 2, Max: 2},
		},
	})
}

func TestRun(t *testing.T) {
	variables := evaluate.Variables{"v": {"A/one", "B/one"}, "none": {}}
	one := func(v any) []evaluate.Group { return []evaluate.Group{{Values: []any{v}}} }
	for query, want := range map[string][]evaluate.Group{
		"FROM Transaction SELECT count(*)":                                             one(4.0),
		"FROM Transaction SELECT count(`user.id`)":                                     one(3.0),
		"FROM Transaction SELECT uniqueCount(`user.id`)":                               one(2.0),
		"FROM Transaction SELECT uniques(`user.id`)":                                   one([]string{"x", "y"}),
		"FROM Transaction SELECT sum(duration)":                                        one(46.0),
		"FROM Transaction SELECT sum(weight OR 1)":                                     one(5.0),
		"FROM Transaction SELECT average(duration) WHERE name LIKE 'A/%'":              one(2.0),
		"FROM Transaction SELECT min(duration)":                                        one(1.0),
		"FROM Transaction SELECT max(duration)":                                        one(40.0),
		"FROM Transaction SELECT max(duration) WHERE name = 'Z'":                       one(nil),
		"FROM Transaction SELECT latest(`user.id`)":                                    one("y"),
		"FROM Transaction SELECT percentile(duration, 50, 95)":                         one([]float64{2, 40}),
		"FROM Transaction SELECT histogram(duration, 4, 2)":                            one([]float64{1, 3}),
		"FROM Transaction SELECT rate(count(*), 15 seconds)":                           one(1.0),
		"FROM Transaction SELECT percentage(count(*), WHERE duration >= 3)":            one(50.0),
		"FROM Transaction SELECT filter(count(*), WHERE ok = 'true') WHERE ok IS NULL": one(0.0),
		"FROM Transaction SELECT 1 + count(*) * 2 - 3 / 2":                             one(7.5),
		"FROM Transaction SELECT count(*) / filter(count(*), WHERE name = 'Z')":        one(nil),
		"FROM Transaction SELECT count(*) WHERE name IN ({{v}})":                       one(2.0),
		"FROM Transaction SELECT count(*) WHERE name IN ({{none}})":                    one(0.0),
		"FROM Transaction SELECT count(*) WHERE name NOT IN ('B/one', 'A/one')":        one(2.0),
		"FROM Transaction SELECT count(*) WHERE `user.id` != 'x'":                      one(1.0),
		"FROM Transaction SELECT count(*) WHERE NOT `user.id` = 'x'":                   one(2.0),
		"FROM Transaction SELECT count(*) WHERE name NOT LIKE '%/one'":                 one(2.0),
		"FROM Transaction SELECT count(*) WHERE name LIKE 'A/%o%e'":                    one(1.0),
		"FROM Transaction SELECT count(*) WHERE name LIKE 'A'":                         one(0.0),
		"FROM Transaction SELECT count(*) WHERE name LIKE 'A/t_o'":                     one(0.0),
		"FROM Transaction SELECT count(*) WHERE name LIKE 'a/Two'":                     one(2.0),
		"FROM Transaction SELECT count(*) WHERE name = 'a/Two'":                        one(0.0),
		"FROM Transaction SELECT count(*) WHERE duration < 2 OR duration > 3":          one(2.0),
		"FROM Transaction SELECT count(*) WHERE duration <= 2 AND agent IS NOT NULL":   one(2.0),
		"FROM Transaction SELECT count(*) FACET `user.id`": {
			{Facets: []string{"x"}, Values: []any{2.0}}, {Facets: []string{"y"}, Values: []any{1.0}},
		},
		"FROM Transaction SELECT count(*) FACET `user.id`, name": {
			{Facets: []string{"x", "A/one"}, Values: []any{1.0}},
			{Facets: []string{"x", "A/two"}, Values: []any{1.0}},
			{Facets: []string{"y", "A/two"}, Values: []any{1.0}},
		},
		"FROM Transaction SELECT count(*) WHERE name = 'Z' FACET name": {},
		"FROM Metric SELECT sum(newrelic.timeslice.value), count(newrelic.timeslice.value), " +
			"average(newrelic.timeslice.value), min(newrelic.timeslice.value), max(newrelic.timeslice.value) " +
			"WHERE metricTimesliceName IN ('C/red', 'C/blue')": {{Values: []any{9.0, 3.0, 3.0, 1.0, 5.0}}},
		"FROM Metric SELECT average(newrelic.timeslice.value) WHERE metricTimesliceName = 'E'": one(nil),
		"FROM Metric SELECT sum(newrelic.timeslice.value) WHERE scope LIKE 'A/%'":              one(8.0),
		"FROM Metric SELECT sum(newrelic.timeslice.value) WITH METRIC_FORMAT 'C/{colour}' FACET colour": {
			{Facets: []string{"blue"}, Values: []any{3.0}}, {Facets: []string{"red"}, Values: []any{6.0}},
		},
	} {
		q, err := nrql.Parse(query)
		if err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		got, err := data().Run(q, variables)
		if err != nil || !reflect.DeepEqual(got.Groups, want) || got.Rows != nil {
			t.Errorf("%s: got %+v (%v), want %+v", query, got, err, want)
		}
	}
}

func TestRows(t *testing.T) {
	q, err := nrql.Parse("FROM Transaction SELECT name, weight, appName WHERE duration < 3 AND name LIKE '%one'")
	if err != nil {
		t.Fatal(err)
	}
	got, err := data().Run(q, nil)
	if want := [][]any{{"A/one", 2.0, collector.AppName}}; err != nil || got.Groups != nil || !reflect.DeepEqual(got.Rows, want) {
		t.Errorf("got %+v (%v), want %v", got, err, want)
	}
}

func TestHas(t *testing.T) {
	d := data()
	if !d.Has("Transaction", "weight") || d.Has("Transaction", "scope") || !d.Has("Metric", "scope") || d.Has("Span", "name") {
		t.Error("an attribute is where it is not, or the other way round")
	}
}

// What the evaluator cannot answer, it says so about.
func TestUnsupported(t *testing.T) {
	for _, query := range []string{
		"FROM Transaction SELECT count(*) WHERE name IN ({{unknown}})",
		"FROM Transaction SELECT count(*) WHERE name > 'a'",
		"FROM Transaction SELECT rate(count(*), 1 week)",
		"FROM Transaction SELECT rate(count(*), 5)",
		"FROM Transaction SELECT filter(count(*), 1)",
		"FROM Transaction SELECT percentile(duration, 101)",
		"FROM Transaction SELECT histogram(duration, 0, 10)",
		"FROM Transaction SELECT sum(duration + 1)",
		"FROM Transaction SELECT *",
		"FROM Metric SELECT percentile(newrelic.timeslice.value, 50)",
	} {
		q, err := nrql.Parse(query)
		if err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		if _, err := data().Run(q, nil); !errors.Is(err, evaluate.ErrUnsupported) {
			t.Errorf("%s: %v", query, err)
		}
	}
}
