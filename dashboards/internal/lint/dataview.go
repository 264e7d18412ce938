package lint

import "strings"

const dataViewKeys = "title name timeFieldName allowNoIndex allowHidden fields fieldAttrs fieldFormatMap runtimeFieldMap sourceFilters"

// dataViewRules are about data views.
func dataViewRules() []rule {
	return []rule{
		ofView("data-view-attributes", "A data view has the attributes of its schema alone, all of them: what is unknown is refused or lost.", func(o *object, say say) {
			for _, key := range unknown(o.attributes, dataViewKeys) {
				say("attribute %s is not shipped", key)
			}
			for _, key := range missing(o.attributes, dataViewKeys) {
				say("attribute %s is missing", key)
			}
		}),
		ofView("data-view-own", "A data view has an id of this project: those of Kibana itself (apm_static_…) differ by space, may not exist, and are rewritten by Kibana.", func(o *object, say say) {
			if !strings.HasPrefix(o.id, "apmws-") {
				say("the id does not begin with apmws-")
			}
		}),
		ofView("data-view-no-index", "allowNoIndex must be true: else every panel shows an error until the first data has come.", func(o *object, say say) {
			if !isTrue(o.attributes, "allowNoIndex") {
				say("allowNoIndex is not true")
			}
		}),
		ofView("data-view-time", "timeFieldName must be @timestamp: else the time range has no effect, and date histograms have no field.", func(o *object, say say) {
			if name := text(o.attributes, "timeFieldName"); name != "@timestamp" {
				say("timeFieldName is %q", name)
			}
		}),
		ofView("data-view-runtime", "There are no runtime fields, no attributes of fields and no source filters: a runtime field costs a script per document, and hides the field of its name.", func(o *object, say say) {
			for key, empty := range map[string]string{"fields": "[]", "fieldAttrs": "{}", "runtimeFieldMap": "{}", "sourceFilters": "[]"} {
				if value, ok := o.attributes[key].(*embedded); ok && value.text != empty {
					say("%s is not empty", key)
				}
			}
		}),
		ofView("data-view-format", "The formats of fields must be ones that Kibana 8.12 knows, with its parameters: else numbers are shown bare.", checkFieldFormats),
	}
}

func ofView(name, why string, check func(*object, say)) rule {
	return rule{Rule: Rule{name, why}, object: func(o *object, say say) {
		if o.typ == typeDataView {
			check(o, say)
		}
	}}
}

func checkFieldFormats(o *object, say say) {
	formats := members(decoded(o.attributes, "fieldFormatMap"))
	for _, field := range sortedKeys(formats) {
		format := formats[field]
		params := members(format, "params")
		switch id := text(format, "id"); id {
		case "bytes", "percent", "number":
			if text(params, "pattern") == "" {
				say("the format of %s has no pattern", field)
			}
		case "url":
			if text(params, "urlTemplate") == "" {
				say("the format of %s has no urlTemplate", field)
			}
		case "duration":
			if !isUnit(text(params, "inputFormat")) || !oneOf(text(params, "outputFormat"), durationOutputs) {
				say("the format of %s has units that are unknown", field)
			}
		default:
			say("the format of %s is %q, which is not known", field, id)
		}
	}
}
