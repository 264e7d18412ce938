package lint

import (
	"fmt"
	"strings"
)

// fieldType is what Elasticsearch would say of the fields that the drafts name.
func fieldType(view, field string) (string, bool) {
	switch field {
	case "@timestamp":
		return "date", true
	case "message":
		return "match_only_text", true
	case "transaction.custom.x":
		return "unmapped", true
	case "client.ip":
		return "ip", true
	case "event.success_count":
		if view == "apmws-traces" {
			return "byte", true
		}
		return "aggregate_metric_double", true
	case "transaction.duration.us":
		return "long", true
	case "transaction.duration.histogram":
		return "histogram", true
	case "transaction.duration.summary":
		return "aggregate_metric_double", true
	case "trace.id", "processor.event", "event.outcome", "metricset.interval", "service.name", "service.environment",
		"service.node.name", "transaction.name":
		return "keyword", true
	}
	switch {
	case strings.HasPrefix(field, "labels."):
		return "keyword", true
	case strings.HasPrefix(field, "numeric_labels."):
		return "scaled_float", true
	case strings.HasPrefix(field, "websocket."):
		return "double", true
	}
	return "", false
}

// tiles are the panels of a small dashboard.
func tiles() []m {
	panels := []m{bar()}
	for i := range 8 {
		panels = append(panels, placed(chart(fmt.Sprintf("Tile %d", i), "lnsMetric", "apmws-traces",
			m{"layerId": "main", "layerType": "data", "metricAccessor": "p", "showBar": false},
			layerOf([]string{"p"}, m{"p": percentile()})), i%4*12, 3+i/4*6, 12, 6))
	}
	return panels
}

// charts are the panels of a dashboard that has everything.
func charts() []m {
	text := m{
		"embeddableConfig": m{
			"enhancements": m{}, "hidePanelTitles": true,
			"savedVis": m{
				"type": "markdown", "title": "", "description": "", "id": "", "uiState": m{},
				"data":   m{"aggs": l{}, "searchSource": m{"filter": l{}, "query": kuery("")}},
				"params": m{"fontSize": 12, "markdown": "Read this.", "openLinksInNewTab": false},
			},
		},
		"title": "", "type": "visualization",
	}
	lines := m{"embeddableConfig": m{"enhancements": m{}}, "title": "Lines", "type": "search"}
	return []m{
		bar(), placed(text, 0, 3, 48, 3),
		placed(trend(), 0, 6, 12, 6), placed(ratio(), 12, 6, 12, 6), placed(shifted(), 24, 6, 12, 6), placed(connections(), 36, 6, 12, 6),
		placed(latency(), 0, 12, 24, 10), placed(stacked(), 24, 12, 24, 10),
		placed(donut(), 0, 22, 12, 10), placed(table(), 12, 22, 12, 10), placed(heatmap(), 24, 22, 12, 10), placed(cloud(), 36, 22, 12, 10),
		placed(dial(), 0, 32, 12, 10), placed(moving(), 12, 32, 12, 10), placed(lines, 24, 32, 24, 10),
		placed(destinations(), 0, 42, 24, 10), placed(byFilter(), 24, 42, 24, 10),
	}
}

// placed gives a panel its place, and an index of it.
func placed(p m, x, y, w, h int) m {
	index := identifier("panel", y*48+x)
	p["panelIndex"], p["gridData"] = index, m{"x": x, "y": y, "w": w, "h": h, "i": index}
	return p
}

func bar() m {
	links := l{}
	for i, label := range []string{"One", "Two"} {
		id := identifier("link", i)
		links = append(links, m{
			"destinationRefName": "link_" + id + "_dashboard", "id": id, "label": label, "order": i, "type": "dashboardLink",
			"options": m{"openInNewTab": false, "useCurrentDateRange": true, "useCurrentFilters": true},
		})
	}
	return placed(m{
		"embeddableConfig": m{"attributes": m{"layout": "horizontal", "links": links}, "enhancements": m{}, "hidePanelTitles": true},
		"title":            "", "type": "links",
	}, 0, 0, 48, 3)
}

