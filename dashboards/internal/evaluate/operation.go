package evaluate

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/apmws/go-apmws/dashboards/internal/kibana"
)

// operations are what metrics do.
var operations = map[string]func(m *metric, documents []*document) result{
	kibana.OpCount:       count,
	kibana.OpSum:         sum,
	kibana.OpAverage:     average,
	kibana.OpMin:         least,
	kibana.OpMax:         most,
	kibana.OpMedian:      median,
	kibana.OpPercentile:  percentile,
	kibana.OpUniqueCount: unique,
	kibana.OpLastValue:   last,
}

func numberResult(value float64) result { return result{value, value} }

// nothing is the result where there is nothing to compute; it is ordered last.
func nothing() result { return result{nil, math.NaN()} }

// count counts documents, each as often as its _doc_count says, or the values of a
// field.
func count(m *metric, documents []*document) result {
	total := 0.0
	for _, d := range documents {
		switch {
		case m.column.Field != kibana.Records:
			total += float64(len(valuesOf(d.fields[m.column.Field])))
		case m.hits:
			total++
		default:
			total += d.weight
		}
	}
	return numberResult(total)
}

// totals are sums of a field.
func totals(m *metric, documents []*document) (sum, count float64) {
	for _, d := range documents {
		if m.kind == summaries {
			for _, value := range valuesOf(d.fields[m.column.Field]) {
				of, _ := value.(map[string]any)
				s, c, _ := summaryOf(of) // the kind of the field says that it is one
				sum, count = sum+s, count+c
			}
			continue
		}
		each(d, m.column.Field, func(c centroid) { sum, count = sum+c.value*c.count, count+c.count })
	}
	return sum, count
}

func sum(m *metric, documents []*document) result {
	total, _ := totals(m, documents)
	return numberResult(total)
}

func average(m *metric, documents []*document) result {
	total, count := totals(m, documents)
	if count == 0 {
		return nothing()
	}
	return numberResult(total / count)
}

func least(m *metric, documents []*document) result {
	return extreme(m, documents, math.Inf(1), math.Min)
}

func most(m *metric, documents []*document) result {
	return extreme(m, documents, math.Inf(-1), math.Max)
}

// extreme is ordered, where there are no values, as if there had been the worst.
func extreme(m *metric, documents []*document, worst float64, better func(a, b float64) float64) result {
	best := worst
	for _, d := range documents {
		each(d, m.column.Field, func(c centroid) { best = better(best, c.value) })
	}
	switch {
	case best == worst:
		return result{nil, worst}
	case m.kind == dates:
		return result{time.UnixMilli(int64(best)).UTC(), best}
	default:
		return numberResult(best)
	}
}

func median(m *metric, documents []*document) result { return quantile(m, documents, 0.5) }

func percentile(m *metric, documents []*document) result {
	return quantile(m, documents, params(m.column).Percentile/100)
}

func quantile(m *metric, documents []*document, q float64) result {
	var all []centroid
	for _, d := range documents {
		each(d, m.column.Field, func(c centroid) { all = append(all, c) })
	}
	if len(all) == 0 {
		return nothing()
	}
	return numberResult(quantileOf(all, q))
}

// unique counts the different values of a field, exactly; Elasticsearch does so up to
// about 3,000.
func unique(m *metric, documents []*document) result {
	seen := make(map[any]bool)
	for _, d := range documents {
		for _, value := range valuesOf(d.fields[m.column.Field]) {
			seen[m.kind.term(value)] = true
		}
	}
	return numberResult(float64(len(seen)))
}

// last returns the value in the newest document. Where several are as new as each
// other, Elasticsearch takes any, and this the first.
func last(m *metric, documents []*document) result {
	var (
		newest *document
		at     int64
	)
	sortField := params(m.column).SortField
	for _, d := range documents {
		when := d.time
		if sortField != m.source.view.Attributes.TimeFieldName {
			var err error
			if when, err = dateOf(d.fields[sortField]); err != nil {
				continue
			}
		}
		if newest == nil || when > at {
			newest, at = d, when
		}
	}
	if newest == nil {
		return nothing()
	}
	values := valuesOf(newest.fields[m.column.Field])
	if len(values) == 0 {
		return nothing()
	}
	value := m.kind.term(slices.MinFunc(values, compare))
	rank := math.NaN()
	if number, ok := value.(float64); ok {
		rank = number
	}
	if m.kind == dates {
		if ms, err := dateOf(value); err == nil {
			return result{time.UnixMilli(ms).UTC(), float64(ms)}
		}
	}
	return result{value, rank}
}

// fewValues is up to how many values Elasticsearch keeps all of them.
const fewValues = 2000

// quantileOf returns a quantile of at least one value as Elasticsearch's t-digest
// does. Of fewer than fewValues it is exact: at the place q·(n−1) of the sorted
// values, with linear interpolation between two. Of more, it interpolates linearly
// between the middles of the values' counts. Elasticsearch, which then merges values
// that are near each other, differs by a fraction of a percent.
func quantileOf(all []centroid, q float64) float64 {
	slices.SortFunc(all, func(a, b centroid) int { return cmp.Compare(a.value, b.value) })
	total := 0.0
	for _, c := range all {
		total += c.count
	}
	place := q * (total - 1)
	if total < fewValues {
		low := math.Floor(place)
		a, b := valueAt(all, low), valueAt(all, min(low+1, total-1))
		return a + (place-low)*(b-a)
	}
	// Where a value stands alone, it is at its place, not in the middle of it.
	middle := all[0].count / 2
	if all[0].count == 1 {
		middle = 0
	}
	if place <= middle {
		return all[0].value
	}
	for i := 1; i < len(all); i++ {
		gap := (all[i-1].count + all[i].count) / 2
		if place < middle+gap {
			return all[i-1].value + (place-middle)/gap*(all[i].value-all[i-1].value)
		}
		middle += gap
	}
	return all[len(all)-1].value
}

// valueAt returns the value at a place of all, from 0, as if each were there as often
// as it counts.
func valueAt(all []centroid, place float64) float64 {
	before := 0.0
	for _, c := range all {
		if before += c.count; place < before {
			return c.value
		}
	}
	return all[len(all)-1].value
}
