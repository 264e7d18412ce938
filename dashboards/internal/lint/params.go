package lint

import (
	"regexp"
	"strconv"
)

// paramRules are about the parameters of operations.
func paramRules() []rule {
	return []rule{
		{
			Rule:   Rule{"column-params", "An operation has the parameters that it needs, and no unknown ones: a percentile without its number is an error, an unknown name is ignored."},
			column: checkParams,
		},
		{
			Rule: Rule{"static-value", "The value of a static_value is a string that holds a number, and isStaticValue is true: as a number, Kibana shows an error."},
			column: func(c *column, say say) {
				if c.operation != "static_value" {
					return
				}
				value := at(c.params(), "value")
				if s, ok := value.(string); !ok || !isNumber(s) {
					say("value is %v (%T), not a number in a string", value, value)
				}
				if !isTrue(c.raw, "isStaticValue") {
					say("isStaticValue is not true")
				}
			},
		},
		{
			Rule:   Rule{"last-value", "A last value is sorted by @timestamp, shows no arrays, and is filtered to documents that have the field: else it is that of a document without one, which is none."},
			column: checkLastValue,
		},
		{
			Rule:   Rule{"time-shift", "timeShift is a number and a unit of smhdwMy, or previous: Kibana shows an error for anything else."},
			column: checkTime("timeShift", validShift),
		},
		{
			Rule:   Rule{"time-scale", "timeScale is s, m, h or d."},
			column: checkTime("timeScale", validScale),
		},
		{
			Rule: Rule{"reduced-range", "reducedTimeRange is a number and a unit of smhdwMy, and there is no date histogram in the layer: Kibana shows an error."},
			column: func(c *column, say say) {
				checkTime("reducedTimeRange", validRange)(c, say)
				if has(c.raw, "reducedTimeRange") && c.layer.hasOperation("date_histogram") {
					say("there is a date histogram in the layer")
				}
			},
		},
	}
}

var (
	validShift = regexp.MustCompile(`^([1-9][0-9]*[smhdwMy]|previous)$`)
	validRange = regexp.MustCompile(`^[1-9][0-9]*[smhdwMy]$`)
	validScale = regexp.MustCompile(`^[smhd]$`)
)

// checkTime returns a check of a member that may be missing.
func checkTime(key string, valid *regexp.Regexp) func(*column, say) {
	return func(c *column, say say) {
		value, ok := c.raw[key]
		if !ok {
			return
		}
		if s, isString := value.(string); !isString || !valid.MatchString(s) {
			say("%s is %v", key, value)
		}
		if c.bucketed() {
			say("a bucket has %s", key)
		}
	}
}

func isNumber(s string) bool {
	_, err := strconv.ParseFloat(s, 64)
	return err == nil
}

// paramNames returns the parameters that an operation may have.
func paramNames(operation string) string {
	switch operation {
	case "count", "sum", "average", "min", "max", "median", "standard_deviation", "unique_count":
		return "emptyAsNull format"
	case "percentile":
		return "percentile format"
	case "percentile_rank":
		return "value format"
	case "last_value":
		return "sortField showArrayValues format"
	case "date_histogram":
		return "interval includeEmptyRows dropPartials ignoreTimeRange"
	case "terms":
		return "size orderBy orderDirection otherBucket missingBucket parentFormat include exclude includeIsRegex excludeIsRegex " +
			"secondaryFields format accuracyMode orderAgg"
	case "filters":
		return "filters"
	case "range":
		return "type ranges maxBars includeEmptyRows format parentFormat"
	case "moving_average":
		return "window format"
	case "normalize_by_unit":
		return "unit format"
	case "static_value":
		return "value format"
	case "formula":
		return "formula isFormulaBroken format"
	case "math":
		return "tinymathAst"
	}
	return "format"
}

func checkParams(c *column, say say) {
	params := c.params()
	for _, key := range unknown(params, paramNames(c.operation)) {
		say("%s is no parameter of %s", key, c.operation)
	}
	number := func(key string) (float64, bool) {
		n, ok := at(params, key).(float64)
		return n, ok
	}
	switch c.operation {
	case "count", "sum", "unique_count":
		if !isTrue(params, "emptyAsNull") && !isFalse(params, "emptyAsNull") {
			say("emptyAsNull is missing: without it nobody knows whether nothing is 0")
		}
	case "percentile":
		if n, ok := number("percentile"); !ok || n <= 0 || n >= 100 {
			say("percentile is %v", at(params, "percentile"))
		}
	case "percentile_rank":
		if _, ok := number("value"); !ok {
			say("value is %v, not a number", at(params, "value"))
		}
	case "date_histogram":
		if interval := text(params, "interval"); !validInterval.MatchString(interval) {
			say("interval is %q", interval)
		}
		for _, key := range []string{"includeEmptyRows", "dropPartials"} {
			if !isTrue(params, key) && !isFalse(params, key) {
				say("%s is missing", key)
			}
		}
	case "moving_average":
		if n, ok := whole(params, "window"); !ok || n < 1 {
			say("window is %v", at(params, "window"))
		}
	case "normalize_by_unit":
		if !oneOf(text(params, "unit"), "s m h d") {
			say("unit is %v", at(params, "unit"))
		}
	case "range":
		checkRange(params, say)
	}
}

var validInterval = regexp.MustCompile(`^(auto|[1-9][0-9]*(ms|[smhdwMqy]))$`)

func checkRange(params map[string]any, say say) {
	ranges := elements(params, "ranges")
	switch kind := text(params, "type"); kind {
	case "histogram":
	case "range":
		if len(ranges) == 0 {
			say("ranges is empty")
		}
	default:
		say("type is %q, not range or histogram", kind)
	}
	for _, r := range ranges {
		from, hasFrom := at(r, "from").(float64)
		to, hasTo := at(r, "to").(float64)
		if hasFrom && hasTo && from >= to || !hasFrom && !hasTo || text(r, "label") == "" && !has(r, "label") {
			say("a range has from below to, and a label, not %v", r)
		}
	}
}

func checkLastValue(c *column, say say) {
	if c.operation != "last_value" {
		return
	}
	if by := text(c.params(), "sortField"); by != "@timestamp" {
		say("sortField is %q", by)
	}
	if !isFalse(c.params(), "showArrayValues") {
		say("showArrayValues is not false")
	}
	q := parsed(at(c.raw, "filter"))
	if q == nil || !hasExists(q, c.field) {
		say("there is no filter for documents that have %s", c.field)
	}
}
