package lint

import (
	"slices"
	"strings"
)

// records is the field of a count of documents.
const records = "___records___"

// Operations by what they need.
const (
	fieldOperations = "count sum average min max median standard_deviation unique_count percentile percentile_rank " +
		"last_value date_histogram terms range"
	pipelineOperations = "counter_rate differences cumulative_sum moving_average normalize_by_unit " +
		"overall_sum overall_min overall_max overall_average"
	otherOperations = "filters static_value formula math"

	bucketOperations = "date_histogram terms filters range"
)

// columnRules are about the frame of a column.
func columnRules() []rule {
	return []rule{
		{
			Rule: Rule{"column-operation", "operationType must be one that Kibana knows: an unknown one breaks the panel."},
			column: func(c *column, say say) {
				if !oneOf(c.operation, fieldOperations) && !oneOf(c.operation, pipelineOperations) && !oneOf(c.operation, otherOperations) {
					say("operationType is %q", c.operation)
				}
			},
		},
		{
			Rule: Rule{"column-keys", "A column has keys that Kibana knows: it ignores others, and with them what they were to say."},
			column: func(c *column, say say) {
				for _, key := range unknown(c.raw, "label customLabel dataType operationType isBucketed scale sourceField params filter "+
					"timeShift timeScale reducedTimeRange references isStaticValue") {
					say("%s is no key of a column", key)
				}
			},
		},
		{
			Rule:   Rule{"column-label", "A column has a label, marked as the author's own (customLabel), except a date histogram: else Kibana makes one of the operation and the field's name."},
			column: checkLabel,
		},
		{
			Rule:   Rule{"column-field", "An operation on a field has a sourceField, and no other has one; a count has ___records___ or a field: else the column is invalid."},
			column: checkSourceField,
		},
		{
			Rule:   Rule{"column-references", "An operation on columns refers to metrics of its layer, and no other operation refers to any: else the expression has no body, and the panel is empty."},
			column: checkColumnReferences,
		},
		{
			Rule:   Rule{"column-type", "isBucketed, dataType and scale must be those of the operation: charts choose axes, alignment and what can be dropped where by them."},
			column: checkDataType,
		},
	}
}

func checkLabel(c *column, say say) {
	if strings.TrimSpace(text(c.raw, "label")) == "" {
		say("label is empty")
	}
	if !isTrue(c.raw, "customLabel") && c.operation != "date_histogram" {
		say("customLabel is not true")
	}
}

func checkSourceField(c *column, say say) {
	_, ok := c.raw["sourceField"]
	switch {
	case !oneOf(c.operation, fieldOperations):
		if ok {
			say("%s has a sourceField", c.operation)
		}
	case c.field == "":
		say("%s has no sourceField", c.operation)
	case c.field == records && c.operation != "count":
		say("%s of %s", c.operation, records)
	}
}

func checkColumnReferences(c *column, say say) {
	references := texts(c.raw, "references")
	switch {
	case c.operation == "static_value":
		if len(references) > 0 {
			say("a static value refers to %v", references)
		}
		if _, ok := c.raw["references"].([]any); !ok {
			say("a static value has an empty list of references")
		}
	case c.operation == "math":
		// A part of a formula without columns has none.
	case c.operation == "formula" || oneOf(c.operation, pipelineOperations):
		if len(references) != 1 {
			say("%s refers to %d columns, not 1", c.operation, len(references))
		}
	case has(c.raw, "references"):
		say("%s has references", c.operation)
	}
	for _, id := range references {
		switch to := c.layer.column(id); {
		case to == nil:
			say("it refers to %q, which is no column of the layer", id)
		case to.bucketed() || id == c.id:
			say("it refers to %s, which is no other metric", id)
		}
	}
	if slices.Contains(references, "") {
		say("a reference is no string")
	}
}

func checkDataType(c *column, say say) {
	typ, scale := text(c.raw, "dataType"), text(c.raw, "scale")
	if _, ok := c.raw["isBucketed"].(bool); !ok || c.bucketed() != oneOf(c.operation, bucketOperations) {
		say("isBucketed of %s is %v", c.operation, c.raw["isBucketed"])
	}
	types, scales := "number", "ratio"
	switch c.operation {
	case "date_histogram":
		types, scales = "date", "interval"
	case "terms":
		types, scales = "string number ip boolean", "ordinal"
	case "filters":
		types, scales = "string", "ordinal"
	case "range":
		if text(c.params(), "type") == "histogram" {
			scales = "interval"
		} else {
			types, scales = "string", "ordinal"
		}
	case "last_value":
		types = "string number ip boolean date"
		if typ == "string" {
			scales = "ordinal"
		}
	case "min", "max":
		types = "number date"
	}
	if !oneOf(typ, types) {
		say("dataType of %s is %q, not %s", c.operation, typ, types)
	}
	if !oneOf(scale, scales) {
		say("scale of %s is %q, not %s", c.operation, scale, scales)
	}
}
