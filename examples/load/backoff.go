package main

import (
	"context"
	"math/rand/v2"
	"time"
)

// backoff says how long to wait before the next attempt: at random between 0
// and a bound that doubles with each failure, so that clients which all lost the
// same server do not all come back at the same moment. It is not safe for
// concurrent use.
type backoff struct {
	least, most time.Duration // of the bound
	failures    int
}

// next returns the wait after one more failure.
func (b *backoff) next(rng *rand.Rand) time.Duration {
	bound := b.most
	if b.failures < 32 && b.least<<b.failures < b.most {
		bound = b.least << b.failures
	}
	b.failures++
	return time.Duration(rng.Int64N(int64(bound) + 1))
}

// reset forgets the failures.
func (b *backoff) reset() { b.failures = 0 }

// sleep waits, and reports false when ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
