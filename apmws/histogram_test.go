package apmws

import (
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// referenceBounds returns the lower bounds of all buckets, made by adding.
func referenceBounds() []time.Duration {
	bounds := []time.Duration{0}
	start := time.Microsecond
	for range 37 {
		for quarter := range int64(4) {
			bounds = append(bounds, start+time.Duration(int64(start)/4*quarter))
		}
		start += start
	}
	return append(bounds, start)
}

// referenceBucket searches for the bucket of d.
func referenceBucket(bounds []time.Duration, d time.Duration) Bucket {
	b := Bucket{Upper: math.MaxInt64, Count: 1}
	for _, bound := range bounds {
		if d < bound {
			b.Upper = bound
			break
		}
		b.Lower = bound
	}
	return b
}

func newHistogram(durations []time.Duration) *histogram {
	h := new(histogram)
	for i, d := range durations {
		h.record(i, d)
	}
	return h
}

func checkHistogram(t *testing.T, h Histogram) {
	t.Helper()
	var sum uint64
	for i, b := range h.Buckets {
		sum += b.Count
		if b.Count == 0 || b.Lower >= b.Upper || i > 0 && b.Lower < h.Buckets[i-1].Upper {
			t.Fatalf("bucket %d is empty or out of order: %+v", i, h.Buckets)
		}
	}
	if h.Count != sum {
		t.Fatalf("Count is %d, the buckets have %d", h.Count, sum)
	}
}

func TestHistogramBuckets(t *testing.T) {
	bounds := referenceBounds()
	durations := []time.Duration{0, math.MaxInt64, 24 * time.Hour}
	for _, bound := range bounds[1:] {
		durations = append(durations, bound-1, bound, bound+1)
	}
	for power := range 63 {
		d := time.Duration(1) << power
		durations = append(durations, d-1, d, d+1)
	}
	for _, d := range durations {
		var h histogram
		h.record(0, d)
		want := Histogram{Count: 1, Sum: d, Buckets: []Bucket{referenceBucket(bounds, d)}}
		if got := h.snapshot(); !reflect.DeepEqual(got, want) {
			t.Errorf("%d ns gave %+v, want %+v", d, got, want)
		}
	}

	// All of them in one histogram: every bucket of the grid, in order.
	got := newHistogram(durations).snapshot()
	checkHistogram(t, got)
	if got.Count != uint64(len(durations)) || len(got.Buckets) != len(bounds) {
		t.Fatalf("%d durations in %d buckets, want %d in %d", got.Count, len(got.Buckets), len(durations), len(bounds))
	}
	for i, b := range got.Buckets {
		if b.Lower != bounds[i] {
			t.Errorf("bucket %d begins at %d ns, want %d", i, b.Lower, bounds[i])
		}
	}
	if open := got.Buckets[len(bounds)-1]; open.Lower <= 24*time.Hour {
		t.Errorf("the open bucket begins at %v, too early for a day", open.Lower)
	}
}

func TestHistogramNegative(t *testing.T) {
	got := newHistogram([]time.Duration{-1, -time.Hour, math.MinInt64, 0}).snapshot()
	want := Histogram{Count: 4, Buckets: []Bucket{{Upper: time.Microsecond, Count: 4}}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestHistogramEmpty(t *testing.T) {
	got := new(histogram).snapshot()
	if !reflect.DeepEqual(got, Histogram{}) {
		t.Errorf("an empty histogram gave %+v", got)
	}
	if q := got.Quantile(0.5); q != 0 {
		t.Errorf("the median of nothing is %v", q)
	}
}

func TestHistogramShards(t *testing.T) {
	var h histogram
	used := func() (n int) {
		for i := range h.shards {
			if h.shards[i].Load() != nil {
				n++
			}
		}
		return n
	}
	if n := used(); n != 0 {
		t.Fatalf("%d shards before the first record", n)
	}
	for i, test := range []struct{ shard, want int }{
		{3, 1},
		{3, 1},
		{3 + histogramShards, 1},
		{-1, 2},
		{histogramShards - 1, 2},
		{math.MaxInt, 2},
		{math.MinInt, 3},
		{0, 3},
	} {
		h.record(test.shard, time.Millisecond)
		if n := used(); n != test.want {
			t.Errorf("%d shards after a record in %d, want %d", n, test.shard, test.want)
		}
		if got := h.snapshot(); got.Count != uint64(i+1) || got.Sum != time.Duration(i+1)*time.Millisecond {
			t.Errorf("after %d records: %+v", i+1, got)
		}
	}
}

func TestHistogramSnapshotIsACopy(t *testing.T) {
	var h histogram
	h.record(0, time.Millisecond)
	first, again := h.snapshot(), h.snapshot()
	h.record(0, time.Millisecond)
	h.record(1, time.Second)
	if !reflect.DeepEqual(first, again) {
		t.Errorf("a snapshot changed from %+v to %+v", again, first)
	}
	if got := h.snapshot().Count; got != 3 {
		t.Errorf("%d durations, want 3", got)
	}
}

// Durations are recorded while snapshots are taken; none is lost, and every
// snapshot is consistent and no smaller than the one before.
func TestHistogramConcurrent(t *testing.T) {
	const (
		recorders = 16
		rounds    = 5000
		short     = 3 * time.Microsecond
		long      = 70 * time.Second
	)
	var h histogram
	var running atomic.Int32
	running.Store(recorders)
	var wg sync.WaitGroup
	for g := range recorders {
		wg.Go(func() {
			defer running.Add(-1)
			for i := range rounds {
				h.record(g+i, short)
				h.record(g, long)
			}
		})
	}
	var last Histogram
	for running.Load() > 0 {
		s := h.snapshot()
		checkHistogram(t, s)
		var most time.Duration
		for _, b := range s.Buckets {
			switch {
			case b.Lower <= short && short < b.Upper:
				most += time.Duration(b.Count) * short
			case b.Lower <= long && long < b.Upper:
				most += time.Duration(b.Count) * long
			default:
				t.Fatalf("a bucket that nobody recorded in: %+v", b)
			}
		}
		if s.Sum > most {
			t.Fatalf("Sum %v leads the counts, which make %v", s.Sum, most)
		}
		delta := s.Sub(last)
		checkHistogram(t, delta)
		if delta.Count != s.Count-last.Count || delta.Sum < 0 {
			t.Fatalf("%+v is followed by the smaller %+v", last, s)
		}
		last = s
	}
	wg.Wait()

	bounds := referenceBounds()
	shorts, longs := referenceBucket(bounds, short), referenceBucket(bounds, long)
	shorts.Count, longs.Count = recorders*rounds, recorders*rounds
	want := Histogram{
		Count:   2 * recorders * rounds,
		Sum:     recorders * rounds * (short + long),
		Buckets: []Bucket{shorts, longs},
	}
	if got := h.snapshot(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// Several first records of a shard at once: one shard stays, with all of them.
func TestHistogramFirstRecords(t *testing.T) {
	const recorders = 8
	for range 1000 {
		var h histogram
		var wg sync.WaitGroup
		start := make(chan struct{})
		for range recorders {
			wg.Go(func() {
				<-start
				h.record(0, time.Second)
			})
		}
		close(start)
		wg.Wait()
		if got := h.snapshot(); got.Count != recorders || got.Sum != recorders*time.Second {
			t.Fatalf("%d durations of together %v, want %d", got.Count, got.Sum, recorders)
		}
	}
}

func TestHistogramRecordAllocs(t *testing.T) {
	var h histogram
	h.record(5, 0)
	d := time.Duration(1)
	if n := testing.AllocsPerRun(200, func() { h.record(5, d); d += d / 2 }); n != 0 {
		t.Errorf("%v allocations per record, want 0", n)
	}
}

// randomDurations returns n durations drawn by draw, the same at every run.
func randomDurations(n int, draw func(*rand.Rand) float64) []time.Duration {
	rng := rand.New(rand.NewPCG(1, 2))
	durations := make([]time.Duration, n)
	for i := range durations {
		durations[i] = time.Duration(draw(rng))
	}
	return durations
}

func TestHistogramMid(t *testing.T) {
	logUniform := func(rng *rand.Rand) float64 { return math.Pow(2, 10+36*rng.Float64()) }
	for _, d := range randomDurations(20_000, logUniform) {
		var h histogram
		h.record(0, d)
		mid := h.snapshot().Buckets[0].Mid()
		if diff := math.Abs(float64(mid - d)); diff > 0.125*float64(d) {
			t.Fatalf("the middle of the bucket of %v is %v, more than 12.5 %% off", d, mid)
		}
	}
	var h histogram
	h.record(0, 1000*time.Hour)
	if b := h.snapshot().Buckets[0]; b.Mid() != b.Lower {
		t.Errorf("the middle of the open bucket is %v, want %v", b.Mid(), b.Lower)
	}
}

func TestHistogramQuantile(t *testing.T) {
	for _, test := range []struct {
		name string
		off  float64 // tolerated relative error
		draw func(*rand.Rand) float64
	}{
		{"log-uniform", 0.125, func(rng *rand.Rand) float64 { return 1e3 * math.Pow(2, 36*rng.Float64()) }},
		{"uniform", 0.125, func(rng *rand.Rand) float64 { return 1e6 + 1e9*rng.Float64() }},
		{"exponential", 0.125, func(rng *rand.Rand) float64 { return 1e3 + 1e7*rng.ExpFloat64() }},
		{"log-normal", 0.125, func(rng *rand.Rand) float64 { return 1e3 + math.Exp(16+2*rng.NormFloat64()) }},
		{"constant at a lower bound", 0.25, func(*rand.Rand) float64 { return 1 << 20 * 1e3 }},
		{"constant below an upper bound", 0.25, func(*rand.Rand) float64 { return 1<<20*1e3 - 1 }},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, n := range []int{1, 2, 10, 1000, 50_000} {
				durations := randomDurations(n, test.draw)
				h := newHistogram(durations).snapshot()
				slices.Sort(durations)
				off := test.off
				if n < 1000 {
					off = 0.25 // all that the buckets promise
				}
				last := time.Duration(0)
				for _, q := range []float64{0, 0.001, 0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 1} {
					want := durations[max(int(math.Ceil(q*float64(n))), 1)-1]
					got := h.Quantile(q)
					if diff := math.Abs(float64(got - want)); diff > off*float64(want) {
						t.Errorf("quantile %v of %d is %v, want %v ± %v %%", q, n, got, want, 100*off)
					}
					if got < last {
						t.Errorf("quantile %v of %d is %v, less than the one before, %v", q, n, got, last)
					}
					last = got
				}
			}
		})
	}
}

func TestHistogramQuantileInterpolates(t *testing.T) {
	const lower, upper = 1024 * time.Microsecond, 1280 * time.Microsecond
	h := Histogram{Count: 6, Buckets: []Bucket{
		{Lower: 0, Upper: time.Microsecond, Count: 1},
		{Lower: lower, Upper: upper, Count: 4},
		{Lower: 1 << 37 * time.Microsecond, Upper: math.MaxInt64, Count: 1},
	}}
	for _, test := range []struct {
		q    float64
		want time.Duration
	}{
		{math.Inf(-1), 500},
		{-1, 500},
		{0, 500},
		{math.NaN(), 500},
		{1.0 / 6, 500},
		{0.3, lower + 32*time.Microsecond},
		{0.5, lower + 96*time.Microsecond},
		{0.6, lower + 160*time.Microsecond},
		{0.8, lower + 224*time.Microsecond},
		{0.9, 1 << 37 * time.Microsecond},
		{1, 1 << 37 * time.Microsecond},
		{2, 1 << 37 * time.Microsecond},
		{math.Inf(1), 1 << 37 * time.Microsecond},
	} {
		if got := h.Quantile(test.q); got != test.want {
			t.Errorf("quantile %v is %v, want %v", test.q, got, test.want)
		}
	}
}

// What is recorded between two snapshots is their difference.
func TestHistogramSub(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 300 {
		spread := 1 + 50*rng.Float64()
		draw := func(n int) []time.Duration {
			durations := make([]time.Duration, n)
			for i := range durations {
				durations[i] = time.Duration(math.Pow(2, spread*rng.Float64())) - 1
			}
			return durations
		}
		before, after := draw(rng.IntN(50)), draw(rng.IntN(50))
		h := newHistogram(before)
		earlier := h.snapshot()
		for i, d := range after {
			h.record(i, d)
		}
		later := h.snapshot()
		got, want := later.Sub(earlier), newHistogram(after).snapshot()
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("after %v, recording %v made the difference %+v, want %+v", before, after, got, want)
		}
		if got := later.Sub(later); !reflect.DeepEqual(got, Histogram{}) {
			t.Fatalf("%+v less itself is %+v", later, got)
		}
		if got := later.Sub(Histogram{}); !reflect.DeepEqual(got, later) {
			t.Fatalf("%+v less nothing is %+v", later, got)
		}
		if !reflect.DeepEqual(later, h.snapshot()) || !reflect.DeepEqual(earlier, newHistogram(before).snapshot()) {
			t.Fatal("Sub changed a histogram")
		}
		checkHistogram(t, earlier.Sub(later)) // the wrong way round: no panic
	}
}

func TestHistogramSubForeign(t *testing.T) {
	a := newHistogram([]time.Duration{time.Millisecond, time.Second, time.Second}).snapshot()
	b := newHistogram([]time.Duration{0, time.Second, time.Second, time.Second, time.Hour}).snapshot()
	got := a.Sub(b)
	want := []Bucket{referenceBucket(referenceBounds(), time.Millisecond)}
	if got.Count != 1 || !reflect.DeepEqual(got.Buckets, want) {
		t.Errorf("got %+v, want the count 1 and the bucket %+v", got, want)
	}
}

func TestHistogramSumWraps(t *testing.T) {
	h := newHistogram([]time.Duration{math.MaxInt64})
	earlier := h.snapshot()
	h.record(1, time.Hour)
	h.record(0, time.Minute)
	if got, want := h.snapshot().Sub(earlier).Sum, time.Hour+time.Minute; got != want {
		t.Errorf("the difference is %v, want %v", got, want)
	}
}

func BenchmarkHistogramRecord(b *testing.B) {
	var h histogram
	d := 137 * time.Microsecond
	b.ReportAllocs()
	for b.Loop() {
		h.record(0, d)
	}
}

func BenchmarkHistogramRecordParallel(b *testing.B) {
	for _, bench := range []struct {
		name   string
		shards int32
	}{{"one shard", 1}, {"own shards", histogramShards}} {
		b.Run(bench.name, func(b *testing.B) {
			var h histogram
			var next atomic.Int32
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				shard := int(next.Add(1) % bench.shards)
				for pb.Next() {
					h.record(shard, 137*time.Microsecond)
				}
			})
		})
	}
}

func BenchmarkHistogramSnapshot(b *testing.B) {
	h := newHistogram(randomDurations(10_000, func(rng *rand.Rand) float64 { return 1e7 * rng.ExpFloat64() }))
	b.ReportAllocs()
	for b.Loop() {
		if h.snapshot().Count == 0 {
			b.Fatal("empty")
		}
	}
}
