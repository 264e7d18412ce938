package preview

import (
	"fmt"
	"strings"
	"time"

	"github.com/apmws/go-apmws/dashboards/internal/evaluate"
	"github.com/apmws/go-apmws/dashboards/internal/kibana"
)

// timeWide is how wide the column of times is, in pixels.
const timeWide = 216.0

// documents draws the first documents of a saved search, the time first, or nothing
// where there is none.
func (b *builder) documents(p *evaluate.Panel, s *kibana.Search, h float64) *grid {
	if len(p.Hits) == 0 {
		return nil
	}
	out := &grid{Columns: []gridColumn{{Name: kibana.TimeField, Width: px(timeWide), Sorted: "↓"}}}
	var names []string
	for _, name := range s.Attributes.Columns {
		if name == kibana.TimeField {
			continue
		}
		names = append(names, name)
		column := gridColumn{Name: name}
		if set := s.Attributes.Grid.Columns[name]; set.Width > 0 {
			column.Width = px(float64(set.Width))
		}
		out.Columns = append(out.Columns, column)
	}
	var formats map[string]kibana.FieldFormat
	if view := b.dataView(s.DataView()); view != nil {
		formats = view.Attributes.FieldFormats.Value
	}
	shown := out.room(len(p.Hits), max(p.Total, len(p.Hits)), h, "documents")
	for _, hit := range p.Hits[:shown] {
		row := []cell{{Text: clock(lookUp(hit, kibana.TimeField)), Class: "mono"}}
		for _, name := range names {
			v := lookUp(hit, name)
			one := cell{Text: fieldText(v), Link: formats[name].ID == "url" && v != nil}
			switch name {
			case "log.level":
				one.Class = "level " + level(one.Text)
			case "message":
				one.Class = "mono"
			}
			if number, ok := v.(float64); ok && formats[name].ID != "" {
				if f, err := fieldFormat(formats[name]); err == nil {
					one.Text = f.number(number)
				}
			}
			row = append(row, one)
		}
		out.Rows = append(out.Rows, row)
	}
	return out
}

// lookUp returns a document's field, by its whole name or along a path.
func lookUp(doc map[string]any, name string) any {
	if v, ok := doc[name]; ok {
		return v
	}
	for i := range name {
		if name[i] != '.' {
			continue
		}
		if inner, ok := doc[name[:i]].(map[string]any); ok {
			if v := lookUp(inner, name[i+1:]); v != nil {
				return v
			}
		}
	}
	return nil
}

func fieldText(v any) string {
	if list, ok := v.([]any); ok {
		texts := make([]string, len(list))
		for i, one := range list {
			texts[i] = fieldText(one)
		}
		return strings.Join(texts, ", ")
	}
	if number, ok := v.(float64); ok {
		return format{decimals: 3, trim: true}.number(number)
	}
	return format{}.value(v)
}

// clock writes a document's time, whatever form it has.
func clock(v any) string {
	switch v := v.(type) {
	case string:
		if at, err := time.Parse(time.RFC3339Nano, v); err == nil {
			return at.UTC().Format(dateLayout)
		}
		return v
	case float64:
		return time.UnixMilli(int64(v)).UTC().Format(dateLayout)
	case time.Time:
		return v.UTC().Format(dateLayout)
	case nil:
		return none
	default:
		return fmt.Sprint(v)
	}
}

// level is the class of a log level.
func level(name string) string {
	switch strings.ToLower(name) {
	case "error", "fatal", "panic":
		return "bad"
	case "warn", "warning":
		return "warn"
	default:
		return "calm"
	}
}
