package intake

import (
	"maps"
	"slices"
)

// Document is a document as Elasticsearch holds it for search: the dotted name of
// a field, and its value, a string, float64 or bool, or a []any of them where the
// field is in an array. A field of type histogram is a map[string]any of values
// and counts, one of type aggregate_metric_double a map[string]any of sum and
// value_count.
type Document map[string]any

// Stream returns the data stream that the document is in, for example
// traces-apm-default.
func (d Document) Stream() string {
	return d.Text("data_stream.type") + "-" + d.Text("data_stream.dataset") + "-" + d.Text("data_stream.namespace")
}

// Text returns a field's value if it is a string, else nothing.
func (d Document) Text(field string) string {
	s, _ := d[field].(string)
	return s
}

// Number returns a field's value if it is a number, else 0.
func (d Document) Number(field string) float64 {
	n, _ := d[field].(float64)
	return n
}

// flatten makes a document of a decoded one.
func flatten(source map[string]any) Document {
	d := make(Document, 2*len(source))
	d.addObject("", source, false)
	return d
}

func (d Document) addObject(prefix string, object map[string]any, inArray bool) {
	for key, value := range object {
		d.add(prefix+key, value, inArray)
	}
}

func (d Document) add(field string, value any, inArray bool) {
	switch value := value.(type) {
	case nil: // nothing is indexed
	case map[string]any:
		if isWhole(value) {
			d[field] = value
			return
		}
		d.addObject(field+".", value, inArray)
	case []any:
		for _, element := range value {
			d.add(field, element, true)
		}
	default:
		if !inArray {
			d[field] = value
			return
		}
		list, _ := d[field].([]any)
		d[field] = append(list, value)
	}
}

// isWhole says whether an object is one value, that of a histogram or of an
// aggregate metric, which exists under the field's own name alone.
func isWhole(object map[string]any) bool {
	if len(object) != 2 {
		return false
	}
	_, values := object["values"]
	_, counts := object["counts"]
	_, sum := object["sum"]
	_, count := object["value_count"]
	return values && counts || sum && count
}

// clone copies a document as deeply as it goes.
func (d Document) clone() Document {
	c := maps.Clone(d)
	for field, value := range c {
		switch value := value.(type) {
		case []any:
			c[field] = slices.Clone(value)
		case map[string]any:
			object := maps.Clone(value)
			for key, member := range object {
				if list, ok := member.([]any); ok {
					object[key] = slices.Clone(list)
				}
			}
			c[field] = object
		}
	}
	return c
}
