package preview

import (
	"fmt"
	"math"
)

// fit fills the places where a series has no value, as the chart says.
func fit(s *series, function string) error {
	switch function {
	case "", "None":
		return nil
	case "Zero":
		for i, v := range s.values {
			if math.IsNaN(v) {
				s.values[i] = 0
			}
		}
	case "Carry":
		for i := 1; i < len(s.values); i++ {
			if math.IsNaN(s.values[i]) {
				s.values[i] = s.values[i-1]
			}
		}
	case "Lookahead":
		for i := len(s.values) - 2; i >= 0; i-- {
			if math.IsNaN(s.values[i]) {
				s.values[i] = s.values[i+1]
			}
		}
	case "Linear":
		last := -1
		for i, v := range s.values {
			if math.IsNaN(v) {
				continue
			}
			for j := last + 1; last >= 0 && j < i; j++ {
				s.values[j] = s.values[last] + (v-s.values[last])*float64(j-last)/float64(i-last)
			}
			last = i
		}
	default:
		return fmt.Errorf("fitting function %q", function)
	}
	return nil
}

// stack puts each stacked series on those before it of the same kind and axis,
// whatever layer they are of; what is below zero goes downwards. Parts become shares
// of the whole.
func stack(all []*series) {
	type key struct {
		kind         string
		right, parts bool
	}
	positive, negative, whole := map[key][]float64{}, map[key][]float64{}, map[key][]float64{}
	for _, s := range all {
		k := key{s.kind, s.right, s.parts}
		if !s.stacked || positive[k] != nil {
			continue
		}
		positive[k], negative[k] = make([]float64, len(s.values)), make([]float64, len(s.values))
		whole[k] = make([]float64, len(s.values))
	}
	for _, s := range all {
		if s.parts {
			s.format = format{id: "percent"}
			for i, v := range s.values {
				if !math.IsNaN(v) {
					whole[key{s.kind, s.right, s.parts}][i] += math.Abs(v)
				}
			}
		}
	}
	for _, s := range all {
		s.base = make([]float64, len(s.values))
		if !s.stacked {
			continue
		}
		k := key{s.kind, s.right, s.parts}
		for i, v := range s.values {
			if s.parts && whole[k][i] > 0 {
				v /= whole[k][i]
				s.values[i] = v
			}
			side := positive[k]
			if v < 0 {
				side = negative[k]
			}
			s.base[i] = side[i]
			if !math.IsNaN(v) {
				side[i] += v
			}
		}
	}
}

// top is where a series' value ends, on what it stands on.
func (s *series) top(i int) float64 { return s.base[i] + s.values[i] }

// empty tells whether there is nothing to draw.
func (p *plot) empty() bool {
	for _, s := range p.series {
		for _, v := range s.values {
			if !math.IsNaN(v) {
				return false
			}
		}
	}
	return true
}
