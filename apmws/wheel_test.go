package apmws

import (
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestWheelModel sets, moves and stops alarms at random, and compares what rings
// with what should. The bubble fails when the goroutine outlives the last alarm.
func TestWheelModel(t *testing.T) {
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 3))
			var w wheel
			var mu sync.Mutex
			alarms := make([]alarm, 50)
			due := map[int]time.Duration{} // those that are set
			rung, early, late := 0, 0, 0
			for range 2000 {
				i := rnd.IntN(len(alarms))
				mu.Lock()
				if rnd.IntN(4) == 0 {
					w.stop(&alarms[i])
					delete(due, i)
				} else {
					at := monotonic() + time.Duration(rnd.Int64N(int64(time.Minute)))
					due[i] = at
					w.set(&alarms[i], at, func() {
						mu.Lock()
						defer mu.Unlock()
						want, set := due[i]
						switch now := monotonic(); {
						case !set:
							t.Errorf("seed %d: alarm %d rings and is not set", seed, i)
						case now < want:
							early++
						case now > want+2*grain:
							late++
						}
						delete(due, i)
						rung++
					})
				}
				mu.Unlock()
				time.Sleep(time.Duration(rnd.Int64N(int64(2 * time.Second))))
			}
			time.Sleep(2 * time.Minute)
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			if len(due) != 0 || early != 0 || late != 0 || rung < 500 {
				t.Errorf("seed %d: %d have not rung, %d too early, %d too late, of %d", seed, len(due), early, late, rung)
			}
			w.mu.Lock()
			defer w.mu.Unlock()
			if w.wake != nil || w.heap != nil {
				t.Errorf("seed %d: the wheel has not ended", seed)
			}
		})
	}
}

// TestWheelMany: more alarms than one turn takes, all due at once, and set again by
// what they ring.
func TestWheelMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w wheel
		const each = 3
		alarms := make([]alarm, 3*maxTurn)
		rung := make([]int, len(alarms))
		start := monotonic()
		for i := range alarms {
			w.set(&alarms[i], start+time.Second, func() {
				if rung[i]++; rung[i] < each {
					w.set(&alarms[i], monotonic()+time.Second, nil)
				}
			})
		}
		time.Sleep(each*time.Second + 2*each*grain)
		synctest.Wait()
		for i, n := range rung {
			if n != each {
				t.Fatalf("alarm %d has rung %d times, want %d", i, n, each)
			}
		}
	})
}

// TestWheelEnds: stopping the last alarm ends the goroutine, however far off it is.
func TestWheelEnds(t *testing.T) {
	before := runtime.NumGoroutine()
	var w wheel
	alarms := make([]alarm, 100)
	for i := range alarms {
		w.set(&alarms[i], monotonic()+time.Hour, func() { t.Error("it rings") })
	}
	if now := runtime.NumGoroutine(); now > before+1 {
		t.Errorf("%d goroutines, before %d", now, before)
	}
	for i := range alarms {
		w.stop(&alarms[i])
		w.stop(&alarms[i])
	}
	eventually(t, "the goroutine's end", func() bool { return runtime.NumGoroutine() <= before })
}

// TestWheelSooner: an alarm that is due before those the wheel sleeps for rings in
// time.
func TestWheelSooner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w wheel
		var far, near alarm
		w.set(&far, monotonic()+time.Hour, func() {})
		time.Sleep(time.Minute)
		at := monotonic() + time.Second
		var rang time.Duration
		w.set(&near, at, func() { rang = monotonic() })
		time.Sleep(time.Minute)
		synctest.Wait()
		if rang < at || rang > at+2*grain {
			t.Errorf("it has rung %v after it was due", rang-at)
		}
		w.stop(&far)
	})
}

// TestWriters: as many jobs at a time as there may be writers, the others in turn,
// and no goroutine afterwards.
func TestWriters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w wheel
		var mu sync.Mutex
		running, most, done := 0, 0, 0
		for range 10 * maxWriters {
			w.write(func() {
				mu.Lock()
				running++
				most = max(most, running)
				mu.Unlock()
				time.Sleep(time.Second)
				mu.Lock()
				running--
				done++
				mu.Unlock()
			})
		}
		time.Sleep(11 * time.Second)
		synctest.Wait()
		if most != maxWriters || done != 10*maxWriters || w.writers.running != 0 {
			t.Errorf("%d at a time, %d done, %d writers left", most, done, w.writers.running)
		}
	})
}
