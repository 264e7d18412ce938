package kibana

const (
	metricType = "lnsMetric"
	xyType     = "lnsXY"
	pieType    = "lnsPie"
	tableType  = "lnsDatatable"
)

// Palette are colours, by name or by what a value reaches.
type Palette struct {
	Name   string         `json:"name"`
	Params *PaletteParams `json:"params,omitempty"`
	Type   string         `json:"type"`
}

// PaletteParams are colours by value.
type PaletteParams struct {
	ColorStops  []ColorStop `json:"colorStops"` // each from where
	Continuity  string      `json:"continuity"`
	MaxSteps    int         `json:"maxSteps"`
	Name        string      `json:"name"`
	Progression string      `json:"progression"`
	RangeMax    *float64    `json:"rangeMax"`
	RangeMin    float64     `json:"rangeMin"`
	RangeType   string      `json:"rangeType"`
	Reverse     bool        `json:"reverse"`
	Steps       int         `json:"steps"`
	Stops       []ColorStop `json:"stops"` // each to where
}

// ColorStop is a colour at a value.
type ColorStop struct {
	Color string  `json:"color"`
	Stop  float64 `json:"stop"`
}

// Metric is a tile with a number.
type Metric struct {
	LayerID           string   `json:"layerId"`
	LayerType         string   `json:"layerType"`
	MetricAccessor    string   `json:"metricAccessor"`
	SecondaryAccessor string   `json:"secondaryMetricAccessor,omitempty"`
	BreakdownAccessor string   `json:"breakdownByAccessor,omitempty"`
	CollapseFn        string   `json:"collapseFn,omitempty"` // makes one number of the breakdown's
	Subtitle          string   `json:"subtitle,omitempty"`
	Color             string   `json:"color,omitempty"`
	Palette           *Palette `json:"palette,omitempty"`
	ShowBar           bool     `json:"showBar"`

	TrendLayerID   string `json:"trendlineLayerId,omitempty"`
	TrendLayerType string `json:"trendlineLayerType,omitempty"`
	TrendMetric    string `json:"trendlineMetricAccessor,omitempty"`
	TrendTime      string `json:"trendlineTimeAccessor,omitempty"`
}

// VisualizationType implements Visualization.
func (*Metric) VisualizationType() string { return metricType }

func (m *Metric) layers() []string {
	if m.TrendLayerID == "" {
		return []string{m.LayerID}
	}
	return []string{m.LayerID, m.TrendLayerID}
}

// XY is a chart with two axes.
type XY struct {
	AxisTitles      SidesShown `json:"axisTitlesVisibilitySettings"`
	FillOpacity     float64    `json:"fillOpacity,omitempty"`
	FittingFunction string     `json:"fittingFunction"`
	Gridlines       SidesShown `json:"gridlinesVisibilitySettings"`
	LabelsAngle     SideAngles `json:"labelsOrientation"`
	Layers          []XYLayer  `json:"layers"`
	Legend          Legend     `json:"legend"`
	Preferred       string     `json:"preferredSeriesType"`
	TickLabels      SidesShown `json:"tickLabelsVisibilitySettings"`
	ValueLabels     string     `json:"valueLabels"`
	LeftExtent      Extent     `json:"yLeftExtent"`
	LeftScale       string     `json:"yLeftScale"`
	RightScale      string     `json:"yRightScale"`
	LeftTitle       string     `json:"yTitle,omitempty"`
}

// SidesShown says at which axes something is shown.
type SidesShown struct {
	X      bool `json:"x"`
	YLeft  bool `json:"yLeft"`
	YRight bool `json:"yRight"`
}

// SideAngles are the angles of labels.
type SideAngles struct {
	X      int `json:"x"`
	YLeft  int `json:"yLeft"`
	YRight int `json:"yRight"`
}

// Extent is what an axis covers.
type Extent struct {
	Mode string `json:"mode"`
}

