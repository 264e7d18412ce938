package preview

import (
	"fmt"
	"math"
	"time"

	"github.com/apmws/go-apmws/dashboards/internal/evaluate"
	"github.com/apmws/go-apmws/dashboards/internal/kibana"
)

// Sizes of charts, in pixels.
const (
	labelSize   = 12.0
	gridColour  = "#edf0f4"
	axisColour  = "#c9d1db"
	lineWidth   = "2"
	xLabelsHigh = 22.0
)

// chart is a drawing with a legend.
type chart struct {
	*drawing
	Legend *legend
}

// scale maps values to pixels.
type scale struct {
	at     []float64 // of the labels; the ends are the axis'
	format format
	from   float64 // the pixel of the first
	to     float64 // and of the last
}

func (s *scale) px(v float64) float64 {
	lo, hi := s.at[0], s.at[len(s.at)-1]
	return s.from + (v-lo)/(hi-lo)*(s.to-s.from)
}

// frame is an XY chart that gets its size.
type frame struct {
	*plot
	*drawing
	settings    *kibana.XY
	left, right *scale // right is nil where no series is there
	x0, x1      float64
	y0, y1      float64 // top and bottom
	from, to    time.Time
}

func (b *builder) xy(p *evaluate.Panel, lens *kibana.Lens, xy *kibana.XY, w, h float64) (*chart, error) {
	if xy.LeftScale != "" && xy.LeftScale != "linear" {
		return nil, fmt.Errorf("axis with scale %q", xy.LeftScale)
	}
	out, err := b.newPlot(p, lens, xy)
	if err != nil || out.empty() {
		return nil, err
	}
	c := new(chart)
	if xy.Legend.IsVisible && (len(out.series) > 1 || xy.Legend.ShowSingleSeries) {
		var items []legendItem
		for _, s := range out.series {
			items = append(items, legendItem{Name: s.name, Colour: s.colour, Line: s.kind == kindLine, Dashed: s.dash != ""})
		}
		c.Legend, w, h = newLegend(items, xy.Legend.Position, w, h, min(w*0.34, 220))
	}
	f := &frame{plot: out, drawing: newDrawing(w, h), settings: xy, x1: w, y0: 8, y1: h}
	c.drawing = f.drawing
	f.span(b.options)
	if out.horizontal {
		f.drawHorizontal(w, h)
		return c, nil
	}
	f.layOut(w)
	f.drawAxes()
	f.drawAreas()
	f.drawBars()
	f.drawLines()
	f.drawRules()
	return c, nil
}

// span is the time that the axis covers: all that was asked for.
func (f *frame) span(o Options) {
	f.from, f.to = o.From, o.To
	if n := len(f.times); n > 0 {
		if f.from.IsZero() || f.times[0].Before(f.from) {
			f.from = f.times[0]
		}
		if last := f.times[n-1].Add(f.interval); f.to.IsZero() || last.After(f.to) {
			f.to = last
		}
	}
}

// layOut divides the drawing into axes and what is between.
func (f *frame) layOut(w float64) {
	if f.settings.TickLabels.X {
		f.y1 -= xLabelsHigh
	} else {
		f.y1 -= 6
	}
	if f.settings.AxisTitles.X && f.bottom != "" {
		f.y1 -= 18
	}
	f.left = f.scale(false, int((f.y1-f.y0)/40))
	f.right = f.scale(true, int((f.y1-f.y0)/40))
	for _, s := range []*scale{f.left, f.right} {
		if s != nil {
			s.from, s.to = f.y1, f.y0
		}
	}
	if f.settings.TickLabels.YLeft {
		f.x0 = f.left.widest() + 10
	}
	if f.settings.AxisTitles.YLeft && f.plot.left != "" {
		f.x0 += 22
	}
	f.x1 = w - 10
	if f.right != nil {
		f.x1 = w - f.right.widest() - 10
	}
}

// scale returns the axis of one side with at most about most steps, or nil where no
// series is on it. The left axis is always there.
func (f *frame) scale(right bool, most int) *scale {
	lo, hi := math.Inf(1), math.Inf(-1)
	var form *format
	for _, s := range f.series {
		if s.right != right {
			continue
		}
		if form == nil {
			form = &s.format
		}
		for i, v := range s.values {
			if !math.IsNaN(v) {
				lo, hi = min(lo, s.base[i], s.top(i)), max(hi, s.base[i], s.top(i))
				if f.settings.LeftExtent.Mode == "dataBounds" && !s.stacked && s.kind == kindLine {
					lo = min(lo, v)
				}
			}
		}
	}
	for _, r := range f.rules {
		if r.right == right {
			lo, hi = min(lo, r.value), max(hi, r.value)
		}
	}
	if form == nil {
		if right {
			return nil
		}
		form = &format{id: "number"}
	}
	if math.IsInf(lo, 1) {
		lo, hi = 0, 1
	}
	if f.settings.LeftExtent.Mode != "dataBounds" {
		lo, hi = min(lo, 0), max(hi, 0)
	}
	return &scale{at: ticks(lo, hi, min(max(most, 2), 6), *form), format: form.tick()}
}

