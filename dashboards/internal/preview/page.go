package preview

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/apmws/go-apmws/dashboards/internal/evaluate"
	"github.com/apmws/go-apmws/dashboards/internal/kibana"
)

// Width is how wide a page is, in pixels.
const Width = 1600

// Kibana's grid: columns over the page's width, rows of pixels, margins between panels
// and around them.
const (
	gridColumns = 48
	gridRow     = 20
	gridMargin  = 8
)

// Options say what the numbers are of.
type Options struct {
	// From and To are the time range that was evaluated. Zero: from the first bucket
	// of each chart to the end of its last.
	From, To time.Time
}

// builder draws a page.
type builder struct {
	file      *kibana.File
	dashboard *kibana.Dashboard
	options   Options
	colours   *colours
}

// sheet is what the template draws.
type sheet struct {
	Title       string
	Description string
	Width       int
	Height      int // of the grid
	Time        string
	Controls    []control
	Panels      []*box
}

// control is a box in which a user chooses.
type control struct {
	Title, Value, Basis string
	Grow                bool
}

// box is a panel at its place; one of its contents is set.
type box struct {
	X, Y, W, H  int
	Title       string
	Description string
	Tile        *metric
	Spark       *drawing
	Chart       *chart
	Grid        *grid
	Links       *linksBar
	Blocks      []block
	FontSize    int
	Empty       bool
}

// linksBar leads to other dashboards.
type linksBar struct {
	Vertical bool
	Links    []barLink
}

// barLink is a link, or where the reader is.
type barLink struct {
	Label   string
	Current bool
}

//go:embed page.html
var pageHTML string

// HTML draws a dashboard as a page without scripts, 1600 pixels wide: its title, its
// controls, and each panel at its place in the grid with what it shows. Panels that
// show documents must be among those that were evaluated; what cannot be drawn as the
// panel asks is an error. The same input makes the same page.
func HTML(f *kibana.File, d *kibana.Dashboard, panels []*evaluate.Panel, opts Options) ([]byte, error) {
	b := &builder{file: f, dashboard: d, options: opts, colours: newColours()}
	out := sheet{
		Title: d.Attributes.Title, Description: d.Attributes.Description, Width: Width,
		Time: b.timeRange(), Controls: b.controls(),
	}
	// Twice: colours hang on all charts.
	for range 2 {
		out.Panels = nil
		for _, p := range inReadingOrder(d.Attributes.Panels.Value) {
			one, err := b.box(p, panels)
			if err != nil {
				return nil, fmt.Errorf("panel %q: %w", titleOf(p), err)
			}
			out.Panels = append(out.Panels, one)
			out.Height = max(out.Height, one.Y+one.H+gridMargin)
		}
		b.colours.assign()
	}
	t, err := template.New("page").Parse(pageHTML)
	if err != nil {
		return nil, err
	}
	var html bytes.Buffer
	if err := t.Execute(&html, out); err != nil {
		return nil, err
	}
	return html.Bytes(), nil
}

func titleOf(p *kibana.Panel) string {
	if p.Title != "" {
		return p.Title
	}
	return p.Index
}

// inReadingOrder orders panels by rows, so that colours do not hang on the file's order.
func inReadingOrder(panels []*kibana.Panel) []*kibana.Panel {
	sorted := slices.Clone(panels)
	slices.SortStableFunc(sorted, func(x, y *kibana.Panel) int {
		if x.Grid.Y != y.Grid.Y {
			return x.Grid.Y - y.Grid.Y
		}
		return x.Grid.X - y.Grid.X
	})
	return sorted
}

// place is a panel's rectangle on the page, in pixels.
func place(g kibana.Grid) (x, y, w, h int) {
	column := (Width - 2.0*gridMargin - (gridColumns-1)*gridMargin) / gridColumns
	left := func(c int) int { return int(math.Round(gridMargin + float64(c)*(column+gridMargin))) }
	return left(g.X), gridMargin + g.Y*(gridRow+gridMargin),
		left(g.X+g.W) - gridMargin - left(g.X), g.H*gridRow + (g.H-1)*gridMargin
}

// Room inside a panel, in pixels.
const (
	padding   = 12
	titleHigh = 36
	border    = 1
)

func (b *builder) box(p *kibana.Panel, panels []*evaluate.Panel) (*box, error) {
	out := &box{Description: p.Config.Description}
	out.X, out.Y, out.W, out.H = place(p.Grid)
	if !p.Config.HideTitles && !b.dashboard.Attributes.Options.Value.HidePanelTitles {
		out.Title = p.Title
	}
	lens := lensOf(p)
	switch {
	case p.Type == kibana.PanelMarkdown && p.Config.Markdown != nil:
		out.Blocks, out.FontSize = markdown(p.Config.Markdown.Params.Markdown), p.Config.Markdown.Params.FontSize
		return out, nil
	case p.Config.Attributes != nil && p.Config.Attributes.Links != nil:
		out.Links = b.links(p, p.Config.Attributes.Links)
		return out, nil
	case lens == nil && p.Type != kibana.PanelSearch:
		return nil, fmt.Errorf("panel of type %q", p.Type)
	}
	i := slices.IndexFunc(panels, func(e *evaluate.Panel) bool { return e.Panel.Index == p.Index })
	if i < 0 {
		return nil, fmt.Errorf("it has not been evaluated")
	}
	e := &evaluate.Panel{Panel: p, Tables: panels[i].Tables, Hits: panels[i].Hits, Total: panels[i].Total}
	out.Empty = isEmpty(e)
	if lens == nil {
		return out, b.fillSearch(out, e)
	}
	return out, b.fill(out, e, lens)
}

