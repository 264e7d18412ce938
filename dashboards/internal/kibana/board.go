package kibana

import (
	"fmt"

	"github.com/google/uuid"
)

// Board is a dashboard that is being laid out, row by row.
type Board struct {
	dashboard *Dashboard
	y         int
}

// Columns is how wide a dashboard is.
const Columns = 48

// NewBoard returns an empty board that shows the last hour.
func NewBoard(id, title, description string) *Board {
	d := &Dashboard{ID: id}
	d.Attributes = DashboardAttributes{
		Title: title, Description: description,
		Options: Encoded[DashboardOptions]{DashboardOptions{SyncColors: true, SyncCursor: true, UseMargins: true}},
		Meta:    SearchMeta{Encoded[SearchSource]{SearchSource{Filter: []any{}, Query: KQL("")}}},
		Controls: ControlGroup{
			Style: "oneLine", Chaining: "HIERARCHICAL", Panels: Encoded[map[string]*Control]{map[string]*Control{}},
		},
		TimeRestore: true, TimeFrom: "now-1h", TimeTo: "now",
		RefreshInterval: RefreshInterval{Pause: true, Value: 60_000},
		Version:         1,
	}
	return &Board{dashboard: d}
}

// Dashboard returns what has been laid out.
func (b *Board) Dashboard() *Dashboard { return b.dashboard }

// Item is a panel that has no place yet.
type Item struct {
	Title       string
	Description string
	Width       int // columns
	Lens        *Lens
	View        *DataView // that the chart reads
	Search      *Search
	Markdown    string
	Links       []Destination // the dashboard itself among them
}

// Destination is a dashboard that a link leads to.
type Destination struct{ ID, Label string }

// Row adds panels of one height beside each other.
func (b *Board) Row(height int, items ...Item) {
	x := 0
	for _, item := range items {
		b.add(item, Grid{X: x, Y: b.y, W: item.Width, H: height})
		x += item.Width
	}
	b.y += height
}

// Control adds a control that offers the values of a field.
func (b *Board) Control(title, field string, view *DataView) {
	controls := b.dashboard.Attributes.Controls.Panels.Value
	id := b.idOf("control", field)
	controls[id] = &Control{
		Input: ControlInput{
			Field: field, ID: id, Technique: "wildcard", Selected: []string{},
			Sort: ControlSort{By: "_count", Direction: "desc"}, Title: title,
		},
		Grow: true, Order: len(controls), Type: "optionsListControl", Width: "medium",
	}
	b.refer(controlReference(id), TypeDataView, view.ID)
}

func (b *Board) add(item Item, place Grid) {
	index := b.idOf("panel", fmt.Sprintf("%d,%d", place.X, place.Y), item.Title)
	place.I = index
	p := &Panel{Grid: place, Index: index, Title: item.Title}
	p.Config.Description = item.Description
	switch {
	case item.Lens != nil:
		b.addLens(p, item)
	case item.Search != nil:
		p.Type, p.RefName = PanelSearch, "panel_"+index
		b.refer(index+":"+p.RefName, TypeSearch, item.Search.ID)
	case item.Links != nil:
		b.addLinks(p, item.Links)
	default:
		p.Type, p.Config.HideTitles = PanelMarkdown, true
		p.Config.Markdown = markdown(item.Markdown)
	}
	b.dashboard.Attributes.Panels.Value = append(b.dashboard.Attributes.Panels.Value, p)
}

func (b *Board) addLens(p *Panel, item Item) {
	p.Type = PanelLens
	lens := item.Lens
	lens.Type, lens.Visualization, lens.Title, lens.Description = "lens", lens.State.Visual.VisualizationType(), item.Title, item.Description
	lens.State.Filters, lens.State.Internal = []any{}, []Reference{}
	lens.References = []Reference{}
	for _, id := range lens.State.Visual.layers() {
		name := layerReference(id)
		lens.References = append(lens.References, Reference{ID: item.View.ID, Name: name, Type: TypeDataView})
		b.refer(p.Index+":"+name, TypeDataView, item.View.ID)
	}
	p.Config.Attributes = &PanelAttributes{Lens: lens}
	// Tiles say by themselves what they are.
	_, tile := lens.State.Visual.(*Metric)
	p.Config.HideTitles = tile
}

func (b *Board) addLinks(p *Panel, destinations []Destination) {
	p.Type, p.Config.HideTitles = PanelLinks, true
	links := &Links{Layout: "horizontal"}
	for i, d := range destinations {
		id := b.idOf("link", d.ID)
		link := Link{
			RefName: "link_" + id + "_dashboard", ID: id, Label: d.Label, Order: i, Type: "dashboardLink",
			Options: LinkOptions{DateRange: true, Filters: true},
		}
		links.Links = append(links.Links, link)
		b.refer(p.Index+":"+link.RefName, TypeDashboard, d.ID)
	}
	p.Config.Attributes = &PanelAttributes{Links: links}
}

func markdown(text string) *MarkdownVis {
	m := &MarkdownVis{Type: "markdown"}
	m.Data.Aggs = []string{}
	m.Data.SearchSource = SearchSource{Filter: []any{}, Query: KQL("")}
	m.Params.FontSize, m.Params.Markdown = 12, text
	return m
}

func (b *Board) refer(name, kind, id string) {
	b.dashboard.References = append(b.dashboard.References, Reference{ID: id, Name: name, Type: kind})
}

// idOf returns an id that is the same each time the board is made.
func (b *Board) idOf(parts ...string) string {
	return uuid.NewSHA1(uuid.NameSpaceURL, fmt.Append(nil, "apmws", b.dashboard.ID, parts)).String()
}
