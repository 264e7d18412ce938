package preview

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/apmws/go-apmws/dashboards/internal/evaluate"
	"github.com/apmws/go-apmws/dashboards/internal/kibana"
)

// Kinds of series.
const (
	kindLine = "line"
	kindArea = "area"
	kindBar  = "bar"
)

// series are the values of one name along an axis.
type series struct {
	name    string
	colour  string
	kind    string
	stacked bool
	parts   bool // stacked to a whole of one
	right   bool // on the right axis
	dash    string
	format  format
	values  []float64 // by position on the axis; NaN where there is none
	base    []float64 // from where, when stacked
}

// rule is a line of reference across a chart.
type rule struct {
	name   string
	colour string
	dash   string
	value  float64
	right  bool
}

// plot is what an XY chart shows, before it has a size.
type plot struct {
	times      []time.Time // of a time axis; else nil
	categories []string    // of any other
	interval   time.Duration
	horizontal bool
	series     []*series
	rules      []rule
	left       string // the axis' title
	bottom     string
}

func (p *plot) length() int { return max(len(p.times), len(p.categories)) }

// seriesKinds are the kinds of layers that are drawn.
var seriesKinds = map[string]series{
	"line":                              {kind: kindLine},
	"area":                              {kind: kindArea},
	"area_stacked":                      {kind: kindArea, stacked: true},
	"area_percentage_stacked":           {kind: kindArea, stacked: true, parts: true},
	"bar":                               {kind: kindBar},
	"bar_stacked":                       {kind: kindBar, stacked: true},
	"bar_percentage_stacked":            {kind: kindBar, stacked: true, parts: true},
	"bar_horizontal":                    {kind: kindBar},
	"bar_horizontal_stacked":            {kind: kindBar, stacked: true},
	"bar_horizontal_percentage_stacked": {kind: kindBar, stacked: true, parts: true},
}

// newPlot reads the layers of an XY chart.
func (b *builder) newPlot(p *evaluate.Panel, lens *kibana.Lens, xy *kibana.XY) (*plot, error) {
	out := &plot{left: xy.LeftTitle}
	for _, l := range xy.Layers {
		if l.LayerType == "data" {
			if err := b.axis(out, p, lens, l); err != nil {
				return nil, err
			}
		}
	}
	slices.SortFunc(out.times, time.Time.Compare)
	for _, l := range xy.Layers {
		var err error
		switch l.LayerType {
		case "data":
			err = b.addSeries(out, p, lens, l)
		case "referenceLine":
			err = b.addRules(out, p, lens, l)
		default:
			err = fmt.Errorf("layer of type %q", l.LayerType)
		}
		if err != nil {
			return nil, err
		}
	}
	for _, s := range out.series {
		if err := fit(s, xy.FittingFunction); err != nil {
			return nil, err
		}
	}
	b.paint(out.series)
	stack(out.series)
	return out, nil
}

// axis adds a layer's positions to the axis.
func (b *builder) axis(out *plot, p *evaluate.Panel, lens *kibana.Lens, l kibana.XYLayer) error {
	table, layer, err := layerOf(p, lens, l.LayerID)
	if err != nil {
		return err
	}
	if strings.HasPrefix(l.SeriesType, "bar_horizontal") {
		out.horizontal = true
	}
	out.interval = max(out.interval, table.Interval)
	x := column(layer, l.XAccessor)
	if x != nil && out.bottom == "" {
		out.bottom = x.Label
	}
	for _, row := range table.Rows {
		at, isTime := row[l.XAccessor].(time.Time)
		if isTime {
			if !slices.ContainsFunc(out.times, at.Equal) {
				out.times = append(out.times, at)
			}
			continue
		}
		name, err := b.category(p, x, l, row)
		if err != nil {
			return err
		}
		if !slices.Contains(out.categories, name) {
			out.categories = append(out.categories, name)
		}
	}
	if out.times != nil && out.categories != nil {
		return fmt.Errorf("layers with times and layers without on one axis")
	}
	return nil
}

// category is the name of a row's place on an axis that is not of time. Without a
// column for the axis all rows are in one place.
func (b *builder) category(p *evaluate.Panel, x *kibana.Column, l kibana.XYLayer, row map[string]any) (string, error) {
	if x == nil {
		return "", nil
	}
	f, err := formatOf(b.view(p.Panel, l.LayerID), x)
	return f.value(row[l.XAccessor]), err
}

