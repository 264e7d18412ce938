package evaluate

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// kind is what aggregations make of a field.
type kind string

const (
	numbers    kind = "numbers"
	keywords   kind = "keywords"
	booleans   kind = "booleans"
	dates      kind = "dates"
	histograms kind = "histograms" // maps of values and counts
	summaries  kind = "summaries"  // maps of sum and value_count
	texts      kind = "text"
)

// kinds are those of Elasticsearch's types.
func kindOfType(typ string) (kind, error) {
	switch typ {
	case "long", "integer", "short", "byte", "unsigned_long", "double", "float", "half_float", "scaled_float":
		return numbers, nil
	case "keyword", "constant_keyword", "wildcard", "ip", "version":
		return keywords, nil
	case "boolean":
		return booleans, nil
	case "date", "date_nanos":
		return dates, nil
	case "histogram":
		return histograms, nil
	case "aggregate_metric_double":
		return summaries, nil
	case "text", "match_only_text":
		return texts, nil
	default:
		return "", fmt.Errorf("type %q cannot be aggregated", typ)
	}
}

// kind returns what a field is. One that no document has is an error, as it is to
// Lens, unless the types of fields are known.
func (s *source) kind(field string) (kind, error) {
	if k, ok := s.kinds[field]; ok {
		return k, nil
	}
	k, err := s.findKind(field)
	if err != nil {
		return "", fmt.Errorf("field %s of data view %s: %w", field, s.view.ID, err)
	}
	s.kinds[field] = k
	return k, nil
}

func (s *source) findKind(field string) (kind, error) {
	if field == s.view.Attributes.TimeFieldName {
		return dates, nil
	}
	seen, err := s.kindSeen(field)
	if err != nil {
		return "", err
	}
	if s.fieldType != nil {
		if typ, ok := s.fieldType(s.view.ID, field); ok {
			k, err := kindOfType(typ)
			if err == nil && seen != "" && !fits(k, seen) {
				err = fmt.Errorf("type %q, but there are %s", typ, seen)
			}
			return k, err
		}
	}
	if seen == "" {
		return "", errors.New("no document has it")
	}
	// Text is not to be told from keywords by its values; this is how Elastic's
	// mappings name it.
	if seen == keywords && (field == "message" || strings.HasSuffix(field, ".message")) {
		return texts, nil
	}
	return seen, nil
}

// kindSeen returns what the values of a field are, or nothing if there are none.
func (s *source) kindSeen(field string) (kind, error) {
	var seen kind
	for _, d := range s.documents {
		for _, value := range valuesOf(d.fields[field]) {
			k, err := kindOfValue(value)
			if err != nil {
				return "", err
			}
			if seen == "" {
				seen = k
			}
			if k != seen {
				return "", fmt.Errorf("there are %s and %s", seen, k)
			}
		}
	}
	return seen, nil
}

func kindOfValue(value any) (kind, error) {
	switch value := value.(type) {
	case string:
		return keywords, nil
	case float64:
		return numbers, nil
	case bool:
		return booleans, nil
	case map[string]any:
		if _, err := centroidsOf(value); err == nil {
			return histograms, nil
		}
		if _, _, err := summaryOf(value); err == nil {
			return summaries, nil
		}
	}
	return "", fmt.Errorf("value %v is of type %T", value, value)
}

// fits says whether values of a kind can be in a field of a kind.
func fits(field, values kind) bool {
	switch field {
	case keywords, texts:
		return values == keywords || values == numbers || values == booleans
	case dates:
		return values == keywords
	default:
		return field == values
	}
}

// valuesOf returns the values in a field: one, those of a list, or none.
func valuesOf(value any) []any {
	switch value := value.(type) {
	case nil:
		return nil
	case []any:
		return withoutNil(value)
	default:
		return []any{value}
	}
}

// withoutNil returns a list without what is not indexed.
func withoutNil(list []any) []any {
	if !slices.Contains(list, nil) {
		return list
	}
	return slices.DeleteFunc(slices.Clone(list), func(value any) bool { return value == nil })
}

// centroid is a value, and how often it is there.
type centroid struct{ value, count float64 }

func centroidsOf(histogram map[string]any) ([]centroid, error) {
	values, ok1 := histogram["values"].([]any)
	counts, ok2 := histogram["counts"].([]any)
	if !ok1 || !ok2 || len(values) != len(counts) {
		return nil, errors.New("no histogram")
	}
	var all []centroid
	for i := range values {
		value, ok1 := values[i].(float64)
		count, ok2 := counts[i].(float64)
		if !ok1 || !ok2 {
			return nil, errors.New("no histogram of numbers")
		}
		if count > 0 {
			all = append(all, centroid{value, count})
		}
	}
	return all, nil
}

func summaryOf(summary map[string]any) (sum, count float64, err error) {
	sum, ok1 := summary["sum"].(float64)
	count, ok2 := summary["value_count"].(float64)
	if !ok1 || !ok2 {
		return 0, 0, errors.New("no summary")
	}
	return sum, count, nil
}

// each calls f with the numbers in a field: a date is its milliseconds, a histogram
// its values.
func each(d *document, field string, f func(centroid)) {
	for _, value := range valuesOf(d.fields[field]) {
		switch value := value.(type) {
		case float64:
			f(centroid{value, 1})
		case string:
			if at, err := dateOf(value); err == nil {
				f(centroid{float64(at), 1})
			}
		case map[string]any:
			all, _ := centroidsOf(value) // the kind of the field says that it is one
			for _, c := range all {
				f(c)
			}
		}
	}
}

// term returns a value of a field as a bucket's key or a table's value: a float64 of
// numbers, else a string.
func (k kind) term(value any) any {
	if k == numbers {
		return value
	}
	return show(value)
}

// show writes a value as Kibana shows it where no format is set.
func show(value any) string {
	switch value := value.(type) {
	case string:
		return value
	case float64:
		return strconv.FormatFloat(value, 'f', -1, 64)
	default:
		return fmt.Sprint(value)
	}
}

// compare orders keys or values: numbers and times by value, all else as text.
func compare(a, b any) int {
	switch x := a.(type) {
	case float64:
		if y, ok := b.(float64); ok {
			return cmp.Compare(x, y)
		}
	case time.Time:
		if y, ok := b.(time.Time); ok {
			return x.Compare(y)
		}
	}
	return cmp.Compare(show(a), show(b))
}
