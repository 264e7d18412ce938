package evaluate_test

import (
	"testing"
	"time"

	"github.com/apmws/go-apmws/dashboards/internal/evaluate"
	"github.com/apmws/go-apmws/dashboards/internal/kibana"
)

func buckets(values, counts []any) map[string]any {
	return map[string]any{"values": values, "counts": counts}
}

func TestMetrics(t *testing.T) {
	documents := []map[string]any{
		doc(-time.Millisecond, map[string]any{"n": 1000.0, "ok": true}), // before the range
		doc(0, map[string]any{"n": 4.0, "name": "b", "ok": false, "h": buckets([]any{1.0, 5.0}, []any{3.0, 1.0})}),
		doc(time.Minute, map[string]any{"n": 1.0, "name": []any{"c", "a"}, "s": map[string]any{"sum": 10.0, "value_count": 4.0}}),
		doc(2*time.Minute, map[string]any{"n": []any{2.0, 9.0}, "h": buckets([]any{7.0, 9.0}, []any{4.0, 0.0})}),
		doc(3*time.Minute, map[string]any{"name": "a", "s": map[string]any{"sum": 2.0, "value_count": 2.0}, "seen": "2026-01-02T00:00:00Z"}),
		doc(length, map[string]any{"n": 1000.0, "name": "z"}), // after the range
	}
	for name, test := range map[string]struct {
		column *kibana.Column
		want   string
	}{
		"count":                    {counted(), "4"},
		"count of values":          {metricOf(kibana.OpCount, "name"), "4"},
		"count with filter":        {where(counted(), "name: a"), "2"},
		"sum":                      {metricOf(kibana.OpSum, "n"), "16"},
		"sum with filter":          {where(metricOf(kibana.OpSum, "n"), "name: *"), "5"},
		"average":                  {metricOf(kibana.OpAverage, "n"), "4"},
		"min":                      {metricOf(kibana.OpMin, "n"), "1"},
		"max":                      {metricOf(kibana.OpMax, "n"), "9"},
		"min of dates":             {metricOf(kibana.OpMin, "@timestamp"), "+"},
		"max of dates":             {metricOf(kibana.OpMax, "@timestamp"), "+3m"},
		"median, of an even count": {metricOf(kibana.OpMedian, "n"), "3"}, // 1 2 4 9
		"percentile":               {kibana.PercentileOf(50, "n", ""), "3"},
		"percentile between":       {kibana.PercentileOf(90, "n", ""), "7.5"}, // at 2.7 of 0 to 3: 4 + 0.7·5
		"percentile, the last":     {kibana.PercentileOf(100, "n", ""), "9"},
		"unique count":             {metricOf(kibana.OpUniqueCount, "name"), "3"},
		"unique count of numbers":  {metricOf(kibana.OpUniqueCount, "n"), "4"},
		"last":                     {kibana.LastOf("name", "", "string"), "a"},
		"last of numbers":          {where(kibana.LastOf("n", "", "number"), "not n: 9"), "<nil>"}, // of a document without it
		"last that has it":         {kibana.LastOf("n", "", "number"), "2"},                        // the least of its values
		"last of booleans":         {kibana.LastOf("ok", "", "boolean"), "false"},
		"last of dates":            {kibana.LastOf("@timestamp", "", "date"), "+3m"},
		"histogram: sum":           {metricOf(kibana.OpSum, "h"), "36"},
		"histogram: average":       {metricOf(kibana.OpAverage, "h"), "4.5"},
		"histogram: min":           {metricOf(kibana.OpMin, "h"), "1"},
		"histogram: max":           {metricOf(kibana.OpMax, "h"), "7"},        // nothing is counted at 9
		"histogram: median":        {metricOf(kibana.OpMedian, "h"), "6"},     // 1 1 1 5 7 7 7 7
		"histogram: percentile":    {kibana.PercentileOf(40, "h", ""), "4.2"}, // at 2.8: 1 + 0.8·4
		"summary: sum":             {metricOf(kibana.OpSum, "s"), "12"},
		"summary: average":         {metricOf(kibana.OpAverage, "s"), "2"},
		"nothing: count":           {filled(where(counted(), "name: none")), "0"},
		"nothing: count as null":   {where(counted(), "name: none"), "<nil>"},
		"nothing: sum":             {filled(where(metricOf(kibana.OpSum, "n"), "name: none")), "0"},
		"nothing: sum as null":     {where(metricOf(kibana.OpSum, "n"), "name: none"), "<nil>"},
		"nothing: unique":          {filled(where(metricOf(kibana.OpUniqueCount, "n"), "name: none")), "0"},
		"nothing: unique as null":  {where(metricOf(kibana.OpUniqueCount, "n"), "name: none"), "<nil>"},
		"nothing: average":         {where(metricOf(kibana.OpAverage, "n"), "name: none"), "<nil>"},
		"nothing: min":             {where(metricOf(kibana.OpMin, "n"), "name: none"), "<nil>"},
		"nothing: max":             {where(metricOf(kibana.OpMax, "n"), "name: none"), "<nil>"},
		"nothing: median":          {where(metricOf(kibana.OpMedian, "n"), "name: none"), "<nil>"},
		"nothing: last":            {where(kibana.LastOf("n", "", "number"), "name: none"), "<nil>"},
	} {
		t.Run(name, func(t *testing.T) {
			is(t, of(test.column).table(t, documents), "m0", test.want)
		})
	}
}

