//go:build !race

package proof

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/apmws/go-apmws/dashboards/internal/evaluate"
	"github.com/apmws/go-apmws/dashboards/internal/kibana"
)

// cell is what may be in a cell of a table: nothing, a number within bounds, one of
// several texts, or a time.
type cell struct {
	from, to float64
	texts    []string
	at       time.Time
	kind     kind
}

type kind int

const (
	isNothing kind = iota
	isNumber
	isText
	isTime
)

func nothing() cell { return cell{} }

// between is a number in bounds.
func between(from, to float64) cell { return cell{kind: isNumber, from: from, to: to} }

// exact is a number, but for what floating point makes of sums.
func exact(x float64) cell {
	const rounding = 1e-9
	return between(x-math.Abs(x)*rounding, x+math.Abs(x)*rounding)
}

// about is a number within a margin.
func about(x, margin float64) cell { return between(x-margin, x+margin) }

// bucketed is a duration in seconds that a histogram tells. The library's buckets are
// no wider than a quarter of where they begin, and told by their middles, so a value
// is off by 12.5 % of itself at most. Below a microsecond there is one bucket.
// Percentiles are values, or between two, and keep to that; so do sums. Of 2,000 values
// and more, Elasticsearch interpolates between the middles of buckets, which may leave
// the bucket of the true value by half of the next one; those of this hour keep within
// the margin all the same.
func bucketed(seconds, n float64) cell {
	const half, least = 0.125, 1e-6
	return about(seconds, seconds*half+n*least)
}

func text(texts ...string) cell { return cell{kind: isText, texts: texts} }

func moment(at time.Time) cell { return cell{kind: isTime, at: at.Truncate(time.Millisecond)} }

// allows says whether that may be in the cell.
func (c cell) allows(got any) bool {
	switch c.kind {
	case isNumber:
		n, ok := got.(float64)
		return ok && n >= c.from && n <= c.to
	case isText:
		s, ok := got.(string)
		return ok && slices.Contains(c.texts, s)
	case isTime:
		t, ok := got.(time.Time)
		return ok && t.Equal(c.at)
	default:
		return got == nil
	}
}

func (c cell) String() string {
	switch c.kind {
	case isNothing:
		return "nothing"
	case isNumber:
		if c.to-c.from <= math.Abs(c.to)*1e-8 {
			return fmt.Sprint((c.from + c.to) / 2)
		}
		return fmt.Sprintf("%v to %v", c.from, c.to)
	case isText:
		return strings.Join(c.texts, " or ")
	default:
		return c.at.String()
	}
}

// table is what a layer is to show.
type table struct {
	columns []string // labels of what is drawn, in their order: keys first
	keys    int      // how many of them are keys
	rows    [][]cell
	// byFirst says that rows are ordered by the first number, the greatest first,
	// which is not known exactly: neither is the order, but that it is one.
	byFirst bool
	// perhaps are the first keys of rows that may be missing.
	perhaps []string
}

// check compares. The labels are those of the columns of the layer.
func (want table) check(layer *kibana.Layer, got *evaluate.Table) error {
	var labels []string
	for _, id := range got.Columns {
		c := layer.Columns[id]
		labels = append(labels, c.Label)
		// Weeks may be alike.
		if isOfBefore := strings.Contains(strings.ToLower(c.Label), "week"); isOfBefore != isShifted(layer, c) {
			return fmt.Errorf("%q is of another time", c.Label)
		}
	}
	if !slices.Equal(labels, want.columns) {
		return fmt.Errorf("columns %q, want %q", labels, want.columns)
	}
	want.rows = want.present(got)
	if len(got.Rows) != len(want.rows) {
		return fmt.Errorf("%d rows, want %d:%s", len(got.Rows), len(want.rows), want.difference(got))
	}
	rows := slices.Clone(got.Rows)
	if want.byFirst {
		first := got.Columns[want.keys]
		if !slices.IsSortedFunc(rows, func(a, b map[string]any) int { return cmp.Compare(number(b[first]), number(a[first])) }) {
			return fmt.Errorf("rows are not ordered by %s", want.columns[want.keys])
		}
		want.sortByKeys()
		slices.SortFunc(rows, func(a, b map[string]any) int {
			return cmp.Compare(nameOf(got.Columns[:want.keys], a), nameOf(got.Columns[:want.keys], b))
		})
	}
	const shown = 8
	var errs []error
	wrong := 0
	for i, row := range rows {
		for j, id := range got.Columns {
			if c := want.rows[i][j]; !c.allows(row[id]) {
				if wrong++; wrong <= shown {
					errs = append(errs, fmt.Errorf("row %d (%s), %s: %v, want %v", i, want.name(i), want.columns[j], row[id], c))
				}
			}
		}
	}
	if wrong > shown {
		errs = append(errs, fmt.Errorf("and %d more", wrong-shown))
	}
	return errors.Join(errs...)
}

// isShifted says whether a column, or all that it is computed from, is of a week
// before.
func isShifted(layer *kibana.Layer, c *kibana.Column) bool {
	for _, id := range c.References {
		if !isShifted(layer, layer.Columns[id]) {
			return false
		}
	}
	return c.TimeShift == "1w" || len(c.References) > 0
}

