package boards

import (
	"fmt"
	"maps"
	"strconv"

	"github.com/apmws/go-apmws/dashboards/internal/kibana"
)

// measure is a column of numbers that is being described: what it is, how it is
// shown, and how it is drawn.
type measure struct {
	label  string
	op     string
	field  string
	rank   float64 // of a percentile
	expr   kibana.Expr
	last   string // data type of a last value
	format *kibana.Format

	where, per, shift, recent string
	colour                    string
	dashed                    bool
	palette                   *kibana.Palette // of a table's cells
}

func count(label string) *measure { return &measure{label: label, op: kibana.OpCount} }

func sum(label, field string) *measure { return &measure{label: label, op: kibana.OpSum, field: field} }

func maximum(label, field string) *measure {
	return &measure{label: label, op: kibana.OpMax, field: field}
}

func distinct(label, field string) *measure {
	return &measure{label: label, op: kibana.OpUniqueCount, field: field}
}

func percentile(label string, rank float64, field string) *measure {
	return &measure{label: label, op: kibana.OpPercentile, field: field, rank: rank}
}

// latest is the newest value; its type is number, string, ip or date.
func latest(label, dataType, field string) *measure {
	return &measure{label: label, op: kibana.OpLastValue, field: field, last: dataType}
}

func formula(label string, e kibana.Expr) *measure { return &measure{label: label, expr: e} }

func (m *measure) as(f *kibana.Format) *measure         { m.format = f; return m }
func (m *measure) in(colour string) *measure            { m.colour = colour; return m }
func (m *measure) of(query string) *measure             { m.where = query; return m }
func (m *measure) each(unit string) *measure            { m.per = unit; return m }
func (m *measure) aWeekBefore() *measure                { m.shift = "1w"; return m }
func (m *measure) within(recent string) *measure        { m.recent = recent; return m }
func (m *measure) withCells(p *kibana.Palette) *measure { m.palette = p; return m }
func (m *measure) dash() *measure                       { m.dashed = true; return m }

// into adds the columns of the measure to a layer, and returns their order.
func (m *measure) into(l *kibana.Layer, id string) []string {
	if m.expr != nil {
		columns, order := kibana.FormulaColumns(id, m.label, m.expr, m.format)
		maps.Copy(l.Columns, columns)
		return order
	}
	var c *kibana.Column
	switch m.op {
	case kibana.OpPercentile:
		c = kibana.PercentileOf(m.rank, m.field, m.label)
	case kibana.OpLastValue:
		c = kibana.LastOf(m.field, m.label, m.last)
	default:
		c = kibana.MetricOf(m.op, m.field, m.label)
	}
	c.Params.Format, c.TimeScale, c.TimeShift, c.ReducedTimeRange = m.format, m.per, m.shift, m.recent
	if m.where != "" {
		q := kibana.KQL(m.where)
		c.Filter = &q
	}
	l.Columns[id] = c
	return []string{id}
}

// Ids of columns.
const (
	timeID  = "time"
	splitID = "split"
)

func measureID(i int) string { return "m" + strconv.Itoa(i) }

// layer makes a layer of buckets, in this order, and measures.
func layer(buckets []bucket, measures []*measure) *kibana.Layer {
	l := &kibana.Layer{Columns: make(map[string]*kibana.Column), Sampling: 1}
	for _, b := range buckets {
		l.Columns[b.id] = b.column
		l.ColumnOrder = append(l.ColumnOrder, b.id)
	}
	for i, m := range measures {
		l.ColumnOrder = append(l.ColumnOrder, m.into(l, measureID(i))...)
	}
	return l
}

// bucket is a column that splits.
type bucket struct {
	id     string
	column *kibana.Column
}

func overTime() bucket { return bucket{timeID, kibana.Over()} }

// top splits by the values of a field that have most of the first measure.
func top(size int, label, dataType string, fields ...string) bucket {
	return bucket{splitID, kibana.TopOf(label, dataType, size, measureID(0), fields...)}
}