// A zero that is one is hidden like a missing one: so does Kibana.
func TestZeroAsNull(t *testing.T) {
	documents := []map[string]any{doc(0, map[string]any{"n": 0.0})}
	sum, average := metricOf(kibana.OpSum, "n"), metricOf(kibana.OpAverage, "n")
	hide := true
	average.Params.EmptyAsNull = &hide // which an average does not know
	is(t, of(sum, average).table(t, documents), "m0 m1", "<nil> | 0")
}

func TestLastByAnotherDate(t *testing.T) {
	documents := []map[string]any{
		doc(0, map[string]any{"n": 1.0, "seen": "2026-01-02T00:00:00.000Z"}),
		doc(time.Minute, map[string]any{"n": 2.0, "seen": "2026-01-01T00:00:00.000Z"}),
		doc(2*time.Minute, map[string]any{"n": 3.0}),
	}
	last := kibana.LastOf("n", "", "number")
	last.Params.SortField = "seen"
	is(t, of(last).table(t, documents), "m0", "1")
	last.Params.SortField = "n"
	of(last).fails(t, documents, "main", "m0", "n, to sort by")
}

// Of documents as new as each other the first decides.
func TestLastOfTies(t *testing.T) {
	documents := []map[string]any{doc(0, map[string]any{"n": 2.0}), doc(0, map[string]any{"n": 1.0})}
	is(t, of(kibana.LastOf("n", "", "number")).table(t, documents), "m0", "2")
}

// Documents that stand for many count as many, but for the number of hits.
func TestDocumentsThatStandForMany(t *testing.T) {
	documents := []map[string]any{
		doc(0, map[string]any{"_doc_count": 5.0, "name": "a", "n": 1.0}),
		doc(0, map[string]any{"name": "a", "n": 2.0}),
		doc(-time.Hour, map[string]any{"_doc_count": 7.0, "name": "a"}),
	}
	shifted := counted()
	shifted.TimeShift = "1h"
	recent := counted()
	recent.ReducedTimeRange = "10m"
	total := metricOf(kibana.OpSum, "n")
	values := metricOf(kibana.OpCount, "n")
	is(t, of(counted(), where(counted(), "name: a"), recent, total, values).table(t, documents),
		"m0 m1 m2 m3 m4", "2 | 6 | 6 | 3 | 2")
	is(t, of(counted(), shifted).table(t, documents), "m0 m1", "6 | 7")
	is(t, of(shifted).table(t, documents), "m0", "1")
	is(t, of(counted()).by(kibana.TopOf("", "string", 1, "m0", "name")).table(t, documents), "b0 m0", "a | 6")
}

// With 2,000 values Elasticsearch no longer keeps each of them.
func TestPercentileOfMany(t *testing.T) {
	few := []map[string]any{doc(0, map[string]any{"h": buckets([]any{10.0, 20.0}, []any{1000.0, 999.0})})}
	many := []map[string]any{doc(0, map[string]any{"h": buckets([]any{10.0, 20.0, 30.0}, []any{1000.0, 2000.0, 1001.0})})}
	single := []map[string]any{doc(0, map[string]any{"h": buckets([]any{0.0, 100.0}, []any{1.0, 2000.0})})}
	p := func(rank float64) *kibana.Column { return kibana.PercentileOf(rank, "h", "") }
	// At 1198.8 of 0 to 1998 there is the second value alone.
	is(t, of(p(40), p(60)).table(t, few), "m0 m1", "10 | 20")
	// Middles are 500, 2000 and 3500.5, the places 400, 1000, 2000, 3600 of 0 to 4000.
	is(t, of(p(10), p(25), p(50), p(90)).table(t, many), "m0 m1 m2 m3", "10 | 13.33333333 | 20 | 30")
	// A value that stands alone is at its place, 0; the next one's middle is 1000.5 on.
	is(t, of(p(50), p(25)).table(t, single), "m0 m1", "99.95002499 | 49.97501249")
}

