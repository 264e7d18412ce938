package preview

import (
	"fmt"
	"math"
	"regexp"
	"strconv"

	"github.com/apmws/go-apmws/dashboards/internal/kibana"
)

// categorical are colours that people with any colour vision tell apart side by side,
// all at least 3:1 against white where they are lines. Own choice.
var categorical = []string{
	"#2f6fd0", "#0b8f83", "#c7427e", "#a06a00", "#7a55c7", "#3f8f2e", "#d0552c", "#1587b0", "#8a5a44", "#5b6b8c",
}

const (
	otherColour = "#98a2b3" // of what has no name of its own
	sparkColour = "#2f6fd0"
	darkText    = "#1c2430"
	lightText   = "#ffffff"
)

var hexColour = regexp.MustCompile(`^#[0-9a-fA-F]{6}$`)

// checkColour refuses colours that are none; nothing is none.
func checkColour(c string) error {
	if c != "" && !hexColour.MatchString(c) {
		return fmt.Errorf("colour %q", c)
	}
	return nil
}

// colours gives every name one colour on a whole page, as a dashboard does that
// synchronizes colours. Names are collected from all charts first, so that those that
// meet in any chart differ, as long as there are colours enough.
type colours struct {
	names []string                   // in the order in which they are met
	meets map[string]map[string]bool // the names of the same charts
	of    map[string]string          // nil while names are collected
}

func newColours() *colours { return &colours{meets: map[string]map[string]bool{}} }

// pick returns the colours of the names of one chart, in their order.
func (c *colours) pick(names []string) []string {
	picked := make([]string, len(names))
	for i, name := range names {
		if c.of == nil {
			c.collect(name, names)
		}
		picked[i] = c.of[name]
		if name == "Other" {
			picked[i] = otherColour
		}
	}
	return picked
}

func (c *colours) collect(name string, names []string) {
	if c.meets[name] == nil {
		c.names = append(c.names, name)
		c.meets[name] = map[string]bool{}
	}
	for _, other := range names {
		c.meets[name][other] = true
	}
}

// assign ends the collection: each name gets the colour that the names it meets have
// least, the first of several.
func (c *colours) assign() {
	c.of = map[string]string{}
	for _, name := range c.names {
		used := map[string]int{}
		for other := range c.meets[name] {
			used[c.of[other]]++
		}
		best := categorical[0]
		for _, candidate := range categorical {
			if used[candidate] < used[best] {
				best = candidate
			}
		}
		c.of[name] = best
	}
}

// byValue returns a palette's colour of a value, or nothing where it has none.
func byValue(p *kibana.Palette, v any) (string, error) {
	value, ok := v.(float64)
	if p == nil || p.Params == nil || !ok {
		return "", nil
	}
	if p.Params.RangeType != "number" {
		return "", fmt.Errorf("palette by %q", p.Params.RangeType)
	}
	stops := p.Params.ColorStops
	if len(stops) == 0 {
		return "", nil
	}
	below := p.Params.Continuity == "below" || p.Params.Continuity == "all"
	above := p.Params.Continuity == "above" || p.Params.Continuity == "all"
	switch {
	case value < stops[0].Stop && !below:
		return "", nil
	case p.Params.RangeMax != nil && value > *p.Params.RangeMax && !above:
		return "", nil
	}
	colour := stops[0].Color
	for _, s := range stops {
		if value >= s.Stop {
			colour = s.Color
		}
	}
	return colour, checkColour(colour)
}

// textOn returns the colour of text that is legible on a colour.
func textOn(background string) string {
	if background == "" {
		return darkText
	}
	if contrast(background, lightText) >= contrast(background, darkText) {
		return lightText
	}
	return darkText
}

// contrast is that of WCAG 2: from 1 to 21.
func contrast(a, b string) float64 {
	x, y := luminance(a), luminance(b)
	return (math.Max(x, y) + 0.05) / (math.Min(x, y) + 0.05)
}

func luminance(colour string) float64 {
	total := 0.0
	for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
		part, err := strconv.ParseUint(colour[1+2*i:3+2*i], 16, 8)
		if err != nil {
			return 0
		}
		c := float64(part) / 255
		if c <= 0.04045 {
			c /= 12.92
		} else {
			c = math.Pow((c+0.055)/1.055, 2.4)
		}
		total += weight * c
	}
	return total
}