// topBy splits by the values of a field that have most of something else, for
// measures that Elasticsearch cannot order by: formulas, and what is not shown.
func topBy(size int, label, field, op, of string) bucket {
	c := kibana.TopOf(label, "string", size, "", field)
	return bucket{splitID, c.Ranked(kibana.MetricOf(op, of, label+" by "+op))}
}

func cases(label string, buckets ...kibana.FilterBucket) bucket {
	return bucket{splitID, kibana.BucketsOf(label, buckets...)}
}

// panel describes a chart; its width comes from the row.
type panel struct {
	title, description string
	view               *kibana.DataView
	query              string
	lens               *kibana.Lens
	search             *kibana.Search
}

func (p panel) item(width int) kibana.Item {
	return kibana.Item{
		Title: p.title, Description: p.description, Width: width, Lens: p.lens, View: p.view, Search: p.search,
	}
}

// lensOf makes a chart of its layers.
func lensOf(query string, visual kibana.Visualization, layers map[string]*kibana.Layer) *kibana.Lens {
	l := new(kibana.Lens)
	l.State.Query, l.State.Visual, l.State.Sources.FormBased.Layers = kibana.KQL(query), visual, layers
	return l
}

const (
	mainLayer  = "main"
	trendLayer = "trend"
	dataLayer  = "data"
)

// tile is a number, and maybe a second one.
func (p panel) tile(colour coloured, measures ...*measure) panel {
	visual := &kibana.Metric{LayerID: mainLayer, LayerType: dataLayer, MetricAccessor: measureID(0)}
	colour(visual)
	if len(measures) > 1 {
		visual.SecondaryAccessor = measureID(1)
	}
	layers := map[string]*kibana.Layer{mainLayer: layer(nil, measures)}
	p.lens = lensOf(p.query, visual, layers)
	return p
}

// withTrend draws the first number of a tile over time behind it.
func (p panel) withTrend(m *measure) panel {
	trend := layer([]bucket{overTime()}, []*measure{m})
	trend.LinkTo = []string{mainLayer}
	p.lens.State.Sources.FormBased.Layers[trendLayer] = trend
	visual, ok := p.lens.State.Visual.(*kibana.Metric)
	if !ok {
		panic(fmt.Sprintf("%s is no tile", p.title))
	}
	visual.TrendLayerID, visual.TrendLayerType = trendLayer, "metricTrendline"
	visual.TrendMetric, visual.TrendTime = measureID(0), timeID
	return p
}

// total is a number that is the sum over what splits it.
func (p panel) total(colour coloured, by bucket, m *measure) panel {
	visual := &kibana.Metric{
		LayerID: mainLayer, LayerType: dataLayer, MetricAccessor: measureID(0), BreakdownAccessor: by.id, CollapseFn: "sum",
	}
	colour(visual)
	p.lens = lensOf(p.query, visual, map[string]*kibana.Layer{mainLayer: layer([]bucket{by}, []*measure{m})})
	return p
}

// Kinds of series.
const (
	lines        = "line"
	stackedAreas = "area_stacked"
	stackedBars  = "bar_stacked"
	bars         = "bar"
)

