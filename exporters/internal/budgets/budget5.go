package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"

	"github.com/apmws/go-apmws/apmws"
)

// budget5 is the cost of the heartbeats of idle connections.
func budget5(ctx context.Context, s settings) (*table, error) {
	count := 5 * s.idle
	t := &table{Title: fmt.Sprintf("Budget 5: heartbeats of %d idle connections over memory", count)}
	heap, err := scheduleHeap(count)
	if err != nil {
		return nil, err
	}
	t.add(signed(single("the schedule, before the first ping: heap", heap, bytesEach, atMost(100, bytesEach))))
	for _, interval := range []time.Duration{s.beat, 10 * s.beat} {
		bare, err := pingCost(ctx, count, interval, false)
		if err != nil {
			return nil, err
		}
		ours, err := pingCost(ctx, count, interval, true)
		if err != nil {
			return nil, err
		}
		what := fmt.Sprintf("a ping each %v, and its pong, ", interval)
		t.add(
			single(what+"by a loop over plain connections: CPU", bare, nanoseconds, noLimit),
			signed(single(what+"by heartbeats, beyond that", ours-bare, nanoseconds, atMost(4000, nanoseconds))),
		)
	}
	t.note("In both a pong wakes its connection's goroutine and goes through gorilla. There are no sockets.")
	return t, nil
}

// scheduleHeap returns the bytes by which a connection that is open grows when its
// heartbeat begins.
func scheduleHeap(count int) (each float64, err error) {
	c, err := newCrowd(count, &apmws.EndpointOptions{Heartbeat: apmws.Heartbeat{Interval: -1}})
	if err != nil {
		return 0, err
	}
	defer c.hangUp()
	before := heapInUse()
	for _, conn := range c.conns {
		conn.Heartbeat(apmws.Heartbeat{Interval: time.Hour})
	}
	each = (heapInUse() - before) / float64(count)
	runtime.KeepAlive(c)
	return each, nil
}

// heapInUse returns the bytes on the heap once that shrinks no more: what pools and
// cleanups hold goes with later collections.
func heapInUse() float64 {
	var m runtime.MemStats
	last := uint64(math.MaxUint64)
	for range 20 {
		runtime.GC()
		runtime.ReadMemStats(&m)
		if m.HeapAlloc+m.HeapAlloc/1000 >= last {
			break
		}
		last = m.HeapAlloc
		time.Sleep(10 * time.Millisecond)
	}
	return float64(m.HeapAlloc)
}

// pingCost returns the CPU time of a ping and its pong, by heartbeats or by a loop.
func pingCost(ctx context.Context, count int, interval time.Duration, heartbeats bool) (nanoseconds float64, err error) {
	var c *crowd
	var pongs func() uint64
	if heartbeats {
		c, err = newCrowd(count, &apmws.EndpointOptions{Heartbeat: apmws.Heartbeat{Interval: interval, Timeout: time.Hour}})
		pongs = func() uint64 { return c.agent.Stats().Routes[0].PingRTT.Count }
	} else {
		c, err = newCrowd(count, nil)
	}
	if err != nil {
		return 0, err
	}
	defer c.hangUp()
	if !heartbeats {
		var stop func()
		pongs, stop = c.pingByHand(interval)
		defer stop()
	}
	late := 3*interval + loadTimeout
	if err := await(ctx, pongs, uint64(count), late); err != nil { // what is made once is made before
		return 0, err
	}
	first := pongs()
	start, startErr := cpuTime()
	if err := await(ctx, pongs, first+uint64(count), late); err != nil {
		return 0, err
	}
	end, endErr := cpuTime()
	return float64((end - start).Nanoseconds()) / float64(pongs()-first), errors.Join(startErr, endErr)
}

// pingByHand reads the plain connections, a goroutine each, and pings them from one,
// evenly.
func (c *crowd) pingByHand(interval time.Duration) (pongs func() uint64, stop func()) {
	var answered atomic.Uint64
	for _, conn := range c.plain {
		conn.SetPongHandler(func(string) error {
			answered.Add(1)
			return nil
		})
		go pooledLoop(context.Background(), conn) // until hangUp
	}
	stopped := make(chan struct{})
	go func() {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		start, sent := time.Now(), 0
		for {
			select {
			case <-stopped:
				return
			case <-tick.C:
			}
			for due := int(time.Since(start) * time.Duration(len(c.plain)) / interval); sent < due; sent++ {
				// Whoever takes everything takes this.
				_ = c.plain[sent%len(c.plain)].WriteControl(websocket.PingMessage, []byte("12345678"), time.Time{})
			}
		}
	}()
	return answered.Load, func() { close(stopped) }
}

// await waits until there are so many.
func await(ctx context.Context, pongs func() uint64, many uint64, late time.Duration) error {
	const look = 50 * time.Millisecond
	for deadline := time.Now().Add(late); pongs() < many; time.Sleep(look) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if time.Now().After(deadline) {
			return errors.New("the pings are not answered")
		}
	}
	return nil
}
