package main

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"
)

// Each wait is below a bound that doubles and then stays; they differ, so that
// clients do not come back together; and a success starts it all over.
func TestBackoff(t *testing.T) {
	const least, most = time.Second, 10 * time.Second
	longest := make([]time.Duration, 6)
	different := map[time.Duration]bool{}
	for seed := range uint64(500) {
		b := backoff{least: least, most: most}
		rng := rand.New(rand.NewPCG(seed, 0))
		for n := range longest {
			d := b.next(rng)
			longest[n] = max(longest[n], d)
			different[d] = true
		}
		b.reset()
		if d := b.next(rng); d > least {
			t.Fatalf("after a success it waits %s", d)
		}
	}
	for n, seconds := range []int{1, 2, 4, 8, 10, 10} {
		bound := time.Duration(seconds) * time.Second
		if longest[n] > bound || longest[n] < bound*9/10 {
			t.Errorf("the longest wait after failure %d is %s, want nearly %s", n+1, longest[n], bound)
		}
	}
	if len(different) < 1000 {
		t.Errorf("only %d different waits", len(different))
	}
	b := backoff{least: least, most: most, failures: 1000}
	if d := b.next(rand.New(rand.NewPCG(1, 1))); d < 0 || d > most {
		t.Errorf("after a thousand failures it waits %s", d)
	}
}

func TestSleepEndsWithContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if sleep(ctx, time.Hour) {
		t.Error("it slept for an hour")
	}
	if !sleep(t.Context(), 0) {
		t.Error("it did not sleep")
	}
}
