package evaluate

import (
	"errors"
	"fmt"
	"math"
	"strconv"

	"github.com/apmws/go-apmws/dashboards/internal/kibana"
)

// checkReferences makes sure that a column which is computed from others has nothing
// that is to be handed on to them: that stands in the parts.
func checkReferences(c *kibana.Column) error {
	if c.Filter != nil || c.TimeShift != "" || c.ReducedTimeRange != "" {
		return errors.New("a filter, time shift or reduced time range is supported in the parts alone")
	}
	if c.TimeScale != "" && (c.Operation != kibana.OpFormula || unit(c.TimeScale) == 0) {
		return fmt.Errorf("time scale %q is not supported", c.TimeScale)
	}
	return nil
}

// parts returns the columns that are only parts of others.
func (r *run) parts() map[string]bool {
	parts := make(map[string]bool)
	for _, c := range r.layer.Columns {
		for _, id := range c.References {
			parts[id] = true
		}
	}
	return parts
}

// calculate adds to a row what is computed from its values.
func (r *run) calculate(row map[string]any) error {
	for _, id := range r.layer.ColumnOrder {
		if _, err := r.valueOf(row, id, nil); err != nil {
			return err
		}
	}
	return nil
}

// valueOf returns, and keeps, the value of a column; within are the columns that need
// it.
func (r *run) valueOf(row map[string]any, id string, within []string) (any, error) {
	if value, ok := row[id]; ok {
		return value, nil
	}
	c := r.layer.Columns[id]
	if c == nil {
		return nil, fmt.Errorf("column %v: there is no column %s", within, id)
	}
	if len(within) > len(r.layer.Columns) {
		return nil, fmt.Errorf("column %s needs itself", id)
	}
	within = append(within, id)
	value, err := r.calculated(row, c, within)
	if err != nil {
		return nil, err
	}
	row[id] = value
	return value, nil
}

func (r *run) calculated(row map[string]any, c *kibana.Column, within []string) (any, error) {
	id := within[len(within)-1]
	switch c.Operation {
	case kibana.OpStaticValue:
		value, err := strconv.ParseFloat(params(c).Value, 64)
		if err != nil {
			return nil, fmt.Errorf("column %s: static value: %w", id, err)
		}
		return value, nil
	case kibana.OpFormula:
		if len(c.References) != 1 || isTrue(params(c).IsFormulaBroken) {
			return nil, fmt.Errorf("column %s: the formula is not expanded", id)
		}
		return r.valueOf(row, c.References[0], within)
	case kibana.OpMath:
		ast := params(c).AST
		if ast == nil {
			return nil, fmt.Errorf("column %s: no arithmetic", id)
		}
		value, err := r.arithmetic(row, ast, within)
		if err != nil {
			return nil, err
		}
		if math.IsNaN(value) || math.IsInf(value, 0) {
			return nil, nil
		}
		return value, nil
	default:
		return nil, fmt.Errorf("column %s is not computed", id)
	}
}

// arithmetic returns the value of an operation, which is not a number if a part is
// null, or if something is divided by zero.
func (r *run) arithmetic(row map[string]any, ast *kibana.Math, within []string) (float64, error) {
	if len(ast.Args) != 2 {
		return 0, fmt.Errorf("column %s: %s of %d parts is not supported", within[len(within)-1], ast.Name, len(ast.Args))
	}
	var values [2]float64
	for i, arg := range ast.Args {
		var err error
		if values[i], err = r.argument(row, arg, within); err != nil {
			return 0, err
		}
	}
	switch a, b := values[0], values[1]; ast.Name {
	case "add":
		return a + b, nil
	case "subtract":
		return a - b, nil
	case "multiply":
		return a * b, nil
	case "divide":
		if b == 0 {
			return math.NaN(), nil
		}
		return a / b, nil
	default:
		return 0, fmt.Errorf("column %s: %s is not supported", within[len(within)-1], ast.Name)
	}
}

func (r *run) argument(row map[string]any, arg kibana.MathArg, within []string) (float64, error) {
	switch {
	case arg.Math != nil:
		return r.arithmetic(row, arg.Math, within)
	case arg.Column == "":
		return arg.Number, nil
	}
	value, err := r.valueOf(row, arg.Column, within)
	if err != nil {
		return 0, err
	}
	if number, ok := value.(float64); ok {
		return number, nil
	}
	return math.NaN(), nil
}