func TestTimeScale(t *testing.T) {
	documents := []map[string]any{
		doc(0, map[string]any{"n": 30.0}),
		doc(9*time.Minute+30*time.Second, map[string]any{"n": 90.0}),
	}
	perSecond, perMinute := metricOf(kibana.OpSum, "n"), counted()
	perSecond.TimeScale, perMinute.TimeScale = "s", "m"
	is(t, of(perSecond, perMinute).table(t, documents), "m0 m1", "0.2 | 0.2")

	recent := counted()
	recent.TimeScale, recent.ReducedTimeRange = "h", "1m"
	is(t, of(recent).table(t, documents), "m0", "60")
	recent.ReducedTimeRange = "1h" // no longer than the time range
	is(t, of(recent).table(t, documents), "m0", "12")

	// 12:00:30 to 12:09:45: the first interval has 30 s, the last 45 s.
	opts := options(documents)
	opts.From, opts.To = at(30*time.Second), at(9*time.Minute+45*time.Second)
	documents[0]["@timestamp"] = "2026-03-10T12:00:45Z"
	sparse := minutes("1m")
	sparse.Params.IncludeEmptyRows = nil
	is(t, of(perSecond).by(sparse).tables(t, opts)["main"], "b0 m0", "+ | 1", "+9m | 2")

	wrong := metricOf(kibana.OpAverage, "n")
	wrong.TimeScale = "s"
	of(wrong).fails(t, documents, "m0", "scaled by time")
	wrong = counted()
	wrong.TimeScale = "fortnight"
	of(wrong).fails(t, documents, "m0", "fortnight")
}

func TestReducedTimeRange(t *testing.T) {
	documents := []map[string]any{
		doc(-65*time.Minute, map[string]any{}),
		doc(-51*time.Minute, map[string]any{}),
		doc(5*time.Minute, map[string]any{}),
		doc(8*time.Minute, map[string]any{}),
		doc(9*time.Minute, map[string]any{}),
		doc(11*time.Minute, map[string]any{}),
	}
	recent, before, all := counted(), counted(), counted()
	recent.ReducedTimeRange, before.ReducedTimeRange = "2m", "2m"
	before.TimeShift = "1h"
	all.ReducedTimeRange = "1h"
	is(t, of(counted(), recent, before, all).table(t, documents), "m0 m1 m2 m3", "3 | 2 | 1 | 3")
	of(recent).by(minutes("1m")).fails(t, documents, "m0", "date histogram")
	recent.ReducedTimeRange = "soon"
	of(recent).fails(t, documents, "m0", "soon")
}

func TestFieldsThatCannotBeUsed(t *testing.T) {
	documents := []map[string]any{doc(0, map[string]any{
		"n": 1.0, "name": "a", "ok": true, "h": buckets([]any{1.0}, []any{1.0}), "s": map[string]any{"sum": 1.0, "value_count": 1.0},
		"message": "a text", "error.message": "another", "broken": map[string]any{"x": 1.0},
		"uneven": buckets([]any{1.0, 2.0}, []any{1.0}), "half": map[string]any{"sum": 1.0, "value_count": "2"}, "words": buckets([]any{"a"}, []any{1.0}),
		"endless": map[string]any{"values": 1.0, "counts": []any{}}, "mixed": []any{"a", 1.0},
	})}
	for name, test := range map[string]struct {
		column *kibana.Column
		reason string
	}{
		"unknown":                {metricOf(kibana.OpSum, "none"), "field none of data view view: no document has it"},
		"count of a histogram":   {metricOf(kibana.OpCount, "h"), "histograms"},
		"unique of a histogram":  {metricOf(kibana.OpUniqueCount, "h"), "histograms"},
		"last of a histogram":    {kibana.LastOf("h", "", "number"), "histograms"},
		"percentile of summary":  {kibana.PercentileOf(5, "s", ""), "summaries"},
		"max of a summary":       {metricOf(kibana.OpMax, "s"), "summaries"},
		"sum of keywords":        {metricOf(kibana.OpSum, "name"), "keywords"},
		"median of keywords":     {metricOf(kibana.OpMedian, "name"), "keywords"},
		"average of booleans":    {metricOf(kibana.OpAverage, "ok"), "booleans"},
		"unique of text":         {metricOf(kibana.OpUniqueCount, "message"), "text"},
		"last of text":           {kibana.LastOf("error.message", "", "string"), "text"},
		"values of no kind":      {metricOf(kibana.OpSum, "broken"), "map[string]interface"},
		"uneven histogram":       {metricOf(kibana.OpSum, "uneven"), "map[string]interface"},
		"histogram of words":     {metricOf(kibana.OpSum, "words"), "map[string]interface"},
		"histogram of no list":   {metricOf(kibana.OpSum, "endless"), "map[string]interface"},
		"half a summary":         {metricOf(kibana.OpSum, "half"), "map[string]interface"},
		"values of several":      {metricOf(kibana.OpCount, "mixed"), "keywords and numbers"},
		"no operation":           {metricOf("standard_deviation", "n"), "operation is not supported"},
		"no percentile":          {kibana.PercentileOf(0, "n", ""), "percentile 0"},
		"shift of no time":       {&kibana.Column{Operation: kibana.OpCount, Field: kibana.Records, TimeShift: "1M"}, "1M"},
		"shift of a word":        {&kibana.Column{Operation: kibana.OpCount, Field: kibana.Records, TimeShift: "later"}, "later"},
		"filter that is broken":  {where(counted(), "name: (a"), "query"},
		"filter in another form": {&kibana.Column{Operation: kibana.OpCount, Field: kibana.Records, Filter: &kibana.Query{Language: "lucene", Query: "a"}}, "lucene"},
	} {
		t.Run(name, func(t *testing.T) {
			of(test.column).fails(t, documents, "main", "m0", test.reason)
		})
	}
}

