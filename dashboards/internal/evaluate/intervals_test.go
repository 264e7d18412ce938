package evaluate_test

import (
	"testing"
	"time"

	"github.com/apmws/go-apmws/dashboards/internal/kibana"
)

func TestAutomaticInterval(t *testing.T) {
	documents := []map[string]any{doc(0, map[string]any{})}
	for _, test := range []struct {
		length time.Duration
		want   time.Duration
		rows   int
	}{
		{time.Second, 20 * time.Millisecond, 50},
		{time.Minute, time.Second, 60},
		{250*time.Second - time.Millisecond, time.Second, 250},
		{250 * time.Second, 5 * time.Second, 50},
		{5 * time.Minute, 5 * time.Second, 60},
		{10 * time.Minute, 10 * time.Second, 60},
		{15 * time.Minute, 30 * time.Second, 30},
		{30 * time.Minute, 30 * time.Second, 60},
		{time.Hour, time.Minute, 60},
		{2 * time.Hour, time.Minute, 120},
		{150 * time.Minute, 5 * time.Minute, 30},
		{4 * time.Hour, 5 * time.Minute, 48},
		{12 * time.Hour, 10 * time.Minute, 72},
		{day, 30 * time.Minute, 48},
		{2 * day, time.Hour, 48},
		{7 * day, 3 * time.Hour, 56},
		{15 * day, 12 * time.Hour, 30},
		{30 * day, 12 * time.Hour, 60},
		{60 * day, day, 60},
		{400 * day, 7 * day, 58},
	} {
		opts := options(documents)
		// The range begins with an interval.
		opts.From = start.Truncate(test.want)
		opts.To = opts.From.Add(test.length)
		table := of(counted()).by(overAll()).tables(t, opts)["main"]
		if table.Interval != test.want {
			t.Errorf("%v: interval %v, not %v", test.length, table.Interval, test.want)
		}
		if got := len(table.Rows); got != test.rows {
			t.Errorf("%v: %d rows, not %d", test.length, got, test.rows)
		}
	}
}

const day = 24 * time.Hour

func TestIntervalThatIsAskedFor(t *testing.T) {
	documents := []map[string]any{doc(0, map[string]any{})}
	for text, want := range map[string]time.Duration{
		"1m": time.Minute, "30s": 30 * time.Second, "1h": time.Hour, "1d": day, "1w": 7 * day,
		// No more than 100 bars: ten minutes have 6 s for each, and 5 s is a step.
		"1s": 5 * time.Second, "500ms": 5 * time.Second, "6s": 6 * time.Second,
	} {
		if got := of(counted()).by(minutes(text)).table(t, documents).Interval; got != want {
			t.Errorf("%s: interval %v, not %v", text, got, want)
		}
	}
	opts := options(documents)
	for length, want := range map[time.Duration]time.Duration{10 * time.Second: 100 * time.Millisecond, 5 * time.Second: 50 * time.Millisecond} {
		opts.To = start.Add(length)
		if got := of(counted()).by(minutes("1ms")).tables(t, opts)["main"].Interval; got != want {
			t.Errorf("%v: interval %v, not %v", length, got, want)
		}
	}
	for _, text := range []string{"", "1M", "1y", "2w", "0s", "m", "-1m"} {
		of(counted()).by(minutes(text)).fails(t, documents, "b0", "@timestamp")
	}
	if got := of(counted()).table(t, documents).Interval; got != 0 {
		t.Errorf("without a date histogram the interval is %v", got)
	}
}

func TestWeeksBeginOnMondays(t *testing.T) {
	// The 9th of March 2026 is a Monday, a day and a half before the start.
	opts := options([]map[string]any{doc(0, map[string]any{}), doc(-36*time.Hour, map[string]any{}), doc(-36*time.Hour-time.Millisecond, map[string]any{})})
	opts.From = at(-7 * day)
	is(t, of(counted()).by(minutes("1w")).tables(t, opts)["main"], "b0 m0", "+-204h0m | 1", "+-36h0m | 2")
}

func TestIntervals(t *testing.T) {
	documents := []map[string]any{
		doc(9*time.Minute+59*time.Second, map[string]any{}),
		doc(4*time.Minute, map[string]any{"name": "a"}),
		doc(4*time.Minute-time.Millisecond, map[string]any{"name": "a"}),
		doc(length, map[string]any{}),
	}
	is(t, of(filled(counted()), where(counted(), "name: a")).by(minutes("2m")).table(t, documents),
		"b0 m0 m1", "+ | 0 | <nil>", "+2m | 1 | 1", "+4m | 1 | 1", "+6m | 0 | <nil>", "+8m | 1 | <nil>")
	sparse := minutes("2m")
	sparse.Params.IncludeEmptyRows = nil
	is(t, of(counted()).by(sparse).table(t, documents), "b0 m0", "+2m | 1", "+4m | 1", "+8m | 1")
	is(t, of(counted()).by(sparse).table(t, nil), "b0 m0")

	// A range that begins and ends within intervals.
	opts := options(documents)
	opts.From, opts.To = at(time.Minute), at(5*time.Minute)
	is(t, of(counted()).by(minutes("2m")).tables(t, opts)["main"], "b0 m0", "+ | <nil>", "+2m | 1", "+4m | 1")
	whole, drop := minutes("2m"), true
	whole.Params.DropPartials = &drop
	is(t, of(counted()).by(whole).tables(t, opts)["main"], "b0 m0", "+2m | 1")
	opts.From, opts.To = at(time.Second), at(2*time.Second)
	whole.Params.Interval = "1h" // the only one is kept
	is(t, of(counted()).by(whole).tables(t, opts)["main"], "b0 m0", "+ | <nil>")

	other := minutes("2m")
	other.Field = "event.end"
	of(counted()).by(other).fails(t, documents, "b0", "another field")
	of(counted()).by(minutes("1m"), minutes("1m")).fails(t, documents, "b1", "more than one")
}

