package boards

import (
	"fmt"
	"strconv"

	"github.com/apmws/go-apmws/dashboards/internal/kibana"
)

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

// reports is the shortest interval of charts of metrics. Each process reports every
// 30 seconds, and the APM Server's own metrics are of a minute: in the intervals that
// Kibana takes of itself for less than half an hour, what is added up would jump
// between nothing and a multiple of what it is.
const reports = "1m"

// spaced makes the intervals of a panel's time such that each has what belongs there.
func (p panel) spaced(b bucket) bucket {
	if b.id == timeID && p.view.ID == MetricsID {
		b.column.Every(reports)
	}
	return b
}

// top splits by the values of a field that have most of the first measure.
func top(size int, label, dataType string, fields ...string) bucket {
	return bucket{splitID, kibana.TopOf(label, dataType, size, measureID(0), fields...)}
}

// topBy splits by the values of fields that have most of something else, for
// measures that Elasticsearch cannot order by: formulas, and what is not shown.
func topBy(size int, op, of, label string, fields ...string) bucket {
	c := kibana.TopOf(label, "string", size, "", fields...)
	return bucket{splitID, c.Ranked(kibana.MetricOf(op, of, label+" by "+op))}
}

// whole adds what is not among the top, so that parts make up the whole. What is
// ranked by something else has no such rest.
func (b bucket) whole() bucket {
	if p := b.column.Params; p.OrderBy != nil && p.OrderBy.Type == "column" {
		b.column.WithOther()
	}
	return b
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

// compared is a tile of a number and that of a week ago.
func (p panel) compared(now *measure, line trend) panel {
	before := *now
	before.label, before.shift = "a week ago", "1w"
	p = p.tile(neutral, now, &before)
	if line == withTrend {
		p = p.withTrend(now)
	}
	return p
}

// trend says whether a tile has a line.
type trend bool

const (
	withTrend  trend = true
	numberOnly trend = false
)

// withTrend draws the first number of a tile over time behind it.
func (p panel) withTrend(m *measure) panel {
	trend := layer([]bucket{p.spaced(overTime())}, []*measure{m})
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

// withSubtitle adds a line below the name of a tile.
func (p panel) withSubtitle(text string) panel {
	if visual, ok := p.lens.State.Visual.(*kibana.Metric); ok {
		visual.Subtitle = text
	}
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
	horizontal := p.spaced(buckets[len(buckets)-1])
	drawn := kibana.XYLayer{
		LayerID: mainLayer, LayerType: dataLayer, SeriesType: series, XAccessor: horizontal.id,
		Palette: &kibana.Palette{Name: "default", Type: "palette"},
	}
	if len(buckets) > 1 {
		drawn.SplitAccessor = buckets[0].whole().id
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
	p.lens = lensOf(p.query, visual, map[string]*kibana.Layer{mainLayer: layer([]bucket{by.whole()}, []*measure{m})})
	return p
}

// Widths of a table's columns, in pixels: ids and templates of routes fit the first,
// dates the second. The rest share what is left.
const (
	nameWidth  = 180
	peerWidth  = 130 // of a user's name, or an address
	groupWidth = 90  // where there is a second
	dateWidth  = 200
)

// table has a row for each value, ordered by the first measure.
func (p panel) table(buckets []bucket, measures ...*measure) panel {
	visual := &kibana.Table{
		LayerID: mainLayer, LayerType: dataLayer, HeaderRowHeight: "single", RowHeight: "single",
		Paging: kibana.Paging{Enabled: true, Size: 10}, Sorting: kibana.Sorting{ColumnID: measureID(0), Direction: "desc"},
	}
	for i, b := range buckets {
		width := float64(nameWidth)
		if i+1 < len(buckets) {
			width = groupWidth
		}
		visual.Columns = append(visual.Columns, kibana.TableColumn{ColumnID: b.id, Width: width})
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

// withNames makes the first columns of a table as wide, in pixels.
func (p panel) withNames(widths ...float64) panel {
	if visual, ok := p.lens.State.Visual.(*kibana.Table); ok {
		for i, width := range widths {
			visual.Columns[i].Width = width
		}
	}
	return p
}