// present returns the rows without those that may be missing, and are.
func (want table) present(got *evaluate.Table) [][]cell {
	return slices.DeleteFunc(slices.Clone(want.rows), func(row []cell) bool {
		key := row[0].String()
		return slices.Contains(want.perhaps, key) && !slices.ContainsFunc(got.Rows, func(shown map[string]any) bool {
			return shown[got.Columns[0]] == key
		})
	})
}

func number(value any) float64 {
	n, _ := value.(float64)
	return n
}

// difference tells which keys are on one side alone.
func (want table) difference(got *evaluate.Table) string {
	count := make(map[string]int)
	for i := range want.rows {
		count[want.name(i)]++
	}
	for _, row := range got.Rows {
		count[nameOf(got.Columns[:want.keys], row)]--
	}
	var text strings.Builder
	for name, n := range count {
		if n != 0 && text.Len() < 500 {
			fmt.Fprintf(&text, " %s %+d;", name, -n)
		}
	}
	return text.String()
}

func (want table) name(i int) string {
	var keys []string
	for _, c := range want.rows[i][:want.keys] {
		keys = append(keys, c.String())
	}
	return strings.Join(keys, ", ")
}

func (want table) sortByKeys() {
	slices.SortFunc(want.rows, func(a, b []cell) int {
		return slices.CompareFunc(a[:want.keys], b[:want.keys], func(x, y cell) int { return cmp.Compare(x.String(), y.String()) })
	})
}

func nameOf(columns []string, row map[string]any) string {
	var keys []string
	for _, id := range columns {
		keys = append(keys, fmt.Sprint(row[id]))
	}
	return strings.Join(keys, ", ")
}

// window is what a cell is about: facts of a span of time, of one key.
type window struct {
	from, to time.Time
	is       func(*fact) bool
}

func (w window) of(list facts) facts {
	list = list.between(w.from, w.to)
	if w.is == nil {
		return list
	}
	return list.where(w.is)
}

// measure is a column of numbers.
type measure struct {
	label string
	of    func(window) cell
}

// sum is how many there were; with a unit, in each such time.
func sum(label string, list facts, unit time.Duration) measure {
	return measure{label, func(w window) cell {
		n := w.of(list).total()
		if unit > 0 {
			n /= float64(w.to.Sub(w.from)) / float64(unit)
		}
		return exact(n)
	}}
}

// tally is as sum, but nothing where no node reports.
func tally(label string, list, gauge facts, unit time.Duration) measure {
	return measure{label, func(w window) cell {
		if len(w.of(gauge)) == 0 {
			return nothing()
		}
		return sum(label, list, unit).of(w)
	}}
}

// ratio is what share one has of the other, and nothing of nothing.
func ratio(label string, part, whole facts) measure {
	return measure{label, func(w window) cell {
		n := w.of(whole).total()
		if n == 0 {
			return nothing()
		}
		return exact(w.of(part).total() / n)
	}}
}

// seconds is the time of all.
func seconds(label string, list facts) measure {
	return measure{label, func(w window) cell {
		of := w.of(list)
		return bucketed(of.seconds(), of.total())
	}}
}

// distinct counts values.
func distinct(label string, list facts, of func(*fact) string) measure {
	return measure{label, func(w window) cell { return exact(w.of(list).distinct(of)) }}
}

// histogram is a percentile of durations in seconds, as a histogram tells it.
func histogram(label string, q float64, list facts) measure {
	return measure{label, func(w window) cell {
		values := valuesOf(w.of(list), func(x *fact) float64 { return x.took.Seconds() })
		if len(values) == 0 {
			return nothing()
		}
		return bucketed(quantile(q, values), 1)
	}}
}

// quantiles is a percentile of values of documents of their own. Elasticsearch
// interpolates as we do; a margin is for how the values are told.
func quantiles(label string, q float64, list facts, margin float64, of func(*fact) float64) measure {
	return measure{label, func(w window) cell {
		values := valuesOf(w.of(list), of)
		if len(values) == 0 {
			return nothing()
		}
		want := quantile(q, values)
		return about(want, margin+want*1e-9)
	}}
}

// micros is a duration as transactions and spans tell it: to 10 µs, says the contract.
func micros(x *fact) float64 { return float64(x.took.Nanoseconds()) / 1e3 }

const toTenMicros = 10

func valuesOf(list facts, of func(*fact) float64) []float64 {
	var values []float64
	for _, x := range list {
		values = append(values, of(x))
	}
	slices.Sort(values)
	return values
}

// quantile is the value at the place q·(n−1) of sorted values, with linear
// interpolation.
func quantile(q float64, sorted []float64) float64 {
	place := q * float64(len(sorted)-1)
	low := math.Floor(place)
	high := math.Min(low+1, float64(len(sorted)-1))
	return sorted[int(low)] + (place-low)*(sorted[int(high)]-sorted[int(low)])
}

