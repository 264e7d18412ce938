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
	for range 1001 {
		l.observe(time.Hour)
	}
	if got := l.percentile(51); got != time.Hour {
		t.Errorf("more than half of an hour each are %s", got)
	}
	l.observe(0)
	if got := l.percentile(0); got > shortest {
		t.Errorf("the least is %s", got)
	}
	if got := l.max.Load(); got != int64(time.Hour) {
		t.Errorf("the most is %s", time.Duration(got))
	}
}

func TestSurge(t *testing.T) {
	var s surge
	for _, at := range []int64{0, 100, 200, 1500, 1600, 1700, 1999, 2000} {
		s.add(time.UnixMilli(1000_000 + at))
	}
	if n := s.most(); n != 4 {
		t.Errorf("%d in a second, want 4", n)
	}
}
