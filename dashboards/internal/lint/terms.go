package lint

import (
	"math"
	"slices"
	"strings"
)

// termsRules are about buckets.
func termsRules() []rule {
	return []rule{
		ofOperation("terms", "terms-order", "Terms are ordered alphabetically, by a metric of their own (custom, with an orderAgg on a field), or by a metric of their layer that Elasticsearch can order by: one that is no part of another column, neither a formula nor static, no last value of a string, no percentile with decimals; Kibana shows an error, or the terms in any order.", checkTermsOrder),
		ofOperation("terms", "terms-params", "Terms have a size from 1 to 1000, otherBucket and missingBucket, and parentFormat terms, or multi_terms with secondaryFields, which are other fields than the first: else values are cut or joined in unexpected ways.", checkTermsParams),
		ofOperation("filters", "filters-column", "A bucket of filters has filters, each in kuery that parses, with a label of its own: else the chart is empty, or its legend is a query.", checkFilters),
	}
}

func ofOperation(operation, name, why string, check func(*column, say)) rule {
	return rule{Rule: Rule{name, why}, column: func(c *column, say say) {
		if c.operation == operation {
			check(c, say)
		}
	}}
}

func checkTermsOrder(c *column, say say) {
	params := c.params()
	if direction := text(params, "orderDirection"); !oneOf(direction, "asc desc") {
		say("orderDirection is %q", direction)
	}
	switch kind := text(params, "orderBy", "type"); kind {
	case "alphabetical":
		return
	case "custom":
		checkOrderAgg(c, at(params, "orderAgg"), say)
		return
	case "column":
	default:
		say("orderBy.type is %q", kind)
		return
	}
	id := text(params, "orderBy", "columnId")
	by := c.layer.column(id)
	if by == nil {
		say("ordered by %q, which is no column of the layer", id)
		return
	}
	isPart := slices.ContainsFunc(c.layer.columns, func(other *column) bool {
		return slices.Contains(texts(other.raw, "references"), id)
	})
	percentile, _ := at(by.params(), "percentile").(float64)
	switch {
	case by.bucketed():
		say("ordered by %s, a bucket", id)
	case has(by.raw, "references"):
		say("ordered by %s, a column of operation %s", id, by.operation)
	case isPart:
		say("ordered by %s, a part of another column", id)
	case by.operation == "last_value" && !oneOf(text(by.raw, "dataType"), "number date"):
		say("ordered by %s, a last value that is no number", id)
	case percentile != math.Trunc(percentile):
		say("ordered by %s, a percentile with decimals", id)
	}
}

// checkOrderAgg is about the metric of terms that is not shown.
func checkOrderAgg(c *column, agg any, say say) {
	by := &column{layer: c.layer, id: c.id, raw: members(agg), operation: text(agg, "operationType"), field: text(agg, "sourceField")}
	switch {
	case !oneOf(by.operation, "count sum average min max median unique_count last_value percentile"):
		say("ordered by a metric of operation %q", by.operation)
	case by.field == "" || by.bucketed() || has(agg, "references"):
		say("orderAgg is no metric of a field")
	}
	if typ := c.fieldType(by.field); typ != "" && !fits(by.operation, typ) {
		say("ordered by %s of %s, which is of type %s", by.operation, by.field, typ)
	}
}

func checkTermsParams(c *column, say say) {
	params := c.params()
	if size, ok := whole(params, "size"); !ok || size < 1 || size > 1000 {
		say("size is %v", at(params, "size"))
	}
	for _, key := range []string{"otherBucket", "missingBucket"} {
		if !isTrue(params, key) && !isFalse(params, key) {
			say("%s is missing", key)
		}
	}
	if isTrue(params, "missingBucket") && isFalse(params, "otherBucket") {
		say("missingBucket works with otherBucket alone")
	}
	further := texts(params, "secondaryFields")
	if has(params, "secondaryFields") && len(further) == 0 {
		say("secondaryFields is empty")
	}
	for i, field := range further {
		if field == "" || field == c.field || slices.Contains(further[:i], field) {
			say("secondaryFields has %q, which is no further field", field)
		}
	}
	want := "terms"
	if len(further) > 0 {
		want = "multi_terms"
		if text(c.raw, "dataType") != "string" {
			say("terms of several fields are strings")
		}
	}
	if got := text(params, "parentFormat", "id"); got != want {
		say("parentFormat is %q, not %s", got, want)
	}
}

func checkFilters(c *column, say say) {
	filters := elements(c.params(), "filters")
	if len(filters) == 0 {
		say("there are no filters")
	}
	labels := make(map[string]bool)
	for _, filter := range filters {
		label := strings.TrimSpace(text(filter, "label"))
		if label == "" || labels[label] {
			say("the label %q is not a filter's own", label)
		}
		labels[label] = true
		checkQuery(at(filter, "input"), say)
	}
}
