package preview

import (
	"fmt"
	"math"

	"github.com/apmws/go-apmws/dashboards/internal/evaluate"
	"github.com/apmws/go-apmws/dashboards/internal/kibana"
)

// slice is a part of a pie.
type slice struct {
	name   string
	colour string
	value  float64
}

// pieSlices are the parts of a pie that are more than nothing, and their sum.
func (b *builder) pieSlices(p *evaluate.Panel, lens *kibana.Lens, pie *kibana.Pie) ([]slice, float64, error) {
	if len(pie.Layers) != 1 || len(pie.Layers[0].PrimaryGroups) != 1 || len(pie.Layers[0].Metrics) != 1 || len(pie.Layers[0].SecondaryGroups) > 0 {
		return nil, 0, fmt.Errorf("a pie of other than one layer, one group and one metric")
	}
	l := pie.Layers[0]
	table, layer, err := layerOf(p, lens, l.LayerID)
	if err != nil {
		return nil, 0, err
	}
	group := column(layer, l.PrimaryGroups[0])
	if group == nil {
		return nil, 0, fmt.Errorf("layer %s has no column %s", l.LayerID, l.PrimaryGroups[0])
	}
	f, err := formatOf(b.view(p.Panel, l.LayerID), group)
	if err != nil {
		return nil, 0, err
	}
	var slices []slice
	var names []string
	sum := 0.0
	for _, row := range table.Rows {
		if v, ok := row[l.Metrics[0]].(float64); ok && v > 0 {
			slices = append(slices, slice{name: f.value(row[l.PrimaryGroups[0]]), value: v})
			names = append(names, slices[len(slices)-1].name)
			sum += v
		}
	}
	for i, colour := range b.colours.pick(names) {
		slices[i].colour = colour
	}
	return slices, sum, nil
}

func (b *builder) pie(p *evaluate.Panel, lens *kibana.Lens, pie *kibana.Pie, w, h float64) (*chart, error) {
	if pie.Shape != "donut" && pie.Shape != "pie" {
		return nil, fmt.Errorf("a pie of shape %q", pie.Shape)
	}
	parts, sum, err := b.pieSlices(p, lens, pie)
	if err != nil || len(parts) == 0 {
		return nil, err
	}
	percent := format{id: "percent", decimals: pie.Layers[0].PercentDecimals}
	c := new(chart)
	if pie.Layers[0].LegendDisplay != "hide" {
		var items []legendItem
		for _, s := range parts {
			items = append(items, legendItem{Name: s.name, Colour: s.colour, Value: percent.number(s.value / sum)})
		}
		c.Legend, w, h = newLegend(items, pie.Layers[0].LegendPosition, w, h, max(w*0.34, w-min(h, w*0.55)-12))
	}
	d := newDrawing(w, h)
	c.drawing = d
	outer := min(w, h)/2 - 4
	inner := 0.0
	if pie.Shape == "donut" {
		inner = outer * max(pie.Layers[0].EmptySizeRatio, 0.3)
	}
	centre := point{w / 2, h / 2}
	from := 0.0
	for _, s := range parts {
		to := from + s.value/sum
		text := percent.number(s.value / sum)
		d.add(shape{D: ring(centre, inner, outer, from, to), Fill: s.colour, Stroke: "#ffffff", Width: "1.5", Name: s.name + ": " + text})
		// A label where the ring is long enough for it.
		radius := (inner + outer) / 2
		wide := textWidth(text, labelSize) + 6
		if (to-from)*2*math.Pi*radius > wide && outer-inner > wide {
			at := around(centre, radius, (from+to)/2)
			class := "onlight"
			if textOn(s.colour) == lightText {
				class = "ondark"
			}
			d.text(at.x, at.y+4, "middle", class, text)
		}
		from = to
	}
	return c, nil
}

// around is a point of a circle; turn is from 0 at the top, clockwise, to 1.
func around(centre point, radius, turn float64) point {
	return point{centre.x + radius*math.Sin(turn*2*math.Pi), centre.y - radius*math.Cos(turn*2*math.Pi)}
}

// ring is the path of a part of a ring.
func ring(centre point, inner, outer, from, to float64) string {
	// An arc to where it begins is none: the whole is drawn as all but nothing of it.
	to = min(to, from+0.99999)
	large := "0"
	if to-from > 0.5 {
		large = "1"
	}
	arc := func(radius float64, sweep string, end point) string {
		return "A" + px(radius) + " " + px(radius) + " 0 " + large + " " + sweep + " " + px(end.x) + " " + px(end.y)
	}
	a, b := around(centre, outer, from), around(centre, outer, to)
	if inner == 0 {
		return path([]point{centre, a}) + arc(outer, "1", b) + "z"
	}
	c, e := around(centre, inner, to), around(centre, inner, from)
	return path([]point{a}) + arc(outer, "1", b) + "L" + px(c.x) + " " + px(c.y) + arc(inner, "0", e) + "z"
}
