package lint

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
)

// Types of saved objects.
const (
	typeDashboard = "dashboard"
	typeDataView  = "index-pattern"
	typeSearch    = "search"
)

// file is a file as far as it can be read.
type file struct {
	options Options
	lines   []line
	objects []*object
}

// line is a line that is not empty.
type line struct {
	number int
	raw    map[string]any // nil if it is no JSON object
}

// isDetails says whether the line is the one about the export.
func (l line) isDetails() bool { return has(l.raw, "exportedCount") }

// object is a saved object.
type object struct {
	file       *file
	raw        map[string]any
	typ, id    string
	attributes map[string]any // with strings of JSON decoded
	references []reference
	panels     []*panel // of a dashboard
}

// reference is how an object names another.
type reference struct{ typ, id, name string }

// panel is a rectangle on a dashboard.
type panel struct {
	dashboard  *object
	raw        map[string]any
	index, typ string
	title      string
	x, y, w, h int
	placed     bool  // these four are numbers
	lens       *lens // of a chart
}

// lens is a chart.
type lens struct {
	panel      *panel
	attributes map[string]any
	kind       string
	visual     map[string]any
	layers     []*layer
}

// layer is a table that a chart draws.
type layer struct {
	lens    *lens
	id      string
	raw     map[string]any
	order   []string
	columns []*column // by their ids
}

// column is a column of a layer.
type column struct {
	layer     *layer
	id        string
	raw       map[string]any
	operation string
	field     string
}

func read(ndjson []byte, opts Options) *file {
	f := &file{options: opts}
	for i, data := range bytes.Split(ndjson, []byte("\n")) {
		if len(bytes.TrimSpace(data)) == 0 {
			continue
		}
		l := line{number: i + 1}
		if err := json.Unmarshal(data, &l.raw); err != nil {
			l.raw = nil
		}
		f.lines = append(f.lines, l)
		if l.raw != nil && !l.isDetails() {
			f.objects = append(f.objects, f.object(l.raw))
		}
	}
	return f
}

func (f *file) object(raw map[string]any) *object {
	if attributes, ok := raw["attributes"]; ok {
		raw["attributes"] = decode("", attributes)
	}
	o := &object{
		file: f, raw: raw, typ: text(raw, "type"), id: text(raw, "id"), attributes: members(raw, "attributes"),
		references: references(raw),
	}
	if o.typ != typeDashboard {
		return o
	}
	for _, p := range elements(decoded(o.attributes, "panelsJSON")) {
		o.panels = append(o.panels, o.panel(members(p)))
	}
	return o
}

func references(value any) []reference {
	var all []reference
	for _, r := range elements(value, "references") {
		all = append(all, reference{text(r, "type"), text(r, "id"), text(r, "name")})
	}
	return all
}

func (o *object) panel(raw map[string]any) *panel {
	p := &panel{
		dashboard: o, raw: raw, index: text(raw, "panelIndex"), typ: text(raw, "type"), title: text(raw, "title"), placed: true,
	}
	for key, into := range map[string]*int{"x": &p.x, "y": &p.y, "w": &p.w, "h": &p.h} {
		n, ok := whole(raw, "gridData", key)
		*into, p.placed = n, p.placed && ok && n >= 0 && n <= 10000
	}
	p.placed = p.placed && p.w > 0 && p.h > 0
	if p.typ == "lens" {
		p.lens = p.chart()
	}
	return p
}

func (p *panel) chart() *lens {
	l := &lens{panel: p, attributes: members(p.raw, "embeddableConfig", "attributes")}
	l.kind = text(l.attributes, "visualizationType")
	l.visual = members(l.attributes, "state", "visualization")
	layers := members(l.attributes, "state", "datasourceStates", "formBased", "layers")
	for _, id := range sortedKeys(layers) {
		y := &layer{lens: l, id: id, raw: members(layers[id]), order: texts(layers[id], "columnOrder")}
		columns := members(y.raw, "columns")
		for _, id := range sortedKeys(columns) {
			raw := members(columns[id])
			y.columns = append(y.columns, &column{y, id, raw, text(raw, "operationType"), text(raw, "sourceField")})
		}
		l.layers = append(l.layers, y)
	}
	return l
}

func (o *object) where() string {
	if o.id == "" {
		return "an object without id"
	}
	return o.id
}

func (p *panel) where() string {
	name := p.title
	if name == "" {
		name = fmt.Sprintf("%s panel %s", p.typ, p.index)
	}
	return fmt.Sprintf("%s, %q", p.dashboard.where(), name)
}

func (y *layer) where() string { return fmt.Sprintf("%s, layer %s", y.lens.panel.where(), y.id) }

func (c *column) where() string { return fmt.Sprintf("%s, column %s", c.layer.where(), c.id) }

// find returns an object of the file, or nil.
func (f *file) find(typ, id string) *object {
	for _, o := range f.objects {
		if o.typ == typ && o.id == id {
			return o
		}
	}
	return nil
}

// refersTo returns the id that a reference has, or the empty string.
func refersTo(all []reference, typ, name string) string {
	i := slices.IndexFunc(all, func(r reference) bool { return r.typ == typ && r.name == name })
	if i < 0 {
		return ""
	}
	return all[i].id
}

// layer returns a chart's layer, or nil.
func (l *lens) layer(id string) *layer {
	i := slices.IndexFunc(l.layers, func(y *layer) bool { return y.id == id })
	if i < 0 {
		return nil
	}
	return l.layers[i]
}

// column returns a layer's column, or nil, of a nil layer too.
func (y *layer) column(id string) *column {
	if y == nil {
		return nil
	}
	i := slices.IndexFunc(y.columns, func(c *column) bool { return c.id == id })
	if i < 0 {
		return nil
	}
	return y.columns[i]
}

// view returns the id of the data view that a layer reads, as Kibana finds it: the
// dashboard's reference counts, not the panel's own.
func (y *layer) view() string {
	return refersTo(y.lens.panel.dashboard.references, typeDataView, y.lens.panel.index+":"+layerReference(y.id))
}

func layerReference(id string) string { return "indexpattern-datasource-layer-" + id }

// pattern returns the indices of a data view, or the empty string.
func (f *file) pattern(view string) string {
	o := f.find(typeDataView, view)
	if o == nil {
		return ""
	}
	return text(o.attributes, "title")
}

func (c *column) bucketed() bool { return isTrue(c.raw, "isBucketed") }

// params returns the parameters of the operation.
func (c *column) params() map[string]any { return members(c.raw, "params") }
