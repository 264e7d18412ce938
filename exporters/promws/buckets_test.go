package promws

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/apmws/go-apmws/apmws"
)

// fullHistogram has every bucket that apmws.Histogram says the agent has, and another
// count in each.
func fullHistogram() apmws.Histogram {
	grid := []apmws.Bucket{{Lower: 0, Upper: time.Microsecond}}
	for power := range 37 {
		for quarter := range 4 {
			lower := time.Microsecond / 4 * time.Duration(4+quarter) << power
			grid = append(grid, apmws.Bucket{Lower: lower, Upper: lower + time.Microsecond/4<<power})
		}
	}
	grid = append(grid, apmws.Bucket{Lower: time.Microsecond << 37, Upper: math.MaxInt64})
	h := apmws.Histogram{Sum: time.Hour}
	for i := range grid {
		grid[i].Count = uint64(1000 + i)
		h.Count += grid[i].Count
	}
	h.Buckets = grid
	return h
}

// TestBounds: none of the agent's buckets reaches across a bound, so that every
// count is exact, and the bounds double.
func TestBounds(t *testing.T) {
	h := fullHistogram()
	stats := apmws.Stats{Routes: []apmws.RouteStats{{
		ConnectionDuration: h, PingRTT: h, WriteDuration: h, Messages: []apmws.MessageStats{{Duration: h}},
	}}}
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(newCollector(func() apmws.Stats { return stats }))
	all, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	families, histograms := map[string]*dto.MetricFamily{}, 0
	for _, family := range all {
		families[family.GetName()] = family
		if family.GetType() != dto.MetricType_HISTOGRAM {
			continue
		}
		histograms++
		buckets := family.GetMetric()[0].GetHistogram().GetBucket()
		if len(buckets) < 15 || len(buckets) > 21 {
			t.Errorf("%s has %d buckets", family.GetName(), len(buckets))
		}
		for i := range buckets[1:] {
			if b := buckets[i+1].GetUpperBound(); math.Abs(b/buckets[i].GetUpperBound()-2) > 1e-12 {
				t.Errorf("%s: after the bound %v comes %v", family.GetName(), buckets[i].GetUpperBound(), b)
			}
		}
	}
	if histograms != 4 {
		t.Errorf("%d histograms", histograms)
	}
	got := scraped(families)
	for series := range got { // which Gather leaves out
		if rest, ok := strings.CutPrefix(series, "count "); ok {
			got["+Inf "+rest] = got[series]
		}
	}
	compare(t, got, counted(t, stats, families))

	// The agent has these buckets and no others.
	c := startChat(t)
	conn := c.dial(t, "/ws")
	for range 50 {
		say(t, conn, `{"type":"chat.say"}`)
	}
	hangUp(t, conn)
	c.until(t, "the end", allClosed)
	for m := range c.agent.Stats().Metrics() {
		for _, b := range m.Histogram.Buckets {
			if !slices.ContainsFunc(h.Buckets, func(x apmws.Bucket) bool { return x.Lower == b.Lower && x.Upper == b.Upper }) {
				t.Errorf("%s has a bucket from %v to %v", m.Name, b.Lower, b.Upper)
			}
		}
	}
}
