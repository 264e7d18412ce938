package evaluate

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/apmws/go-apmws/dashboards/internal/kibana"
)

// What Lens shows for the buckets of all other values, and of no value, and between
// the parts of a bucket of several fields.
const (
	Other     = "Other"
	Missing   = "(missing value)"
	Separator = " › "
)

// missingKey is how Elasticsearch orders the bucket of no value.
const missingKey = "__missing__"

// terms are buckets of the values of a field, or of several fields together.
type terms struct {
	id       string
	fields   []string
	kinds    []kind
	size     int
	metric   *metric // to order by; nil: by the values
	ascend   bool
	other    bool
	missing  bool
	included func(key any) bool
}

// group is a value, and the documents that have it.
type group struct {
	key       []any // of each field
	documents set
	rank      float64
}

func (r *run) newTerms(id string, c *kibana.Column) (splitter, error) {
	p := params(c)
	t := &terms{id: id, size: p.Size, fields: append([]string{c.Field}, p.SecondaryFields...), other: isTrue(p.OtherBucket)}
	for _, field := range t.fields {
		k, err := r.source.kind(field)
		if err != nil {
			return nil, err
		}
		if k != numbers && k != keywords && k != booleans {
			return nil, fmt.Errorf("field %s is of %s", field, k)
		}
		t.kinds = append(t.kinds, k)
	}
	if t.size <= 0 {
		return nil, fmt.Errorf("size is %d", t.size)
	}
	switch p.OrderDirection {
	case "asc", "desc":
		t.ascend = p.OrderDirection == "asc"
	default:
		return nil, fmt.Errorf("order direction %q", p.OrderDirection)
	}
	var err error
	if t.metric, err = r.orderOf(id, p); err != nil {
		return nil, err
	}
	if len(t.fields) > 1 { // Lens passes none of these on
		t.included = func(any) bool { return true }
		return t, nil
	}
	t.missing = t.other && isTrue(p.MissingBucket) && t.kinds[0] == keywords
	t.included, err = filterOf(p)
	return t, err
}

// filterOf returns which values are to be among the terms.
func filterOf(p kibana.Params) (func(key any) bool, error) {
	in, err := listOf(p.Include, isTrue(p.IncludeIsRegex))
	if err != nil {
		return nil, err
	}
	out, err := listOf(p.Exclude, isTrue(p.ExcludeIsRegex))
	if err != nil {
		return nil, err
	}
	return func(key any) bool {
		return (len(p.Include) == 0 || in(show(key))) && !out(show(key))
	}, nil
}

func listOf(list []string, patterns bool) (func(text string) bool, error) {
	if !patterns {
		return func(text string) bool { return slices.Contains(list, text) }, nil
	}
	var all []*regexp.Regexp
	for _, text := range list {
		pattern, err := regexp.Compile("^(?:" + text + ")$")
		if err != nil {
			return nil, err
		}
		all = append(all, pattern)
	}
	return func(text string) bool {
		return slices.ContainsFunc(all, func(p *regexp.Regexp) bool { return p.MatchString(text) })
	}, nil
}

func (t *terms) column() string { return t.id }

// split has a bucket for each of the first values; a document is in that of each of
// its values.
func (t *terms) split(s set) []bucket {
	groups := slices.Collect(maps.Values(t.group(s)))
	if t.metric != nil {
		for _, g := range groups {
			g.rank = t.metric.rank(g.documents)
		}
	}
	slices.SortFunc(groups, t.order)
	top := groups[:min(t.size, len(groups))]
	var buckets []bucket
	for _, g := range top {
		buckets = append(buckets, bucket{t.label(g), g.documents})
	}
	if t.other && len(top) < len(groups) {
		if rest, ok := t.rest(s, top); ok {
			buckets = append(buckets, bucket{Other, rest})
		}
	}
	return buckets
}

// group returns the documents of each value, by a name of it.
func (t *terms) group(s set) map[string]*group {
	groups := make(map[string]*group)
	for shift, documents := range s {
		for _, d := range documents {
			t.eachKey(d, nil, "", func(name string, key []any) {
				g := groups[name]
				if g == nil {
					g = &group{key: slices.Clone(key), documents: make(set, len(s))}
					groups[name] = g
				}
				// A value may be in a list twice, but the document is one.
				if n := len(g.documents[shift]); n == 0 || g.documents[shift][n-1] != d {
					g.documents[shift] = append(g.documents[shift], d)
				}
			})
		}
	}
	return groups
}

// eachKey calls f with each combination of values of a document that begins with a
// key, and with a name of it.
func (t *terms) eachKey(d *document, key []any, name string, f func(name string, key []any)) {
	i := len(key)
	if i == len(t.fields) {
		f(name, key)
		return
	}
	values := valuesOf(d.fields[t.fields[i]])
	if len(values) == 0 && t.missing {
		f("\x00", []any{missingKey})
	}
	for _, value := range values {
		if term := t.kinds[i].term(value); t.included(term) {
			longer := show(term)
			if i > 0 {
				longer = name + "\x00" + longer
			}
			t.eachKey(d, append(key, term), longer, f)
		}
	}
}

// label returns the key of a bucket as Kibana shows it.
func (t *terms) label(g *group) any {
	if len(t.fields) == 1 {
		if t.missing && g.key[0] == missingKey {
			return Missing
		}
		return g.key[0]
	}
	var parts []string
	for _, key := range g.key {
		parts = append(parts, show(key))
	}
	return strings.Join(parts, Separator)
}

// rest returns the documents that are in none of the groups. Those without a value
// are among them only where they have no bucket of their own, or the values are of
// several fields.
func (t *terms) rest(s set, top []*group) (set, bool) {
	taken := make(map[*document]bool)
	hasMissing := false
	for _, g := range top {
		hasMissing = hasMissing || t.missing && g.key[0] == missingKey
		for _, documents := range g.documents {
			for _, d := range documents {
				taken[d] = true
			}
		}
	}
	withMissing := len(t.fields) > 1 || t.missing && !hasMissing
	rest, found := make(set, len(s)), false
	for shift, documents := range s {
		for _, d := range documents {
			if !taken[d] && (withMissing || len(valuesOf(d.fields[t.fields[0]])) > 0) {
				rest[shift], found = append(rest[shift], d), true
			}
		}
	}
	return rest, found
}