// Legend is where the legend is.
type Legend struct {
	IsVisible        bool   `json:"isVisible"`
	MaxLines         int    `json:"maxLines"`
	Position         string `json:"position"`
	ShouldTruncate   bool   `json:"shouldTruncate"`
	ShowSingleSeries bool   `json:"showSingleSeries"`
}

// XYLayer draws a layer.
type XYLayer struct {
	Accessors     []string `json:"accessors"`
	LayerID       string   `json:"layerId"`
	LayerType     string   `json:"layerType"`
	Palette       *Palette `json:"palette,omitempty"`
	SeriesType    string   `json:"seriesType,omitempty"`
	SplitAccessor string   `json:"splitAccessor,omitempty"`
	CollapseFn    string   `json:"collapseFn,omitempty"`
	XAccessor     string   `json:"xAccessor,omitempty"`
	YConfig       []YStyle `json:"yConfig"`
}

// YStyle is how one of a layer's columns is drawn.
type YStyle struct {
	AxisMode  string `json:"axisMode"`
	Color     string `json:"color,omitempty"`
	Accessor  string `json:"forAccessor"`
	LineStyle string `json:"lineStyle,omitempty"`
}

// VisualizationType implements Visualization.
func (*XY) VisualizationType() string { return xyType }

func (x *XY) layers() []string {
	var ids []string
	for _, l := range x.Layers {
		ids = append(ids, l.LayerID)
	}
	return ids
}

// Pie is a chart of parts.
type Pie struct {
	Layers  []PieLayer `json:"layers"`
	Palette *Palette   `json:"palette"`
	Shape   string     `json:"shape"` // donut
}

// PieLayer draws a layer.
type PieLayer struct {
	CategoryDisplay string   `json:"categoryDisplay"`
	EmptySizeRatio  float64  `json:"emptySizeRatio"`
	LayerID         string   `json:"layerId"`
	LayerType       string   `json:"layerType"`
	LegendDisplay   string   `json:"legendDisplay"`
	LegendMaxLines  int      `json:"legendMaxLines"`
	LegendPosition  string   `json:"legendPosition"`
	Metrics         []string `json:"metrics"`
	NestedLegend    bool     `json:"nestedLegend"`
	NumberDisplay   string   `json:"numberDisplay"`
	PercentDecimals int      `json:"percentDecimals"`
	PrimaryGroups   []string `json:"primaryGroups"`
	SecondaryGroups []string `json:"secondaryGroups"`
	TruncateLegend  bool     `json:"truncateLegend"`
}

// VisualizationType implements Visualization.
func (*Pie) VisualizationType() string { return pieType }

func (p *Pie) layers() []string { return []string{p.Layers[0].LayerID} }

// Table shows a layer as it is.
type Table struct {
	Columns         []TableColumn `json:"columns"`
	HeaderRowHeight string        `json:"headerRowHeight"`
	LayerID         string        `json:"layerId"`
	LayerType       string        `json:"layerType"`
	Paging          Paging        `json:"paging"`
	RowHeight       string        `json:"rowHeight"`
	Sorting         Sorting       `json:"sorting"`
}

// TableColumn is how a column of a table looks.
type TableColumn struct {
	Alignment  string   `json:"alignment,omitempty"`
	ColorMode  string   `json:"colorMode,omitempty"` // cell or text, by Palette
	ColumnID   string   `json:"columnId"`
	IsMetric   bool     `json:"isMetric,omitempty"`
	Transposed bool     `json:"isTransposed"`
	Palette    *Palette `json:"palette,omitempty"`
	Width      float64  `json:"width,omitempty"` // pixels
}

// Paging is how many rows a table shows at once.
type Paging struct {
	Enabled bool `json:"enabled"`
	Size    int  `json:"size"`
}

// Sorting is a table's order.
type Sorting struct {
	ColumnID  string `json:"columnId"`
	Direction string `json:"direction"`
}

// VisualizationType implements Visualization.
func (*Table) VisualizationType() string { return tableType }

func (t *Table) layers() []string { return []string{t.LayerID} }
