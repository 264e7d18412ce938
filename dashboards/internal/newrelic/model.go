package newrelic

// Dashboard is New Relic's DashboardInput, as NerdGraph and the import in the user
// interface take it: https://docs.newrelic.com/docs/apis/nerdgraph/examples/nerdgraph-dashboards/.
type Dashboard struct {
	Name        string     `json:"name"`
	Description string     `json:"description"`
	Permissions string     `json:"permissions"`
	Pages       []Page     `json:"pages"`
	Variables   []Variable `json:"variables"`
}

// Page is a tab of the dashboard.
type Page struct {
	Name        string   `json:"name"`
	Description string   `json:"description"`
	Widgets     []Widget `json:"widgets"`
}

// Widget is a chart. It has a raw configuration, never a typed one, since the typed
// ones know neither heatmaps and histograms nor PlatformOptions.
type Widget struct {
	Title             string        `json:"title"`
	Layout            Layout        `json:"layout"`
	LinkedEntityGUIDs []string      `json:"linkedEntityGuids"` // null: none
	Visualization     Visualization `json:"visualization"`
	Configuration     Configuration `json:"rawConfiguration"`
}

// Columns is the width of a page.
const Columns = 12

// Layout is a widget's place, from column 1 and row 1. A page has 12 columns.
type Layout struct {
	Column int `json:"column"`
	Row    int `json:"row"`
	Width  int `json:"width"`
	Height int `json:"height"`
}

// Visualization names the kind of a chart, such as viz.line.
type Visualization struct {
	ID string `json:"id"`
}

// Configuration is what a chart shows, and how.
type Configuration struct {
	Text            string           `json:"text,omitempty"` // of viz.markdown
	Facet           *Facet           `json:"facet,omitempty"`
	Legend          *Legend          `json:"legend,omitempty"`
	Queries         []Query          `json:"nrqlQueries,omitempty"`
	PlatformOptions *PlatformOptions `json:"platformOptions,omitempty"`
	Thresholds      []Threshold      `json:"thresholds,omitempty"` // of viz.billboard
	YAxisLeft       *YAxis           `json:"yAxisLeft,omitempty"`
}

// Facet tells whether what is beyond a query's limit is shown, too.
type Facet struct {
	ShowOtherSeries bool `json:"showOtherSeries"`
}

// Legend tells whether there is one.
type Legend struct {
	Enabled bool `json:"enabled"`
}

// YAxis tells whether the axis begins at 0.
type YAxis struct {
	Zero bool `json:"zero"`
}

// PlatformOptions tells whether a query's own SINCE prevails over the time that is
// chosen for the dashboard.
type PlatformOptions struct {
	IgnoreTimeRange bool `json:"ignoreTimeRange"`
}

// Threshold colours a billboard whose value is greater.
type Threshold struct {
	Severity string  `json:"alertSeverity"` // WARNING or CRITICAL
	Value    float64 `json:"value"`
}

// Query is a query over accounts.
type Query struct {
	AccountIDs []int  `json:"accountIds"`
	Query      string `json:"query"`
}

// Variable is chosen above the dashboard, and stands in queries as {{name}}.
type Variable struct {
	Name                string           `json:"name"`
	Title               string           `json:"title"`
	Type                string           `json:"type"` // NRQL or STRING
	Query               *Query           `json:"nrqlQuery,omitempty"`
	DefaultValues       []DefaultValue   `json:"defaultValues"`
	IsMultiSelection    bool             `json:"isMultiSelection,omitempty"`
	ReplacementStrategy string           `json:"replacementStrategy"`
	Options             *VariableOptions `json:"options,omitempty"`
}

// DefaultValue is a value that is chosen at first.
type DefaultValue struct {
	Value struct {
		String string `json:"string"`
	} `json:"value"`
}

// VariableOptions tells whether the values are those of the query's own time, rather
// than of the one that is chosen for the dashboard.
type VariableOptions struct {
	IgnoreTimeRange bool `json:"ignoreTimeRange"`
}

// everything is the default value that stands for all values of a variable.
const everything = "*"

func chosen(value string) []DefaultValue {
	var d DefaultValue
	d.Value.String = value
	return []DefaultValue{d}
}
