package lint

import (
	"fmt"
	"testing"
)

func lensFaults() []fault {
	visual := func(title, path string, value any) func(*draft) {
		return func(d *draft) { set(d.visual(title), path, value) }
	}
	gone := func(title, path string) func(*draft) {
		return func(d *draft) { remove(d.visual(title), path) }
	}
	attribute := func(path string, value any) func(*draft) {
		return func(d *draft) { set(d.attributes("Latency"), path, value) }
	}
	const trendLayer = "state/datasourceStates/formBased/layers/trend"
	return []fault{
		{"lens-kind", "unknown", attribute("visualizationType", "lnsLine"), "lens-layer-used accessor-all"},
		{"lens-kind", "shape of a gauge", visual("Dial", "shape", "round"), ""},
		{"lens-kind", "shape of a donut", gone("Donut", "shape"), ""},
		{"lens-kind", "grid of a heatmap", visual("Heatmap", "gridConfig/type", "grid"), ""},
		{"lens-shape", "version", attribute("version", 1), ""},
		{"lens-shape", "type", attribute("type", "Lens"), ""},
		{"lens-shape", "state", attribute("state/needsRefresh", false), ""},
		{"lens-shape", "no layerType", gone("Donut", "layers/0/layerType"), ""},
		{"lens-shape", "ignores controls", func(d *draft) { set(d.layer("Table"), "ignoreGlobalFilters", true) }, ""},
		{"lens-shape", "incomplete", func(d *draft) { set(d.layer("Table"), "incompleteColumns/x", m{}) }, ""},
		{"lens-new-names", "splitAccessors", visual("Stacked", "layers/0/splitAccessors", l{"s"}), ""},
		{"lens-new-names", "legendStats", visual("Stacked", "legend/legendStats", l{"avg"}), ""},
		{"lens-new-names", "secondaryPrefix", visual("Shifted", "secondaryPrefix", "before"), ""},
		{"lens-names", "unknown", visual("Latency", "layers/0/yConfigs", l{}), ""},
		{"lens-names", "collapsed", visual("Connections", "collapseFn", "total"), ""},
		{"lens-source", "ES|QL", attribute("state/datasourceStates/textBased", m{}), ""},
		{"lens-query", "empty", attribute("state/query/query", ""), ""},
		{"lens-query", "does not parse", attribute("state/query/query", "a: b and (c"), ""},
		{"lens-query", "lucene", attribute("state/query/language", "lucene"), ""},
		{"lens-layer-used", "not drawn", func(d *draft) {
			set(d.visual("Latency"), "layers", get(d.visual("Latency"), "layers").(l)[:1])
		}, "accessor-all"},
		{"lens-layer-used", "does not exist", visual("Cloud", "layerId", "other"), "accessor-all"},
		{"lens-trend", "not linked", func(d *draft) { remove(d.attributes("Trend"), trendLayer+"/linkToLayers") }, ""},
		{"lens-trend", "type", visual("Trend", "trendlineLayerType", "data"), ""},
		{"lens-trend", "other number", func(d *draft) {
			set(d.attributes("Trend"), trendLayer+"/columns/n/filter", kuery("event.outcome: failure"))
		}, ""},
		{"lens-trend", "linked for nothing", func(d *draft) { set(d.layer("Table"), "linkToLayers", l{"other"}) }, ""},
		{"accessor-exists", "of a metric", visual("Shifted", "secondaryMetricAccessor", "x"), "accessor-all"},
		{"accessor-exists", "of a line", visual("Latency", "layers/0/accessors/0", "x"), "accessor-all"},
		{"accessor-kind", "bucket as metric", visual("Heatmap", "valueAccessor", "r"), "accessor-all"},
		{"accessor-kind", "metric as bucket", visual("Table", "columns/2/isMetric", false), ""},
		{"accessor-required", "of a metric", gone("Shifted", "metricAccessor"), "accessor-all"},
		{"accessor-required", "of a line", visual("Latency", "layers/1/accessors", l{}), "accessor-all"},
		{"accessor-required", "of a donut", visual("Donut", "layers/0/primaryGroups", l{}), "accessor-all"},
		{"accessor-required", "of a cloud", gone("Cloud", "tagAccessor"), "accessor-all"},
		{"accessor-required", "of a table", visual("Table", "columns", l{}), "accessor-all"},
		{"accessor-required", "layers", visual("Donut", "layers", l{}), "lens-layer-used accessor-all"},
		{"accessor-all", "breakdown", gone("Stacked", "layers/0/splitAccessor"), ""},
		{"accessor-all", "sorted by what is not shown", func(d *draft) {
			set(d.column("Table", "r"), "params/orderBy/columnId", "u")
			set(d.visual("Table"), "columns", l{m{"columnId": "r"}, m{"columnId": "o", "isMetric": true}})
		}, ""},
		{"xy-options", "series", visual("Latency", "layers/0/seriesType", "lines"), ""},
		{"xy-options", "preferred series", gone("Latency", "preferredSeriesType"), ""},
		{"xy-options", "fitting", visual("Latency", "fittingFunction", "none"), ""},
		{"xy-options", "axis", visual("Latency", "layers/0/yConfig/0/axisMode", "up"), ""},
		{"xy-options", "scale", visual("Latency", "yLeftScale", "logarithmic"), ""},
		{"xy-options", "layer type", visual("Latency", "layers/0/layerType", "annotations"), ""},
		{"xy-options", "legend", gone("Latency", "legend"), ""},
		{"palette", "no type", gone("Donut", "palette/type"), ""},
		{"palette", "no stops", visual("Ratio", "palette/params/stops", l{}), ""},
		{"palette", "descending", visual("Ratio", "palette/params/stops/0/stop", 2), ""},
		{"palette", "other colours", visual("Ratio", "palette/params/stops/0/color", "#000000"), ""},
		{"palette", "steps", visual("Ratio", "palette/params/steps", 3), ""},
		{"colour", "name", visual("Trend", "color", "green"), ""},
		{"colour", "short", visual("Latency", "layers/1/yConfig/0/color", "#fff"), ""},
	}
}

