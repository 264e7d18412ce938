package preview

import (
	"fmt"
	"math"
	"strings"

	"github.com/apmws/go-apmws/dashboards/internal/evaluate"
	"github.com/apmws/go-apmws/dashboards/internal/kibana"
)

// metric is a tile.
type metric struct {
	Label      string
	Subtitle   string
	Value      string
	Unit       string
	Size       string // of the value, in pixels
	Second     string
	SecondName string
	Background string
	Text       string
	Spark      *drawing
}

// metricValue is the number of a tile, or nil.
func metricValue(p *evaluate.Panel, m *kibana.Metric) any {
	table := p.Tables[m.LayerID]
	if table == nil || len(table.Rows) == 0 {
		return nil
	}
	return table.Rows[0][m.MetricAccessor]
}

// metric draws a tile of a size; where there is no number, its label alone.
func (b *builder) metric(p *evaluate.Panel, lens *kibana.Lens, m *kibana.Metric, w, h float64) (*metric, error) {
	table, layer, err := layerOf(p, lens, m.LayerID)
	if err != nil {
		return nil, err
	}
	if m.BreakdownAccessor != "" && m.CollapseFn == "" {
		return nil, fmt.Errorf("a tile that is broken down")
	}
	c := column(layer, m.MetricAccessor)
	if c == nil {
		return nil, fmt.Errorf("layer %s has no column %s", m.LayerID, m.MetricAccessor)
	}
	f, err := formatOf(b.view(p.Panel, m.LayerID), c)
	if err != nil {
		return nil, err
	}
	value := metricValue(p, m)
	if value == nil {
		return &metric{Label: c.Label, Text: darkText}, nil
	}
	out := &metric{Label: c.Label, Subtitle: m.Subtitle, Background: m.Color}
	out.Value, out.Unit = splitUnit(f.value(value))
	if m.Palette != nil {
		if out.Background, err = byValue(m.Palette, value); err != nil {
			return nil, err
		}
	}
	if err := checkColour(out.Background); err != nil {
		return nil, err
	}
	out.Text = textOn(out.Background)
	if m.SecondaryAccessor != "" {
		second := column(layer, m.SecondaryAccessor)
		if second == nil {
			return nil, fmt.Errorf("layer %s has no column %s", m.LayerID, m.SecondaryAccessor)
		}
		f, err := formatOf(b.view(p.Panel, m.LayerID), second)
		if err != nil {
			return nil, err
		}
		out.SecondName, out.Second = second.Label, f.value(table.Rows[0][m.SecondaryAccessor])
	}
	size := min(40, h*0.36)
	for size > 16 && textWidth(out.Value, size)+textWidth(out.Unit, size*0.55) > w {
		size--
	}
	out.Size = px(size)
	return out, nil
}

// splitUnit parts a number from a unit that follows it after a space or a slash.
func splitUnit(text string) (value, rest string) {
	if text == "" || !strings.ContainsAny(text[:1], "0123456789-") {
		return text, ""
	}
	if i := strings.IndexAny(text, " /"); i > 0 {
		return text[:i], strings.TrimSpace(text[i:])
	}
	return text, ""
}

// spark draws the course of a tile's number over its whole width.
func (b *builder) spark(p *evaluate.Panel, m *kibana.Metric, background string, w, h float64) (*drawing, error) {
	if m.TrendLayerID == "" {
		return nil, nil
	}
	table := p.Tables[m.TrendLayerID]
	if table == nil {
		return nil, fmt.Errorf("layer %s has not been evaluated", m.TrendLayerID)
	}
	s := &series{}
	top := 0.0
	for _, row := range table.Rows {
		v, ok := row[m.TrendMetric].(float64)
		if !ok {
			v = math.NaN()
		}
		s.values = append(s.values, v)
		if ok {
			top = max(top, v)
		}
	}
	d := newDrawing(w, h)
	colour := sparkColour
	if background != "" {
		colour = textOn(background)
	}
	if top == 0 {
		top = 1
	}
	last := float64(max(len(s.values)-1, 1))
	for _, run := range s.runs() {
		var points []point
		for _, i := range run {
			points = append(points, point{float64(i) / last * w, h - max(s.values[i], 0)/top*(h-4)})
		}
		if len(points) == 1 {
			points = append(points, point{points[0].x + 1.5, points[0].y})
		}
		area := append([]point{{points[0].x, h}}, points...)
		area = append(area, point{points[len(points)-1].x, h})
		d.add(shape{D: path(area) + "z", Fill: colour, Opacity: "0.12"})
		d.add(shape{D: path(points), Fill: "none", Stroke: colour, Width: "1.5", Opacity: "0.55"})
	}
	return d, nil
}