func (b *builder) addSeries(out *plot, p *evaluate.Panel, lens *kibana.Lens, l kibana.XYLayer) error {
	table, layer, err := layerOf(p, lens, l.LayerID)
	if err != nil {
		return err
	}
	kind, ok := seriesKinds[l.SeriesType]
	if !ok || (out.horizontal && !strings.HasPrefix(l.SeriesType, "bar_horizontal")) {
		return fmt.Errorf("series of type %q", l.SeriesType)
	}
	split := l.SplitAccessor
	if l.CollapseFn != "" {
		split = ""
	}
	byName := map[string]*series{}
	for _, accessor := range l.Accessors {
		c := column(layer, accessor)
		if c == nil {
			return fmt.Errorf("layer %s has no column %s", l.LayerID, accessor)
		}
		f, err := formatOf(b.view(p.Panel, l.LayerID), c)
		if err != nil {
			return err
		}
		if out.left == "" {
			out.left = c.Label
		}
		for _, row := range table.Rows {
			name := c.Label
			if split != "" {
				if name, err = b.splitName(p, layer, l, row, split); err != nil {
					return err
				}
				if len(l.Accessors) > 1 {
					name += " - " + c.Label
				}
			}
			s := byName[accessor+"\x00"+name]
			if s == nil {
				s = &series{name: name, kind: kind.kind, stacked: kind.stacked, parts: kind.parts, format: f}
				s.values = slices.Repeat([]float64{math.NaN()}, out.length())
				if err := s.style(l, accessor, split != ""); err != nil {
					return err
				}
				byName[accessor+"\x00"+name] = s
				out.series = append(out.series, s)
			}
			at, err := b.position(out, p, layer, l, row)
			if err != nil {
				return err
			}
			if v, ok := row[accessor].(float64); ok {
				s.values[at] = v
			}
		}
	}
	return nil
}

func (b *builder) splitName(p *evaluate.Panel, layer *kibana.Layer, l kibana.XYLayer, row map[string]any, split string) (string, error) {
	c := column(layer, split)
	if c == nil {
		return "", fmt.Errorf("layer %s has no column %s", l.LayerID, split)
	}
	f, err := formatOf(b.view(p.Panel, l.LayerID), c)
	return f.value(row[split]), err
}

// position is where on the axis a row is.
func (b *builder) position(out *plot, p *evaluate.Panel, layer *kibana.Layer, l kibana.XYLayer, row map[string]any) (int, error) {
	if at, ok := row[l.XAccessor].(time.Time); ok {
		return slices.IndexFunc(out.times, at.Equal), nil
	}
	name, err := b.category(p, column(layer, l.XAccessor), l, row)
	return slices.Index(out.categories, name), err
}

// style applies what the chart says of a column. Colours are those of columns, not of
// parts of them.
func (s *series) style(l kibana.XYLayer, accessor string, split bool) error {
	for _, y := range l.YConfig {
		if y.Accessor != accessor {
			continue
		}
		s.right = y.AxisMode == "right"
		s.dash = dashes(y.LineStyle)
		if !split {
			s.colour = y.Color
		}
		return checkColour(y.Color)
	}
	return nil
}

func dashes(style string) string {
	switch style {
	case "dashed":
		return "6 4"
	case "dotted":
		return "2 3"
	default:
		return ""
	}
}

func (b *builder) addRules(out *plot, p *evaluate.Panel, lens *kibana.Lens, l kibana.XYLayer) error {
	table, layer, err := layerOf(p, lens, l.LayerID)
	if err != nil {
		return err
	}
	for _, y := range l.YConfig {
		c := column(layer, y.Accessor)
		if c == nil {
			return fmt.Errorf("layer %s has no column %s", l.LayerID, y.Accessor)
		}
		if err := checkColour(y.Color); err != nil {
			return err
		}
		r := rule{name: c.Label, colour: y.Color, dash: dashes(y.LineStyle), right: y.AxisMode == "right"}
		if r.colour == "" {
			r.colour = otherColour
		}
		if len(table.Rows) == 0 {
			continue
		}
		if v, ok := table.Rows[0][y.Accessor].(float64); ok {
			r.value = v
			out.rules = append(out.rules, r)
		}
	}
	return nil
}

// paint colours the series that have no colour of their own.
func (b *builder) paint(all []*series) {
	var names []string
	for _, s := range all {
		if s.colour == "" {
			names = append(names, s.name)
		}
	}
	picked := b.colours.pick(names)
	for _, s := range all {
		if s.colour == "" {
			s.colour, picked = picked[0], picked[1:]
		}
	}
}