func columnFaults() []fault {
	column := func(title, id, path string, value any) func(*draft) {
		return func(d *draft) { set(d.column(title, id), path, value) }
	}
	gone := func(title, id, path string) func(*draft) {
		return func(d *draft) { remove(d.column(title, id), path) }
	}
	return []fault{
		{"column-order", "one missing", func(d *draft) { set(d.layer("Latency"), "columnOrder", l{"t", "p50"}) }, ""},
		{"column-order", "one twice", func(d *draft) { add(d.layer("Latency"), "columnOrder", "p50") }, ""},
		{"column-order", "one unknown", func(d *draft) { add(d.layer("Latency"), "columnOrder", "x") }, ""},
		{"column-order", "metric first", func(d *draft) { set(d.layer("Latency"), "columnOrder", l{"p50", "t", "p95"}) }, ""},
		{"column-time", "no date histogram", func(d *draft) {
			set(d.layer("Moving"), "columns/t", with(terms("labels.http_route", "b"), "params",
				with(terms("labels.http_route", "b")["params"].(m), "orderBy", m{"type": "alphabetical"})))
		}, ""},
		{"terms-shift", "two shifts", func(d *draft) {
			set(d.layer("Stacked"), "columns/w", with(sum("websocket.messages.received"), "timeShift", "1w"))
			add(d.layer("Stacked"), "columnOrder", "w")
			add(d.visual("Stacked"), "layers/0/accessors", "w")
		}, ""},
		{"column-operation", "unknown", column("Shifted", "w", "operationType", "total"), "column-field column-params counter-sum"},
		{"column-keys", "unknown", column("Shifted", "w", "timeshift", "1w"), ""},
		{"column-label", "empty", column("Shifted", "w", "label", ""), ""},
		{"column-label", "not custom", gone("Shifted", "w", "customLabel"), ""},
		{"column-field", "missing", gone("Shifted", "w", "sourceField"), ""},
		{"column-field", "not wanted", column("By filter", "f", "sourceField", "event.outcome"), ""},
		{"column-field", "records", column("Latency", "p50", "sourceField", "___records___"), ""},
		{"column-references", "gone", column("Moving", "a", "references", l{"x"}), "accessor-all"},
		{"column-references", "none", column("Moving", "a", "references", l{}), "accessor-all"},
		{"column-references", "a bucket", column("Moving", "a", "references", l{"t"}), "accessor-all"},
		{"column-references", "not wanted", column("Shifted", "w", "references", l{"n"}), ""},
		{"column-references", "static", gone("Dial", "max", "references"), ""},
		{"column-type", "bucketed", gone("Shifted", "w", "isBucketed"), ""},
		{"column-type", "data type", column("Shifted", "w", "dataType", "string"), ""},
		{"column-type", "scale", column("Stacked", "t", "scale", "ratio"), ""},
		{"column-type", "of a last value", column("Table", "o", "scale", "ratio"), ""},
		{"column-params", "percentile", gone("Latency", "p95", "params/percentile"), ""},
		{"column-params", "unknown", column("Latency", "p95", "params/emptyAsNull", true), ""},
		{"column-params", "emptyAsNull", gone("Shifted", "w", "params/emptyAsNull"), ""},
		{"column-params", "interval", column("Latency", "t", "params/interval", "1 minute"), ""},
		{"column-params", "empty rows", gone("Latency", "t", "params/includeEmptyRows"), ""},
		{"column-params", "window", column("Moving", "a", "params/window", 0), ""},
		{"column-params", "ranges", column("Heatmap", "r", "params/ranges", l{m{"from": 2, "to": 1, "label": ""}}), ""},
		{"static-value", "a number", column("Dial", "max", "params/value", 1), ""},
		{"static-value", "not marked", gone("Dial", "max", "isStaticValue"), ""},
		{"last-value", "no filter", gone("Table", "o", "filter"), ""},
		{"last-value", "other filter", column("Table", "o", "filter", kuery("service.name: *")), ""},
		{"last-value", "sorted", gone("Table", "o", "params/sortField"), ""},
		{"last-value", "arrays", column("Table", "o", "params/showArrayValues", true), ""},
		{"time-shift", "no unit", column("Shifted", "w", "timeShift", "1"), ""},
		{"time-shift", "of a bucket", column("Latency", "t", "timeShift", "1w"), ""},
		{"time-scale", "week", column("Shifted", "w", "timeScale", "w"), ""},
		{"reduced-range", "previous", column("Shifted", "w", "reducedTimeRange", "previous"), ""},
		{"reduced-range", "date histogram", column("Stacked", "n", "reducedTimeRange", "5m"), ""},
		{"terms-order", "gone", column("Stacked", "s", "params/orderBy/columnId", "x"), ""},
		{"terms-order", "a bucket", column("Stacked", "s", "params/orderBy/columnId", "t"), ""},
		{"terms-order", "last value", column("Table", "r", "params/orderBy/columnId", "o"), ""},
		{"terms-order", "percentile with decimals", func(d *draft) {
			set(d.layer("Table"), "columns/u", with(percentile(), "params", m{"percentile": 99.9}))
		}, ""},
		{"terms-order", "a formula", func(d *draft) {
			columns := get(ratio(), "embeddableConfig/attributes/state/datasourceStates/formBased/layers/main/columns").(m)
			for id, c := range columns {
				set(d.layer("Cloud"), "columns/"+id, c)
			}
			add(d.layer("Cloud"), "columnOrder", "fX0", "fX1", "fX2", "f")
			set(d.visual("Cloud"), "valueAccessor", "f")
			remove(d.layer("Cloud"), "columns/n")
			set(d.layer("Cloud"), "columnOrder", l{"e", "fX0", "fX1", "fX2", "f"})
			set(d.column("Cloud", "e"), "params/orderBy", m{"type": "column", "columnId": "f"})
		}, ""},
		{"terms-order", "a part", func(d *draft) {
			set(d.layer("Moving"), "columns/s", terms("labels.http_route", "b"))
			set(d.layer("Moving"), "columnOrder", l{"t", "s", "b", "a"})
			set(d.visual("Moving"), "layers/0/splitAccessor", "s")
		}, ""},
		{"terms-order", "direction", column("Stacked", "s", "params/orderDirection", "down"), ""},
		{"terms-order", "custom without a metric", gone("Cloud", "e", "params/orderAgg"), ""},
		{"terms-params", "size", column("Stacked", "s", "params/size", 0), ""},
		{"terms-params", "parent format", column("Connections", "s", "params/parentFormat/id", "terms"), ""},
		{"terms-params", "second field the same", column("Connections", "s", "params/secondaryFields", l{"labels.http_route", "service.node.name"}), ""},
		{"terms-params", "other bucket", gone("Stacked", "s", "params/otherBucket"), ""},
		{"filters-column", "does not parse", column("By filter", "f", "params/filters/0/input/query", "a: (b"), ""},
		{"filters-column", "label twice", column("By filter", "f", "params/filters/0/label", "Bad"), ""},
		{"filters-column", "none", column("By filter", "f", "params/filters", l{}), ""},
		{"column-filter", "does not parse", column("Shifted", "w", "filter", kuery(`a: "b`)), ""},
		{"column-filter", "empty", column("Shifted", "w", "filter", kuery("")), ""},
		{"column-format", "unknown", column("Shifted", "w", "params/format", m{"id": "integer"}), ""},
		{"column-format", "unit", column("Latency", "p95", "params/format", m{"id": "duration", "params": m{"fromUnit": "us", "toUnit": "humanize"}}), ""},
		{"column-format", "unknown parameter", column("Shifted", "w", "params/format", m{"id": "number", "params": m{"decimal": 1}}), ""},
		{"format-percent", "of a count", column("Shifted", "w", "params/format", m{"id": "percent", "params": m{"decimals": 1}}), ""},
		{"format-percent", "of a formula without division", func(d *draft) {
			p := placed(formulaOf("count(kql='url.path: \"/ws\"')", m{
				"fX0": with(metric("count", "___records___", m{"emptyAsNull": false}), "filter", kuery(`url.path: "/ws"`)),
			}, "percent"), 0, 6, 12, 6)
			d.one.panels[2] = p
			dropTrend(d)
		}, "field-known"},
		{"format-formula", "none", gone("Ratio", "f", "params/format"), ""},
		{"format-unit", "bytes", gone("Moving", "b", "params/format"), ""},
		{"format-unit", "duration", func(d *draft) { set(d.views["apmws-metrics"], "attributes/fieldFormatMap", "{}") }, ""},
	}
}

