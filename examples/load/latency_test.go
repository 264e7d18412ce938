package main

import (
	"testing"
	"time"
)

func TestPercentiles(t *testing.T) {
	var l latency
	if d := l.percentile(50); d != 0 {
		t.Errorf("the median of nothing is %s", d)
	}
	for ms := 1; ms <= 1000; ms++ {
		l.observe(time.Duration(ms) * time.Millisecond)
	}
	for p, want := range map[float64]time.Duration{0.1: time.Millisecond, 50: 500 * time.Millisecond, 99: 990 * time.Millisecond, 100: time.Second} {
		if got := l.percentile(p); got < want || got > want*106/100 {
			t.Errorf("p%v is %s, want %s to 5 %% more", p, got, want)
		}
	}
	l.observe(0)
	l.observe(time.Hour)
	if got := l.percentile(0); got > shortest {
		t.Errorf("the least is %s", got)
	}
	if got := l.max.Load(); got != int64(time.Hour) {
		t.Errorf("the most is %s", time.Duration(got))
	}
}