// chart draws measures over time, or over buckets, and splits them if it is said by
// what: the last of the buckets is the horizontal axis.
func (p panel) chart(series, axis string, buckets []bucket, measures ...*measure) panel {
	horizontal := buckets[len(buckets)-1]
	drawn := kibana.XYLayer{
		LayerID: mainLayer, LayerType: dataLayer, SeriesType: series, XAccessor: horizontal.id,
		Palette: &kibana.Palette{Name: "default", Type: "palette"},
	}
	if len(buckets) > 1 {
		drawn.SplitAccessor = buckets[0].id
	}
	for i, m := range measures {
		drawn.Accessors = append(drawn.Accessors, measureID(i))
		style := kibana.YStyle{AxisMode: "left", Accessor: measureID(i), Color: m.colour}
		if m.dashed {
			style.LineStyle = "dashed"
		}
		drawn.YConfig = append(drawn.YConfig, style)
	}
	shown := kibana.SidesShown{X: true, YLeft: true, YRight: true}
	visual := &kibana.XY{
		AxisTitles: kibana.SidesShown{YLeft: true, YRight: true}, Gridlines: kibana.SidesShown{YLeft: true}, TickLabels: shown,
		FittingFunction: "None", Layers: []kibana.XYLayer{drawn},
		Legend:    kibana.Legend{IsVisible: len(measures) > 1 || len(buckets) > 1, MaxLines: 1, Position: "bottom", ShouldTruncate: true},
		Preferred: series, ValueLabels: "hide", LeftExtent: kibana.Extent{Mode: "full"}, LeftScale: "linear", RightScale: "linear",
		LeftTitle: axis,
	}
	if series == stackedAreas {
		visual.FillOpacity = 0.5
	}
	p.lens = lensOf(p.query, visual, map[string]*kibana.Layer{mainLayer: layer(buckets, measures)})
	return p
}

// withLegendBeside puts the legend of a wide chart to its right.
func (p panel) withLegendBeside() panel {
	if visual, ok := p.lens.State.Visual.(*kibana.XY); ok {
		visual.Legend.Position = "right"
	}
	return p
}

// donut shows the parts of a whole.
func (p panel) donut(by bucket, m *measure) panel {
	visual := &kibana.Pie{
		Shape: "donut", Palette: &kibana.Palette{Name: "default", Type: "palette"},
		Layers: []kibana.PieLayer{{
			CategoryDisplay: "default", EmptySizeRatio: 0.54, LayerID: mainLayer, LayerType: dataLayer, LegendDisplay: "show",
			LegendMaxLines: 1, LegendPosition: "right", Metrics: []string{measureID(0)}, NumberDisplay: "percent",
			PercentDecimals: 1, PrimaryGroups: []string{by.id}, SecondaryGroups: []string{}, TruncateLegend: true,
		}},
	}
	p.lens = lensOf(p.query, visual, map[string]*kibana.Layer{mainLayer: layer([]bucket{by}, []*measure{m})})
	return p
}

// Widths of a table's columns, in pixels: ids and templates of routes fit the first,
// dates the second. The rest share what is left.
const (
	nameWidth = 180
	dateWidth = 200
)

// table has a row for each value, ordered by the first measure.
func (p panel) table(buckets []bucket, measures ...*measure) panel {
	visual := &kibana.Table{
		LayerID: mainLayer, LayerType: dataLayer, HeaderRowHeight: "single", RowHeight: "single",
		Paging: kibana.Paging{Enabled: true, Size: 10}, Sorting: kibana.Sorting{ColumnID: measureID(0), Direction: "desc"},
	}
	for _, b := range buckets {
		visual.Columns = append(visual.Columns, kibana.TableColumn{ColumnID: b.id, Width: nameWidth})
	}
	for i, m := range measures {
		c := kibana.TableColumn{ColumnID: measureID(i), IsMetric: true, Alignment: "right"}
		if m.last == "string" || m.last == "ip" {
			c.Alignment = "left"
		}
		if m.last == "date" {
			c.Width = dateWidth
		}
		if m.palette != nil {
			c.ColorMode, c.Palette = "text", m.palette
		}
		visual.Columns = append(visual.Columns, c)
	}
	p.lens = lensOf(p.query, visual, map[string]*kibana.Layer{mainLayer: layer(buckets, measures)})
	return p
}

// withNames makes the first column of a table as wide, in pixels.
func (p panel) withNames(width float64) panel {
	if visual, ok := p.lens.State.Visual.(*kibana.Table); ok {
		visual.Columns[0].Width = width
	}
	return p
}
