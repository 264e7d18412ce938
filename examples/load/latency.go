package main

import (
	"math"
	"sync/atomic"
	"time"
)

const (
	shortest = 10 * time.Microsecond // below, all count as that
	growth   = 1.05                  // of each bucket's bound; so a percentile is at most 5 % too high
	buckets  = 330                   // to above 90 s
)

// latency is a histogram of durations, of a fixed size whatever it is told. Its
// methods are safe for concurrent use.
type latency struct {
	buckets [buckets]atomic.Int64
	max     atomic.Int64 // ns
}

func (l *latency) observe(d time.Duration) {
	i := 0
	if d > shortest {
		i = int(math.Ceil(math.Log(float64(d)/float64(shortest)) / math.Log(growth)))
	}
	l.buckets[min(i, buckets-1)].Add(1)
	for {
		most := l.max.Load()
		if int64(d) <= most || l.max.CompareAndSwap(most, int64(d)) {
			return
		}
	}
}

// count returns how many were observed.
func (l *latency) count() (n int64) {
	for i := range l.buckets {
		n += l.buckets[i].Load()
	}
	return n
}

// percentile returns a duration that at least p percent of those observed did
// not exceed, and 0 when there are none.
func (l *latency) percentile(p float64) time.Duration {
	var seen [buckets]int64
	var total int64
	for i := range l.buckets {
		seen[i] = l.buckets[i].Load()
		total += seen[i]
	}
	if total == 0 {
		return 0
	}
	rank := max(int64(math.Ceil(float64(total)*p/100)), 1)
	for i, n := range seen[:buckets-1] { // the last one has no bound
		if rank -= n; rank <= 0 {
			bound := time.Duration(float64(shortest) * math.Pow(growth, float64(i)))
			return min(bound, time.Duration(l.max.Load()))
		}
	}
	return time.Duration(l.max.Load())
}
