package main

import (
	"fmt"
	"math"
	"slices"
	"strconv"
)

// samples are one figure, measured several times.
type samples []float64

// quartiles returns the median and the quartiles around it.
func (s samples) quartiles() (low, median, high float64) {
	sorted := slices.Sorted(slices.Values(s))
	return quantile(sorted, 0.25), quantile(sorted, 0.5), quantile(sorted, 0.75)
}

// quantile interpolates between the values next to it.
func quantile(sorted samples, q float64) float64 {
	at := q * float64(len(sorted)-1)
	i := int(at)
	if i+1 >= len(sorted) {
		return sorted[len(sorted)-1]
	}
	return sorted[i] + (at-float64(i))*(sorted[i+1]-sorted[i])
}

// combine makes samples of those of the same rounds.
func combine(a, b samples, f func(a, b float64) float64) samples {
	var s samples
	for i := range min(len(a), len(b)) {
		s = append(s, f(a[i], b[i]))
	}
	return s
}

func ratio(a, b float64) float64      { return a / b }
func difference(a, b float64) float64 { return a - b }

// limit is what a figure should keep to.
type limit struct {
	text string
	keep func(v float64) bool // nil: the figure is there to compare with
}

var noLimit = limit{}

func atLeast(v float64) limit {
	return limit{"≥ " + format(v, unitless), func(got float64) bool { return got >= v }}
}

func atMost(v float64, unit string) limit {
	return limit{"≤ " + format(v, unit), func(got float64) bool { return got <= v }}
}

// figure is one line of a table.
type figure struct {
	What  string
	Value float64 // the median
	Unit  string  // empty for a ratio
	// Low and High are the quartiles, equal to Value for what was measured once.
	Low, High float64
	Limit     limit
	// Signed says that the value may be zero or less: a difference, or a count of
	// what should not happen.
	Signed bool
}

// Units of figures.
const (
	unitless    = ""
	nanoseconds = "ns"
	perSecond   = "/s"
	bytesEach   = "B"
	counted     = "counted"
	allocations = "allocs"
)

func median(what string, s samples, unit string, l limit) figure {
	low, value, high := s.quartiles()
	return figure{What: what, Value: value, Low: low, High: high, Unit: unit, Limit: l}
}

func single(what string, v float64, unit string, l limit) figure {
	return figure{What: what, Value: v, Low: v, High: v, Unit: unit, Limit: l}
}

// signed marks a figure that may be zero or less.
func signed(f figure) figure {
	f.Signed = true
	return f
}

// verdict says whether the limit was kept.
func (f figure) verdict() string {
	switch {
	case f.Limit.keep == nil:
		return ""
	case f.Limit.keep(f.Value):
		return "met"
	default:
		return "MISSED"
	}
}

// format writes a value with the digits that it is worth.
func format(v float64, unit string) string {
	switch unit {
	case unitless:
		return strconv.FormatFloat(v, 'f', 2, 64)
	case allocations:
		return fmt.Sprintf("%.1f", v)
	case nanoseconds:
		switch abs := math.Abs(v); {
		case abs >= 1e6:
			return fmt.Sprintf("%.1f ms", v/1e6)
		case abs >= 1e4:
			return fmt.Sprintf("%.1f µs", v/1e3)
		default:
			return fmt.Sprintf("%.0f ns", v)
		}
	case counted:
		return strconv.FormatInt(int64(v), 10)
	default:
		return strconv.FormatInt(int64(v), 10) + " " + unit
	}
}
