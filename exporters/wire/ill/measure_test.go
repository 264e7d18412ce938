package ill

import (
	"fmt"
	"runtime"
	"slices"
	"time"
)

const (
	// In each round the same messages go through a server whose back end is ill,
	// and through one whose back end is well, one after the other.
	rounds       = 9
	peersInRound = 4
	eachInRound  = 10
	eachBefore   = 25 // fills what is kept anyway
	attempts     = 3
	eachAtOnce   = 160 // afterwards, through the server whose back end is ill alone

	// maxSlower bounds how much longer a message may take: the median in a round of
	// the one server beside that in the same round of the other, of which the
	// median is taken. Nothing that an exporter may do changes it, so that it is 1
	// but for noise, which is the same for both sides and seldom more than a half.
	// An exporter that waits for its back end misses it by far, since each message
	// takes as long as an answer then: see TestMeasure. maxSlowerMean is the same
	// of the mean in a round, in which a single message that waits counts: there is
	// more noise in it.
	maxSlower     = 3.0
	maxSlowerMean = 6.0

	// maxHeap bounds, in bytes, what is kept more after all rounds than before:
	// their messages have 20 MB to say. Elastic's tracer keeps 1 MB of events, a
	// request of 0.75 MB and 1,000 events that it has not encoded yet; New Relic's
	// agent the 100 events of a harvest, which New Relic sets to more, and what it
	// sends again.
	maxHeap = 8 << 20

	// maxGoroutines bounds how many more there are after all rounds than before,
	// on both sides of the wire: agents try again.
	maxGoroutines = 60
)

// measured is what happens to a server, beside another one that is well.
type measured struct {
	medians, means   []float64 // of rounds: how many times as long a message takes
	longest, healthy time.Duration
	heap             int64 // bytes more
	goroutines, peak int   // more
}

// measure sends the same messages through both servers, in turn, and then many
// through one. What is not within bounds is measured again, since the machine has
// other things to do; what an exporter does wrong stays.
func measure(mine, companion *peers) (m measured) {
	mine.say("load", eachBefore)
	companion.say("load", eachBefore)
	heap, goroutines := settledHeap(), runtime.NumGoroutine()
	more := func() int { return runtime.NumGoroutine() - goroutines }
	for range attempts {
		if m.compare(mine, companion); !m.slower() {
			break
		}
	}
	m.peak = more()
	mine.say("load", eachAtOnce)
	m.peak = max(m.peak, more())
	for range attempts {
		if m.heap = settledHeap() - heap; m.heap <= maxHeap {
			break
		}
		time.Sleep(time.Second)
	}
	for deadline := time.Now().Add(3 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if m.goroutines = more(); m.goroutines <= maxGoroutines || time.Now().After(deadline) {
			return m
		}
	}
}

// compare sends the same messages through both servers, in turn.
func (m *measured) compare(mine, companion *peers) {
	m.medians, m.means = nil, nil
	for round := range rounds {
		var sick, well latency
		if round%2 == 0 {
			sick = mine.say("load", eachInRound)
		}
		well = companion.say("load", eachInRound)
		if round%2 == 1 {
			sick = mine.say("load", eachInRound)
		}
		m.medians = append(m.medians, float64(sick.median)/float64(well.median))
		m.means = append(m.means, float64(sick.mean)/float64(well.mean))
		m.longest = max(m.longest, sick.longest)
		m.healthy = well.median
	}
}

func (m *measured) slower() bool {
	return median(m.medians) > maxSlower || median(m.means) > maxSlowerMean
}

// faults says which bounds were not kept.
func (m *measured) faults() (all []string) {
	if m.slower() {
		all = append(all, fmt.Sprintf("a message takes longer than with a healthy back end: in the rounds' median %.2f times, in their mean %.2f", m.medians, m.means))
	}
	if m.heap > maxHeap {
		all = append(all, fmt.Sprintf("%d bytes more are in use", m.heap))
	}
	if m.goroutines > maxGoroutines {
		all = append(all, fmt.Sprintf("there are %d goroutines more", m.goroutines))
	}
	return all
}

// settledHeap returns the bytes of what is in use when nothing is under way: when
// they have become no less twice.
func settledHeap() (least int64) {
	least = heapInUse()
	for n := 0; n < 2; n++ {
		time.Sleep(50 * time.Millisecond)
		if now := heapInUse(); now < least-256<<10 {
			least, n = now, -1
		}
	}
	return least
}

// heapInUse returns the bytes of what is in use.
func heapInUse() int64 {
	runtime.GC() // what pools have kept is gone by the second
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func median(list []float64) float64 {
	list = slices.Sorted(slices.Values(list))
	return (list[(len(list)-1)/2] + list[len(list)/2]) / 2
}
