package evaluate_test

import (
	"testing"
	"time"

	"github.com/apmws/go-apmws/dashboards/internal/evaluate"
	"github.com/apmws/go-apmws/dashboards/internal/kibana"
)

// top is a split by the values of fields, ordered by m0.
func top(size int, fields ...string) *kibana.Column {
	return kibana.TopOf("", "string", size, "m0", fields...)
}

func TestTerms(t *testing.T) {
	yes := true
	documents := []map[string]any{
		doc(0, map[string]any{"name": "a", "n": 1.0}),
		doc(0, map[string]any{"name": "a", "n": 9.0}),
		doc(0, map[string]any{"name": "b", "n": 5.0}),
		doc(0, map[string]any{"name": []any{"c", "d", "c"}, "n": 20.0}),
		doc(0, map[string]any{"name": "e"}),
		doc(0, map[string]any{"n": 3.0}),
		doc(-time.Hour, map[string]any{"name": "b"}),
	}
	sum := metricOf(kibana.OpSum, "n")
	average := metricOf(kibana.OpAverage, "n")
	most, least := metricOf(kibana.OpMax, "n"), metricOf(kibana.OpMin, "n")
	for name, test := range map[string]struct {
		metric *kibana.Column
		change func(by *kibana.Column)
		want   []string
	}{
		"by count, ties by name": {counted(), nil, []string{"a | 2", "b | 1", "c | 1", "d | 1", "e | 1"}},
		"no more than the size":  {counted(), func(c *kibana.Column) { c.Params.Size = 2 }, []string{"a | 2", "b | 1"}},
		"ascending": {
			counted(), func(c *kibana.Column) { c.Params.OrderDirection = "asc" },
			[]string{"b | 1", "c | 1", "d | 1", "e | 1", "a | 2"},
		},
		"by sum":            {sum, nil, []string{"c | 20", "d | 20", "a | 10", "b | 5", "e | <nil>"}},
		"by average":        {average, nil, []string{"c | 20", "d | 20", "a | 5", "b | 5", "e | <nil>"}},
		"average ascending": {average, func(c *kibana.Column) { c.Params.OrderDirection = "asc" }, []string{"a | 5", "b | 5", "c | 20", "d | 20", "e | <nil>"}},
		"max ascending":     {most, func(c *kibana.Column) { c.Params.OrderDirection = "asc" }, []string{"e | <nil>", "b | 5", "a | 9", "c | 20", "d | 20"}},
		"min":               {least, nil, []string{"e | <nil>", "c | 20", "d | 20", "b | 5", "a | 1"}},
		"by what a filter leaves": {
			where(counted(), "n > 4"), nil, []string{"a | 1", "b | 1", "c | 1", "d | 1", "e | <nil>"},
		},
		"alphabetically": {counted(), func(c *kibana.Column) {
			c.Params.OrderBy = &kibana.OrderBy{Type: "alphabetical"}
			c.Params.Size = 3
		}, []string{"e | 1", "d | 1", "c | 1"}},
		"by a whole percentile":    {kibana.PercentileOf(50, "n", ""), nil, []string{"c | 20", "d | 20", "a | 5", "b | 5", "e | <nil>"}},
		"by part of a percentile":  {kibana.PercentileOf(99.9, "n", ""), func(c *kibana.Column) { c.Params.OrderDirection, c.Params.Size = "asc", 1 }, []string{"a | 8.992"}},
		"by the last of numbers":   {kibana.LastOf("n", "", "number"), nil, []string{"c | 20", "d | 20", "b | 5", "a | 1", "e | <nil>"}},
		"include":                  {counted(), func(c *kibana.Column) { c.Params.Include = []string{"b", "c", "x"} }, []string{"b | 1", "c | 1"}},
		"include a pattern":        {counted(), func(c *kibana.Column) { c.Params.Include, c.Params.IncludeIsRegex = []string{"[a-c]"}, &yes }, []string{"a | 2", "b | 1", "c | 1"}},
		"exclude":                  {counted(), func(c *kibana.Column) { c.Params.Exclude = []string{"a", "."} }, []string{"b | 1", "c | 1", "d | 1", "e | 1"}},
		"exclude a pattern":        {counted(), func(c *kibana.Column) { c.Params.Exclude, c.Params.ExcludeIsRegex = []string{"a|b", "c"}, &yes }, []string{"d | 1", "e | 1"}},
		"other":                    {counted(), func(c *kibana.Column) { c.Params.OtherBucket, c.Params.Size = &yes, 2 }, []string{"a | 2", "b | 1", "Other | 2"}},
		"other, but there is none": {counted(), func(c *kibana.Column) { c.Params.OtherBucket = &yes }, []string{"a | 2", "b | 1", "c | 1", "d | 1", "e | 1"}},
		"other values of taken documents": {
			sum, func(c *kibana.Column) { c.Params.OtherBucket, c.Params.Size = &yes, 1 },
			[]string{"c | 20", "Other | 15"}, // d is in the document of c
		},
		"missing": {
			counted(), func(c *kibana.Column) { c.Params.OtherBucket, c.Params.MissingBucket = &yes, &yes },
			[]string{"a | 2", "(missing value) | 1", "b | 1", "c | 1", "d | 1", "e | 1"},
		},
		"missing among the others": {
			counted(), func(c *kibana.Column) {
				c.Params.OtherBucket, c.Params.MissingBucket, c.Params.Size = &yes, &yes, 1
			},
			[]string{"a | 2", "Other | 4"},
		},
		"missing without others": {
			counted(), func(c *kibana.Column) { c.Params.MissingBucket, c.Params.Size = &yes, 1 }, []string{"a | 2"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			by := top(6, "name")
			if test.change != nil {
				test.change(by)
			}
			is(t, of(test.metric).by(by).table(t, documents), append([]string{"b0 m0"}, test.want...)...)
		})
	}
}

