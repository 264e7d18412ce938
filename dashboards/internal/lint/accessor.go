package lint

import (
	"fmt"
	"slices"
)

// use is where a visualization names a column.
type use struct {
	layer, column string
	role          string
	bucket        bool // it must be a bucket
	metric        bool // it must be a metric
	required      bool // it must be named
	style         bool // it does not draw the column, but says how
}

// accessorRules are about the columns that visualizations name.
func accessorRules() []rule {
	return []rule{
		{
			Rule: Rule{"accessor-exists", "A visualization names columns of its own layers alone: Kibana shows an error for one that is gone, or nothing."},
			lens: func(l *lens, say say) {
				for _, u := range l.uses() {
					if y := l.layer(u.layer); u.column != "" && y != nil && y.column(u.column) == nil {
						say("%s is %q, which layer %s does not have", u.role, u.column, u.layer)
					}
				}
			},
		},
		{
			Rule: Rule{"accessor-kind", "Axes, breakdowns and groups are buckets, values are metrics: the other kind makes a chart that says nothing, or an error."},
			lens: func(l *lens, say say) {
				for _, u := range l.uses() {
					c := l.layer(u.layer).column(u.column)
					if c != nil && (u.bucket && !c.bucketed() || u.metric && c.bucketed()) {
						say("%s is %q of layer %s, the wrong kind of column", u.role, u.column, u.layer)
					}
				}
			},
		},
		{
			Rule: Rule{"accessor-required", "What a visualization cannot be drawn without must be named: a metric's value, a chart's series, a donut's groups, a table's columns."},
			lens: func(l *lens, say say) {
				for _, u := range l.uses() {
					if u.required && u.column == "" {
						say("%s is missing", u.role)
					}
				}
			},
		},
		{
			Rule: Rule{"accessor-all", "Every column is drawn, or is a part of one that is, or orders the terms of one: a bucket that is not drawn splits the numbers unseen, a metric costs for nothing."},
			lens: checkAllDrawn,
		},
	}
}

// uses returns the columns that the visualization names.
func (l *lens) uses() []use {
	v := l.visual
	main := text(v, "layerId")
	one := func(key string, u use) use {
		u.layer, u.column, u.role = main, text(v, key), key
		return u
	}
	switch l.kind {
	case metricKind:
		all := []use{
			one("metricAccessor", use{metric: true, required: true}), one("secondaryMetricAccessor", use{metric: true}),
			one("maxAccessor", use{metric: true}), one("breakdownByAccessor", use{bucket: true}),
		}
		if has(v, "trendlineLayerId") {
			trend := []use{
				one("trendlineMetricAccessor", use{metric: true, required: true}), one("trendlineTimeAccessor", use{bucket: true, required: true}),
				one("trendlineSecondaryMetricAccessor", use{metric: true}), one("trendlineBreakdownByAccessor", use{bucket: true}),
			}
			for i := range trend {
				trend[i].layer = text(v, "trendlineLayerId")
			}
			all = append(all, trend...)
		}
		return all
	case xyKind:
		return usesOfLayers(v, usesOfXY)
	case pieKind:
		return usesOfLayers(v, usesOfPie)
	case tableKind:
		return usesOfTable(v)
	case heatmapKind:
		return []use{
			one("valueAccessor", use{metric: true, required: true}), one("xAccessor", use{bucket: true, required: true}),
			one("yAccessor", use{bucket: true}),
		}
	case cloudKind:
		return []use{one("tagAccessor", use{bucket: true, required: true}), one("valueAccessor", use{metric: true, required: true})}
	case gaugeKind:
		return []use{
			one("metricAccessor", use{metric: true, required: true}), one("minAccessor", use{metric: true}),
			one("maxAccessor", use{metric: true}), one("goalAccessor", use{metric: true}),
		}
	}
	return nil
}

func usesOfLayers(visual map[string]any, ofOne func(layer any) []use) []use {
	layers := elements(visual, "layers")
	if len(layers) == 0 {
		return []use{{role: "layers", required: true}}
	}
	var all []use
	for i, y := range layers {
		for _, u := range ofOne(y) {
			u.layer, u.role = text(y, "layerId"), fmt.Sprintf("layers[%d].%s", i, u.role)
			all = append(all, u)
		}
	}
	return all
}

func usesOfXY(layer any) []use {
	all := named(layer, "accessors", use{metric: true, required: true})
	all = append(all, use{column: text(layer, "xAccessor"), role: "xAccessor", bucket: true},
		use{column: text(layer, "splitAccessor"), role: "splitAccessor", bucket: true})
	for _, style := range elements(layer, "yConfig") {
		all = append(all, use{column: text(style, "forAccessor"), role: "yConfig.forAccessor", metric: true, required: true, style: true})
	}
	return all
}

func usesOfPie(layer any) []use {
	all := named(layer, "metrics", use{metric: true, required: true})
	all = append(all, named(layer, "primaryGroups", use{bucket: true, required: true})...)
	return append(all, named(layer, "secondaryGroups", use{bucket: true})...)
}

// named returns a use for each of a list of columns.
func named(layer any, key string, u use) []use {
	u.role = key
	var all []use
	for _, id := range texts(layer, key) {
		u.column = id
		all = append(all, u)
	}
	if len(all) == 0 {
		all = append(all, use{role: key, required: u.required})
	}
	return all
}

func usesOfTable(visual map[string]any) []use {
	layer := text(visual, "layerId")
	var all []use
	for _, c := range elements(visual, "columns") {
		metric := isTrue(c, "isMetric")
		all = append(all, use{
			layer: layer, column: text(c, "columnId"), role: "columnId", metric: metric, bucket: !metric, required: true,
		})
	}
	if len(all) == 0 {
		all = append(all, use{role: "columns", required: true})
	}
	return append(all, use{layer: layer, column: text(visual, "sorting", "columnId"), role: "sorting.columnId", style: true})
}

func checkAllDrawn(l *lens, say say) {
	uses := l.uses()
	for _, y := range l.layers {
		for _, c := range y.columns {
			drawn := slices.ContainsFunc(uses, func(u use) bool { return !u.style && u.layer == y.id && u.column == c.id })
			if !drawn && !y.refersTo(c.id) {
				say("column %s of layer %s is not drawn", c.id, y.id)
			}
		}
		for _, u := range uses {
			drawn := slices.ContainsFunc(uses, func(d use) bool { return !d.style && d.layer == u.layer && d.column == u.column })
			if u.style && u.layer == y.id && u.column != "" && !drawn {
				say("%s is %q of layer %s, which is not drawn", u.role, u.column, y.id)
			}
		}
	}
}

// refersTo says whether another column of the layer is computed from, or ordered by,
// a column.
func (y *layer) refersTo(id string) bool {
	return slices.ContainsFunc(y.columns, func(c *column) bool {
		return slices.Contains(texts(c.raw, "references"), id) || text(c.params(), "orderBy", "columnId") == id
	})
}
