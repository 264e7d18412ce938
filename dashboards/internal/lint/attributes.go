package lint

import (
	"regexp"
	"strings"
)

const dashboardKeys = "title description kibanaSavedObjectMeta timeRestore timeFrom timeTo refreshInterval " +
	"controlGroupInput panelsJSON optionsJSON hits version"

// attributeRules are about what a dashboard has beside its panels, and about titles.
func attributeRules() []rule {
	return []rule{
		{
			Rule:      Rule{"dashboard-attributes", "A dashboard has the attributes of model version 1 alone: any other (sections, pinned_panels, project_routing, …) makes Kibana before 8.14 refuse it."},
			dashboard: checkDashboardKeys,
		},
		{
			Rule:   Rule{"json-string", "Attributes whose name ends in JSON, and a data view's fields, fieldAttrs, fieldFormatMap, runtimeFieldMap and sourceFilters, must be strings of valid JSON: Kibana refuses objects, and cannot open what does not parse."},
			object: checkStrings,
		},
		{
			Rule:   Rule{"title", "A title is required, and begins with [apmws] so that the objects are found together."},
			object: checkTitle,
		},
		{
			Rule: Rule{"dashboard-description", "A dashboard has a description: the list of dashboards shows it, so that a user knows which to open."},
			dashboard: func(o *object, say say) {
				if strings.TrimSpace(text(o.attributes, "description")) == "" {
					say("description is empty")
				}
			},
		},
		{
			Rule:      Rule{"dashboard-time", "timeRestore must be true with timeFrom and timeTo, and refreshInterval paused or not: else a dashboard opens with the time of the one before, or Kibana ignores the times."},
			dashboard: checkTimes,
		},
		{
			Rule:      Rule{"dashboard-options", "optionsJSON must switch on useMargins and syncColors: the same value has the same colour in every panel."},
			dashboard: checkOptions,
		},
		{
			Rule:      Rule{"dashboard-query", "The dashboard's own query and filters must be empty: they hit every panel, so that a label of traces empties all panels of metrics."},
			dashboard: checkDashboardQuery,
		},
		{
			Rule: Rule{"dashboard-version", "version must be 1, which Kibana 8.12 knows; 9.x writes 3."},
			dashboard: func(o *object, say say) {
				if n, ok := whole(o.attributes, "version"); !ok || n != 1 {
					say("version is %v, not 1", o.attributes["version"])
				}
			},
		},
	}
}

func checkDashboardKeys(o *object, say say) {
	for _, key := range unknown(o.attributes, dashboardKeys) {
		say("attribute %s is not of model version 1", key)
	}
	for object, keys := range map[string]string{
		"controlGroupInput":     "panelsJSON controlStyle chainingSystem ignoreParentSettingsJSON",
		"kibanaSavedObjectMeta": "searchSourceJSON",
		"refreshInterval":       "pause value display section",
	} {
		for _, key := range unknown(o.attributes[object], keys) {
			say("attribute %s.%s is not of model version 1", object, key)
		}
	}
	for _, key := range missing(o.attributes, "panelsJSON optionsJSON kibanaSavedObjectMeta") {
		say("attribute %s is missing", key)
	}
}

func checkStrings(o *object, say say) {
	for _, name := range sortedKeys(o.attributes) {
		walk(name, o.attributes[name], func(key string, value any) {
			if !isJSON(key) || oneOf(key, "fields fieldAttrs") && o.typ != typeDataView {
				return
			}
			e, ok := value.(*embedded)
			switch {
			case !ok:
				say("%s is no string", key)
			case !e.valid:
				say("%s is no valid JSON", key)
			}
		})
	}
}

func checkTitle(o *object, say say) {
	title := text(o.attributes, "title")
	if o.typ == typeDataView {
		// Its title is a pattern of indices, its name what people see.
		if name := text(o.attributes, "name"); title == "" || !strings.HasPrefix(name, "apmws ") {
			say("title is %q and name %q; the name begins with apmws", title, name)
		}
		return
	}
	if rest, ok := strings.CutPrefix(title, "[apmws] "); !ok || strings.TrimSpace(rest) != rest || rest == "" {
		say("title is %q, not of the form [apmws] …", title)
	}
}

// moment is a time that Kibana computes.
var moment = regexp.MustCompile(`^now([+-][0-9]+[smhdwMy])?(/[smhdwMy])?$`)

func checkTimes(o *object, say say) {
	if !isTrue(o.attributes, "timeRestore") {
		say("timeRestore is not true")
	}
	for _, key := range []string{"timeFrom", "timeTo"} {
		if value := text(o.attributes, key); !moment.MatchString(value) {
			say("%s is %q, not a time such as now-1h", key, value)
		}
	}
	refresh := o.attributes["refreshInterval"]
	if _, ok := whole(refresh, "value"); !ok || !isTrue(refresh, "pause") && !isFalse(refresh, "pause") {
		say("refreshInterval must have pause and value")
	}
}

func checkOptions(o *object, say say) {
	options := decoded(o.attributes, "optionsJSON")
	for _, key := range []string{"useMargins", "syncColors"} {
		if !isTrue(options, key) {
			say("%s is not true", key)
		}
	}
	for _, key := range unknown(options, "hidePanelTitles syncColors syncCursor syncTooltips useMargins") {
		say("%s is no option", key)
	}
}

func checkDashboardQuery(o *object, say say) {
	source := decoded(o.attributes, "kibanaSavedObjectMeta", "searchSourceJSON")
	if text(source, "query", "language") != "kuery" || at(source, "query", "query") != "" {
		say("the query must be an empty one in kuery")
	}
	if filters, ok := at(source, "filter").([]any); !ok || len(filters) > 0 {
		say("filter must be an empty list")
	}
}
