package evaluate

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
)

// Value is an element of an answer.
type Value struct {
	Labels Labels
	Value  float64
}

// Instant evaluates a query at one moment, as Prometheus' default settings have it:
// samples older than five minutes are gone. What Prometheus would warn of is an error.
func (s *Store) Instant(query string, at time.Time) ([]Value, error) {
	engine := promql.NewEngine(promql.EngineOpts{
		MaxSamples: 1 << 20, Timeout: time.Minute, LookbackDelta: 5 * time.Minute,
		EnableAtModifier: true, EnableNegativeOffset: true,
	})
	q, err := engine.NewInstantQuery(context.Background(), s, nil, query, at)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", query, err)
	}
	defer q.Close()
	result := q.Exec(context.Background())
	if err := result.Err; err != nil {
		return nil, fmt.Errorf("%s: %w", query, err)
	}
	if err := result.Warnings.AsErrors(); len(err) > 0 {
		return nil, fmt.Errorf("%s: %w", query, err[0])
	}
	switch value := result.Value.(type) {
	case promql.Scalar:
		return []Value{{Value: value.V}}, nil
	case promql.Vector:
		var values []Value
		for i := range value {
			values = append(values, Value{value[i].Metric.Map(), value[i].F})
		}
		return values, nil
	default:
		return nil, fmt.Errorf("%s: the answer is a %s", query, result.Value.Type())
	}
}

// Uses is what a query reads: for each metric the labels that it selects or groups by.
type Uses map[string][]string

// Parse returns what a query uses.
func Parse(query string) (Uses, error) {
	expr, err := parser.ParseExpr(query)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", query, err)
	}
	uses := Uses{}
	collect(expr, nil, uses)
	return uses, nil
}

// collect adds what an expression uses, below aggregations by the given labels.
func collect(node parser.Node, by []string, uses Uses) {
	switch node := node.(type) {
	case *parser.VectorSelector:
		uses[node.Name] = append(uses[node.Name], by...)
		for _, m := range node.LabelMatchers {
			if m.Name != "__name__" {
				uses[node.Name] = append(uses[node.Name], m.Name)
			}
		}
	case *parser.AggregateExpr:
		by = append(append([]string(nil), by...), node.Grouping...)
	}
	for _, child := range parser.Children(node) {
		collect(child, by, uses)
	}
}