func TestFieldTypes(t *testing.T) {
	documents := []map[string]any{doc(0, map[string]any{"n": 1.0, "name": "a", "port": 80.0, "when": "2026-01-02T03:04:05Z", "h": buckets([]any{1.0}, []any{1.0})})}
	types := map[string]string{
		"none": "long", "name": "text", "port": "keyword", "n": "unmapped", "when": "date", "wrong": "keyword",
	}
	chartOf := func(c *kibana.Column) (*evaluate.Table, error) {
		f, d := of(c).board()
		opts := options(documents)
		opts.FieldType = func(dataView, field string) (string, bool) {
			if dataView != "view" {
				t.Errorf("data view %q", dataView)
			}
			typ, ok := types[field]
			return typ, ok
		}
		panels, err := evaluate.Dashboard(f, d, opts)
		return panels[0].Tables["main"], err
	}
	table, err := chartOf(metricOf(kibana.OpAverage, "none"))
	if err != nil {
		t.Fatal(err)
	}
	is(t, table, "m0", "<nil>")
	if table, err = chartOf(kibana.LastOf("port", "", "string")); err != nil {
		t.Fatal(err)
	}
	if value := table.Rows[0]["m0"]; value != "80" {
		t.Errorf("a keyword is %#v", value)
	}
	if table, err = chartOf(metricOf(kibana.OpMax, "when")); err != nil {
		t.Fatal(err)
	}
	if value := table.Rows[0]["m0"]; value != time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) {
		t.Errorf("a date is %#v", value)
	}
	for _, c := range []*kibana.Column{
		metricOf(kibana.OpUniqueCount, "name"), metricOf(kibana.OpSum, "n"), metricOf(kibana.OpSum, "port"),
	} {
		if _, err := chartOf(c); err == nil {
			t.Errorf("%s of %s, of type %s, is computed", c.Operation, c.Field, types[c.Field])
		}
	}
	types["when"] = "keyword"
	if table, err = chartOf(kibana.LastOf("when", "", "string")); err != nil {
		t.Fatal(err)
	}
	if value := table.Rows[0]["m0"]; value != "2026-01-02T03:04:05Z" {
		t.Errorf("a keyword is %#v", value)
	}
	types["n"] = "keyword"
	types["port"] = "date"
	if _, err := chartOf(kibana.LastOf("port", "", "date")); err == nil {
		t.Error("a number is a date")
	}
	types["h"] = "keyword"
	if _, err := chartOf(kibana.LastOf("h", "", "string")); err == nil {
		t.Error("a histogram is a keyword")
	}
	types["n"] = "histogram"
	if _, err := chartOf(metricOf(kibana.OpSum, "n")); err == nil {
		t.Error("a number is a histogram")
	}
}

// What is null in a list is not there.
func TestNullInLists(t *testing.T) {
	documents := []map[string]any{doc(0, map[string]any{"n": []any{nil, 3.0}, "name": []any{nil}})}
	names := metricOf(kibana.OpCount, "name")
	is(t, of(metricOf(kibana.OpCount, "n"), metricOf(kibana.OpSum, "n")).table(t, documents), "m0 m1", "1 | 3")
	of(names).fails(t, documents, "m0", "no document has it")
	if list := documents[0]["n"].([]any); len(list) != 2 || list[0] != nil {
		t.Errorf("the document has become %v", list)
	}
}
