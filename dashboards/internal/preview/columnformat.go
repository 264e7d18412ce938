package preview

import (
	"fmt"

	"github.com/apmws/go-apmws/dashboards/internal/kibana"
)

// timeScales are what Kibana adds to values of a rate.
var timeScales = map[string]string{"s": "/s", "m": "/m", "h": "/h", "d": "/d"}

// formatOf returns how a column's values are written: as the column says; else, of a
// field's own values, as the data view says; else as Kibana writes numbers.
func formatOf(view *kibana.DataView, c *kibana.Column) (format, error) {
	f, err := baseFormat(view, c)
	if err != nil {
		return f, fmt.Errorf("column %q: %w", c.Label, err)
	}
	if c.TimeScale != "" {
		suffix, ok := timeScales[c.TimeScale]
		if !ok {
			return f, fmt.Errorf("column %q: time scale %q", c.Label, c.TimeScale)
		}
		f.suffix += suffix
	}
	return f, nil
}

func baseFormat(view *kibana.DataView, c *kibana.Column) (format, error) {
	if c.Params != nil && c.Params.Format != nil {
		p := c.Params.Format.Params
		f := format{
			id: c.Params.Format.ID, decimals: p.Decimals, compact: p.Compact, from: p.FromUnit, to: p.ToUnit,
		}
		return f, f.check()
	}
	if view != nil && inherits(c) {
		if field, ok := view.Attributes.FieldFormats.Value[c.Field]; ok {
			return fieldFormat(field)
		}
	}
	switch c.DataType {
	case "number":
		return format{id: "number", decimals: 3, trim: true}, nil
	case "date":
		return format{id: "date"}, nil
	default:
		return format{}, nil
	}
}

// inherits tells whether a column holds values of its field, not numbers about them.
func inherits(c *kibana.Column) bool {
	switch c.Operation {
	case kibana.OpCount, kibana.OpUniqueCount, kibana.OpFormula, kibana.OpMath, kibana.OpFilters, kibana.OpDateHistogram:
		return false
	case kibana.OpTerms:
		return c.Params == nil || len(c.Params.SecondaryFields) == 0
	default:
		return c.Field != ""
	}
}

// fieldFormat reads the format of a data view's field.
func fieldFormat(field kibana.FieldFormat) (format, error) {
	f := format{id: field.ID}
	switch field.ID {
	case "duration":
		f.from, _ = field.Params["inputFormat"].(string)
		f.to, _ = field.Params["outputFormat"].(string)
		f.decimals = whole(field.Params["outputPrecision"], 2)
	case "bytes":
		f.decimals, f.trim = 1, true
	case "percent":
		f.decimals, f.trim = 3, true
	case "number":
		f.decimals, f.trim = 3, true
	}
	return f, f.check()
}

// whole returns a number that was made here or read from JSON.
func whole(v any, otherwise int) int {
	switch v := v.(type) {
	case int:
		return v
	case float64:
		return int(v)
	default:
		return otherwise
	}
}

// check refuses what would be drawn wrong.
func (f format) check() error {
	switch f.id {
	case "number", "percent", "bytes", "url", "string":
		return nil
	case "duration":
		if _, ok := durationInputs[f.from]; !ok {
			return fmt.Errorf("duration from %q", f.from)
		}
		if _, ok := durationOutputs[f.to]; !ok && f.to != "humanizePrecise" {
			return fmt.Errorf("duration to %q", f.to)
		}
		return nil
	default:
		return fmt.Errorf("format %q", f.id)
	}
}