// widest is the width of the longest label.
func (s *scale) widest() float64 {
	widest := 0.0
	for _, v := range s.at {
		widest = max(widest, textWidth(s.format.number(v), labelSize))
	}
	return widest
}

func (f *frame) side(right bool) *scale {
	if right {
		return f.right
	}
	return f.left
}

// x is the pixel of a place on the axis: of a time its beginning, of a category its
// middle.
func (f *frame) x(i int) float64 {
	if f.times != nil {
		return f.xTime(f.times[i])
	}
	return f.x0 + (float64(i)+0.5)*f.slot()
}

func (f *frame) xTime(at time.Time) float64 {
	return f.x0 + float64(at.Sub(f.from))/float64(f.to.Sub(f.from))*(f.x1-f.x0)
}

// slot is how wide a place on the axis is.
func (f *frame) slot() float64 {
	if f.times == nil {
		return (f.x1 - f.x0) / float64(len(f.categories))
	}
	interval := f.interval
	if interval == 0 {
		interval = f.to.Sub(f.from) / time.Duration(len(f.times)+1)
	}
	return float64(interval) / float64(f.to.Sub(f.from)) * (f.x1 - f.x0)
}

func (f *frame) drawAxes() {
	for i, v := range f.left.at {
		y := math.Round(f.left.px(v)) + 0.5
		if f.settings.Gridlines.YLeft && i > 0 {
			f.line(f.x0, y, f.x1, y, gridColour)
		}
		if f.settings.TickLabels.YLeft {
			f.text(f.x0-8, y+4, "end", "tick", f.left.format.number(v))
		}
		if f.right != nil && i < len(f.right.at) {
			f.text(f.x1+8, f.right.px(f.right.at[i])+4, "start", "tick", f.right.format.number(f.right.at[i]))
		}
	}
	if f.right != nil {
		for _, v := range f.right.at[min(len(f.left.at), len(f.right.at)):] {
			f.text(f.x1+8, f.right.px(v)+4, "start", "tick", f.right.format.number(v))
		}
	}
	if f.settings.AxisTitles.YLeft && f.plot.left != "" {
		f.turned(12, (f.y0+f.y1)/2, "axis", cut(f.plot.left, f.y1-f.y0))
	}
	f.drawBottom()
	f.line(f.x0, math.Round(f.y1)+0.5, f.x1, math.Round(f.y1)+0.5, axisColour)
}

func (f *frame) drawBottom() {
	y := f.y1 + 17
	if f.settings.TickLabels.X && f.times != nil {
		for _, t := range timeTicks(f.from, f.to, int((f.x1-f.x0)/72)+1) {
			x := math.Round(f.xTime(t.at)) + 0.5
			if f.settings.Gridlines.X {
				f.line(x, f.y0, x, f.y1, gridColour)
			}
			f.line(x, f.y1, x, f.y1+4, axisColour)
			// The label of an end stays inside the drawing.
			half := textWidth(t.text, labelSize) / 2
			f.text(min(x, f.x1+8-half), y, "middle", "tick", t.text)
		}
	}
	if f.settings.TickLabels.X && f.times == nil {
		for i, name := range f.categories {
			f.text(f.x(i), y, "middle", "tick", cut(name, f.slot()-6))
		}
	}
	if f.settings.AxisTitles.X && f.bottom != "" {
		if f.settings.TickLabels.X {
			y += 19
		}
		f.text((f.x0+f.x1)/2, y, "middle", "axis", cut(f.bottom, f.x1-f.x0))
	}
}

func (f *frame) drawRules() {
	for _, r := range f.rules {
		side := f.side(r.right)
		if side == nil {
			continue
		}
		y := math.Round(side.px(r.value)) + 0.5
		f.add(shape{D: path([]point{{f.x0, y}, {f.x1, y}}), Fill: "none", Stroke: r.colour, Width: lineWidth, Dash: r.dash})
		f.text(f.x1-4, y-5, "end", "tick", cut(r.name, f.x1-f.x0-8))
	}
}