// chart makes a panel; its layers are main and then those by name.
func chart(title, kind, view string, visual m, main m, more ...any) m {
	layers, references := m{"main": main}, l{}
	for i := 0; i < len(more); i += 2 {
		layers[more[i].(string)] = more[i+1]
	}
	for id := range layers {
		references = append(references, m{"id": view, "name": "indexpattern-datasource-layer-" + id, "type": "index-pattern"})
	}
	query := map[string]string{
		"apmws-traces":  "processor.event: transaction and labels.websocket_event: *",
		"apmws-metrics": "processor.event: metric and websocket.messages.received: *",
		"apmws-logs":    "labels.websocket_event: *",
	}[view]
	return m{
		"embeddableConfig": m{
			"attributes": m{
				"description": "What it counts, of sampled transactions.", "references": references,
				"state": m{
					"adHocDataViews": m{}, "internalReferences": l{}, "filters": l{}, "query": kuery(query), "visualization": visual,
					"datasourceStates": m{"formBased": m{"layers": layers}},
				},
				"title": "", "type": "lens", "visualizationType": kind,
			},
			"enhancements": m{},
		},
		"title": title, "type": "lens",
	}
}

func layerOf(order []string, columns m) m {
	ids := l{}
	for _, id := range order {
		ids = append(ids, id)
	}
	return m{"columnOrder": ids, "columns": columns, "ignoreGlobalFilters": false, "incompleteColumns": m{}, "sampling": 1}
}

// with returns an object with more members.
func with(object m, more ...any) m {
	for i := 0; i < len(more); i += 2 {
		object[more[i].(string)] = more[i+1]
	}
	return object
}

// Columns.

func metric(operation, field string, params m) m {
	c := m{
		"label": operation, "customLabel": true, "dataType": "number", "isBucketed": false, "scale": "ratio",
		"operationType": operation, "params": params,
	}
	if field != "" {
		c["sourceField"] = field
	}
	return c
}

func documents() m { return metric("count", "___records___", m{"emptyAsNull": true}) }

func sum(field string) m { return metric("sum", field, m{"emptyAsNull": true}) }

func percentile() m { return metric("percentile", "transaction.duration.us", m{"percentile": 95}) }

func last(field, typ, scale string) m {
	return with(metric("last_value", field, m{"sortField": "@timestamp", "showArrayValues": false}),
		"dataType", typ, "scale", scale, "filter", kuery(`"`+field+`": *`))
}

func timeBuckets() m {
	return m{
		"label": "@timestamp", "dataType": "date", "isBucketed": true, "scale": "interval", "operationType": "date_histogram",
		"sourceField": "@timestamp", "params": m{"dropPartials": false, "includeEmptyRows": true, "interval": "auto"},
	}
}

func terms(field, by string) m {
	return m{
		"label": field, "customLabel": true, "dataType": "string", "isBucketed": true, "scale": "ordinal", "operationType": "terms",
		"sourceField": field, "params": m{
			"size": 5, "orderBy": m{"type": "column", "columnId": by}, "orderDirection": "desc", "otherBucket": false,
			"missingBucket": false, "parentFormat": m{"id": "terms"}, "include": l{}, "exclude": l{},
			"includeIsRegex": false, "excludeIsRegex": false,
		},
	}
}

func static(value string) m {
	return with(metric("static_value", "", m{"value": value}), "isStaticValue", true, "references", l{})
}

// Charts.

func trend() m {
	return chart("Trend", "lnsMetric", "apmws-traces", m{
		"layerId": "main", "layerType": "data", "metricAccessor": "n", "showBar": false, "color": "#209280", "trendlineLayerId": "trend",
		"trendlineLayerType": "metricTrendline", "trendlineMetricAccessor": "n", "trendlineTimeAccessor": "t",
	}, layerOf([]string{"n"}, m{"n": documents()}),
		"trend", with(layerOf([]string{"t", "n"}, m{"t": timeBuckets(), "n": documents()}), "linkToLayers", l{"main"}))
}

