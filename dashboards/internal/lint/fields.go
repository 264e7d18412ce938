package lint

import "strings"

// What a field can be asked for, by its type.
const (
	numericTypes  = "byte short integer long unsigned_long half_float float double scaled_float"
	stringTypes   = "keyword constant_keyword counted_keyword wildcard flattened version"
	termTypes     = stringTypes + " ip boolean " + numericTypes
	distinctTypes = termTypes + " date"
	rankTypes     = numericTypes + " histogram"
	sumTypes      = rankTypes + " aggregate_metric_double"
)

// fieldRules are about fields, when their types are known.
func fieldRules() []rule {
	return []rule{
		{
			Rule: Rule{"field-known", "Every field in columns, queries, controls, columns of searches and formats is one of its data view, and indexed (transaction.custom is not): else the panel says that the field was not found, or a query matches nothing."},
			file: checkFieldsKnown,
		},
		{
			Rule:   Rule{"field-type", "An operation fits the type of its field: numbers, and histograms for sums and percentiles; terms and distinct counts what is not text; Elasticsearch answers with an error otherwise. Controls too, and the dataType of terms and last values."},
			column: checkFieldType,
			object: checkControlTypes,
		},
		{
			Rule:   Rule{"field-success-count", "event.success_count is not read from traces, where it is a byte, while it is an aggregate in metrics: dashboards over both show errors."},
			column: checkSuccessCount,
		},
		{
			Rule: Rule{"field-summary", "Percentiles are never of transaction.duration.summary, which holds a sum and a count alone: transaction.duration.histogram has them."},
			column: func(c *column, say say) {
				if strings.HasSuffix(c.field, ".duration.summary") && oneOf(c.operation, "percentile percentile_rank median") {
					say("%s of %s", c.operation, c.field)
				}
			},
		},
	}
}

// fields calls f with each field that is named, in which data view, and where.
func (f *file) fields(each func(where, view, field string)) {
	for _, o := range f.objects {
		switch o.typ {
		case typeDataView:
			for _, field := range sortedKeys(members(decoded(o.attributes, "fieldFormatMap"))) {
				each(o.where(), o.id, field)
			}
		case typeSearch:
			o.searchFields(func(field string) { each(o.where(), refersTo(o.references, typeDataView, searchIndex), field) })
		case typeDashboard:
			controls := o.controls()
			for _, id := range sortedKeys(controls) {
				each(o.where(), o.controlView(id), text(controls[id], "explicitInput", "fieldName"))
			}
			for _, p := range o.panels {
				if p.lens != nil {
					p.lens.fields(each)
				}
			}
		}
	}
}

func (o *object) controlView(id string) string {
	return refersTo(o.references, typeDataView, "controlGroup_"+id+":optionsListDataView")
}

// searchFields calls f with the fields of a saved search.
func (o *object) searchFields(f func(field string)) {
	for _, field := range texts(o.attributes, "columns") {
		f(field)
	}
	for _, by := range elements(o.attributes, "sort") {
		if pair := texts(by); len(pair) > 0 {
			f(pair[0])
		}
	}
	source := decoded(o.attributes, "kibanaSavedObjectMeta", "searchSourceJSON")
	for _, field := range queryFields(at(source, "query")) {
		f(field)
	}
}

func queryFields(query any) []string {
	if q := parsed(query); q != nil {
		return q.Fields()
	}
	return nil
}

// fields calls each with the fields of a chart: its query's once for each data view.
func (l *lens) fields(each func(where, view, field string)) {
	seen := make(map[string]bool)
	for _, y := range l.layers {
		view := y.view()
		if !seen[view] && !y.static() {
			for _, field := range queryFields(at(l.attributes, "state", "query")) {
				each(l.panel.where(), view, field)
			}
		}
		seen[view] = seen[view] || !y.static()
		for _, c := range y.columns {
			for _, field := range c.fields() {
				each(c.where(), view, field)
			}
		}
	}
}

