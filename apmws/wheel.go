package apmws

import (
	"container/heap"
	"sync"
	"time"
)

// wheel rings alarms: all that is timed for the connections of an agent. It has
// one goroutine, and that only while something is scheduled.
type wheel struct {
	mu      sync.Mutex
	heap    alarms
	wakes   time.Duration // what is due earlier must rouse the goroutine
	wake    chan struct{} // nil: no goroutine runs
	writers writerPool
}

// alarm is scheduled on a wheel. It is embedded by value in what it is for; the
// zero value is not set.
type alarm struct {
	at   time.Duration // as monotonic counts
	call func()
	slot int32 // in the heap, from 1; 0: not set
}

// grain is how close together the wheel's turns are at most: what is due in
// between is rung at once, for a wake-up costs more than an alarm.
const grain = 10 * time.Millisecond

// set makes a ring at that time, and calls ring then, or what was given last
// when ring is nil. An alarm that is set is moved. ring runs on the wheel's
// goroutine and must not block; what may do so is for write.
func (w *wheel) set(a *alarm, at time.Duration, ring func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if ring != nil {
		a.call = ring
	}
	a.at = at
	if a.slot == 0 {
		heap.Push(&w.heap, a)
	} else {
		heap.Fix(&w.heap, int(a.slot-1))
	}
	switch {
	case w.wake == nil:
		w.wake = make(chan struct{}, 1)
		w.wakes = 0
		go w.turn(w.wake)
	case w.heap[0].at < w.wakes-grain:
		w.rouse()
	}
}

// stop takes an alarm back. It does not wait for a ring that is under way.
func (w *wheel) stop(a *alarm) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if a.slot != 0 {
		heap.Remove(&w.heap, int(a.slot-1))
	}
	if len(w.heap) == 0 && w.wake != nil {
		w.rouse() // to end
	}
}

// rouse makes the goroutine look again. mu is held.
func (w *wheel) rouse() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// turn is the wheel's goroutine.
func (w *wheel) turn(wake <-chan struct{}) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	var rings []func()
	for {
		var wait time.Duration
		if rings, wait = w.due(rings[:0]); wait < 0 {
			return
		}
		for i, ring := range rings {
			ring()
			rings[i] = nil
		}
		timer.Reset(wait)
		select {
		case <-timer.C:
		case <-wake:
		}
	}
}

// maxTurn bounds the alarms of one turn, and so what the wheel keeps for it.
const maxTurn = 1024

// due takes the alarms that are due. It returns how long the goroutine is to sleep
// when they have been rung; a negative time says for good.
func (w *wheel) due(into []func()) (rings []func(), sleep time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := monotonic()
	for len(w.heap) > 0 && w.heap[0].at <= now && len(into) < maxTurn {
		a := heap.Pop(&w.heap).(*alarm)
		into = append(into, a.call)
	}
	switch {
	case len(into) == maxTurn:
		w.wakes, sleep = 0, 0
	case len(into) > 0:
		w.wakes, sleep = 0, grain // no alarm cuts this short
	case len(w.heap) == 0:
		w.heap, w.wake = nil, nil
		return nil, -1
	default:
		sleep = max(grain, w.heap[0].at-now)
		w.wakes = now + sleep
	}
	return into, sleep
}

// alarms implement heap.Interface: the earliest is first.
type alarms []*alarm

// Len implements heap.Interface.
func (h *alarms) Len() int { return len(*h) }

// Less implements heap.Interface.
func (h *alarms) Less(i, j int) bool { return (*h)[i].at < (*h)[j].at }

// Swap implements heap.Interface.
func (h *alarms) Swap(i, j int) {
	all := *h
	all[i], all[j] = all[j], all[i]
	all[i].slot, all[j].slot = int32(i+1), int32(j+1)
}

// Push implements heap.Interface.
func (h *alarms) Push(x any) {
	a := x.(*alarm)
	*h = append(*h, a)
	a.slot = int32(len(*h))
}

// Pop implements heap.Interface.
func (h *alarms) Pop() any {
	last := len(*h) - 1
	a := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	a.slot = 0
	return a
}

// write runs what may block, such as a write to a socket, on one of the writers.
func (w *wheel) write(job func()) { w.writers.run(job) }

// maxWriters bounds the goroutines that write. They are not for peers that do
// not read: whoever writes gives such a one up for the time being.
const maxWriters = 32

// writerPool are goroutines that exist while there is something to do.
type writerPool struct {
	mu      sync.Mutex
	jobs    []func() // those that wait
	running int
}

func (s *writerPool) run(job func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.jobs = append(s.jobs, job)
	if s.running < maxWriters {
		s.running++
		go s.work()
	}
}

// work does what waits.
func (s *writerPool) work() {
	for {
		job := s.next()
		if job == nil {
			return
		}
		job()
	}
}

// next returns nil when the goroutine is to end.
func (s *writerPool) next() func() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.jobs) == 0 {
		s.jobs = nil
		s.running--
		return nil
	}
	job := s.jobs[0]
	s.jobs[0] = nil
	s.jobs = s.jobs[1:]
	return job
}
