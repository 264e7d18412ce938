package promws

import (
	"time"

	"github.com/apmws/go-apmws/apmws"
	"github.com/apmws/go-apmws/apmws/semconv"
)

// bounds returns the powers of two, in microseconds, that bound a histogram's
// buckets. Each doubles the one before: a percentile that Prometheus interpolates
// is in the true one's bucket, and so at most twice or half of it, but in the first
// bucket, which begins at 0, and above the last bound, which it then is. More of
// them would make a scrape longer, which is nearly all buckets.
func bounds(name string) (first, last int) {
	if name == semconv.ConnectionDuration {
		return 17, 37 // 131 ms to 38 h 10 min
	}
	return 8, 24 // 256 µs to 16.8 s
}

// cumulative returns how many durations are below each of the bounds, by the bound
// in seconds. The agent's histograms (apmws.Histogram) have a bucket that ends at
// each 2^n µs, n from 0 to 37, so none reaches across a bound.
func cumulative(m *apmws.Metric) map[float64]uint64 {
	first, last := bounds(m.Name)
	counts := make(map[float64]uint64, last-first+1)
	var below uint64
	rest := m.Histogram.Buckets
	for power := first; power <= last; power++ {
		bound := time.Microsecond << power
		for len(rest) > 0 && rest[0].Upper <= bound {
			below += rest[0].Count
			rest = rest[1:]
		}
		counts[bound.Seconds()] = below
	}
	return counts
}