// room is what a panel's title and border leave of it.
func (o *box) room() (w, h float64) {
	w, h = float64(o.W-2*border-2*padding), float64(o.H-2*border-2*padding)
	if o.Title != "" {
		h -= titleHigh - padding
	}
	return w, h
}

func (b *builder) fillSearch(out *box, e *evaluate.Panel) error {
	id := b.dashboard.SearchOf(e.Panel)
	s := b.file.Search(id)
	if s == nil {
		return fmt.Errorf("saved search %q is not in the file", id)
	}
	if out.Title == "" && !e.Panel.Config.HideTitles {
		out.Title = s.Attributes.Title
	}
	_, h := out.room()
	out.Grid = b.documents(e, s, h)
	return nil
}

func (b *builder) fill(out *box, e *evaluate.Panel, lens *kibana.Lens) (err error) {
	w, h := out.room()
	switch v := lens.State.Visual.(type) {
	case *kibana.Metric:
		if out.Tile, err = b.metric(e, lens, v, w, h); err != nil || out.Empty {
			return err
		}
		out.Spark, err = b.spark(e, v, out.Tile.Background, float64(out.W-2*border), math.Round(float64(out.H)*0.26))
	case *kibana.XY:
		out.Chart, err = b.xy(e, lens, v, w, h)
	case *kibana.Pie:
		out.Chart, err = b.pie(e, lens, v, w, h)
	case *kibana.Table:
		out.Grid, err = b.table(e, lens, v, h)
	default:
		err = fmt.Errorf("a chart of type %q", lens.Visualization)
	}
	return err
}

// layerOf returns a layer and what it was computed to.
func layerOf(p *evaluate.Panel, lens *kibana.Lens, id string) (*evaluate.Table, *kibana.Layer, error) {
	table, layer := p.Tables[id], lens.State.Sources.FormBased.Layers[id]
	if table == nil || layer == nil {
		return nil, nil, fmt.Errorf("layer %s has not been evaluated", id)
	}
	return table, layer, nil
}

// view returns the data view of a layer, or nil.
func (b *builder) view(p *kibana.Panel, layer string) *kibana.DataView {
	return b.dataView(b.dashboard.DataView(p, layer))
}

func (b *builder) dataView(id string) *kibana.DataView {
	for _, v := range b.file.DataViews {
		if v.ID == id {
			return v
		}
	}
	return nil
}

func (b *builder) links(p *kibana.Panel, l *kibana.Links) *linksBar {
	sorted := slices.Clone(l.Links)
	slices.SortStableFunc(sorted, func(x, y kibana.Link) int { return x.Order - y.Order })
	out := &linksBar{Vertical: l.Layout == "vertical"}
	for _, one := range sorted {
		out.Links = append(out.Links, barLink{Label: one.Label, Current: b.dashboard.LinkOf(p, one) == b.dashboard.ID})
	}
	return out
}

// controls are the controls in their order, with what is chosen.
func (b *builder) controls() []control {
	var sorted []*kibana.Control
	for _, c := range b.dashboard.Attributes.Controls.Panels.Value {
		sorted = append(sorted, c)
	}
	slices.SortFunc(sorted, func(x, y *kibana.Control) int {
		if x.Order != y.Order {
			return x.Order - y.Order
		}
		return strings.Compare(x.Input.ID, y.Input.ID)
	})
	var all []control
	for _, c := range sorted {
		one := control{Title: c.Input.Title, Value: "Any", Grow: c.Grow, Basis: "300"}
		switch c.Width {
		case "small":
			one.Basis = "200"
		case "large":
			one.Basis = "400"
		}
		if one.Title == "" {
			one.Title = c.Input.Field
		}
		if len(c.Input.Selected) > 0 {
			one.Value = strings.Join(c.Input.Selected, ", ")
		}
		all = append(all, one)
	}
	return all
}

// timeRange is what the numbers are of.
func (b *builder) timeRange() string {
	o := b.options
	if o.From.IsZero() || o.To.IsZero() {
		return b.dashboard.Attributes.TimeFrom + " → " + b.dashboard.Attributes.TimeTo
	}
	from, to := o.From.UTC(), o.To.UTC()
	end := "15:04"
	if from.YearDay() != to.YearDay() || from.Year() != to.Year() {
		end = "Jan 2, 15:04"
	}
	return from.Format("Jan 2, 2006, 15:04") + " – " + to.Format(end) + " UTC"
}