// static says whether a layer reads no documents.
func (y *layer) static() bool {
	for _, c := range y.columns {
		if c.operation != "static_value" {
			return false
		}
	}
	return true
}

// fields returns the fields of a column, of its filters too.
func (c *column) fields() []string {
	var all []string
	if c.field != "" && c.field != records {
		all = append(all, c.field)
	}
	all = append(all, texts(c.params(), "secondaryFields")...)
	for _, by := range []string{text(c.params(), "sortField"), text(c.params(), "orderAgg", "sourceField")} {
		if by != "" && by != records {
			all = append(all, by)
		}
	}
	for _, query := range c.queries() {
		all = append(all, queryFields(query)...)
	}
	return all
}

func checkFieldsKnown(f *file, report sayAt) {
	if f.options.FieldType == nil {
		return
	}
	f.fields(func(where, view, field string) {
		if view == "" || strings.Contains(field, "*") || field == "" {
			return
		}
		if typ, ok := f.options.FieldType(view, field); !ok || typ == "unmapped" {
			report(where, "%s is no field of %s", field, view)
		}
	})
}

// fieldType returns the type of a column's field, or the empty string.
func (c *column) fieldType(field string) string {
	f := c.layer.lens.panel.dashboard.file
	if f.options.FieldType == nil || field == "" || field == records {
		return ""
	}
	typ, ok := f.options.FieldType(c.layer.view(), field)
	if !ok {
		return ""
	}
	return typ
}

func checkFieldType(c *column, say say) {
	for i, field := range append([]string{c.field}, texts(c.params(), "secondaryFields")...) {
		typ := c.fieldType(field)
		if typ == "" {
			continue
		}
		if !fits(c.operation, typ) {
			say("%s of %s, which is of type %s", c.operation, field, typ)
			continue
		}
		if !oneOf(c.operation, "terms last_value") || i > 0 || has(c.params(), "secondaryFields") {
			continue
		}
		if want := dataType(typ); want != "" && text(c.raw, "dataType") != want {
			say("dataType is %q, %s is of type %s", text(c.raw, "dataType"), field, typ)
		}
	}
}

// fits says whether an operation can be applied to a field of that type.
func fits(operation, typ string) bool {
	switch operation {
	case "sum", "average":
		return oneOf(typ, sumTypes)
	case "min", "max":
		return oneOf(typ, sumTypes+" date")
	case "median", "percentile", "percentile_rank":
		return oneOf(typ, rankTypes)
	case "standard_deviation", "range":
		return oneOf(typ, numericTypes)
	case "unique_count":
		return oneOf(typ, distinctTypes)
	case "terms":
		return oneOf(typ, termTypes)
	case "last_value":
		return oneOf(typ, distinctTypes)
	case "date_histogram":
		return typ == "date"
	case "count":
		return !oneOf(typ, "histogram unmapped")
	}
	return true
}

// dataType is what Kibana calls values of a type.
func dataType(typ string) string {
	switch {
	case oneOf(typ, stringTypes):
		return "string"
	case oneOf(typ, numericTypes):
		return "number"
	case oneOf(typ, "ip boolean date"):
		return typ
	}
	return ""
}

func checkControlTypes(o *object, say say) {
	if o.file.options.FieldType == nil || o.typ != typeDashboard {
		return
	}
	controls := o.controls()
	for _, id := range sortedKeys(controls) {
		field := text(controls[id], "explicitInput", "fieldName")
		if typ, ok := o.file.options.FieldType(o.controlView(id), field); ok && !oneOf(typ, termTypes) {
			say("a control for %s, which is of type %s", field, typ)
		}
	}
}

func checkSuccessCount(c *column, say say) {
	if c.field == "event.success_count" && c.fieldType(c.field) != "" && !oneOf(c.fieldType(c.field), "aggregate_metric_double") {
		say("event.success_count is of type %s here", c.fieldType(c.field))
	}
}
