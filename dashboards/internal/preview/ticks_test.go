package preview

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apmws/go-apmws/dashboards/internal/kibana"
)

func TestTicks(t *testing.T) {
	for name, test := range map[string]struct {
		format *kibana.Format
		lo, hi float64
		most   int
		want   string
	}{
		"numbers":                  {kibana.Number(2), 0, 87, 5, "0 20 40 60 80 100"},
		"below zero":               {kibana.Number(0), -30, 70, 5, "-40 -20 0 20 40 60 80"},
		"counts are whole":         {kibana.Number(0), 0, 2, 6, "0 1 2"},
		"short counts differ":      {compactNumber, 0, 1900, 6, "0 1k 2k"},
		"nothing but zero":         {kibana.Number(0), 0, 0, 5, "0 1"},
		"percent":                  {kibana.Percent(0), 0, 0.31, 4, "0% 10% 20% 30% 40%"},
		"percent, nothing":         {kibana.Percent(1), 0, 0, 4, "0% 0.5% 1%"},
		"percent without decimals": {kibana.Percent(0), 0, 0.02, 6, "0% 1% 2%"},
		"bytes":                    {kibana.Bytes(), 0, 900, 5, "0 B 200 B 400 B 600 B 800 B 1,000 B"},
		"megabytes":                {kibana.Bytes(), 0, 3.4 * 1024 * 1024, 5, "0 B 1 MB 2 MB 3 MB 4 MB"},
		"milliseconds":             {kibana.Duration("microseconds"), 0, 180_000, 5, "0 ms 50 ms 100 ms 150 ms 200 ms"},
		"seconds":                  {kibana.Duration("seconds"), 0, 41, 5, "0 ms 10 s 20 s 30 s 40 s 50 s"},
		"minutes":                  {kibana.Duration("seconds"), 0, 170, 4, "0 ms 1 min 2 min 3 min"},
		"hours":                    {kibana.Duration("seconds"), 0, 5 * 3600, 6, "0 ms 1 h 2 h 3 h 4 h 5 h"},
		"days":                     {kibana.Duration("seconds"), 0, 2.2 * day, 6, "0 ms 12 h 1 d 1.5 d 2 d 2.5 d"},
	} {
		f, err := formatOf(nil, measure("x", test.format))
		if err != nil {
			t.Fatal(err)
		}
		var labels []string
		at := ticks(test.lo, test.hi, test.most, f)
		for _, v := range at {
			labels = append(labels, f.tick().number(v))
		}
		if got := strings.Join(labels, " "); got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
		if at[0] > test.lo || at[len(at)-1] < test.hi {
			t.Errorf("%s: the axis from %v to %v leaves out some of %v to %v", name, at[0], at[len(at)-1], test.lo, test.hi)
		}
	}
}

func TestTimeTicks(t *testing.T) {
	noon := time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)
	for name, test := range map[string]struct {
		from time.Time
		long time.Duration
		most int
		want string
	}{
		"an hour":       {noon, time.Hour, 7, "12:00 12:10 12:20 12:30 12:40 12:50 13:00"},
		"narrow":        {noon, time.Hour, 3, "12:00 12:30 13:00"},
		"not round":     {noon.Add(7 * time.Minute), time.Hour, 5, "12:15 12:30 12:45 13:00"},
		"a minute":      {noon, time.Minute, 3, "12:00:00 12:00:30 12:01:00"},
		"over midnight": {noon.Add(6 * time.Hour), 12 * time.Hour, 5, "18:00 21:00 Mar 5 03:00 06:00"},
		"days":          {noon, 72 * time.Hour, 4, "Mar 5 Mar 6 Mar 7"},
	} {
		var labels []string
		for _, tick := range timeTicks(test.from, test.from.Add(test.long), test.most) {
			labels = append(labels, tick.text)
		}
		if got := strings.Join(labels, " "); got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
}

func TestCut(t *testing.T) {
	if got := cut("short", 100); got != "short" {
		t.Errorf("what has room became %q", got)
	}
	got := cut(endless, 80)
	if !strings.HasPrefix(endless, strings.TrimSuffix(got, "…")) || !strings.HasSuffix(got, "…") || textWidth(got, 12) > 80 {
		t.Errorf("cut to 80 pixels it is %q of %v", got, textWidth(got, 12))
	}
	if !slices.IsSorted([]float64{textWidth("iii", 12), textWidth("aaa", 12), textWidth("WWW", 12), textWidth("界界界", 14)}) {
		t.Error("narrow letters are wider than wide ones")
	}
}
