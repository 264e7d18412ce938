package exact

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.elastic.co/apm/v2/model"

	"github.com/apmws/go-apmws/apmws"
	"github.com/apmws/go-apmws/apmws/semconv"
)

// totals are what a back end knows when it adds up the reports that it has got.
type totals struct {
	sums   map[string]float64            // of a counter's reports
	last   map[string]float64            // of a gauge's
	counts map[string]map[float64]uint64 // of a histogram's, by the value that stands for a bucket
}

func newTotals() *totals {
	return &totals{make(map[string]float64), make(map[string]float64), make(map[string]map[float64]uint64)}
}

// seriesKey spells a series as Elastic does; the labels are sorted by name.
func seriesKey(name string, labels [][2]string) string {
	var b strings.Builder
	b.WriteString(name)
	for _, l := range labels {
		fmt.Fprintf(&b, " %s=%s", strings.ReplaceAll(l[0], ".", "_"), l[1])
	}
	return b.String()
}

func (x *totals) count(key string, value float64, n uint64) {
	if x.counts[key] == nil {
		x.counts[key] = make(map[float64]uint64)
	}
	x.counts[key][value] += n
}

// report adds a metricset of Elastic's, unless it is not the agent's.
func (x *totals) report(set *model.Metrics) {
	var labels [][2]string
	for _, l := range set.Labels {
		labels = append(labels, [2]string{l.Key, l.Value})
	}
	for name, sample := range set.Samples {
		if !strings.HasPrefix(name, "websocket.") {
			continue
		}
		key := seriesKey(name, labels)
		switch {
		case sample.Type == "histogram":
			for i, value := range sample.Values {
				x.count(key, value, sample.Counts[i])
			}
		case name == semconv.ConnectionsActive:
			x.last[key] = sample.Value
		default:
			x.sums[key] += sample.Value
		}
	}
}

// add adds later reports.
func (x *totals) add(later *totals) {
	for key, sum := range later.sums {
		x.sums[key] += sum
	}
	maps.Copy(x.last, later.last)
	for key, counts := range later.counts {
		for value, n := range counts {
			x.count(key, value, n)
		}
	}
}

// totalsOf are what a snapshot says.
func totalsOf(stats *apmws.Stats) *totals {
	x := newTotals()
	for m := range stats.Metrics() {
		var labels [][2]string
		for _, l := range m.Labels {
			labels = append(labels, [2]string{l.Name, l.Value})
		}
		switch key := seriesKey(m.Name, labels); m.Kind {
		case apmws.CounterMetric:
			x.sums[key] = float64(m.Value)
		case apmws.GaugeMetric:
			x.last[key] = float64(m.Value)
		case apmws.HistogramMetric:
			for _, b := range m.Histogram.Buckets {
				x.count(key, b.Mid().Seconds(), b.Count)
			}
			if m.Name == semconv.MessageDuration { // whose count Elastic has a counter for, too
				x.sums[seriesKey(semconv.MessagesHandled, labels)] = float64(m.Histogram.Count)
			}
		}
	}
	return x
}

// since returns what has happened between an earlier snapshot and this one.
func (x *totals) since(earlier *totals) *totals {
	d := newTotals()
	maps.Copy(d.last, x.last)
	for key, sum := range x.sums {
		d.sums[key] = sum - earlier.sums[key]
	}
	for key, counts := range x.counts {
		for value, n := range counts {
			if n -= earlier.counts[key][value]; n != 0 {
				d.count(key, value, n)
			}
		}
	}
	return d
}

// compare returns in what x differs from what it should be, to the unit and the
// bucket. Of what is not there it makes a 0.
func (x *totals) compare(want *totals) (problems []string) {
	compareMaps := func(what string, got, want map[string]float64) {
		for key := range union(got, want) {
			if got[key] != want[key] {
				problems = append(problems, fmt.Sprintf("%s %s: %v, want %v", what, key, got[key], want[key]))
			}
		}
	}
	compareMaps("sum of", x.sums, want.sums)
	compareMaps("last", x.last, want.last)
	for key := range union(x.counts, want.counts) {
		for value := range union(x.counts[key], want.counts[key]) {
			if got, want := x.counts[key][value], want.counts[key][value]; got != want {
				problems = append(problems, fmt.Sprintf("%s: %d of %v s, want %d", key, got, value, want))
			}
		}
	}
	slices.Sort(problems)
	return problems
}

func union[K comparable, V any](a, b map[K]V) map[K]bool {
	all := make(map[K]bool)
	for key := range a {
		all[key] = true
	}
	for key := range b {
		all[key] = true
	}
	return all
}

// sum adds up all series of a counter.
func (x *totals) sum(name string) (sum float64) {
	for key, n := range x.sums {
		if strings.HasPrefix(key, name+" ") {
			sum += n
		}
	}
	return sum
}
