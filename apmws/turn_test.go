package apmws

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"
)

// TestTurn: one at a time has it, those who wait get it in their order, and those
// who give up do not get it.
func TestTurn(t *testing.T) {
	var turn turn
	if !turn.try() || turn.try() {
		t.Fatal("it is not taken once")
	}
	awaited := func(n int32) {
		t.Helper()
		eventually(t, "those who wait", func() bool { return turn.count.Load() == n })
	}
	results := make(chan int, 3)
	wait := func(n int, ctx context.Context, timeout time.Duration, want error) {
		go func() {
			if waited, err := turn.take(ctx, timeout); !waited || !errors.Is(err, want) {
				t.Errorf("%d: waited %v, %v; want %v", n, waited, err, want)
			}
			results <- n
		}()
	}
	wait(1, t.Context(), 0, nil)
	awaited(2)
	ctx, cancel := context.WithCancel(t.Context())
	wait(2, ctx, time.Hour, context.Canceled)
	awaited(3)
	wait(3, t.Context(), 0, nil)
	awaited(4)
	cancel()
	if n := receive(t, results); n != 2 {
		t.Errorf("%d has come instead of the one who gives up", n)
	}
	wait(4, t.Context(), time.Millisecond, context.DeadlineExceeded)
	if n := receive(t, results); n != 4 {
		t.Errorf("%d has come instead of the one who has no patience", n)
	}
	for _, want := range []int{1, 3} {
		turn.give()
		if n := receive(t, results); n != want {
			t.Errorf("%d has got it, want %d", n, want)
		}
	}
	turn.give()
	if waited, err := turn.take(t.Context(), 0); waited || err != nil {
		t.Errorf("a free one is waited for: %v", err)
	}
}

// TestTurnTogether: whoever gives up at whatever moment, it is neither lost nor
// given to two.
func TestTurnTogether(t *testing.T) {
	var turn turn
	had, taken := 0, 0 // guarded by the turn
	var group sync.WaitGroup
	for g := range 8 {
		group.Go(func() {
			for i := range 2000 {
				ctx, cancel := context.WithCancel(t.Context())
				if i%2 == 0 {
					go cancel()
				}
				if _, err := turn.take(ctx, time.Duration(g*i%7)*time.Microsecond); err == nil {
					if had++; had != 1 {
						t.Errorf("%d have the turn", had)
					}
					taken++
					had--
					turn.give()
				}
				cancel()
			}
		})
	}
	group.Wait()
	if !turn.try() || taken == 0 {
		t.Errorf("the turn is lost; it was taken %d times", taken)
	}
}
