package preview

import (
	"math"
	"testing"
	"time"

	"github.com/apmws/go-apmws/dashboards/internal/kibana"
)

func TestFormats(t *testing.T) {
	view := kibana.NewDataView("v", "v", "v", map[string]kibana.FieldFormat{
		"took": kibana.DurationOf("microseconds"), "size": kibana.BytesOf(), "id": kibana.LinkTo("x/{{value}}"),
		// As it is read from a file.
		"read": {ID: "duration", Params: map[string]any{"inputFormat": "seconds", "outputFormat": "humanizePrecise", "outputPrecision": 2.0}},
	})
	of := func(f *kibana.Format) *kibana.Column { return measure("x", f) }
	field := func(op, field string) *kibana.Column { return kibana.MetricOf(op, field, "x") }
	rate := of(kibana.Bytes())
	rate.TimeScale = "s"
	twoFields := kibana.TopOf("x", "string", 5, "m", "size", "took")
	one := &kibana.Format{ID: "duration", Params: kibana.FormatParams{Decimals: 2, FromUnit: "milliseconds", ToUnit: "asSeconds"}}
	for name, test := range map[string]struct {
		column *kibana.Column
		value  any
		want   string
	}{
		"count":                     {of(compactNumber), 999.0, "999"},
		"count of thousands":        {of(compactNumber), 12345.0, "12k"},
		"count that is rounded":     {of(compactNumber), 1284.0, "1k"},
		"count of millions":         {of(compactNumber), 2.6e6, "3m"},
		"compact with a decimal":    {of(&kibana.Format{ID: "number", Params: kibana.FormatParams{Decimals: 1, Compact: true}}), 12345.0, "12.3k"},
		"number":                    {of(kibana.Number(2)), 1234567.891, "1,234,567.89"},
		"number, a half":            {of(kibana.Number(0)), 2.5, "3"},
		"number, negative":          {of(kibana.Number(1)), -1234.56, "-1,234.6"},
		"number, hardly negative":   {of(kibana.Number(1)), -0.01, "0.0"},
		"percent":                   {of(kibana.Percent(1)), 0.1234, "12.3%"},
		"percent of one":            {of(kibana.Percent(0)), 1.0, "100%"},
		"bytes":                     {of(kibana.Bytes()), 512.0, "512.0 B"},
		"kilobytes":                 {of(kibana.Bytes()), 1536.0, "1.5 KB"},
		"megabytes":                 {of(kibana.Bytes()), 1.25 * 1024 * 1024, "1.3 MB"},
		"bytes per second":          {rate, 2048.0, "2.0 KB/s"},
		"microseconds":              {of(kibana.Duration("microseconds")), 300.0, "0.30 ms"},
		"milliseconds":              {of(kibana.Duration("microseconds")), 12300.0, "12.30 ms"},
		"seconds":                   {of(kibana.Duration("microseconds")), 1.5e6, "1.50 s"},
		"minutes":                   {of(kibana.Duration("seconds")), 192.0, "3.20 min"},
		"hours":                     {of(kibana.Duration("seconds")), 4.1 * 3600, "4.10 h"},
		"a day":                     {of(kibana.Duration("seconds")), 86400.0, "1.00 d"},
		"no time":                   {of(kibana.Duration("seconds")), 0.0, "0.00 ms"},
		"in one unit":               {of(one), 90_000.0, "90.00 s"},
		"field's duration":          {kibana.PercentileOf(95, "took", "x"), 41_200.0, "41.20 ms"},
		"field's duration, read":    {field(kibana.OpMax, "read"), 1.234, "1.23 s"},
		"field's bytes":             {field(kibana.OpSum, "size"), 1024.0, "1 KB"},
		"how many of a field":       {field(kibana.OpUniqueCount, "size"), 2000.0, "2,000"},
		"own format before field's": {func() *kibana.Column { c := field(kibana.OpSum, "size"); c.Params.Format = kibana.Number(0); return c }(), 1024.0, "1,024"},
		"field without a format":    {field(kibana.OpAverage, "other"), 1.23456, "1.235"},
		"value of a field":          {kibana.TopOf("x", "string", 5, "m", "id"), "abc", "abc"},
		"values of several fields":  {twoFields, "a › b", "a › b"},
		"no text":                   {kibana.TopOf("x", "string", 5, "m", "id"), "", "(empty)"},
		"nothing":                   {of(kibana.Number(0)), nil, "–"},
		"no number":                 {of(kibana.Number(0)), math.NaN(), "–"},
		"time":                      {kibana.Over(), time.Date(2026, 3, 4, 5, 6, 7, 8e6, time.UTC), "Mar 4, 2026 @ 05:06:07.008"},
		"time in milliseconds":      {kibana.LastOf("seen", "x", "date"), 1772600767008.0, "Mar 4, 2026 @ 05:06:07.008"},
	} {
		f, err := formatOf(view, test.column)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := f.value(test.value); got != test.want {
			t.Errorf("%s: %v is written as %q, want %q", name, test.value, got, test.want)
		}
	}
}

func TestFormatsThatAreRefused(t *testing.T) {
	view := kibana.NewDataView("v", "v", "v", map[string]kibana.FieldFormat{"f": {ID: "static_lookup"}})
	scaled := measure("x", kibana.Number(0))
	scaled.TimeScale = "y"
	for name, c := range map[string]*kibana.Column{
		"unknown format":     measure("x", &kibana.Format{ID: "roman"}),
		"unknown unit":       measure("x", kibana.Duration("fortnights")),
		"unknown output":     measure("x", &kibana.Format{ID: "duration", Params: kibana.FormatParams{FromUnit: "seconds", ToUnit: "humanize"}}),
		"unknown time scale": scaled,
		"of the field":       kibana.MetricOf(kibana.OpMax, "f", "x"),
	} {
		if f, err := formatOf(view, c); err == nil {
			t.Errorf("%s: no error, but %+v", name, f)
		}
	}
}

var compactNumber = &kibana.Format{ID: "number", Params: kibana.FormatParams{Compact: true}}
