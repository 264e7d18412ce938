package lint

import "slices"

// layerRules are about the columns of a layer together.
func layerRules() []rule {
	return []rule{
		{
			Rule:  Rule{"column-order", "columnOrder lists every column once, buckets first: Kibana computes in that order, and what is not listed is not computed."},
			layer: checkOrder,
		},
		{
			Rule:  Rule{"column-time", "counter_rate, differences, cumulative_sum and moving_average need a date histogram in their layer: without one Kibana shows an error."},
			layer: checkNeedsTime,
		},
		{
			Rule:  Rule{"terms-shift", "Terms below a date histogram cannot be combined with columns of different timeShift in one layer: Kibana shows an error."},
			layer: checkShiftedTerms,
		},
	}
}

func checkOrder(y *layer, say say) {
	count := make(map[string]int)
	metrics := false
	for _, id := range y.order {
		count[id]++
		c := y.column(id)
		switch {
		case c == nil:
			say("columnOrder has %q, which is no column", id)
		case c.bucketed() && metrics:
			say("the bucket %s comes after a metric", id)
		case !c.bucketed():
			metrics = true
		}
	}
	for _, c := range y.columns {
		if count[c.id] != 1 {
			say("columnOrder has %s %d times", c.id, count[c.id])
		}
	}
	if len(y.columns) == 0 {
		say("the layer has no columns")
	}
}

func (y *layer) hasOperation(operation string) bool {
	return slices.ContainsFunc(y.columns, func(c *column) bool { return c.operation == operation })
}

func checkNeedsTime(y *layer, say say) {
	if y.hasOperation("date_histogram") {
		return
	}
	for _, c := range y.columns {
		if oneOf(c.operation, "counter_rate differences cumulative_sum moving_average") {
			say("column %s is of operation %s, and there is no date histogram", c.id, c.operation)
		}
	}
}

func checkShiftedTerms(y *layer, say say) {
	shifts := make(map[string]bool)
	for _, c := range y.columns {
		// Parts of a formula carry its shift; the formula's own column has none.
		if !c.bucketed() && !oneOf(c.operation, "formula math static_value") {
			shifts[text(c.raw, "timeShift")] = true
		}
	}
	if len(shifts) < 2 {
		return
	}
	time := false
	for _, id := range y.order {
		if c := y.column(id); c != nil {
			time = time || c.operation == "date_histogram"
			if time && c.operation == "terms" {
				say("column %s is below a date histogram, and the metrics have %d different timeShifts", id, len(shifts))
			}
		}
	}
}