func TestTermsOfNumbersAndBooleans(t *testing.T) {
	documents := []map[string]any{
		doc(0, map[string]any{"status": 401.0, "ok": true}),
		doc(0, map[string]any{"status": 1000.0, "ok": false}),
		doc(0, map[string]any{"status": 1000.0, "ok": false}),
	}
	byStatus := top(5, "status")
	byStatus.Params.OrderBy, byStatus.Params.OrderDirection = &kibana.OrderBy{Type: "alphabetical"}, "asc"
	table := of(counted()).by(byStatus).table(t, documents)
	is(t, table, "b0 m0", "401 | 1", "1000 | 2")
	if value := table.Rows[0]["b0"]; value != 401.0 {
		t.Errorf("a number is %#v", value)
	}
	table = of(counted()).by(top(5, "ok")).table(t, documents)
	is(t, table, "b0 m0", "false | 2", "true | 1")
	if value := table.Rows[0]["b0"]; value != "false" {
		t.Errorf("a boolean is %#v", value)
	}
}

func TestTermsOfSeveralFields(t *testing.T) {
	yes := true
	documents := []map[string]any{
		doc(0, map[string]any{"node": "1", "route": "/b", "status": 401.0}),
		doc(0, map[string]any{"node": "1", "route": "/b", "status": 401.0}),
		doc(0, map[string]any{"node": "1", "route": "/a", "status": 503.0}),
		doc(0, map[string]any{"node": []any{"2", "3"}, "route": "/a", "status": 401.0}),
		doc(0, map[string]any{"node": "4", "status": 401.0}),
	}
	is(t, of(counted()).by(top(3, "node", "route")).table(t, documents),
		"b0 m0", "1 › /b | 2", "1 › /a | 1", "2 › /a | 1")
	is(t, of(counted()).by(top(1, "route", "status")).table(t, documents), "b0 m0", "/b › 401 | 2")
	rest := top(2, "node", "route")
	rest.Params.OtherBucket = &yes
	is(t, of(counted()).by(rest).table(t, documents), // the one without a route, too
		"b0 m0", "1 › /b | 2", "1 › /a | 1", "Other | 2")
}

