package preview

import "fmt"

// legend names the colours of a chart. It is beside or below it.
type legend struct {
	Items []legendItem
	Below bool
	Width string // beside: of the whole
	High  string // below: of the whole
	More  string // of those for which there is no room
}

// legendItem is one colour.
type legendItem struct {
	Name   string
	Colour string
	Value  string
	Line   bool
	Dashed bool
}

const (
	legendRow = 20.0
	swatch    = 20.0
)

// newLegend makes a legend of a chart and returns what is left of its room. Beside the
// chart it is at most most wide.
func newLegend(items []legendItem, position string, w, h, most float64) (out *legend, chartW, chartH float64) {
	out = &legend{Items: items}
	widest := 0.0
	for _, i := range items {
		need := swatch + textWidth(i.Name, labelSize) + 4
		if i.Value != "" {
			need += textWidth(i.Value, labelSize) + 12
		}
		widest = max(widest, need)
	}
	if position != "bottom" && position != "top" {
		wide := min(widest, most)
		out.keep(max(int((h-4)/legendRow), 1))
		out.Width = px(wide)
		return out, w - wide - 12, h
	}
	out.Below = true
	rows, used, fit := 1, 0.0, len(items)
	for n, i := range items {
		need := swatch + min(textWidth(i.Name, labelSize), 200) + 20
		if used+need > w && used > 0 {
			rows++
			used = 0
		}
		if rows > 2 {
			rows, fit = 2, max(n, 2)
			break
		}
		used += need
	}
	out.keep(fit)
	high := float64(rows)*legendRow + 4
	out.High = px(high)
	return out, w, h - high
}

// keep keeps as many items as there is room for, and says how many more there are.
func (l *legend) keep(most int) {
	if len(l.Items) <= most {
		return
	}
	kept := max(most-1, 0)
	l.More = fmt.Sprintf("+%d more", len(l.Items)-kept)
	l.Items = l.Items[:kept]
}
