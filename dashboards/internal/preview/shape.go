package preview

import (
	"math"
	"strconv"
	"strings"
)

// shape is a path, or else a text, of a drawing.
type shape struct {
	// of a path
	D       string
	Fill    string
	Stroke  string
	Dash    string
	Width   string
	Opacity string
	Name    string // told on hovering

	// of a text
	Text   string
	X, Y   string
	Class  string
	Anchor string
	Turn   string
}

// drawing is a picture of shapes, the later ones above the earlier, in pixels.
type drawing struct {
	W, H   string
	Shapes []shape
}

func newDrawing(w, h float64) *drawing { return &drawing{W: px(w), H: px(h)} }

// px writes a coordinate, to a hundredth.
func px(v float64) string {
	v = math.Round(v*100) / 100
	if v == 0 {
		v = 0 // not minus zero
	}
	return strconv.FormatFloat(v, 'f', -1, 64)
}

func (d *drawing) add(s shape) { d.Shapes = append(d.Shapes, s) }

func (d *drawing) line(x1, y1, x2, y2 float64, colour string) {
	d.add(shape{D: "M" + px(x1) + " " + px(y1) + "L" + px(x2) + " " + px(y2), Fill: "none", Stroke: colour, Width: "1"})
}

func (d *drawing) rect(x, y, w, h float64, colour, name string) {
	d.add(shape{D: "M" + px(x) + " " + px(y) + "h" + px(w) + "v" + px(h) + "h" + px(-w) + "z", Fill: colour, Name: name})
}

// text adds a text at a point; anchor is start, middle or end.
func (d *drawing) text(x, y float64, anchor, class, text string) {
	d.add(shape{X: px(x), Y: px(y), Anchor: anchor, Class: class, Text: text})
}

// turned adds a text that reads upwards, centred at a point.
func (d *drawing) turned(x, y float64, class, text string) {
	turn := "rotate(-90 " + px(x) + " " + px(y) + ")"
	d.add(shape{X: px(x), Y: px(y), Anchor: "middle", Class: class, Text: text, Turn: turn})
}

// point is a place in a drawing.
type point struct{ x, y float64 }

// path writes a line through points.
func path(points []point) string {
	var b strings.Builder
	for i, p := range points {
		if i == 0 {
			b.WriteByte('M')
		} else {
			b.WriteByte('L')
		}
		b.WriteString(px(p.x) + " " + px(p.y))
	}
	return b.String()
}
