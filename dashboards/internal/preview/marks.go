package preview

import (
	"fmt"
	"math"
	"slices"
)

// runs are the parts of a series between gaps, as positions on the axis.
func (s *series) runs() [][]int {
	var all [][]int
	open := false
	for i, v := range s.values {
		if math.IsNaN(v) {
			open = false
			continue
		}
		if !open {
			all = append(all, nil)
		}
		all[len(all)-1] = append(all[len(all)-1], i)
		open = true
	}
	return all
}

// middle moves points to the middle of their interval where bars stand there too.
func (f *frame) middle() float64 {
	if f.times != nil && slices.ContainsFunc(f.series, func(s *series) bool { return s.kind == kindBar }) {
		return f.slot() / 2
	}
	return 0
}

func (f *frame) drawAreas() {
	for _, s := range f.series {
		if s.kind != kindArea {
			continue
		}
		side := f.side(s.right)
		opacity := f.settings.FillOpacity
		if opacity == 0 {
			opacity = 0.3
		}
		for _, run := range s.runs() {
			var upper, lower []point
			for _, i := range run {
				x := f.x(i) + f.middle()
				upper = append(upper, point{x, side.px(s.top(i))})
				lower = append(lower, point{x, side.px(s.base[i])})
			}
			slices.Reverse(lower)
			f.add(shape{D: path(append(slices.Clone(upper), lower...)) + "z", Fill: s.colour, Opacity: px(opacity), Name: s.name})
			f.stroke(s, upper, "1.5")
		}
	}
}

func (f *frame) drawLines() {
	for _, s := range f.series {
		if s.kind != kindLine {
			continue
		}
		side := f.side(s.right)
		for _, run := range s.runs() {
			var points []point
			for _, i := range run {
				points = append(points, point{f.x(i) + f.middle(), side.px(s.top(i))})
			}
			f.stroke(s, points, lineWidth)
		}
	}
}

// stroke draws a line, or a dot of a single point.
func (f *frame) stroke(s *series, points []point, width string) {
	if len(points) == 1 {
		p := points[0]
		f.add(shape{
			D:    fmt.Sprintf("M%s %sa3 3 0 1 0 6 0a3 3 0 1 0 -6 0z", px(p.x-3), px(p.y)),
			Fill: s.colour, Name: s.name,
		})
		return
	}
	f.add(shape{D: path(points), Fill: "none", Stroke: s.colour, Width: width, Dash: s.dash, Name: s.name})
}

// slots tells in which of how many bars beside one another each series is: stacked
// ones share one.
func slots(all []*series) (map[*series]int, int) {
	of, count, stacked := map[*series]int{}, 0, -1
	for _, s := range all {
		if s.kind != kindBar {
			continue
		}
		if s.stacked && stacked >= 0 {
			of[s] = stacked
			continue
		}
		of[s] = count
		if s.stacked {
			stacked = count
		}
		count++
	}
	return of, count
}

func (f *frame) drawBars() {
	of, count := slots(f.series)
	if count == 0 {
		return
	}
	slot := f.slot()
	gap := min(max(slot*0.2, 1), 24)
	wide := min((slot-gap)/float64(count), 72)
	for _, s := range f.series {
		if s.kind != kindBar {
			continue
		}
		side := f.side(s.right)
		for i, v := range s.values {
			if math.IsNaN(v) || v == 0 {
				continue
			}
			x := f.x(i) + f.middle() - wide*float64(count)/2 + wide*float64(of[s])
			y1, y2 := side.px(s.base[i]), side.px(s.top(i))
			f.rect(x, min(y1, y2), wide, math.Abs(y1-y2), s.colour, s.name+": "+s.format.number(v))
		}
	}
}

// drawHorizontal draws bars to the right, the first category at the top.
func (f *frame) drawHorizontal(w, h float64) {
	f.y0, f.y1 = 2, h
	if f.settings.TickLabels.YLeft {
		f.y1 -= xLabelsHigh
	}
	if f.settings.AxisTitles.YLeft && f.plot.left != "" {
		f.y1 -= 18
	}
	names := 0.0
	if f.settings.TickLabels.X {
		for _, name := range f.categories {
			names = max(names, textWidth(name, labelSize))
		}
		names = min(names, w*0.35) + 10
	}
	f.x0, f.x1 = names, w-24
	f.left = f.scale(false, int((f.x1-f.x0)/56))
	f.left.from, f.left.to = f.x0, f.x1
	for _, v := range f.left.at {
		x := math.Round(f.left.px(v)) + 0.5
		if f.settings.Gridlines.YLeft {
			f.line(x, f.y0, x, f.y1, gridColour)
		}
		if f.settings.TickLabels.YLeft {
			f.text(x, f.y1+17, "middle", "tick", f.left.format.number(v))
		}
	}
	if f.settings.AxisTitles.YLeft && f.plot.left != "" {
		f.text((f.x0+f.x1)/2, h-4, "middle", "axis", cut(f.plot.left, f.x1-f.x0))
	}
	of, count := slots(f.series)
	slot := (f.y1 - f.y0) / float64(f.length())
	high := min((slot-min(max(slot*0.25, 2), 16))/float64(count), 28)
	for i := range f.length() {
		middle := f.y0 + (float64(i)+0.5)*slot
		if i < len(f.categories) && names > 0 {
			f.text(f.x0-8, middle+4, "end", "tick", cut(f.categories[i], names-10))
		}
		for _, s := range f.series {
			if v := s.values[i]; !math.IsNaN(v) {
				x1, x2 := f.left.px(s.base[i]), f.left.px(s.top(i))
				y := middle - high*float64(count)/2 + high*float64(of[s])
				f.rect(min(x1, x2), y, math.Abs(x1-x2), high, s.colour, s.name+": "+s.format.number(v))
			}
		}
	}
	f.line(math.Round(f.x0)+0.5, f.y0, math.Round(f.x0)+0.5, f.y1, axisColour)
}
