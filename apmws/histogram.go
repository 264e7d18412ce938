package apmws

import (
	"math"
	"math/bits"
	"sync/atomic"
	"time"
)

// The buckets are log-linear: every power of two from 1 µs on is divided into
// four buckets of equal width, so a bucket is at most a quarter as wide as its
// lower bound. In units of histogramUnit the bounds are whole numbers whose
// three leading binary digits tell the bucket.
const (
	histogramUnit   = time.Microsecond / 4
	histogramPowers = 37                    // to 2^37 µs, some 38 h
	histogramSize   = 4*histogramPowers + 2 // with one bucket below and one above
	histogramTop    = histogramSize - 1     // the bucket above
	histogramMax    = time.Duration(math.MaxInt64)
	histogramShards = 8 // a power of two
)

// Histogram is a distribution of durations at one moment: a copy, which the
// recording does not change and which may be read from several goroutines. It
// is not to be changed, since copies of it share Buckets. The zero value is an
// empty distribution.
//
// Every duration is counted exactly, in a bucket of a fixed grid: four buckets
// of equal width from each 2^n µs to 2^(n+1) µs, n from 0 to 36; one bucket
// below, from 0 to 1 µs, to which negative durations belong too; one above, from
// 2^37 µs (38 h 10 min 39 s).
type Histogram struct {
	// Count is the number of durations, always the sum of the buckets' counts.
	Count uint64
	// Sum is the total of the durations, negative ones as 0. It may lag behind
	// Count by durations that were just being recorded, and never leads it. It
	// wraps around after some 292 years of summed time (a thousand connections
	// open for 107 days); the Sum of a difference made by Sub is right as long
	// as the interval itself has less.
	Sum time.Duration
	// Buckets are the buckets that are not empty, in ascending order.
	Buckets []Bucket
}

// Bucket is the number of durations d with Lower <= d < Upper.
type Bucket struct {
	// Lower and Upper are the bounds. The last bucket of the grid is open: its
	// Upper is the longest time.Duration there is.
	Lower, Upper time.Duration
	// Count is the number of durations, at least 1 in a Histogram's bucket.
	Count uint64
}

// Mid returns the middle of the bucket, which is at most 12.5 % off any
// duration of 1 µs or more in it; for the open bucket its Lower.
func (b Bucket) Mid() time.Duration {
	if b.Upper == histogramMax {
		return b.Lower
	}
	return b.Lower + (b.Upper-b.Lower)/2
}

// Sub returns what was recorded after earlier was taken and until h was. Both
// must come from the same source, earlier first; counts are then exact. It does
// not panic otherwise: a bucket with fewer durations than before counts as empty,
// and Sum means nothing.
func (h Histogram) Sub(earlier Histogram) Histogram {
	delta := Histogram{Sum: h.Sum - earlier.Sum}
	before := earlier.Buckets
	for _, b := range h.Buckets {
		for len(before) > 0 && before[0].Lower < b.Lower {
			before = before[1:]
		}
		if len(before) > 0 && before[0].Lower == b.Lower {
			b.Count -= min(b.Count, before[0].Count)
		}
		if b.Count > 0 {
			delta.Count += b.Count
			delta.Buckets = append(delta.Buckets, b)
		}
	}
	return delta
}

// Quantile returns an estimate of the duration that the share q of all durations
// does not exceed, 0.99 for the 99th percentile: that of nearest rank, placed
// within its bucket as if the bucket's durations were spread evenly. It lies in
// the bucket of the true one, so it is never more than 25 % off from 1 µs on, and
// less than half of that where the durations are many and spread out; in the
// open bucket it is Lower. A q below 0 and NaN count as 0, a q above 1 as 1. It
// is 0 when there are no durations.
func (h Histogram) Quantile(q float64) time.Duration {
	rank := uint64(1)
	switch n := math.Ceil(q * float64(h.Count)); {
	case n >= float64(h.Count):
		rank = h.Count
	case n > 1:
		rank = uint64(n)
	}
	for _, b := range h.Buckets {
		if rank > b.Count {
			rank -= b.Count
			continue
		}
		if b.Upper == histogramMax {
			return b.Lower
		}
		share := (float64(rank) - 0.5) / float64(b.Count)
		return b.Lower + time.Duration(share*float64(b.Upper-b.Lower))
	}
	return 0
}

// histogram counts durations. Its zero value is ready; it must not be copied.
// All methods may be called from several goroutines at once.
//
// It is divided into shards so that recorders on different processors do not
// wait for the same cache lines; most histograms stay quiet and never have more
// than one of them.
type histogram struct {
	shards [histogramShards]atomic.Pointer[histogramShard]
}

// histogramShard is 1.2 KB.
type histogramShard struct {
	sum    atomic.Int64 // nanoseconds
	counts [histogramSize]atomic.Uint64
}

// record counts d, a negative one as 0. Any shard will do; callers that record
// often at the same time should give different ones. The first record of a
// shard allocates it, later ones allocate nothing.
func (h *histogram) record(shard int, d time.Duration) {
	d = max(d, 0)
	p := &h.shards[shard&(histogramShards-1)]
	s := p.Load()
	if s == nil {
		p.CompareAndSwap(nil, new(histogramShard))
		s = p.Load() // whoever came first
	}
	s.counts[histogramIndex(d)].Add(1)
	s.sum.Add(int64(d)) // after the count, see snapshot
}

// snapshot returns what was recorded so far. Of two snapshots, the one taken
// later has no bucket with fewer durations.
func (h *histogram) snapshot() Histogram {
	var result Histogram
	var counts [histogramSize]uint64
	used := 0
	for i := range h.shards {
		s := h.shards[i].Load()
		if s == nil {
			continue
		}
		// The sum first: what it includes has been counted by now.
		result.Sum += time.Duration(s.sum.Load())
		for j := range s.counts {
			n := s.counts[j].Load()
			if n > 0 && counts[j] == 0 {
				used++
			}
			counts[j] += n
			result.Count += n
		}
	}
	if used == 0 {
		return result
	}
	result.Buckets = make([]Bucket, 0, used)
	for i, n := range counts {
		if n > 0 {
			lower, upper := histogramBounds(i)
			result.Buckets = append(result.Buckets, Bucket{Lower: lower, Upper: upper, Count: n})
		}
	}
	return result
}

// histogramIndex returns the bucket of d, which must not be negative.
func histogramIndex(d time.Duration) int {
	n := uint64(d) / uint64(histogramUnit)
	power := bits.Len64(n) - 3 // n >= 4 has three digits or more
	if power < 0 {
		return 0
	}
	// The second and third digit are the quarter; the first adds 4, which with
	// the bucket below makes 1 of power 0 and quarter 0.
	return min(4*power+int(n>>power)-3, histogramTop)
}

// histogramBounds returns the bounds of bucket i.
func histogramBounds(i int) (lower, upper time.Duration) {
	bound := func(i int) time.Duration { // the lower one of bucket i >= 1
		return histogramUnit * time.Duration(4+(i-1)%4) << ((i - 1) / 4)
	}
	switch i {
	case 0:
		return 0, bound(1)
	case histogramTop:
		return bound(i), histogramMax
	}
	return bound(i), bound(i + 1)
}
