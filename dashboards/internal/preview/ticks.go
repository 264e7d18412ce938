package preview

import "math"

// ticks returns where an axis from lo to hi has its labels, at most about most of
// them, and its ends: whole steps that enclose both. Steps are such as the format
// writes plainly, and no two labels are alike.
func ticks(lo, hi float64, most int, f format) []float64 {
	if hi <= lo {
		hi = lo + 1
		if f.id == "percent" {
			hi = lo + 0.01
		}
	}
	if most < 1 {
		most = 1
	}
	perUnit := 1.0 // of the axis in the steps' unit
	if f.id == "duration" {
		perUnit = f.seconds()
	}
	least := (hi - lo) * perUnit / float64(most)
	step := nextStep(least, hi*perUnit, f)
	for range 12 {
		at := positions(lo*perUnit, hi*perUnit, step)
		for i := range at {
			at[i] /= perUnit
		}
		if distinct(at, f.tick()) {
			return at
		}
		step = nextStep(step*1.01, hi*perUnit, f)
	}
	return []float64{lo, hi}
}

func positions(lo, hi, step float64) []float64 {
	var at []float64
	first, last := math.Floor(lo/step+1e-9), math.Ceil(hi/step-1e-9)
	for i := first; i <= last; i++ {
		at = append(at, i*step)
	}
	return at
}

func distinct(at []float64, f format) bool {
	seen := map[string]bool{}
	for _, v := range at {
		text := f.number(v)
		if seen[text] {
			return false
		}
		seen[text] = true
	}
	return true
}

// clockSteps are steps of times of a second and more, with the longest axis for which
// labels with one decimal write them.
var clockSteps = []struct{ step, longest float64 }{
	{0.1, 60},
	{0.2, 60},
	{0.5, 60},
	{1, 60},
	{2, 60},
	{5, 60},
	{10, 60},
	{15, 60},
	{30, 3600},
	{60, 3600},
	{120, 3600},
	{300, 3600},
	{600, 3600},
	{900, 3600},
	{1800, day},
	{3600, day},
	{7200, day},
	{3 * 3600, day},
	{6 * 3600, day},
	{day / 2, 7 * day},
	{day, 7 * day},
	{2 * day, 7 * day},
	{7 * day, 30 * day},
	{14 * day, 1e9},
	{30 * day, 1e12},
}

// nextStep returns the smallest good step that is not below least.
func nextStep(least, hi float64, f format) float64 {
	switch f.id {
	case "duration":
		if hi <= 1 || f.to != "humanizePrecise" {
			return decimalStep(least)
		}
		for _, s := range clockSteps {
			if s.step >= least && hi <= s.longest {
				return s.step
			}
		}
	case "bytes":
		scale := 1.0
		for scale*1024 <= hi {
			scale *= 1024
		}
		return math.Max(decimalStep(least/scale), 0.1) * scale
	case "number":
		if f.decimals == 0 {
			return math.Max(decimalStep(least), 1)
		}
	}
	return decimalStep(least)
}

// decimalStep returns the smallest of 1, 2 or 5 times a power of ten not below least.
func decimalStep(least float64) float64 {
	if least <= 0 {
		return 1
	}
	power := math.Pow(10, math.Floor(math.Log10(least)))
	for _, factor := range []float64{1, 2, 5, 10} {
		if factor*power >= least*(1-1e-9) {
			return factor * power
		}
	}
	return 10 * power
}
