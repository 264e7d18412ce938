package evaluate

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/util/annotations"
)

// Labels are those of a series, by name; the metric's name is __name__.
type Labels map[string]string

// Store holds series and answers queries. The zero value is empty. It is not for
// several goroutines while anything is added.
type Store struct {
	series map[string]*series // by their labels' text
}

type series struct {
	labels  labels.Labels
	samples []chunks.Sample
}

// Add adds a sample, which must be later than the series' last.
func (s *Store) Add(at time.Time, of Labels, value float64) {
	if s.series == nil {
		s.series = map[string]*series{}
	}
	set := labels.FromMap(of).WithoutEmpty()
	key := set.String()
	entry := s.series[key]
	if entry == nil {
		entry = &series{labels: set}
		s.series[key] = entry
	}
	entry.samples = append(entry.samples, sample{at.UnixMilli(), value})
}

// All returns the labels of every series.
func (s *Store) All() []Labels {
	var all []Labels
	for _, entry := range s.series {
		all = append(all, entry.labels.Map())
	}
	return all
}

// Querier implements storage.Queryable.
func (s *Store) Querier(from, until int64) (storage.Querier, error) {
	return &querier{store: s, from: from, until: until}, nil
}

type querier struct {
	store       *Store
	from, until int64
}

func (q *querier) Select(_ context.Context, _ bool, _ *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
	var found []storage.Series
	for _, entry := range q.store.series {
		if !matches(entry.labels, matchers) {
			continue
		}
		within := slices.DeleteFunc(slices.Clone(entry.samples), func(s chunks.Sample) bool {
			return s.T() < q.from || s.T() > q.until
		})
		if len(within) > 0 {
			found = append(found, storage.NewListSeries(entry.labels, within))
		}
	}
	slices.SortFunc(found, func(a, b storage.Series) int { return labels.Compare(a.Labels(), b.Labels()) })
	return &set{series: found, at: -1}
}

func matches(of labels.Labels, matchers []*labels.Matcher) bool {
	for _, m := range matchers {
		if !m.Matches(of.Get(m.Name)) {
			return false
		}
	}
	return true
}

// errNoLabels is what the engine never asks for.
var errNoLabels = errors.New("the store answers no queries for labels")

func (q *querier) LabelValues(context.Context, string, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, errNoLabels
}

func (q *querier) LabelNames(context.Context, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, errNoLabels
}

func (q *querier) Close() error { return nil }

// set implements storage.SeriesSet.
type set struct {
	series []storage.Series
	at     int
}

func (s *set) Next() bool {
	s.at++
	return s.at < len(s.series)
}

func (s *set) At() storage.Series                { return s.series[s.at] }
func (s *set) Err() error                        { return nil }
func (s *set) Warnings() annotations.Annotations { return nil }

// sample implements chunks.Sample, for floats.
type sample struct {
	at    int64 // milliseconds
	value float64
}

func (s sample) T() int64                      { return s.at }
func (s sample) F() float64                    { return s.value }
func (s sample) Type() chunkenc.ValueType      { return chunkenc.ValFloat }
func (s sample) Copy() chunks.Sample           { return s }
func (s sample) H() *histogram.Histogram       { return nil }
func (s sample) FH() *histogram.FloatHistogram { return nil }
