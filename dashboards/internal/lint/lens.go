package lint

import (
	"slices"
	"strings"
)

// Kinds of charts.
const (
	metricKind  = "lnsMetric"
	xyKind      = "lnsXY"
	pieKind     = "lnsPie"
	tableKind   = "lnsDatatable"
	heatmapKind = "lnsHeatmap"
	cloudKind   = "lnsTagcloud"
	gaugeKind   = "lnsGauge"
)

// lensRules are about a chart as a whole.
func lensRules() []rule {
	return []rule{
		{
			Rule: Rule{"lens-kind", "visualizationType must be one of lnsMetric, lnsXY, lnsPie, lnsDatatable, lnsHeatmap, lnsTagcloud, lnsGauge, with a shape of its own where it has shapes: an unknown one is an error in place of the chart."},
			lens: checkKind,
		},
		{
			Rule: Rule{"lens-shape", "A chart has the keys of the form that Kibana 8.12 writes, which has no version: with one, Kibana 9.3 takes it for the newer form."},
			lens: checkShape,
		},
		{
			Rule: Rule{"lens-source", "The data source is formBased alone, with a layer: textBased (ES|QL) needs 8.14 and data views of its own, indexpattern is the name before 8.6."},
			lens: func(l *lens, say say) {
				for _, name := range unknown(at(l.attributes, "state", "datasourceStates"), "formBased") {
					say("the source %s is not used here", name)
				}
				if len(l.layers) == 0 {
					say("there is no layer")
				}
			},
		},
		{
			Rule: Rule{"lens-query", "A chart has a query of its own, in kuery, that parses: dashboards mix traces, metrics and logs, and without one a panel counts documents of every kind."},
			lens: func(l *lens, say say) { checkOwnQuery(at(l.attributes, "state", "query"), say) },
		},
		{
			Rule: Rule{"lens-layer-used", "Every layer is drawn, and every drawn layer exists: Kibana drops the one, and shows an error for the other."},
			lens: checkLayersUsed,
		},
		{
			Rule: Rule{"lens-trend", "The sparkline of a metric is a second layer with linkToLayers naming the first, drawn as metricTrendline, of the same operation over a date histogram: else the line is of other numbers than the tile, or gone."},
			lens: checkTrend,
		},
	}
}

func checkKind(l *lens, say say) {
	shape := text(l.visual, "shape")
	switch l.kind {
	case metricKind, xyKind, tableKind, cloudKind:
	case pieKind:
		if !oneOf(shape, "donut pie treemap mosaic waffle") {
			say("shape is %q", shape)
		}
	case heatmapKind:
		if shape != "heatmap" || text(l.visual, "gridConfig", "type") != "heatmap_grid" || text(l.visual, "legend", "type") != "heatmap_legend" {
			say("shape, gridConfig.type and legend.type must be heatmap, heatmap_grid and heatmap_legend")
		}
	case gaugeKind:
		if !oneOf(shape, "arc circle semiCircle horizontalBullet verticalBullet") {
			say("shape is %q", shape)
		}
	default:
		say("visualizationType is %q", l.kind)
	}
}

func checkShape(l *lens, say say) {
	for _, key := range unknown(l.attributes, "title description type visualizationType references state") {
		say("attribute %s is not of that form", key)
	}
	if kind := text(l.attributes, "type"); kind != "lens" {
		say("type is %q, not lens", kind)
	}
	if _, ok := l.attributes["references"].([]any); !ok {
		say("references are no list")
	}
	checkReferences(l.attributes, say)
	state := l.attributes["state"]
	for _, key := range unknown(state, "visualization query filters datasourceStates internalReferences adHocDataViews") {
		say("state.%s is not of that form", key)
	}
	for _, key := range missing(state, "visualization query filters datasourceStates") {
		say("state.%s is missing", key)
	}
	if _, ok := at(state, "filters").([]any); !ok {
		say("state.filters is no list")
	}
	for _, y := range l.layers {
		for _, key := range unknown(y.raw, "columnOrder columns ignoreGlobalFilters incompleteColumns linkToLayers sampling indexPatternId") {
			say("%s of layer %s is not of that form", key, y.id)
		}
		if len(members(y.raw, "incompleteColumns")) > 0 {
			say("layer %s has incomplete columns", y.id)
		}
		if isTrue(y.raw, "ignoreGlobalFilters") {
			say("layer %s ignores the controls", y.id)
		}
	}
	walk("", l.visual, func(_ string, value any) {
		if id := text(value, "layerId"); id != "" && text(value, "layerType") == "" {
			say("layerType of layer %s is missing", id)
		}
	})
}

// drawn returns the ids of the layers that the visualization draws.
func (l *lens) drawn() []string {
	var ids []string
	switch l.kind {
	case xyKind, pieKind:
		for _, y := range elements(l.visual, "layers") {
			ids = append(ids, text(y, "layerId"))
		}
	default:
		ids = append(ids, text(l.visual, "layerId"))
		if has(l.visual, "trendlineLayerId") {
			ids = append(ids, text(l.visual, "trendlineLayerId"))
		}
	}
	return ids
}

func checkLayersUsed(l *lens, say say) {
	drawn := l.drawn()
	for _, id := range drawn {
		if l.layer(id) == nil {
			say("the layer %q, which is drawn, does not exist", id)
		}
	}
	for _, y := range l.layers {
		if !slices.Contains(drawn, y.id) {
			say("the layer %s is not drawn", y.id)
		}
	}
}

func checkTrend(l *lens, say say) {
	id := text(l.visual, "trendlineLayerId")
	for _, y := range l.layers {
		if has(y.raw, "linkToLayers") && (l.kind != metricKind || y.id != id) {
			say("layer %s has linkToLayers, and is no sparkline", y.id)
		}
	}
	if l.kind != metricKind || id == "" {
		for key := range l.visual {
			if strings.HasPrefix(key, "trendline") {
				say("%s without a layer", key)
			}
		}
		return
	}
	if kind := text(l.visual, "trendlineLayerType"); kind != "metricTrendline" {
		say("trendlineLayerType is %q", kind)
	}
	main, trend := text(l.visual, "layerId"), l.layer(id)
	if trend == nil {
		return
	}
	if to := texts(trend.raw, "linkToLayers"); !slices.Equal(to, []string{main}) {
		say("linkToLayers of layer %s is %v, not the layer %s alone", id, to, main)
	}
	if c := trend.column(text(l.visual, "trendlineTimeAccessor")); c != nil && c.operation != "date_histogram" {
		say("the column of time, %s, is of operation %s", c.id, c.operation)
	}
	number, line := l.layer(main).column(text(l.visual, "metricAccessor")), trend.column(text(l.visual, "trendlineMetricAccessor"))
	if number != nil && line != nil && !number.same(line) {
		say("the tile's column %s and the line's column %s compute different numbers", number.id, line.id)
	}
}

// same says whether two columns compute the same.
func (c *column) same(d *column) bool {
	return c.operation == d.operation && c.field == d.field &&
		text(c.raw, "filter", "query") == text(d.raw, "filter", "query") && text(c.params(), "formula") == text(d.params(), "formula") &&
		at(c.params(), "percentile") == at(d.params(), "percentile")
}
