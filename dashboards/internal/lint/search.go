package lint

const searchKeys = "title description columns sort grid hideChart isTextBasedQuery timeRestore kibanaSavedObjectMeta"

// searchRules are about saved searches.
func searchRules() []rule {
	return []rule{
		ofSearch("search-attributes", "A saved search has the attributes of its schema alone: Kibana refuses any other.", func(o *object, say say) {
			for _, key := range unknown(o.attributes, searchKeys) {
				say("attribute %s is not shipped", key)
			}
		}),
		ofSearch("search-required", "grid, columns and sort must be there: Kibana 9.4 drops the panel of a search without them.", checkSearchRequired),
		ofSearch("search-query", "A saved search has a query of its own, in kuery, that parses, and no filters: else it shows every document, or an error.", func(o *object, say say) {
			source := decoded(o.attributes, "kibanaSavedObjectMeta", "searchSourceJSON")
			checkOwnQuery(at(source, "query"), say)
			if filters, ok := at(source, "filter").([]any); !ok || len(filters) > 0 {
				say("filter must be an empty list")
			}
			if isTrue(o.attributes, "isTextBasedQuery") {
				say("it is a search in ES|QL")
			}
		}),
	}
}

func ofSearch(name, why string, check func(*object, say)) rule {
	return rule{Rule: Rule{name, why}, object: func(o *object, say say) {
		if o.typ == typeSearch {
			check(o, say)
		}
	}}
}

func checkSearchRequired(o *object, say say) {
	if members(o.attributes, "grid") == nil {
		say("grid is no object")
	}
	if len(elements(o.attributes, "columns")) == 0 {
		say("columns is no list of fields")
	}
	sort := elements(o.attributes, "sort")
	if len(sort) == 0 {
		say("sort is no list of fields and directions")
	}
	for _, by := range sort {
		if pair := texts(by); len(pair) != 2 || pair[0] == "" || !oneOf(pair[1], "asc desc") {
			say("sort holds %v, not a field and asc or desc", by)
		}
	}
}