// formulaOf makes a chart of a formula and its parts, without arithmetic.
func formulaOf(formula string, parts m, format string) m {
	columns, order := m{}, []string{}
	for id, part := range parts {
		columns[id] = part
		order = append(order, id)
	}
	columns["f"] = with(metric("formula", "", m{
		"formula": formula, "isFormulaBroken": false, "format": m{"id": format, "params": m{"decimals": 0}},
	}), "references", l{"fX0"})
	return chart("Formula", "lnsMetric", "apmws-traces",
		m{"layerId": "main", "layerType": "data", "metricAccessor": "f", "showBar": false}, layerOf(append(order, "f"), columns))
}

// dropTrend removes the reference of the sparkline, whose panel has been replaced.
func dropTrend(d *draft) {
	var kept l
	for _, r := range get(d.one.object, "references").(l) {
		if name := get(r, "name").(string); name != identifier("panel", 6*48)+":indexpattern-datasource-layer-trend" {
			kept = append(kept, r)
		}
	}
	set(d.one.object, "references", kept)
}

func formulaFaults() []fault {
	column := func(id, path string, value any) func(*draft) {
		return func(d *draft) { set(d.column("Ratio", id), path, value) }
	}
	return []fault{
		{"formula-parts", "no reference", column("f", "references", l{}), "column-references accessor-all"},
		{"formula-parts", "not the last", column("f", "references", l{"fX1"}), "accessor-all"},
		{"formula-parts", "one missing", func(d *draft) {
			remove(d.layer("Ratio"), "columns/fX1")
			set(d.layer("Ratio"), "columnOrder", l{"fX0", "fX2", "f"})
		}, "column-references formula-math formula-text"},
		{"formula-parts", "a filter of its own", column("f", "filter", kuery("event.outcome: failure")), ""},
		{"formula-text", "other filter", column("fX0", "filter", kuery("event.outcome: success")), ""},
		{"formula-text", "other operation", column("fX1", "operationType", "unique_count"), "column-field"},
		{"formula-text", "other arithmetic", column("fX2", "params/tinymathAst/name", "multiply"), ""},
		{"formula-text", "other number", column("fX2", "params/tinymathAst/args/1/args/1", 2), ""},
		{"formula-text", "place", column("fX2", "params/tinymathAst/args/1/location/min", 0), ""},
		{"formula-text", "cannot be read", column("f", "params/formula", "count() / "), ""},
		{"formula-text", "more calls", column("f", "params/formula", "count() / count() / count()"), ""},
		{"formula-broken", "true", column("f", "params/isFormulaBroken", true), ""},
		{"formula-broken", "missing", func(d *draft) { remove(d.column("Ratio", "f"), "params/isFormulaBroken") }, ""},
		{"formula-math", "leaf", column("fX2", "params/tinymathAst/args/0", "fX9"), "formula-text"},
		{"formula-math", "references", column("fX2", "references", l{"fX0"}), "accessor-all formula-parts"},
		{"formula-math", "function", column("fX2", "params/tinymathAst/args/1/name", "plus"), "formula-text"},
		{"formula-math", "none", func(d *draft) { remove(d.column("Ratio", "fX2"), "params/tinymathAst") }, "formula-text"},
	}
}