func TestShiftedTime(t *testing.T) {
	const ago = -7 * 24 * time.Hour
	documents := []map[string]any{
		doc(ago-time.Millisecond, map[string]any{"name": "a"}),
		doc(ago, map[string]any{"name": "a", "n": 1.0}),
		doc(ago+3*time.Minute, map[string]any{"name": "b", "n": 2.0}),
		doc(ago+3*time.Minute, map[string]any{"name": "c", "n": 4.0}),
		doc(ago+length, map[string]any{"name": "b"}),
		doc(time.Minute, map[string]any{"name": "a", "n": 8.0}),
		doc(2*time.Minute, map[string]any{"name": "a", "n": 16.0}),
		doc(5*time.Minute, map[string]any{"name": "b", "n": 32.0}),
	}
	before := func(c *kibana.Column) *kibana.Column { c.TimeShift = "1w"; return c }
	sum := func() *kibana.Column { return filled(metricOf(kibana.OpSum, "n")) }

	is(t, of(sum(), before(sum())).table(t, documents), "m0 m1", "56 | 7")
	is(t, of(sum(), before(where(sum(), "not name: c"))).table(t, documents), "m0 m1", "56 | 3")
	// By value, those of the week before that are none of today among them.
	is(t, of(sum(), before(sum())).by(kibana.TopOf("", "string", 5, "m0", "name")).table(t, documents),
		"b0 m0 m1", "b | 32 | 2", "a | 24 | 1", "c | 0 | 4")
	is(t, of(sum(), before(sum())).by(kibana.TopOf("", "string", 1, "m1", "name")).table(t, documents),
		"b0 m0 m1", "c | 0 | 4")
	// By time, at which it would have been; and no rows but between the first and
	// the last documents of each range.
	is(t, of(sum(), before(sum())).by(minutes("1m")).table(t, documents),
		"b0 m0 m1", "+ | 0 | 1", "+1m | 8 | 0", "+2m | 16 | 0", "+3m | 0 | 6", "+4m | 0 | 0", "+5m | 32 | 0")
	// Where there is nothing, no rows are between.
	is(t, of(sum(), before(sum())).with("name: a").by(minutes("5m")).table(t, documents[5:]), "b0 m0 m1", "+ | 24 | 0")
	// Nothing but what is shifted.
	is(t, of(before(sum())).by(minutes("1m")).table(t, documents),
		"b0 m0", "+ | 1", "+1m | 0", "+2m | 0", "+3m | 6")
	// By value and time.
	is(t, of(sum(), before(sum())).by(kibana.TopOf("", "string", 1, "m0", "name"), minutes("1m")).table(t, documents),
		"b0 b1 m0 m1", "b | +3m | 0 | 2", "b | +5m | 32 | 0")
	of(sum(), before(sum())).by(minutes("1m"), kibana.TopOf("", "string", 1, "m0", "name")).
		fails(t, documents, "b1", "several time shifts")

	// Ranges that overlap have some documents both.
	recent := sum()
	recent.TimeShift = "1m"
	is(t, of(sum(), recent).by(minutes("5m")).table(t, documents), "b0 m0 m1", "+ | 24 | 0", "+1m | 0 | 24", "+5m | 32 | 0", "+6m | 0 | 32")

	previous := sum()
	previous.TimeShift = "previous"
	opts := options(documents)
	opts.From, opts.To = at(3*time.Minute), at(6*time.Minute)
	is(t, of(sum(), previous).tables(t, opts)["main"], "m0 m1", "32 | 24")
	of(sum(), previous).by(minutes("1m")).fails(t, documents, "m1", "previous")
}

func TestFilters(t *testing.T) {
	documents := []map[string]any{
		doc(0, map[string]any{"code": "1000", "n": 1.0}),
		doc(time.Minute, map[string]any{"code": "1006", "n": 2.0}),
		doc(2*time.Minute, map[string]any{"code": "1006", "n": 4.0}),
	}
	by := kibana.BucketsOf("", kibana.Bucket("Lost", "code: 1006"), kibana.Bucket("", "code: 1001"), kibana.Bucket("Any", "code: *"), kibana.Bucket("", ""))
	is(t, of(counted(), metricOf(kibana.OpSum, "n")).by(by).table(t, documents),
		"b0 m0 m1", "Lost | 2 | 6", "code: 1001 | <nil> | <nil>", "Any | 3 | 7", "* | 3 | 7")
	is(t, of(counted()).by(kibana.BucketsOf("", kibana.Bucket("Clean", "code: 1000")), minutes("5m")).table(t, documents),
		"b0 b1 m0", "Clean | + | 1", "Clean | +5m | <nil>")
	of(counted()).by(kibana.BucketsOf("", kibana.Bucket("Broken", "code: ("))).fails(t, documents, "b0", "query")
	of(counted()).by(kibana.BucketsOf("", kibana.Bucket("A", "code: 1"), kibana.Bucket("A", "code: 2"))).
		fails(t, documents, "b0", `two filters are named "A"`)
	of(counted()).by(kibana.BucketsOf("")).fails(t, documents, "b0", "no filters")
	of(counted()).by(kibana.BucketsOf("", kibana.FilterBucket{Input: kibana.Query{Language: "lucene", Query: "a"}})).
		fails(t, documents, "b0", "lucene")
}
