package kibana

import "fmt"

// Dashboard is a page of panels, with controls above them.
type Dashboard struct {
	ID         string
	References []Reference
	Attributes DashboardAttributes
}

// DashboardAttributes are what Kibana stores of a dashboard. Before Kibana 8.14 any
// other attribute makes it refuse the file.
type DashboardAttributes struct {
	Title           string                    `json:"title"`
	Description     string                    `json:"description"`
	Panels          Encoded[[]*Panel]         `json:"panelsJSON"`
	Options         Encoded[DashboardOptions] `json:"optionsJSON"`
	Meta            SearchMeta                `json:"kibanaSavedObjectMeta"`
	Controls        ControlGroup              `json:"controlGroupInput"`
	TimeRestore     bool                      `json:"timeRestore"`
	TimeFrom        string                    `json:"timeFrom"`
	TimeTo          string                    `json:"timeTo"`
	RefreshInterval RefreshInterval           `json:"refreshInterval"`
	Version         int                       `json:"version"`
}

// DashboardOptions are how panels look and act together.
type DashboardOptions struct {
	HidePanelTitles bool `json:"hidePanelTitles"`
	SyncColors      bool `json:"syncColors"`
	SyncCursor      bool `json:"syncCursor"`
	SyncTooltips    bool `json:"syncTooltips"`
	UseMargins      bool `json:"useMargins"`
}

// RefreshInterval is how often a dashboard loads itself anew, in ms.
type RefreshInterval struct {
	Pause bool `json:"pause"`
	Value int  `json:"value"`
}

// Panel types.
const (
	PanelLens     = "lens"
	PanelLinks    = "links"
	PanelMarkdown = "visualization"
	PanelSearch   = "search"
)

// Panel is a rectangle on a dashboard. What it shows is in Config: of a Lens panel
// its chart, of a links panel the links, of a markdown panel the text. A saved
// search is elsewhere, and named by RefName.
type Panel struct {
	Config  PanelConfig `json:"embeddableConfig"`
	Grid    Grid        `json:"gridData"`
	Index   string      `json:"panelIndex"`
	RefName string      `json:"panelRefName,omitempty"`
	Title   string      `json:"title"`
	Type    string      `json:"type"`
}

// Grid is where a panel is, in columns of 48 and in rows of 20 pixels.
type Grid struct {
	H int    `json:"h"`
	I string `json:"i"` // the panel's index
	W int    `json:"w"`
	X int    `json:"x"`
	Y int    `json:"y"`
}

// PanelConfig is what a panel shows.
type PanelConfig struct {
	Attributes   *PanelAttributes `json:"attributes,omitempty"`
	Description  string           `json:"description,omitempty"`
	Enhancements struct{}         `json:"enhancements"`
	HideTitles   bool             `json:"hidePanelTitles,omitempty"`
	Markdown     *MarkdownVis     `json:"savedVis,omitempty"`
}

// PanelAttributes are a chart or a bar of links: one of both.
type PanelAttributes struct {
	*Lens
	*Links
}

// Links is a bar of links to dashboards.
type Links struct {
	Layout string `json:"layout"`
	Links  []Link `json:"links"`
}

// Link leads to a dashboard, and takes the time range and the filters along.
type Link struct {
	RefName string      `json:"destinationRefName"`
	ID      string      `json:"id"`
	Label   string      `json:"label"`
	Options LinkOptions `json:"options"`
	Order   int         `json:"order"`
	Type    string      `json:"type"`
}

// LinkOptions are what goes along.
type LinkOptions struct {
	NewTab    bool `json:"openInNewTab"`
	DateRange bool `json:"useCurrentDateRange"`
	Filters   bool `json:"useCurrentFilters"`
}

// MarkdownVis is a text.
type MarkdownVis struct {
	Data struct {
		Aggs         []string     `json:"aggs"`
		SearchSource SearchSource `json:"searchSource"`
	} `json:"data"`
	Description string `json:"description"`
	ID          string `json:"id"`
	Params      struct {
		FontSize int    `json:"fontSize"`
		Markdown string `json:"markdown"`
		NewTab   bool   `json:"openLinksInNewTab"`
	} `json:"params"`
	Title   string   `json:"title"`
	Type    string   `json:"type"`
	UIState struct{} `json:"uiState"`
}

// ControlGroup is the bar of controls above the panels.
type ControlGroup struct {
	Style    string                       `json:"controlStyle"`
	Chaining string                       `json:"chainingSystem"`
	Panels   Encoded[map[string]*Control] `json:"panelsJSON"`
	Ignore   Encoded[ControlIgnore]       `json:"ignoreParentSettingsJSON"`
}

// ControlIgnore are what controls take no notice of: nothing.
type ControlIgnore struct {
	Filters     bool `json:"ignoreFilters"`
	Query       bool `json:"ignoreQuery"`
	TimeRange   bool `json:"ignoreTimerange"`
	Validations bool `json:"ignoreValidations"`
}

// Control lets a user choose values of a field, for all panels.
type Control struct {
	Input ControlInput `json:"explicitInput"`
	Grow  bool         `json:"grow"`
	Order int          `json:"order"`
	Type  string       `json:"type"`
	Width string       `json:"width"`
}

// ControlInput is which field, and what has been chosen.
type ControlInput struct {
	Enhancements struct{}    `json:"enhancements"`
	Field        string      `json:"fieldName"`
	ID           string      `json:"id"`
	Technique    string      `json:"searchTechnique"`
	Selected     []string    `json:"selectedOptions"`
	Sort         ControlSort `json:"sort"`
	Title        string      `json:"title"`
}

// ControlSort is the order of the values.
type ControlSort struct {
	By        string `json:"by"`
	Direction string `json:"direction"`
}

// DataView returns the id of the data view that a layer of a panel reads, as Kibana
// finds it, or the empty string.
func (d *Dashboard) DataView(p *Panel, layer string) string {
	name := layerReference(layer)
	if p.Config.Attributes == nil || p.Config.Attributes.Lens == nil ||
		refersTo(p.Config.Attributes.Lens.References, name, TypeDataView) == "" {
		return ""
	}
	return refersTo(d.References, p.Index+":"+name, TypeDataView)
}

// SearchOf returns the id of the saved search that a panel shows, or the empty string.
func (d *Dashboard) SearchOf(p *Panel) string {
	return refersTo(d.References, p.Index+":"+p.RefName, TypeSearch)
}

// LinkOf returns the id of the dashboard that a link leads to, or the empty string.
func (d *Dashboard) LinkOf(p *Panel, l Link) string {
	return refersTo(d.References, p.Index+":"+l.RefName, TypeDashboard)
}

// ControlDataView returns the id of the data view whose values a control offers.
func (d *Dashboard) ControlDataView(c *Control) string {
	return refersTo(d.References, controlReference(c.Input.ID), TypeDataView)
}

func layerReference(layer string) string { return "indexpattern-datasource-layer-" + layer }

func controlReference(id string) string {
	return fmt.Sprintf("controlGroup_%s:optionsListDataView", id)
}
