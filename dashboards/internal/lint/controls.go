package lint

import (
	"slices"
	"strings"
)

// controlRules are about the controls above the panels.
func controlRules() []rule {
	return []rule{
		{
			Rule:      Rule{"controls", "A dashboard has controls for service.name, service.environment and labels.http_route, once each: all dashboards are narrowed in the same way."},
			dashboard: checkControls,
		},
		{
			Rule:      Rule{"control-shape", "A control is an options list with its key as id, a field, a title, an order of its own from 0, and nothing chosen: Kibana 9.4 drops one without a field, and a choice that is shipped hides data."},
			dashboard: checkControlShape,
		},
		{
			Rule:      Rule{"control-settings", "Controls are in one line (oneLine) or two, chained (HIERARCHICAL) or not (NONE), and ignore nothing: else they offer values that the panels do not have."},
			dashboard: checkControlSettings,
		},
	}
}

// controls returns a dashboard's controls by their ids.
func (o *object) controls() map[string]any {
	return members(decoded(o.attributes, "controlGroupInput", "panelsJSON"))
}

func checkControls(o *object, say say) {
	count := make(map[string]int)
	for _, control := range o.controls() {
		count[text(control, "explicitInput", "fieldName")]++
	}
	for _, field := range []string{"service.name", "service.environment", "labels.http_route"} {
		if count[field] != 1 {
			say("%d controls are for %s", count[field], field)
		}
	}
}

func checkControlShape(o *object, say say) {
	controls := o.controls()
	var orders []int
	for _, id := range sortedKeys(controls) {
		control := controls[id]
		input := at(control, "explicitInput")
		field := text(input, "fieldName")
		if kind := text(control, "type"); kind != "optionsListControl" {
			say("control %s is of type %q", id, kind)
		}
		if text(input, "id") != id || !uuid.MatchString(id) {
			say("the id of control %s is %v, not its key, a UUID", id, at(input, "id"))
		}
		if field == "" || strings.TrimSpace(text(input, "title")) == "" {
			say("control %s has no field or no title", id)
		}
		if chosen, ok := at(input, "selectedOptions").([]any); !ok || len(chosen) > 0 {
			say("selectedOptions of the control for %s must be an empty list", field)
		}
		if isTrue(input, "existsSelected") || isTrue(input, "exclude") {
			say("something is chosen in the control for %s", field)
		}
		if !oneOf(text(control, "width"), "small medium large") {
			say("the width of the control for %s is %v", field, at(control, "width"))
		}
		order, ok := whole(control, "order")
		if !ok || order < 0 || order >= len(controls) || slices.Contains(orders, order) {
			say("the order of the control for %s is %v, not its own from 0 to %d", field, at(control, "order"), len(controls)-1)
		}
		orders = append(orders, order)
	}
}

func checkControlSettings(o *object, say say) {
	group := o.attributes["controlGroupInput"]
	if style := text(group, "controlStyle"); !oneOf(style, "oneLine twoLine") {
		say("controlStyle is %q", style)
	}
	if chaining := text(group, "chainingSystem"); !oneOf(chaining, "HIERARCHICAL NONE") {
		say("chainingSystem is %q", chaining)
	}
	settings := decoded(group, "ignoreParentSettingsJSON")
	for _, key := range []string{"ignoreFilters", "ignoreQuery", "ignoreTimerange", "ignoreValidations"} {
		if !isFalse(settings, key) {
			say("%s is not false", key)
		}
	}
}
