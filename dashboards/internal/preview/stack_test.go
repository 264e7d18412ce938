package preview

import (
	"fmt"
	"math"
	"testing"

	"github.com/apmws/go-apmws/dashboards/internal/kibana"
)

var gap = math.NaN()

func TestStack(t *testing.T) {
	of := func(kind string, values ...float64) *series {
		return &series{kind: kind, stacked: true, values: values}
	}
	bars := []*series{of(kindBar, 1, 2, gap), of(kindBar, 10, gap, 30), of(kindBar, 100, -5, 300), of(kindBar, 1, -1, 1)}
	area := of(kindArea, 7, 7, 7)
	alone := &series{kind: kindLine, values: []float64{5, 6, 7}}
	other := of(kindBar, 4, 4, 4)
	other.right = true
	stack(append(append([]*series{}, bars...), area, alone, other))
	for i, want := range []string{"[0 0 0]", "[1 2 0]", "[11 0 30]", "[111 -5 330]"} {
		if got := fmt.Sprint(bars[i].base); got != want {
			t.Errorf("series %d stands on %s, want %s", i, got, want)
		}
	}
	if top := bars[3].top(0); top != 112 {
		t.Errorf("the stack ends at %v, want the sum 112", top)
	}
	if top := bars[3].top(1); top != -6 {
		t.Errorf("the stack below zero ends at %v, want -6", top)
	}
	for _, s := range []*series{area, alone, other} {
		if got := fmt.Sprint(s.base); got != "[0 0 0]" {
			t.Errorf("a series of kind %s, right %v, stands on %s", s.kind, s.right, got)
		}
	}
}

func TestStackOfParts(t *testing.T) {
	var all []*series
	for _, v := range []float64{1, 3} {
		all = append(all, &series{kind: kindBar, stacked: true, parts: true, values: []float64{v, 0, gap}})
	}
	stack(all)
	if all[0].top(0) != 0.25 || all[1].top(0) != 1 || all[1].top(1) != 0 {
		t.Errorf("parts end at %v, %v and %v", all[0].top(0), all[1].top(0), all[1].top(1))
	}
	if got := all[0].format.tick().number(all[0].values[0]); got != "25%" {
		t.Errorf("a part is written as %s", got)
	}
}

func TestFit(t *testing.T) {
	for function, want := range map[string]string{
		"None": "[NaN 1 NaN NaN 4 NaN]", "": "[NaN 1 NaN NaN 4 NaN]", "Zero": "[0 1 0 0 4 0]", "Carry": "[NaN 1 1 1 4 4]",
		"Lookahead": "[1 1 4 4 4 NaN]", "Linear": "[NaN 1 2 3 4 NaN]",
	} {
		s := &series{values: []float64{gap, 1, gap, gap, 4, gap}}
		if err := fit(s, function); err != nil {
			t.Errorf("%s: %v", function, err)
		}
		if got := fmt.Sprint(s.values); got != want {
			t.Errorf("%s gives %s, want %s", function, got, want)
		}
	}
	if fit(&series{}, "Guess") == nil {
		t.Error("a function that is not known is no error")
	}
	s := &series{values: []float64{gap, 1, gap, gap, 4, 5, gap}}
	if got := fmt.Sprint(s.runs()); got != "[[1] [4 5]]" {
		t.Errorf("the runs between gaps are %s", got)
	}
}

func TestColoursByName(t *testing.T) {
	c := newColours()
	charts := [][]string{{"a", "b"}, {"c", "Other"}, {"a", "c"}}
	for _, names := range charts {
		c.pick(names)
	}
	c.assign()
	first, second, third := c.pick(charts[0]), c.pick(charts[1]), c.pick(charts[2])
	if first[0] != third[0] || second[0] != third[1] {
		t.Errorf("the same names have different colours: %v, %v, %v", first, second, third)
	}
	if first[0] == first[1] || third[0] == third[1] {
		t.Errorf("different names of a chart have the same colour: %v, %v", first, third)
	}
	if second[1] != otherColour {
		t.Errorf("the rest is %s", second[1])
	}
	for _, colour := range categorical {
		if got := contrast(colour, "#ffffff"); got < 3 {
			t.Errorf("%s has a contrast of %.1f with white", colour, got)
		}
	}
}

func TestColoursByValue(t *testing.T) {
	p := limits(kibana.ColorStop{Color: "#209280", Stop: 0}, kibana.ColorStop{Color: "#d6bf57", Stop: 0.01}, kibana.ColorStop{Color: "#cc5642", Stop: 0.05})
	for value, want := range map[float64]string{-1: "", 0: "#209280", 0.009: "#209280", 0.01: "#d6bf57", 0.05: "#cc5642", 9: "#cc5642"} {
		if got, err := byValue(p, value); err != nil || got != want {
			t.Errorf("%v is %q, %v, want %q", value, got, err, want)
		}
	}
	end := 1.0
	p.Params.RangeMax, p.Params.Continuity = &end, "below"
	for value, want := range map[float64]string{-1: "#209280", 1: "#cc5642", 1.5: ""} {
		if got, err := byValue(p, value); err != nil || got != want {
			t.Errorf("within a range, %v is %q, %v, want %q", value, got, err, want)
		}
	}
	if got, err := byValue(p, nil); got != "" || err != nil {
		t.Errorf("nothing has the colour %q, %v", got, err)
	}
	p.Params.RangeType = "percent"
	if _, err := byValue(p, 1.0); err == nil {
		t.Error("a palette by percent is no error")
	}
	if textOn("#1f4f8f") != lightText || textOn("#F1E4A7") != darkText || textOn("") != darkText {
		t.Error("text is not legible on its background")
	}
}