// Within other buckets there are the first values of each.
func TestTermsAndTime(t *testing.T) {
	documents := []map[string]any{
		doc(0, map[string]any{"name": "a"}),
		doc(time.Minute, map[string]any{"name": "a"}),
		doc(5*time.Minute, map[string]any{"name": "b"}),
		doc(6*time.Minute, map[string]any{"name": "c"}),
		doc(7*time.Minute, map[string]any{"name": "c"}),
		doc(8*time.Minute, map[string]any{"name": "c"}),
	}
	// Values first: the same over all of the time.
	is(t, of(counted()).by(top(2, "name"), minutes("5m")).table(t, documents),
		"b0 b1 m0", "c | + | <nil>", "c | +5m | 3", "a | + | 2", "a | +5m | <nil>")
	// Time first: others in each interval, and none where there are no documents.
	is(t, of(counted()).by(minutes("5m"), top(1, "name")).table(t, documents), "b0 b1 m0", "+ | a | 2", "+5m | c | 3")
	is(t, of(counted()).by(minutes("2m"), top(1, "name")).table(t, documents),
		"b0 b1 m0", "+ | a | 2", "+4m | b | 1", "+6m | c | 2", "+8m | c | 1")
	is(t, of(counted()).by(kibana.BucketsOf("", kibana.Bucket("Early", "not name: c"), kibana.Bucket("Late", "name: c")), top(1, "name")).table(t, documents),
		"b0 b1 m0", "Early | a | 2", "Late | c | 3")
	if evaluate.Separator != " › " {
		t.Errorf("separator %q", evaluate.Separator)
	}
}

func TestTermsThatCannotBe(t *testing.T) {
	documents := []map[string]any{doc(0, map[string]any{"name": "a", "n": 1.0, "message": "text", "h": buckets([]any{1.0}, []any{1.0})})}
	yes := true
	for name, test := range map[string]struct {
		change func(c *kibana.Column)
		reason string
	}{
		"no field":                 {func(c *kibana.Column) { c.Field = "none" }, "none"},
		"text":                     {func(c *kibana.Column) { c.Field = "message" }, "text"},
		"a histogram":              {func(c *kibana.Column) { c.Field = "h" }, "histograms"},
		"a date":                   {func(c *kibana.Column) { c.Field = "@timestamp" }, "dates"},
		"no second field":          {func(c *kibana.Column) { c.Params.SecondaryFields = []string{"other"} }, "other"},
		"no size":                  {func(c *kibana.Column) { c.Params.Size = 0 }, "size"},
		"no order":                 {func(c *kibana.Column) { c.Params.OrderBy = nil }, "order"},
		"order by what is gone":    {func(c *kibana.Column) { c.Params.OrderBy.ColumnID = "m9" }, "m9"},
		"order by a bucket":        {func(c *kibana.Column) { c.Params.OrderBy.ColumnID = "b0" }, "b0"},
		"order by a formula":       {func(c *kibana.Column) { c.Params.OrderBy.ColumnID = "m2" }, "m2"},
		"order by a last keyword":  {func(c *kibana.Column) { c.Params.OrderBy.ColumnID = "m1" }, "m1"},
		"order by rarity":          {func(c *kibana.Column) { c.Params.OrderBy.Type = "rare" }, "rare"},
		"order by nothing":         {func(c *kibana.Column) { c.Params.OrderBy.Type = "custom" }, "custom"},
		"order by what is unknown": {func(c *kibana.Column) { c.Ranked(metricOf(kibana.OpSum, "none")) }, "none"},
		"order by a filter":        {func(c *kibana.Column) { c.Ranked(where(counted(), "name: a")) }, "filter is ignored"},
		"order by a last value":    {func(c *kibana.Column) { c.Ranked(kibana.LastOf("n", "", "number")) }, "filter is ignored"},
		"order by last keywords":   {func(c *kibana.Column) { c.Ranked(unfiltered(kibana.LastOf("name", "", "string"))) }, "no number"},
		"order by a fraction":      {func(c *kibana.Column) { c.Ranked(kibana.PercentileOf(99.9, "n", "")) }, "part of a percentile"},
		"order by the past": {func(c *kibana.Column) {
			by := counted()
			by.TimeShift = "1w"
			c.Ranked(by)
		}, "its time shift"},
		"no direction":                {func(c *kibana.Column) { c.Params.OrderDirection = "" }, "direction"},
		"an exclusion that is broken": {func(c *kibana.Column) { c.Params.Exclude, c.Params.ExcludeIsRegex = []string{"["}, &yes }, "missing closing"},
		"a pattern that is broken":    {func(c *kibana.Column) { c.Params.Include, c.Params.IncludeIsRegex = []string{"("}, &yes }, "missing closing"},
	} {
		t.Run(name, func(t *testing.T) {
			by := top(1, "name")
			test.change(by)
			static := &kibana.Column{Operation: kibana.OpStaticValue, Params: &kibana.Params{Value: "1"}}
			of(counted(), kibana.LastOf("name", "", "string"), static).by(by).fails(t, documents, "main", "b0", test.reason)
		})
	}
}

