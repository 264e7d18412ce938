package evaluate

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/apmws/go-apmws/dashboards/internal/newrelic/nrql"
	"github.com/apmws/go-apmws/exporters/wire/collector"
)

// aggregate is an expression's value for many rows.
func (e *evaluator) aggregate(rows []row, expr nrql.Expr) any {
	switch expr := expr.(type) {
	case nrql.Number:
		return e.scalar(nil, expr)
	case nrql.Binary:
		return e.arithmetic(expr.Op, e.aggregate(rows, expr.Left), e.aggregate(rows, expr.Right))
	case nrql.Call:
		return e.call(rows, expr)
	default:
		return e.unsupported(expr)
	}
}

func (e *evaluator) arithmetic(op string, left, right any) any {
	l, lok := left.(float64)
	r, rok := right.(float64)
	switch {
	case !lok || !rok || op == "/" && r == 0:
		return nil
	case op == "+":
		return l + r
	case op == "-":
		return l - r
	case op == "*":
		return l * r
	default:
		return l / r
	}
}

func (e *evaluator) call(rows []row, c nrql.Call) any {
	switch c.Function {
	case "filter", "percentage":
		f, ok := c.Args[1].(nrql.Filter)
		if !ok {
			return e.unsupported(c)
		}
		part := e.aggregate(e.matching(rows, f.Cond), c.Args[0])
		if c.Function == "filter" {
			return part
		}
		return e.arithmetic("*", 100.0, e.arithmetic("/", part, e.aggregate(rows, c.Args[0])))
	case "rate":
		per, ok := c.Args[1].(nrql.Duration)
		if !ok {
			return e.unsupported(c)
		}
		return e.arithmetic("/", e.aggregate(rows, c.Args[0]), e.times(per))
	case "latest":
		return e.latest(rows, c.Args[0])
	}
	if a, ok := c.Args[0].(nrql.Attr); ok && a.Name == value {
		return e.ofMetrics(rows, c)
	}
	if _, ok := c.Args[0].(nrql.Star); ok {
		return float64(len(rows))
	}
	return e.ofValues(c, e.values(rows, c.Args[0]))
}

// times is how often the duration goes into Window.
func (e *evaluator) times(d nrql.Duration) any {
	unit, known := map[string]time.Duration{"second": time.Second, "minute": time.Minute, "hour": time.Hour}[d.Unit]
	n, ok := e.scalar(nil, nrql.Number{Literal: d.Number}).(float64)
	if !known || !ok || n == 0 {
		return e.unsupported(d)
	}
	return Window.Seconds() / (n * unit.Seconds())
}

func (e *evaluator) latest(rows []row, expr nrql.Expr) any {
	var last any
	at := math.Inf(-1)
	for _, r := range rows {
		v, time := e.scalar(r, expr), r["timestamp"]
		if t, ok := time.(float64); ok && v != nil && t >= at {
			last, at = v, t
		}
	}
	return last
}

func (e *evaluator) values(rows []row, expr nrql.Expr) []any {
	var all []any
	for _, r := range rows {
		if v := e.scalar(r, expr); v != nil {
			all = append(all, v)
		}
	}
	return all
}

// ofMetrics aggregates timeslice metrics, each of which is many values already.
func (e *evaluator) ofMetrics(rows []row, c nrql.Call) any {
	all := collector.Values{Min: math.Inf(1), Max: math.Inf(-1)}
	for _, r := range rows {
		v, ok := r[value].(collector.Values)
		if !ok {
			continue
		}
		all.Count += v.Count
		all.Total += v.Total
		all.Min, all.Max = min(all.Min, v.Min), max(all.Max, v.Max)
	}
	switch {
	case c.Function == "count":
		return all.Count
	case c.Function == "sum":
		return all.Total
	case all.Count == 0:
		return nil
	case c.Function == "average":
		return all.Total / all.Count
	case c.Function == "max":
		return all.Max
	case c.Function == "min":
		return all.Min
	default:
		return e.unsupported(c)
	}
}

func (e *evaluator) ofValues(c nrql.Call, values []any) any {
	switch c.Function {
	case "count":
		return float64(len(values))
	case "uniqueCount":
		return float64(len(uniques(values)))
	case "uniques":
		return uniques(values)
	}
	numbers := make([]float64, 0, len(values))
	total := 0.0
	for _, v := range values {
		if n, ok := v.(float64); ok {
			numbers = append(numbers, n)
			total += n
		}
	}
	slices.Sort(numbers)
	switch {
	case c.Function == "sum":
		return total
	case len(numbers) == 0:
		return nil
	case c.Function == "average":
		return total / float64(len(numbers))
	case c.Function == "min":
		return numbers[0]
	case c.Function == "max":
		return numbers[len(numbers)-1]
	case c.Function == "percentile":
		return e.percentiles(c.Args[1:], numbers)
	case c.Function == "histogram":
		return e.histogram(c.Args[1:], numbers)
	default:
		return e.unsupported(c)
	}
}

func uniques(values []any) []string {
	all := make([]string, len(values))
	for i, v := range values {
		all[i] = fmt.Sprint(v)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// percentiles takes the nearest number. New Relic approximates.
func (e *evaluator) percentiles(args []nrql.Expr, sorted []float64) any {
	all := make([]float64, len(args))
	for i, arg := range args {
		p, ok := e.scalar(nil, arg).(float64)
		if !ok || p < 0 || p > 100 {
			return e.unsupported(arg)
		}
		all[i] = sorted[max(int(math.Ceil(p/100*float64(len(sorted))))-1, 0)]
	}
	return all
}

// histogram counts in buckets of equal width from 0 to the ceiling; what is beyond is
// in the last.
func (e *evaluator) histogram(args []nrql.Expr, numbers []float64) any {
	ceiling, cok := e.scalar(nil, args[0]).(float64)
	buckets, bok := e.scalar(nil, args[1]).(float64)
	if !cok || !bok || ceiling <= 0 || buckets < 1 {
		return e.unsupported(args)
	}
	all := make([]float64, int(buckets))
	for _, n := range numbers {
		all[min(max(int(n/ceiling*buckets), 0), len(all)-1)]++
	}
	return all
}
