package lint

import "strings"

// saidRules are about what a description must warn of.
func saidRules() []rule {
	return []rule{
		{
			Rule: Rule{"said-sampled", "A panel that counts (count, unique_count, sum) on traces says sampled in its description: traces hold sampled transactions alone, so that the numbers are too small when not everything is sampled."},
			lens: checkSampled,
		},
		{
			Rule: Rule{"said-route", "A panel over documents without labels.http_route (span.destination.service, transaction.duration.histogram and .summary, websocket.telemetry.dropped) says route in its description: it is empty when a route is chosen."},
			lens: checkRoute,
		},
	}
}

func (p *panel) says(word string) bool {
	return strings.Contains(strings.ToLower(p.description()), word)
}

func checkSampled(l *lens, say say) {
	if l.panel.says("sampled") {
		return
	}
	for _, y := range l.layers {
		if !strings.Contains(l.panel.dashboard.file.pattern(y.view()), "traces-") {
			continue
		}
		for _, c := range y.columns {
			if oneOf(c.operation, "count unique_count sum") {
				say("%s in column %s counts sampled documents, and the description does not say so", c.operation, c.id)
				return
			}
		}
	}
}

// hasNoRoute says whether documents with a field have no route.
func hasNoRoute(field string) bool {
	return strings.HasPrefix(field, "span.destination.service.") ||
		oneOf(field, "transaction.duration.histogram transaction.duration.summary websocket.telemetry.dropped")
}

func checkRoute(l *lens, say say) {
	if l.panel.says("route") {
		return
	}
	said := false
	l.fields(func(_, _, field string) {
		if hasNoRoute(field) && !said {
			said = true
			say("documents with %s have no route, and the description does not say so", field)
		}
	})
}
