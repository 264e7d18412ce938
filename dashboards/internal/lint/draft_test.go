package lint

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
)

type (
	m = map[string]any
	l = []any
)

// draft is a valid file that faults are planted into, with everything decoded that
// the file holds as strings.
type draft struct {
	views     map[string]m // by id
	search    m
	source    m // what the search searches for
	one, two  *board
	ends      m                   // the last line
	rewritten func([]byte) []byte // of the file, at last
}

// board is a dashboard of a draft.
type board struct {
	object   m
	options  m
	source   m
	controls m
	settings m
	panels   []m
}

func newDraft() *draft {
	view := func(id, pattern string, formats m) m {
		return m{
			"type": "index-pattern", "id": id, "references": l{}, "managed": false,
			"coreMigrationVersion": "8.8.0", "typeMigrationVersion": "8.0.0",
			"attributes": m{
				"title": pattern, "name": strings.ReplaceAll(id, "-", " "), "timeFieldName": "@timestamp", "allowNoIndex": true,
				"allowHidden": false, "fields": "[]", "fieldAttrs": "{}", "fieldFormatMap": encoded(formats), "runtimeFieldMap": "{}",
				"sourceFilters": "[]",
			},
		}
	}
	duration := m{"id": "duration", "params": m{"inputFormat": "microseconds", "outputFormat": "humanizePrecise"}}
	d := &draft{
		views: map[string]m{
			"apmws-traces":  view("apmws-traces", "traces-apm*", m{"transaction.duration.us": duration}),
			"apmws-metrics": view("apmws-metrics", "metrics-apm*", m{"transaction.duration.histogram": duration}),
			"apmws-logs": view("apmws-logs", "logs-*", m{
				"trace.id": m{"id": "url", "params": m{"urlTemplate": "apm/{{value}}"}},
			}),
		},
		search: m{
			"type": "search", "id": "apmws-lines", "managed": false, "coreMigrationVersion": "8.8.0", "typeMigrationVersion": "8.0.0",
			"references": l{m{"type": "index-pattern", "id": "apmws-logs", "name": searchIndex}},
			"attributes": m{
				"title": "[apmws] Lines", "description": "", "columns": l{"message"}, "sort": l{l{"@timestamp", "desc"}}, "grid": m{},
				"hideChart": true, "isTextBasedQuery": false, "timeRestore": false, "kibanaSavedObjectMeta": m{},
			},
		},
		source: m{
			"filter": l{}, "highlightAll": true, "indexRefName": searchIndex, "query": kuery("labels.http_route: *"), "version": true,
		},
		ends: m{
			"excludedObjects": l{}, "excludedObjectsCount": 0, "exportedCount": 6, "missingRefCount": 0, "missingReferences": l{},
		},
	}
	d.one, d.two = newBoard("apmws-one", charts()), newBoard("apmws-two", tiles())
	return d
}

func newBoard(id string, panels []m) *board {
	b := &board{
		options: m{"hidePanelTitles": false, "syncColors": true, "syncCursor": true, "syncTooltips": false, "useMargins": true},
		source:  m{"filter": l{}, "query": kuery("")},
		settings: m{
			"ignoreFilters": false, "ignoreQuery": false, "ignoreTimerange": false, "ignoreValidations": false,
		},
		controls: m{},
		panels:   panels,
	}
	references := l{}
	refer := func(typ, id, name string) { references = append(references, m{"type": typ, "id": id, "name": name}) }
	for i, field := range []string{"service.name", "service.environment", "labels.http_route"} {
		id := identifier("control", i)
		b.controls[id] = m{
			"explicitInput": m{
				"enhancements": m{}, "fieldName": field, "id": id, "searchTechnique": "wildcard", "selectedOptions": l{}, "title": field,
			},
			"grow": true, "order": i, "type": "optionsListControl", "width": "medium",
		}
		refer("index-pattern", "apmws-traces", "controlGroup_"+id+":optionsListDataView")
	}
	for _, p := range panels {
		index := p["panelIndex"].(string)
		switch p["type"] {
		case "lens":
			for _, inner := range get(p, "embeddableConfig/attributes/references").(l) {
				inner := inner.(m)
				refer("index-pattern", inner["id"].(string), index+":"+inner["name"].(string))
			}
		case "search":
			p["panelRefName"] = "panel_" + index
			refer("search", "apmws-lines", index+":panel_"+index)
		case "links":
			for i, to := range []string{"apmws-one", "apmws-two"} {
				refer("dashboard", to, index+":link_"+identifier("link", i)+"_dashboard")
			}
		}
	}
	b.object = m{
		"type": "dashboard", "id": id, "managed": false, "coreMigrationVersion": "8.8.0", "typeMigrationVersion": "8.9.0",
		"references": references,
		"attributes": m{
			"title": "[apmws] " + id, "description": "What it shows.", "timeRestore": true, "timeFrom": "now-1h", "timeTo": "now",
			"refreshInterval": m{"pause": true, "value": 60000}, "version": 1,
			"controlGroupInput":     m{"controlStyle": "oneLine", "chainingSystem": "HIERARCHICAL"},
			"kibanaSavedObjectMeta": m{},
		},
	}
	return b
}