// most is the greatest value.
func most(label string, list facts, of func(*fact) float64, as func(float64) cell) measure {
	return measure{label, func(w window) cell {
		values := valuesOf(w.of(list), of)
		if len(values) == 0 {
			return nothing()
		}
		return as(values[len(values)-1])
	}}
}

// latest is a text of the newest document that has one. Of several in a millisecond
// it may be any.
func latest(label string, list facts, of func(*fact) string) measure {
	return measure{label, func(w window) cell {
		var texts []string
		for _, x := range newest(w.of(list).where(func(x *fact) bool { return of(x) != "" })) {
			texts = append(texts, of(x))
		}
		if len(texts) == 0 {
			return nothing()
		}
		return text(texts...)
	}}
}

func newest(list facts) facts {
	if len(list) == 0 {
		return nil
	}
	last := list[len(list)-1].told
	return list.between(last, last.Add(1))
}

// lastSeen is the time of the newest.
func lastSeen(label string, list facts) measure {
	return measure{label, func(w window) cell {
		if last := newest(w.of(list)); len(last) > 0 {
			return moment(last[0].told)
		}
		return nothing()
	}}
}

const week = 7 * 24 * time.Hour

// weekAgo is a measure of the same time a week before.
func weekAgo(label string, m measure) measure {
	return measure{label, func(w window) cell {
		w.from, w.to = w.from.Add(-week), w.to.Add(-week)
		return m.of(w)
	}}
}

// whole is the time range.
func (w *world) whole() window { return window{from: w.start, to: w.end} }

// number is a table of one row.
func (w *world) number(measures ...measure) table {
	return table{columns: labelsOf(measures), rows: [][]cell{cellsOf(w.whole(), measures)}}
}

func labelsOf(measures []measure) []string {
	var labels []string
	for _, m := range measures {
		labels = append(labels, m.label)
	}
	return labels
}

func cellsOf(w window, measures []measure) []cell {
	var cells []cell
	for _, m := range measures {
		cells = append(cells, m.of(w))
	}
	return cells
}

const timeLabel = kibana.TimeField

// overTime has a row for each interval.
func (w *world) overTime(measures ...measure) table {
	t := table{columns: append([]string{timeLabel}, labelsOf(measures)...), keys: 1}
	for at := w.start; at.Before(w.end); at = at.Add(w.interval) {
		t.rows = append(t.rows, append([]cell{moment(at)}, cellsOf(window{from: at, to: at.Add(w.interval)}, measures)...))
	}
	return t
}

// split is by what rows, or series, are split.
type split struct {
	labels []string
	key    func(*fact) string // parts of several keys are separated by a zero byte
	keys   []string           // in their order
}

// top splits by the values of a key that some facts have in the time range, those
// with most of a rank first, and then by name. There are no more than size.
func (w *world) top(size int, label string, list facts, key func(*fact) string, rank func(facts) float64) split {
	by := make(map[string]facts)
	for _, x := range w.whole().of(list) {
		if k := key(x); k != "" {
			by[k] = append(by[k], x)
		}
	}
	ranks := make(map[string]float64)
	var keys []string
	for k, of := range by {
		keys, ranks[k] = append(keys, k), rank(of)
	}
	slices.SortFunc(keys, func(a, b string) int { return cmp.Or(cmp.Compare(ranks[b], ranks[a]), cmp.Compare(a, b)) })
	return split{strings.Split(label, "\x00"), key, keys[:min(size, len(keys))]}
}

// andOthers adds those that are not among the first, if there are any.
func (w *world) andOthers(s split, list facts) split {
	first, key := s.keys, s.key
	s.key = func(x *fact) string {
		if k := key(x); k == "" || slices.Contains(first, k) {
			return k
		}
		return others
	}
	if slices.ContainsFunc(w.whole().of(list), func(x *fact) bool { return s.key(x) == others }) {
		s.keys = append(slices.Clone(first), others)
	}
	return s
}

const others = "Other"

// table has a row for each key.
func (w *world) table(s split, measures ...measure) table {
	t := table{columns: append(slices.Clone(s.labels), labelsOf(measures)...), keys: len(s.labels)}
	for _, key := range s.keys {
		of := w.whole()
		of.is = func(x *fact) bool { return s.key(x) == key }
		t.rows = append(t.rows, append(keyCells(key), cellsOf(of, measures)...))
	}
	return t
}

func keyCells(key string) []cell {
	var cells []cell
	for part := range strings.SplitSeq(key, "\x00") {
		cells = append(cells, text(part))
	}
	return cells
}

// series has a row for each key and interval.
func (w *world) series(s split, m measure) table {
	t := table{columns: append(slices.Clone(s.labels), timeLabel, m.label), keys: len(s.labels) + 1}
	for _, key := range s.keys {
		for at := w.start; at.Before(w.end); at = at.Add(w.interval) {
			of := window{at, at.Add(w.interval), func(x *fact) bool { return s.key(x) == key }}
			t.rows = append(t.rows, append(keyCells(key), moment(at), m.of(of)))
		}
	}
	return t
}

// approximately orders rows by their first number, which is not known exactly.
func (want table) approximately() table {
	want.byFirst = true
	return want
}
