package lint

import (
	"strings"

	"github.com/apmws/go-apmws/dashboards/internal/kql"
)

// queryRules are about queries below that of a panel.
func queryRules() []rule {
	return []rule{
		{
			Rule: Rule{"column-filter", "The filter of a column is in kuery, is not empty, and parses: Kibana shows an error, or counts everything."},
			column: func(c *column, say say) {
				if has(c.raw, "filter") {
					checkOwnQuery(c.raw["filter"], say)
				}
			},
		},
	}
}

// checkOwnQuery is about a query that must not be empty.
func checkOwnQuery(query any, say say) {
	if strings.TrimSpace(text(query, "query")) == "" {
		say("the query is empty")
		return
	}
	checkQuery(query, say)
}

func checkQuery(query any, say say) {
	if language := text(query, "language"); language != "kuery" {
		say("the language of the query is %q", language)
	}
	if q, ok := at(query, "query").(string); !ok {
		say("the query is no string")
	} else if _, err := kql.Parse(q); err != nil {
		say("%v, in %q", err, q)
	}
}

// parsed returns a query that can be read, or nil.
func parsed(query any) *kql.Query {
	q, err := kql.Parse(text(query, "query"))
	if err != nil {
		return nil
	}
	return q
}

// hasExists says whether a query demands that a field exists, by a part of its own
// (field: *).
func hasExists(q *kql.Query, field string) bool {
	return strings.Contains(strings.ReplaceAll(q.String(), `"`, ""), field+": *")
}

// queries returns the queries of a column: its filter, or those of its buckets.
func (c *column) queries() []any {
	var all []any
	if has(c.raw, "filter") {
		all = append(all, c.raw["filter"])
	}
	for _, filter := range elements(c.params(), "filters") {
		all = append(all, at(filter, "input"))
	}
	return all
}
