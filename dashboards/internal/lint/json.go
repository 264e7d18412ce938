package lint

import (
	"encoding/json"
	"maps"
	"math"
	"slices"
	"strings"
)

// at returns the member of an object that the path leads to, or nil.
func at(value any, path ...string) any {
	for _, key := range path {
		object, ok := value.(map[string]any)
		if !ok {
			return nil
		}
		value = object[key]
	}
	return value
}

// has says whether an object has a member.
func has(value any, key string) bool {
	_, ok := members(value)[key]
	return ok
}

// The following return the member of that type, or its zero value.

func text(value any, path ...string) string {
	s, _ := at(value, path...).(string)
	return s
}

func members(value any, path ...string) map[string]any {
	m, _ := at(value, path...).(map[string]any)
	return m
}

func elements(value any, path ...string) []any {
	l, _ := at(value, path...).([]any)
	return l
}

// texts returns a list's strings; what is none becomes the empty string.
func texts(value any, path ...string) []string {
	var all []string
	for _, element := range elements(value, path...) {
		all = append(all, text(element))
	}
	return all
}

// whole returns a whole number, and whether it is one.
func whole(value any, path ...string) (n int, ok bool) {
	f, ok := at(value, path...).(float64)
	if !ok || f != math.Trunc(f) || math.Abs(f) > 1e9 {
		return 0, false
	}
	return int(f), true
}

// embedded is a string of JSON, decoded once.
type embedded struct {
	text  string
	valid bool
	value any
}

// decode replaces the strings of JSON within a value, which it returns.
func decode(key string, value any) any {
	switch value := value.(type) {
	case map[string]any:
		for name, member := range value {
			value[name] = decode(name, member)
		}
	case []any:
		for i, element := range value {
			value[i] = decode("", element)
		}
	case string:
		if isJSON(key) {
			e := &embedded{text: value}
			e.valid = json.Unmarshal([]byte(value), &e.value) == nil
			e.value = decode("", e.value)
			return e
		}
	}
	return value
}

// decoded returns what is in a string of JSON, or nil.
func decoded(value any, path ...string) any {
	if e, ok := at(value, path...).(*embedded); ok {
		return e.value
	}
	return nil
}

// isTrue and isFalse tell a boolean from one that is missing.
func isTrue(value any, path ...string) bool  { return at(value, path...) == true }
func isFalse(value any, path ...string) bool { return at(value, path...) == false }

// sortedKeys returns an object's keys in order.
func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// unknown returns an object's keys that are not among the known ones, which are
// separated by spaces.
func unknown(value any, known string) []string {
	return slices.DeleteFunc(sortedKeys(members(value)), func(key string) bool {
		return oneOf(key, known)
	})
}

// missing returns the wanted keys, separated by spaces, that an object lacks.
func missing(value any, wanted string) []string {
	return slices.DeleteFunc(strings.Fields(wanted), func(key string) bool { return has(value, key) })
}

// oneOf says whether a word is among several, which are separated by spaces.
func oneOf(word, several string) bool {
	for known := range strings.FieldsSeq(several) {
		if word == known {
			return true
		}
	}
	return false
}

// walk calls f for every value within a value, with its key if it has one, and
// within the strings of JSON there.
func walk(key string, value any, f func(key string, value any)) {
	f(key, value)
	switch value := value.(type) {
	case map[string]any:
		for _, key := range sortedKeys(value) {
			walk(key, value[key], f)
		}
	case []any:
		for _, element := range value {
			walk("", element, f)
		}
	case *embedded:
		walk("", value.value, f)
	}
}

// isJSON says whether a member is a string of JSON by its name.
func isJSON(key string) bool {
	return len(key) > 4 && strings.HasSuffix(key, "JSON") ||
		oneOf(key, "fields fieldAttrs fieldFormatMap runtimeFieldMap sourceFilters")
}
