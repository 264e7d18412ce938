package evaluate

import (
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/apmws/go-apmws/dashboards/internal/kibana"
)

// intervals are the buckets of a date histogram.
type intervals struct {
	id       string
	run      *run
	empty    bool // there are rows of intervals without documents
	partials bool // those at the ends of the time range are shown
}

func (r *run) newIntervals(id string, c *kibana.Column) (splitter, error) {
	if r.date != "" {
		return nil, errors.New("more than one date histogram is not supported")
	}
	if c.Field != r.source.view.Attributes.TimeFieldName {
		return nil, errors.New("a date histogram of another field than the data view's is not supported")
	}
	p := params(c)
	length := time.Duration(r.evaluation.to-r.evaluation.from) * time.Millisecond
	interval, err := intervalOf(p.Interval, length)
	if err != nil {
		return nil, err
	}
	r.date, r.interval = id, interval
	return &intervals{id: id, run: r, empty: isTrue(p.IncludeEmptyRows), partials: !isTrue(p.DropPartials)}, nil
}

func (i *intervals) column() string { return i.id }

// split has a bucket for each interval, by the time that the documents have where
// they are compared: those of a week ago are found a week later.
func (i *intervals) split(s set) []bucket {
	found := make(map[int64]set)
	at := func(key int64) set {
		if found[key] == nil {
			found[key] = make(set, len(s))
		}
		return found[key]
	}
	for shift, documents := range s {
		var keys []int64
		for _, d := range documents {
			key := floor(d.time, i.run.interval) + i.run.shifts[shift]
			b := at(key)
			b[shift] = append(b[shift], d)
			keys = append(keys, key)
		}
		if first, last, ok := i.span(keys); ok {
			for key := first; key <= last; key += i.run.interval.Milliseconds() {
				at(key)
			}
		}
	}
	var buckets []bucket
	for _, key := range slices.Sorted(maps.Keys(found)) {
		if i.partials || len(found) == 1 || i.isWhole(key) {
			buckets = append(buckets, bucket{key: time.UnixMilli(key).UTC(), documents: found[key]})
		}
	}
	return buckets
}

// span returns between which intervals there is a row for each: in the whole time
// range, or, if metrics are shifted, between the documents.
func (i *intervals) span(keys []int64) (first, last int64, ok bool) {
	if !i.empty {
		return 0, 0, false
	}
	e := i.run.evaluation
	if slices.Equal(i.run.shifts, []int64{0}) {
		return floor(e.from, i.run.interval), floor(e.to-1, i.run.interval), true
	}
	if len(keys) == 0 {
		return 0, 0, false
	}
	return slices.Min(keys), slices.Max(keys), true
}

func (i *intervals) isWhole(key int64) bool {
	e := i.run.evaluation
	return key >= e.from && key+i.run.interval.Milliseconds() <= e.to
}