func ratio() m {
	const failures, formula = `count(kql='event.outcome: failure')`, `count(kql='event.outcome: failure') / (count() + 1)`
	return chart("Ratio", "lnsMetric", "apmws-traces", m{
		"layerId": "main", "layerType": "data", "metricAccessor": "f", "showBar": false, "palette": m{
			"type": "palette", "name": "custom", "params": m{
				"name": "custom", "rangeType": "number", "continuity": "above", "steps": 2, "maxSteps": 5, "progression": "fixed",
				"rangeMin": 0, "rangeMax": nil, "reverse": false,
				"colorStops": l{m{"color": "#209280", "stop": 0}, m{"color": "#CC5642", "stop": 0.05}},
				"stops":      l{m{"color": "#209280", "stop": 0.05}, m{"color": "#CC5642", "stop": 1}},
			},
		},
	}, layerOf([]string{"fX0", "fX1", "fX2", "f"}, m{
		"f": with(metric("formula", "", m{
			"formula": formula, "isFormulaBroken": false, "format": m{"id": "percent", "params": m{"decimals": 1}},
		}), "references", l{"fX2"}),
		"fX0": with(metric("count", "___records___", m{"emptyAsNull": false}), "filter", kuery("event.outcome: failure")),
		"fX1": metric("count", "___records___", m{"emptyAsNull": false}),
		"fX2": with(metric("math", "", m{"tinymathAst": m{
			"type": "function", "name": "divide", "text": formula, "location": m{"min": 0, "max": len(formula)},
			"args": l{"fX0", m{
				"type": "function", "name": "add", "text": "count() + 1", "args": l{"fX1", 1},
				"location": m{"min": len(failures) + 4, "max": len(formula) - 1},
			}},
		}}), "references", l{"fX0", "fX1"}),
	}))
}

func shifted() m {
	return chart("Shifted", "lnsMetric", "apmws-metrics", m{
		"layerId": "main", "layerType": "data", "metricAccessor": "n", "secondaryMetricAccessor": "w", "showBar": false,
	}, layerOf([]string{"n", "w"}, m{
		"n": sum("websocket.messages.received"), "w": with(sum("websocket.messages.received"), "timeShift", "1w", "timeScale", "m"),
	}))
}

func connections() m {
	node := terms("service.node.name", "n")
	with(node["params"].(m), "secondaryFields", l{"labels.http_route"}, "parentFormat", m{"id": "multi_terms"})
	return chart("Connections", "lnsMetric", "apmws-metrics", m{
		"layerId": "main", "layerType": "data", "metricAccessor": "n", "breakdownByAccessor": "s", "collapseFn": "sum", "showBar": false,
	}, layerOf([]string{"s", "n"}, m{"s": node, "n": last("websocket.connections.active", "number", "ratio")}))
}

func xy(series string, layers ...any) m {
	return m{
		"fittingFunction": "None", "preferredSeriesType": series, "valueLabels": "hide", "yLeftExtent": m{"mode": "full"},
		"yLeftScale": "linear", "yRightScale": "linear", "legend": m{"isVisible": true, "position": "right"}, "layers": layers,
	}
}

func series(kind, split string, accessors ...any) m {
	style := l{}
	for _, id := range accessors {
		style = append(style, m{"axisMode": "left", "forAccessor": id})
	}
	y := m{
		"accessors": accessors, "layerId": "main", "layerType": "data", "palette": m{"name": "default", "type": "palette"},
		"seriesType": kind, "xAccessor": "t", "yConfig": style,
	}
	if split != "" {
		y["splitAccessor"] = split
	}
	return y
}

func latency() m {
	line := m{
		"accessors": l{"slo"}, "layerId": "r", "layerType": "referenceLine",
		"yConfig": l{m{"axisMode": "left", "color": "#CC5642", "forAccessor": "slo", "lineStyle": "dashed"}},
	}
	return chart("Latency", "lnsXY", "apmws-traces", xy("line", series("line", "", "p50", "p95"), line),
		layerOf([]string{"t", "p50", "p95"}, m{
			"t": timeBuckets(), "p50": metric("median", "transaction.duration.us", m{"emptyAsNull": true}), "p95": percentile(),
		}), "r", layerOf([]string{"slo"}, m{"slo": static("250000")}))
}

func stacked() m {
	return chart("Stacked", "lnsXY", "apmws-metrics", xy("bar_stacked", series("bar_stacked", "s", "n")),
		layerOf([]string{"t", "s", "n"}, m{
			"t": timeBuckets(), "s": terms("labels.http_route", "n"), "n": with(sum("websocket.messages.received"), "timeScale", "s"),
		}))
}

func byFilter() m {
	filters := m{
		"label": "Outcome", "customLabel": true, "dataType": "string", "isBucketed": true, "scale": "ordinal",
		"operationType": "filters", "params": m{"filters": l{
			m{"input": kuery("event.outcome: success"), "label": "Good"}, m{"input": kuery("event.outcome: failure"), "label": "Bad"},
		}},
	}
	return chart("By filter", "lnsXY", "apmws-logs", xy("area_stacked", series("area_stacked", "f", "n")),
		layerOf([]string{"t", "f", "n"}, m{"t": timeBuckets(), "f": filters, "n": documents()}))
}