// write returns the file.
func (d *draft) write() []byte {
	set(d.search, "attributes/kibanaSavedObjectMeta/searchSourceJSON", encoded(d.source))
	var out bytes.Buffer
	line := func(value any) { out.WriteString(encoded(value) + "\n") }
	for _, id := range slices.Sorted(maps.Keys(d.views)) {
		line(d.views[id])
	}
	line(d.search)
	for _, b := range []*board{d.one, d.two} {
		for path, value := range map[string]any{
			"panelsJSON": b.panels, "optionsJSON": b.options, "kibanaSavedObjectMeta/searchSourceJSON": b.source,
			"controlGroupInput/panelsJSON": b.controls, "controlGroupInput/ignoreParentSettingsJSON": b.settings,
		} {
			set(b.object, "attributes/"+path, encoded(value))
		}
		line(b.object)
	}
	line(d.ends)
	if d.rewritten != nil {
		return d.rewritten(out.Bytes())
	}
	return out.Bytes()
}

func encoded(value any) string {
	data, err := json.Marshal(value)
	if err != nil {
		panic(err) // nothing of a draft cannot be written
	}
	return string(data)
}

func kuery(query string) m { return m{"language": "kuery", "query": query} }

// identifier returns a UUID.
func identifier(kind string, i int) string {
	return fmt.Sprintf("00000000-0000-5000-8000-%08x%04x", []byte(kind + "    ")[:4], i)
}

// get, set and remove act on what a path leads to, whose steps are separated by
// slashes; a step in a list is a number. The object itself must exist.

func get(in any, path string) any {
	for step := range strings.SplitSeq(path, "/") {
		switch object := in.(type) {
		case m:
			in = object[step]
		case l:
			i, err := strconv.Atoi(step)
			if err != nil {
				panic(err)
			}
			in = object[i]
		default:
			panic(fmt.Sprintf("nothing is at %s of %s", step, path))
		}
	}
	return in
}

func set(in any, path string, value any) {
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		in, path = get(in, path[:i]), path[i+1:]
	}
	switch object := in.(type) {
	case m:
		object[path] = value
	case l:
		i, err := strconv.Atoi(path)
		if err != nil {
			panic(err)
		}
		object[i] = value
	default:
		panic(fmt.Sprintf("nothing is at %s", path))
	}
}

func remove(in any, path string) {
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		in, path = get(in, path[:i]), path[i+1:]
	}
	if _, ok := in.(m)[path]; !ok {
		panic(fmt.Sprintf("nothing is at %s", path))
	}
	delete(in.(m), path)
}

// panel returns a panel of the first dashboard by its title, or type.
func (d *draft) panel(title string) m {
	for _, p := range d.one.panels {
		if p["title"] == title || title == p["type"] {
			return p
		}
	}
	panic("no panel " + title)
}

func (d *draft) attributes(title string) m {
	return get(d.panel(title), "embeddableConfig/attributes").(m)
}

func (d *draft) visual(title string) m { return get(d.attributes(title), "state/visualization").(m) }

// layer returns the columns of a panel's first layer.
func (d *draft) layer(title string) m {
	return get(d.attributes(title), "state/datasourceStates/formBased/layers/main").(m)
}

func (d *draft) column(title, id string) m { return get(d.layer(title), "columns/"+id).(m) }

// add adds to a list.
func add(in any, path string, values ...any) {
	set(in, path, append(get(in, path).(l), values...))
}

func TestValidFile(t *testing.T) {
	for _, f := range File(newDraft().write(), Options{FieldType: fieldType}) {
		t.Error(f)
	}
	for _, f := range File(newDraft().write(), Options{}) {
		t.Error(f)
	}
}
