package main

import (
	"context"
	"fmt"
	"runtime"
	"time"
)

// budget1 is the caller's time and allocations for a message.
func budget1(ctx context.Context, s settings) (*table, error) {
	m, err := startChild(ctx, childSpec{Role: memoryRole})
	if err != nil {
		return nil, err
	}
	defer m.stop()
	t := &table{Title: "Budget 1: the core's time and allocations for a message, over memory"}
	costs, err := compareLoops(m, []string{
		readMessage, pooled, pooledTapped, serveNothing, serveNop, serveUnsampled, serveUnnamed,
	}, s.rounds, s.loop, messageSize)
	if err != nil {
		return nil, err
	}
	more := func(what, of, than string, l limit) figure {
		return signed(median(what, combine(costs[of].nanoseconds, costs[than].nanoseconds, difference), nanoseconds, l))
	}
	allocs := func(what, of string, l limit) figure {
		return signed(median(what, combine(costs[of].allocs, costs[pooled].allocs, difference), allocations, l))
	}
	// Pools are emptied now and then, and what a connection allocates counts too.
	none := limit{"0", func(v float64) bool { return v <= 0.1 }}
	two := limit{"≤ 2", func(v float64) bool { return v <= 2.1 }}
	now, err := clockCost(s.loop)
	if err != nil {
		return nil, err
	}
	t.add(
		single("time.Now, to judge the machine by: 48 ns where the budgets were set", now, nanoseconds, noLimit),
		median("64 B, ReadMessage", costs[readMessage].nanoseconds, nanoseconds, noLimit),
		median("64 B, NextReader into a pooled buffer", costs[pooled].nanoseconds, nanoseconds, noLimit),
		more("the tap, beyond the pooled loop", pooledTapped, pooled, noLimit),
		more("Serve without exporter or logger, beyond the tapped loop", serveNothing, pooledTapped, atMost(10, nanoseconds)),
		more("Serve, sampled none, all counters, beyond the pooled loop", serveUnsampled, pooled, atMost(150, nanoseconds)),
		more("  the same with messages that are not named", serveUnnamed, pooled, noLimit),
		more("Serve, an exporter that does nothing, beyond the pooled loop", serveNop, pooled, noLimit),
		allocs("allocations, Serve without exporter", serveNothing, none),
		allocs("allocations, Serve, sampled none", serveUnsampled, none),
		allocs("allocations, Serve with an exporter", serveNop, two),
	)
	for _, size := range []struct {
		name  string
		bytes int
	}{{"1 KiB", 1 << 10}, {"64 KiB", 64 << 10}} {
		count := max(100, s.loop*messageSize/size.bytes*4)
		costs, err := compareLoops(m, []string{readMessage, serveNothing, serveUnsampled}, s.rounds, count, size.bytes)
		if err != nil {
			return nil, err
		}
		for _, of := range []struct{ variant, name string }{{serveNothing, "Serve"}, {serveUnsampled, "Serve, sampled none"}} {
			speed := combine(costs[readMessage].nanoseconds, costs[of.variant].nanoseconds, ratio)
			t.add(median(fmt.Sprintf("%s, speed of %s against ReadMessage", size.name, of.name), speed, unitless, atLeast(1)))
		}
	}
	return t, nil
}

// clockCost returns what a call of time.Now takes, in ns.
func clockCost(count int) (float64, error) {
	runtime.LockOSThread() // for callerTime
	defer runtime.UnlockOSThread()
	start, err := callerTime()
	if err != nil {
		return 0, err
	}
	for range count {
		_ = time.Now()
	}
	end, err := callerTime()
	return float64((end - start).Nanoseconds()) / float64(count), err
}