func projectFaults() []fault {
	column := func(title, id, path string, value any) func(*draft) {
		return func(d *draft) { set(d.column(title, id), path, value) }
	}
	describe := func(title, text string) func(*draft) {
		return func(d *draft) { set(d.attributes(title), "description", text) }
	}
	return []fault{
		{"field-known", "of a column", column("Table", "u", "sourceField", "label.websocket_connection_id"), ""},
		{"field-known", "of a filter", column("Ratio", "fX1", "filter", kuery("event.result: x")), "formula-text"},
		{"field-known", "of a query", func(d *draft) { set(d.attributes("Table"), "state/query/query", "nowhere: 1") }, ""},
		{"field-known", "of a control", func(d *draft) {
			set(d.one.controls, identifier("control", 1)+"/explicitInput/fieldName", "nowhere")
		}, "controls"},
		{"field-known", "of a search", func(d *draft) { add(d.search, "attributes/columns", "nowhere") }, ""},
		{"field-known", "of a format", func(d *draft) {
			set(d.views["apmws-logs"], "attributes/fieldFormatMap", `{"nowhere":{"id":"bytes","params":{"pattern":"0b"}}}`)
		}, ""},
		{"field-known", "of a further term", column("Connections", "s", "params/secondaryFields", l{"labels.http_route", "nowhere"}), ""},
		{"field-known", "of an order", column("Cloud", "e", "params/orderAgg/sourceField", "nowhere"), ""},
		{"field-known", "not mapped", func(d *draft) { set(d.attributes("Table"), "state/query/query", "transaction.custom.x: 1") }, ""},
		{"field-type", "terms of text", column("Table", "r", "sourceField", "message"), ""},
		{"field-type", "distinct texts", column("Table", "u", "sourceField", "message"), ""},
		{"field-type", "percentile of a keyword", column("Latency", "p95", "sourceField", "service.name"), ""},
		{"field-type", "last value of a histogram", func(d *draft) {
			set(d.layer("Dial"), "columns/v", with(last("transaction.duration.histogram", "number", "ratio")))
			describe("Dial", "Of all routes.")(d)
			set(d.attributes("Dial"), "state/query", kuery("metricset.interval: 1m"))
		}, ""},
		{"field-type", "data type", column("Stacked", "s", "dataType", "ip"), ""},
		{"field-type", "control", func(d *draft) {
			set(d.one.controls, identifier("control", 1)+"/explicitInput/fieldName", "message")
		}, "controls"},
		{"field-success-count", "in traces", func(d *draft) {
			set(d.layer("Latency"), "columns/p50", sum("event.success_count"))
		}, ""},
		{"field-summary", "percentile", column("Durations", "p", "sourceField", "transaction.duration.summary"), "field-type"},
		{"counter-sum", "maximum", column("Shifted", "w", "operationType", "max"), ""},
		{"counter-sum", "rate", func(d *draft) {
			set(d.layer("Moving"), "columns/a", with(metric("counter_rate", "", m{}), "references", l{"b"}, "timeScale", "s"))
		}, ""},
		{"gauge-sum", "sum", column("Shifted", "w", "sourceField", gauge), ""},
		{"gauge-split", "by node alone", func(d *draft) {
			set(d.column("Connections", "s"), "params/secondaryFields", l{"service.name"})
		}, ""},
		{"gauge-split", "in a formula", guarded(2), ""},
		{"metric-interval", "none", func(d *draft) { set(d.attributes("Durations"), "state/query/query", "processor.event: metric") }, ""},
		{"logs-labels", "a search", func(d *draft) { set(d.source, "query/query", "service.name: *") }, ""},
		{"logs-labels", "a chart", func(d *draft) { set(d.attributes("By filter"), "state/query/query", "service.name: *") }, ""},
		{"said-sampled", "not said", describe("Donut", "What it counts."), ""},
		{"said-route", "not said", describe("Durations", "How long it takes."), ""},
	}
}

// guarded makes the second number of a tile factor times the gauge.
func guarded(factor int) func(d *draft) {
	return func(d *draft) {
		formula := fmt.Sprintf("%d * max(%s)", factor, gauge)
		layer := d.layer("Shifted")
		set(layer, "columnOrder", l{"n", "wX0", "wX1", "w"})
		set(layer, "columns/wX0", metric("max", gauge, m{}))
		set(layer, "columns/wX1", with(metric("math", "", m{"tinymathAst": m{
			"type": "function", "name": "multiply", "text": formula, "location": m{"min": 0, "max": len(formula)},
			"args": l{factor, "wX0"},
		}}), "references", l{"wX0"}))
		set(layer, "columns/w", with(metric("formula", "", m{
			"formula": formula, "isFormulaBroken": false, "format": m{"id": "number", "params": m{"decimals": 0}},
		}), "references", l{"wX1"}))
	}
}

// TestTimesZero: a gauge that only says whether there are documents may be any.
func TestTimesZero(t *testing.T) {
	d := newDraft()
	guarded(0)(d)
	for _, f := range File(d.write(), Options{}) {
		t.Errorf("%s: %s: %s", f.Rule, f.Where, f.Text)
	}
}
