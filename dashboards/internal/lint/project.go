package lint

import (
	"slices"
	"strings"
)

// gauge is the number of open connections, which is reported per node and route.
const gauge = "websocket.connections.active"

// projectRules are about the metrics of this project.
func projectRules() []rule {
	return []rule{
		{
			Rule:   Rule{"counter-sum", "A counter (a metric ending .opened, .refused, .closed, .received, .sent, .dropped, .unanswered, .calls or .handled) arrives in Elastic as the sum of an interval: only sum is right, of which no rate is taken again (timeScale makes it one)."},
			column: checkCounter,
		},
		{
			Rule: Rule{"gauge-sum", "websocket.connections.active is a gauge, reported every interval: a plain sum adds the reports, and shows more the longer the time range."},
			column: func(c *column, say say) {
				if c.field == gauge && c.operation == "sum" {
					say("the sum of %s", gauge)
				}
			},
		},
		{
			Rule:  Rule{"gauge-split", "websocket.connections.active is kept per node and route: a maximum, an average or a last value of it is split by service.node.name and labels.http_route, or is an average that its formula multiplies by the unique count of the one that it is not split by, or is multiplied by 0, which makes nothing of a number where there are no documents; else it is that of one route on one node."},
			layer: checkGaugeSplit,
		},
		{
			Rule: Rule{"metric-interval", "APM Server derives the same metrics per 1m, 10m and 60m: a panel on them filters one metricset.interval, else it counts everything three times."},
			lens: checkInterval,
		},
		{
			Rule:   Rule{"logs-labels", "What reads logs filters on a field of labels, as what reads traces: documents without them vanish as soon as a route is chosen, and other services' logs would come in."},
			object: checkSearchLabels,
			lens:   checkLensLabels,
		},
	}
}

func isCounter(field string) bool {
	end := field[strings.LastIndexByte(field, '.')+1:]
	return strings.HasPrefix(field, "websocket.") && oneOf(end, "opened refused closed received sent dropped unanswered calls handled")
}

func checkCounter(c *column, say say) {
	if isCounter(c.field) && c.operation != "sum" {
		say("%s of the counter %s", c.operation, c.field)
	}
	if c.operation != "counter_rate" {
		return
	}
	for _, id := range texts(c.raw, "references") {
		if of := c.layer.column(id); of != nil && isCounter(of.field) {
			say("the rate of the counter %s", of.field)
		}
	}
}

func checkGaugeSplit(y *layer, say say) {
	for _, c := range y.columns {
		if c.field != gauge || !oneOf(c.operation, "max min average median last_value percentile") || c.timesZero() {
			continue
		}
		for _, dimension := range []string{"service.node.name", "labels.http_route"} {
			if !y.splitBy(dimension) && !c.multipliedBy(dimension) {
				say("%s of %s in column %s is not split by %s", c.operation, gauge, c.id, dimension)
			}
		}
	}
}

func (y *layer) splitBy(field string) bool {
	return slices.ContainsFunc(y.columns, func(c *column) bool {
		return c.operation == "terms" && (c.field == field || slices.Contains(texts(c.params(), "secondaryFields"), field))
	})
}

// multipliedBy says whether a column is an average in a formula that counts the
// values of a field, too.
func (c *column) multipliedBy(field string) bool {
	f := c.formula()
	return f != nil && c.operation == "average" && slices.ContainsFunc(f.parts(), func(part *column) bool {
		return part.operation == "unique_count" && part.field == field
	})
}

// timesZero says whether a column is in a formula that multiplies it by 0.
func (c *column) timesZero() bool {
	f := c.formula()
	return f != nil && slices.ContainsFunc(f.parts(), func(part *column) bool {
		return multipliesByZero(part.params()["tinymathAst"], c.id)
	})
}

// multipliesByZero looks for 0 * id in arithmetic.
func multipliesByZero(ast any, id string) bool {
	node, _ := ast.(map[string]any)
	args, _ := node["args"].([]any)
	if text(node, "name") == "multiply" && len(args) == 2 && args[0] == 0.0 && args[1] == any(id) {
		return true
	}
	return slices.ContainsFunc(args, func(arg any) bool { return multipliesByZero(arg, id) })
}

// isDerived says whether a field is of the metrics that APM Server derives.
func isDerived(field string) bool {
	return oneOf(field, "transaction.duration.histogram transaction.duration.summary") ||
		strings.HasPrefix(field, "span.destination.service.response_time.")
}

func checkInterval(l *lens, say say) {
	filtered := false
	for _, field := range queryFields(at(l.attributes, "state", "query")) {
		filtered = filtered || field == "metricset.interval"
	}
	if filtered {
		return
	}
	l.fields(func(_, view, field string) {
		pattern := l.panel.dashboard.file.pattern(view)
		if isDerived(field) && !strings.Contains(pattern, "traces-") && !strings.Contains(pattern, ".1m") {
			say("%s, and no filter for metricset.interval", field)
		}
	})
}

func checkSearchLabels(o *object, say say) {
	if o.typ == typeSearch && strings.Contains(o.file.pattern(refersTo(o.references, typeDataView, searchIndex)), "logs-") {
		source := decoded(o.attributes, "kibanaSavedObjectMeta", "searchSourceJSON")
		checkLabels(at(source, "query"), say)
	}
}

func checkLensLabels(l *lens, say say) {
	if slices.ContainsFunc(l.layers, func(y *layer) bool {
		return strings.Contains(l.panel.dashboard.file.pattern(y.view()), "logs-")
	}) {
		checkLabels(at(l.attributes, "state", "query"), say)
	}
}

func checkLabels(query any, say say) {
	if !slices.ContainsFunc(queryFields(query), func(field string) bool { return strings.HasPrefix(field, "labels.") }) {
		say("the query names no field of labels")
	}
}
