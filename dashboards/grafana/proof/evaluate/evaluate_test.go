package evaluate

import (
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

const answer = `# TYPE open gauge
open{route="/ws"} 3
open{route="/rooms"} 2
# TYPE took_seconds histogram
took_seconds_bucket{le="0.001"} 1
took_seconds_bucket{le="+Inf"} 4
took_seconds_sum 2.5
took_seconds_count 4
# TYPE opened_total counter
opened_total 9
`

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// TestScrape: every series of an answer is there, with the target's labels.
func TestScrape(t *testing.T) {
	var store Store
	added, err := store.Scrape(now, strings.NewReader(answer), Labels{"job": "chat"})
	if err != nil || len(added) != 7 || len(store.All()) != 7 {
		t.Fatalf("%d series were added, %v", len(added), err)
	}
	for query, want := range map[string]float64{
		`sum(open{job="chat"})`:                         5,
		`open{route="/ws"}`:                             3,
		`took_seconds_bucket{le="0.001"}`:               1,
		`took_seconds_bucket{le="+Inf"}`:                4,
		`took_seconds_sum`:                              2.5,
		`took_seconds_count{job=~"ch.*"}`:               4,
		`opened_total`:                                  9,
		`histogram_quantile(0.25, took_seconds_bucket)`: 0.001,
		`vector(2)`:                                     2,
		`1 + 1`:                                         2,
	} {
		got, err := store.Instant(query, now)
		if err != nil || len(got) != 1 || math.Abs(got[0].Value-want) > 1e-9 {
			t.Errorf("%s is %v, %v", query, got, err)
		}
	}
	got, err := store.Instant(`sum by (route) (open)`, now)
	if err != nil || len(got) != 2 || got[0].Labels["job"] != "" {
		t.Errorf("by route: %v, %v", got, err)
	}
	if _, err := store.Scrape(now, strings.NewReader("no metrics {"), nil); err == nil {
		t.Error("nonsense was scraped")
	}
}

// TestInstant: time passes as in Prometheus, and what it would complain of is an error.
func TestInstant(t *testing.T) {
	var store Store
	for i := range 41 { // 10 minutes
		store.Add(now.Add(time.Duration(i-40)*15*time.Second), Labels{"__name__": "opened_total"}, float64(30*i))
	}
	if got, err := store.Instant("rate(opened_total[1m])", now); err != nil || len(got) != 1 || math.Abs(got[0].Value-2) > 1e-9 {
		t.Errorf("the rate is %v, %v", got, err)
	}
	for _, query := range []string{"opened_total offset 5m30s", "closed_total", `opened_total{job="chat"}`} {
		got, err := store.Instant(query, now)
		if want := strings.Contains(query, "offset"); err != nil || (len(got) == 1) != want {
			t.Errorf("%s is %v, %v", query, got, err)
		}
	}
	if got, err := store.Instant("opened_total", now.Add(6*time.Minute)); err != nil || len(got) != 0 {
		t.Errorf("after six minutes without a sample it is %v, %v", got, err)
	}
	for _, query := range []string{"sum(", "opened_total[1m]", `histogram_quantile(2, sum by (le) (opened_total))`} {
		if got, err := store.Instant(query, now); err == nil {
			t.Errorf("%s is %v", query, got)
		}
	}
}

// TestParse: what a query uses, however deep.
func TestParse(t *testing.T) {
	got, err := Parse(`sum by (a) (rate(x_total{b="1",c!=""}[5m])) / on (a) max by (a, d) (y) > 0`)
	if err != nil {
		t.Fatal(err)
	}
	for _, labels := range got {
		slices.Sort(labels)
	}
	if want := (Uses{"x_total": {"a", "b", "c"}, "y": {"a", "d"}}); !reflect.DeepEqual(got, want) {
		t.Errorf("it uses %v", got)
	}
	if _, err := Parse("sum by"); err == nil {
		t.Error("nonsense was parsed")
	}
}
