package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestMedian(t *testing.T) {
	for _, test := range []struct {
		samples           samples
		low, median, high float64
	}{
		{samples{4}, 4, 4, 4},
		{samples{3, 1}, 1.5, 2, 2.5},
		{samples{5, 1, 3, 2, 4}, 2, 3, 4},
	} {
		f := median("", test.samples, unitless, noLimit)
		if f.Low != test.low || f.Value != test.median || f.High != test.high {
			t.Errorf("%v: %v, %v, %v", test.samples, f.Low, f.Value, f.High)
		}
	}
	if got := combine(samples{6, 8}, samples{2, 4, 5}, ratio); len(got) != 2 || got[0] != 3 || got[1] != 2 {
		t.Errorf("ratios are %v", got)
	}
}

func TestVerdict(t *testing.T) {
	for _, test := range []struct {
		value float64
		limit limit
		want  string
	}{
		{1, noLimit, ""},
		{0.97, atLeast(0.97), "met"},
		{0.96, atLeast(0.97), "MISSED"},
		{512, atMost(512, bytesEach), "met"},
		{513, atMost(512, bytesEach), "MISSED"},
	} {
		if got := single("", test.value, unitless, test.limit).verdict(); got != test.want {
			t.Errorf("%v %s is %q, want %q", test.value, test.limit.text, got, test.want)
		}
	}
}

func TestTable(t *testing.T) {
	tab := table{Title: "Budget 9: a test"}
	tab.add(
		median("speed", samples{0.5, 1, 1.5}, unitless, atLeast(0.97)),
		single("size", 600, bytesEach, atMost(512, bytesEach)),
		single("time", 12_345, nanoseconds, noLimit),
	)
	tab.note("%d rounds", 3)
	var out bytes.Buffer
	if err := tab.print(&out); err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(out.String()) {
		lines = append(lines, strings.Join(strings.Fields(line), " "))
	}
	want := []string{
		"Budget 9: a test",
		"what limit measured quartiles",
		"speed ≥ 0.97 1.00 0.75 – 1.25 met",
		"size ≤ 512 B 600 B MISSED",
		"time 12.3 µs",
		"* 3 rounds",
		"",
	}
	if got := strings.Join(lines, "\n"); got != strings.Join(want, "\n") {
		t.Errorf("the table is\n%s", got)
	}
}