func unfiltered(c *kibana.Column) *kibana.Column {
	c.Filter = nil
	return c
}

// A metric that is not shown decides.
func TestHiddenOrder(t *testing.T) {
	documents := []map[string]any{
		doc(0, map[string]any{"name": "a", "n": 1.0}),
		doc(time.Minute, map[string]any{"name": "a", "n": 2.0}),
		doc(2*time.Minute, map[string]any{"name": "b", "n": 9.0}),
		doc(3*time.Minute, map[string]any{"name": "c"}),
		doc(-time.Hour, map[string]any{"name": "a", "n": 100.0}),
	}
	sum := metricOf(kibana.OpSum, "n")
	for _, test := range []struct {
		by   *kibana.Column
		want []string
	}{
		{counted(), []string{"a | 3", "b | 9", "c | <nil>"}},
		{metricOf(kibana.OpMax, "n"), []string{"b | 9", "a | 3", "c | <nil>"}},
		{kibana.PercentileOf(95, "n", ""), []string{"b | 9", "a | 3", "c | <nil>"}},
		{unfiltered(kibana.LastOf("@timestamp", "", "date")), []string{"c | <nil>", "b | 9", "a | 3"}},
		{metricOf(kibana.OpMax, "@timestamp"), []string{"c | <nil>", "b | 9", "a | 3"}},
		{unfiltered(kibana.LastOf("n", "", "number")), []string{"b | 9", "a | 3", "c | <nil>"}},
	} {
		is(t, of(sum).by(top(5, "name").Ranked(test.by)).table(t, documents), append([]string{"b0 m0"}, test.want...)...)
	}
	is(t, of(sum, counted()).by(top(1, "name").Ranked(metricOf(kibana.OpMin, "n"))).table(t, documents), "b0 m0 m1", "c | <nil> | 1")
	before := metricOf(kibana.OpSum, "n")
	before.TimeShift = "1h"
	by := top(1, "name").Ranked(metricOf(kibana.OpMax, "n"))
	is(t, of(before, sum).by(by).table(t, documents), "b0 m0 m1", "b | <nil> | 9")
	is(t, of(sum, before).by(by).table(t, documents), "b0 m0 m1", "b | 9 | <nil>")
	is(t, of(before).by(by).table(t, documents), "b0 m0", "a | 100")
	week := metricOf(kibana.OpSum, "n")
	week.TimeShift = "1w"
	of(before, week).by(by).fails(t, documents, "b0", "all metrics are shifted")
}