func donut() m {
	return chart("Donut", "lnsPie", "apmws-traces", m{
		"shape": "donut", "palette": m{"name": "default", "type": "palette"}, "layers": l{m{
			"layerId": "main", "layerType": "data", "metrics": l{"n"}, "primaryGroups": l{"c"}, "secondaryGroups": l{},
			"categoryDisplay": "default", "legendDisplay": "show", "numberDisplay": "percent", "nestedLegend": false,
		}},
	}, layerOf([]string{"c", "n"}, m{"c": terms("labels.websocket_close_code", "n"), "n": documents()}))
}

func table() m {
	return chart("Table", "lnsDatatable", "apmws-traces", m{
		"layerId": "main", "layerType": "data", "sorting": m{"columnId": "u", "direction": "desc"},
		"columns": l{
			m{"columnId": "r", "isTransposed": false}, m{"columnId": "u", "isMetric": true}, m{"columnId": "o", "isMetric": true},
		},
	}, layerOf([]string{"r", "u", "o"}, m{
		"r": terms("labels.http_route", "u"), "u": metric("unique_count", "labels.websocket_connection_id", m{"emptyAsNull": true}),
		"o": last("event.outcome", "string", "ordinal"),
	}))
}

func heatmap() m {
	ranges := m{
		"label": "Length", "customLabel": true, "dataType": "string", "isBucketed": true, "scale": "ordinal", "operationType": "range",
		"sourceField": "numeric_labels.websocket_message_length", "params": m{
			"type": "range", "maxBars": "auto", "ranges": l{m{"from": 0, "to": 1000, "label": ""}, m{"from": 1000, "to": nil, "label": "more"}},
		},
	}
	return chart("Heatmap", "lnsHeatmap", "apmws-traces", m{
		"layerId": "main", "layerType": "data", "shape": "heatmap", "valueAccessor": "n", "xAccessor": "t", "yAccessor": "r",
		"gridConfig": m{"type": "heatmap_grid"}, "legend": m{"isVisible": true, "position": "right", "type": "heatmap_legend"},
	}, layerOf([]string{"t", "r", "n"}, m{"t": timeBuckets(), "r": ranges, "n": documents()}))
}

func cloud() m {
	name := terms("transaction.name", "")
	set(name, "params/orderBy", m{"type": "custom"})
	set(name, "params/orderAgg", percentile())
	return chart("Cloud", "lnsTagcloud", "apmws-traces", m{
		"layerId": "main", "layerType": "data", "tagAccessor": "e", "valueAccessor": "n", "maxFontSize": 72, "minFontSize": 18,
		"orientation": "single", "showLabel": false, "palette": m{"name": "default", "type": "palette"},
	}, layerOf([]string{"e", "n"}, m{"e": name, "n": documents()}))
}

func dial() m {
	used := last("websocket.connections.utilization", "number", "ratio")
	set(used, "params/format", m{"id": "percent", "params": m{"decimals": 0}})
	return chart("Dial", "lnsGauge", "apmws-metrics", m{
		"layerId": "main", "layerType": "data", "metricAccessor": "v", "maxAccessor": "max", "shape": "arc", "labelMajorMode": "auto",
		"ticksPosition": "auto",
	}, layerOf([]string{"v", "max"}, m{"v": used, "max": static("1")}))
}

func moving() m {
	return chart("Moving", "lnsXY", "apmws-metrics", xy("line", series("line", "", "a")), layerOf([]string{"t", "b", "a"}, m{
		"t": timeBuckets(), "b": with(sum("websocket.bytes.sent"), "params", m{
			"emptyAsNull": true, "format": m{"id": "bytes", "params": m{"decimals": 1}},
		}),
		"a": with(metric("moving_average", "", m{"window": 5}), "references", l{"b"}),
	}))
}

func destinations() m {
	p := chart("Durations", "lnsMetric", "apmws-metrics",
		m{"layerId": "main", "layerType": "data", "metricAccessor": "p", "showBar": false},
		layerOf([]string{"p"}, m{"p": metric("percentile", "transaction.duration.histogram", m{"percentile": 99})}))
	set(p, "embeddableConfig/attributes/description", "Of all routes: it is empty when a route is chosen.")
	set(p, "embeddableConfig/attributes/state/query", kuery("processor.event: metric and metricset.interval: 1m"))
	return p
}
