package lint

import "strings"

const durationOutputs = "humanize humanizePrecise asMilliseconds asSeconds asMinutes asHours asDays asWeeks asMonths asYears"

// isUnit says whether a duration can be given in it.
func isUnit(unit string) bool {
	return oneOf(unit, "picoseconds nanoseconds microseconds milliseconds seconds minutes hours days weeks months years")
}

// formatRules are about how numbers are shown.
func formatRules() []rule {
	return []rule{
		{
			Rule:   Rule{"column-format", "A format is number, percent, bytes, duration or custom, with its own parameters: a duration without units that 8.12 knows shows bare numbers."},
			column: checkFormat,
		},
		{
			Rule:   Rule{"format-percent", "Percent is for numbers from 0 to 1: a formula with a division, or a gauge of utilization; Kibana shows any other number a hundredfold."},
			column: checkPercent,
		},
		{
			Rule: Rule{"format-formula", "A formula has a format: it never inherits that of a field."},
			column: func(c *column, say say) {
				if c.operation == "formula" && !has(c.params(), "format") {
					say("the formula has no format")
				}
			},
		},
		{
			Rule:   Rule{"format-unit", "A time or an amount of bytes is shown as one, by the column's format or, without one, by the data view's for the field: else it is a bare number of microseconds."},
			column: checkUnit,
		},
	}
}

func checkFormat(c *column, say say) {
	format, ok := c.params()["format"]
	if !ok {
		return
	}
	params := at(format, "params")
	known := "decimals suffix compact"
	switch id := text(format, "id"); id {
	case "number":
	case "percent", "bytes", "bits":
		known = "decimals suffix"
	case "duration":
		known = "decimals suffix compact fromUnit toUnit"
		if from, to := text(params, "fromUnit"), text(params, "toUnit"); !isUnit(from) || !oneOf(to, durationOutputs) {
			say("the duration is from %q to %q", from, to)
		}
	case "custom":
		known = "pattern decimals"
		if text(params, "pattern") == "" {
			say("the custom format has no pattern")
		}
	default:
		say("the format is %q", id)
	}
	for _, key := range unknown(params, known) {
		say("%s is no parameter of the format %s", key, text(format, "id"))
	}
	if decimals, ok := whole(params, "decimals"); has(params, "decimals") && (!ok || decimals < 0 || decimals > 10) {
		say("decimals is %v", at(params, "decimals"))
	}
}

func checkPercent(c *column, say say) {
	if text(c.params(), "format", "id") != "percent" {
		return
	}
	if c.operation == "formula" && strings.Contains(withoutQuotes(text(c.params(), "formula")), "/") {
		return
	}
	if !strings.HasSuffix(c.field, ".utilization") {
		say("percent of %s %s", c.operation, c.field)
	}
}

// withoutQuotes returns a formula without the queries in it.
func withoutQuotes(formula string) string {
	var b strings.Builder
	inside := rune(0)
	for _, r := range formula {
		switch {
		case inside == 0 && (r == '\'' || r == '"'):
			inside = r
		case inside == r:
			inside = 0
		case inside == 0:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// hasUnit says whether a field is a time or an amount of bytes, by its name.
func hasUnit(field string) bool {
	return strings.HasSuffix(field, ".duration.us") || strings.HasSuffix(field, ".duration") ||
		field == "transaction.duration.histogram" || strings.HasSuffix(field, ".rtt") ||
		strings.HasSuffix(field, "_duration") || strings.HasSuffix(field, "_rtt") || strings.HasSuffix(field, ".sum.us") ||
		strings.HasSuffix(field, "_message_length") || strings.Contains(field, "websocket.bytes.") ||
		strings.Contains(field, "websocket_bytes_")
}

func checkUnit(c *column, say say) {
	if !oneOf(c.operation, "sum average min max median standard_deviation percentile last_value") || !hasUnit(c.field) ||
		has(c.params(), "format") || c.isPart() {
		return
	}
	view := c.layer.lens.panel.dashboard.file.find(typeDataView, c.layer.view())
	if view != nil && has(decoded(view.attributes, "fieldFormatMap"), c.field) {
		return
	}
	say("%s has no format, in the column or the data view", c.field)
}
