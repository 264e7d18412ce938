package lint

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

// fault is a valid file with one thing made wrong.
type fault struct {
	rule  string
	what  string
	plant func(*draft)
	also  string // rules that cannot but find it, too
}

// TestFaults shows of each rule that it finds what it is for, and that other rules
// do not.
func TestFaults(t *testing.T) {
	for _, f := range faults() {
		t.Run(f.rule+"/"+f.what, func(t *testing.T) {
			t.Parallel()
			d := newDraft()
			f.plant(d)
			found := make(map[string]bool)
			for _, finding := range File(d.write(), Options{FieldType: fieldType}) {
				found[finding.Rule] = true
				if finding.Rule != f.rule && !oneOf(finding.Rule, f.also) {
					t.Errorf("an unexpected finding: %s", finding)
				}
				if finding.Where == "" || finding.Text == "" || strings.Contains(finding.Text, "%!") {
					t.Errorf("a finding that says nothing: %#v", finding)
				}
			}
			for _, rule := range append(strings.Fields(f.also), f.rule) {
				if !found[rule] {
					t.Errorf("%s found nothing", rule)
				}
			}
		})
	}
}

// TestEveryRuleHasFault fails when a rule is not shown to find anything.
func TestEveryRuleHasFault(t *testing.T) {
	var names []string
	for _, r := range Rules() {
		if slices.Contains(names, r.Name) {
			t.Errorf("there are two rules %s", r.Name)
		}
		if len(strings.Fields(r.Text)) < 5 {
			t.Errorf("%s does not say what would break", r.Name)
		}
		names = append(names, r.Name)
		if !slices.ContainsFunc(faults(), func(f fault) bool { return f.rule == r.Name }) {
			t.Errorf("no fault is planted for %s", r.Name)
		}
	}
	for _, f := range faults() {
		if !slices.Contains(names, f.rule) {
			t.Errorf("a fault is planted for %s, which is no rule", f.rule)
		}
	}
}

// TestFieldRulesOff shows that without types of fields nothing is said of them.
func TestFieldRulesOff(t *testing.T) {
	d := newDraft()
	set(d.column("Table", "u"), "sourceField", "labels.nowhere")
	set(d.column("Table", "r"), "sourceField", "message")
	for _, f := range File(d.write(), Options{}) {
		t.Error(f)
	}
}

// TestWhere shows that a person can find the place.
func TestWhere(t *testing.T) {
	d := newDraft()
	set(d.column("Table", "u"), "operationType", "uniqe_count")
	findings := File(d.write(), Options{})
	i := slices.IndexFunc(findings, func(f Finding) bool { return f.Rule == "column-operation" })
	if i < 0 {
		t.Fatalf("no finding among %v", findings)
	}
	const want = `apmws-one, "Table", layer main, column u: column-operation: operationType is "uniqe_count"`
	if got := findings[i].String(); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

func faults() []fault {
	var all []fault
	for _, some := range [][]fault{
		fileFaults(), attributeFaults(), referenceFaults(), gridFaults(), lensFaults(), columnFaults(), formulaFaults(), projectFaults(),
	} {
		all = append(all, some...)
	}
	return all
}

func rewrite(from, to string) func(*draft) {
	return func(d *draft) {
		d.rewritten = func(data []byte) []byte { return bytes.Replace(data, []byte(from), []byte(to), 1) }
	}
}

func fileFaults() []fault {
	view := func(path string, value any) func(*draft) {
		return func(d *draft) { set(d.views["apmws-logs"], path, value) }
	}
	search := func(path string, value any) func(*draft) {
		return func(d *draft) { set(d.search, path, value) }
	}
	return []fault{
		{"file-json", "broken line", rewrite(`{"attributes"`, `{"attributes`), "file-details reference-dangling"},
		{"file-json", "empty line", rewrite("}\n", "}\n\n"), ""},
		{"file-json", "nothing", func(d *draft) { d.rewritten = func([]byte) []byte { return nil } }, ""},
		{"file-json", "a list", func(d *draft) {
			d.rewritten = func(data []byte) []byte { return append([]byte("[]\n"), data...) }
		}, ""},
		{"file-details", "count", func(d *draft) { set(d.ends, "exportedCount", 7) }, ""},
		{"file-details", "missing references", func(d *draft) { set(d.ends, "missingRefCount", 1) }, ""},
		{"file-details", "unknown key", func(d *draft) { set(d.ends, "exported", 1) }, ""},
		{"file-details", "no details", func(d *draft) {
			d.rewritten = func(data []byte) []byte { return data[:bytes.LastIndex(bytes.TrimSpace(data), []byte("\n"))+1] }
		}, ""},
		{"file-unique", "same id", func(d *draft) {
			twin := newDraft().views["apmws-logs"]
			d.views["another"] = twin
			set(d.ends, "exportedCount", 7)
		}, ""},
		{"object-type", "unknown type", func(d *draft) {
			d.views["map"] = m{
				"type": "map", "id": "apmws-map", "references": l{}, "managed": false, "coreMigrationVersion": "8.8.0",
				"typeMigrationVersion": "8.0.0", "attributes": m{"title": "[apmws] Map"},
			}
			set(d.ends, "exportedCount", 7)
		}, ""},
		{"object-keys", "created_at", view("created_at", "2026-01-01T00:00:00Z"), ""},
		{"object-keys", "namespaces", view("namespaces", l{"default"}), ""},
		{"object-keys", "no references", func(d *draft) { remove(d.views["apmws-logs"], "references") }, ""},
		{"object-keys", "attributes are a list", func(d *draft) {
			d.views["other"] = with(newDraft().views["apmws-logs"], "attributes", l{}, "type", "map", "id", "apmws-map")
			set(d.ends, "exportedCount", 7)
		}, "object-type title"},
		{"object-managed", "true", view("managed", true), ""},
		{"object-managed", "missing", func(d *draft) { remove(d.search, "managed") }, "object-keys"},
		{"object-core-version", "newer", view("coreMigrationVersion", "9.0.0"), ""},
		{"object-type-version", "dashboard", func(d *draft) { set(d.one.object, "typeMigrationVersion", "10.2.0") }, ""},
		{"object-type-version", "view", func(d *draft) { remove(d.views["apmws-logs"], "typeMigrationVersion") }, "object-keys"},
		{"object-references", "no list", view("references", m{}), ""},
		{"object-references", "name twice", func(d *draft) {
			add(d.search, "references", get(d.search, "references/0"))
		}, ""},
		{"object-references", "more keys", func(d *draft) { set(d.search, "references/0/version", 1) }, ""},
		{"data-view-attributes", "unknown", view("attributes/typeMeta", "{}"), ""},
		{"data-view-attributes", "missing", func(d *draft) { remove(d.views["apmws-logs"], "attributes/allowHidden") }, ""},
		{"data-view-own", "Kibana's", func(d *draft) {
			other := newDraft().views["apmws-logs"]
			set(other, "id", "apm_static_data_view_id_default")
			d.views["other"] = other
			set(d.ends, "exportedCount", 7)
		}, ""},
		{"data-view-no-index", "false", view("attributes/allowNoIndex", false), ""},
		{"data-view-time", "other field", view("attributes/timeFieldName", "timestamp"), ""},
		{"data-view-runtime", "a runtime field", view("attributes/runtimeFieldMap", `{"x":{"type":"long"}}`), ""},
		{"data-view-format", "unknown format", view("attributes/fieldFormatMap", `{"trace.id":{"id":"link"}}`), ""},
		{"data-view-format", "unknown unit", view("attributes/fieldFormatMap",
			`{"trace.id":{"id":"duration","params":{"inputFormat":"us","outputFormat":"humanize"}}}`), ""},
		{"json-string", "an object", view("attributes/fieldFormatMap", m{}), ""},
		{"json-string", "no JSON", view("attributes/sourceFilters", "["), "data-view-runtime"},
		{"title", "of a view", view("attributes/name", "traces"), ""},
		{"title", "of a search", search("attributes/title", "Lines"), ""},
		{"search-attributes", "tabs", search("attributes/tabs", l{}), ""},
		{"search-required", "no grid", func(d *draft) { remove(d.search, "attributes/grid") }, ""},
		{"search-required", "sort", search("attributes/sort", l{"@timestamp"}), ""},
		{"search-required", "columns", search("attributes/columns", l{}), ""},
		{"search-query", "does not parse", func(d *draft) { set(d.source, "query/query", "labels.x: (") }, "logs-labels"},
		{"search-query", "empty", func(d *draft) { set(d.source, "query/query", "") }, "logs-labels"},
		{"search-query", "a filter", func(d *draft) { set(d.source, "filter", l{m{}}) }, ""},
		{"search-query", "lucene", func(d *draft) { set(d.source, "query/language", "lucene") }, ""},
	}
}

func attributeFaults() []fault {
	board := func(path string, value any) func(*draft) {
		return func(d *draft) { set(d.one.object, "attributes/"+path, value) }
	}
	control := func(path string, value any) func(*draft) {
		return func(d *draft) { set(d.one.controls, identifier("control", 1)+"/"+path, value) }
	}
	return []fault{
		{"dashboard-attributes", "sections", board("sections", l{}), ""},
		{"dashboard-attributes", "pinned panels", board("pinned_panels", l{}), ""},
		{"dashboard-attributes", "of controls", board("controlGroupInput/showApplySelections", true), ""},
		{"json-string", "no JSON", rewrite(`"optionsJSON":"{`, `"optionsJSON":"`), "dashboard-options"},
		{"title", "no prefix", board("title", "WebSockets"), ""},
		{"title", "nothing after the prefix", board("title", "[apmws] "), ""},
		{"dashboard-description", "empty", board("description", " "), ""},
		{"dashboard-time", "not restored", board("timeRestore", false), ""},
		{"dashboard-time", "no time", func(d *draft) { remove(d.one.object, "attributes/timeTo") }, ""},
		{"dashboard-time", "wrong time", board("timeFrom", "1h"), ""},
		{"dashboard-time", "no refresh interval", func(d *draft) { remove(d.one.object, "attributes/refreshInterval") }, ""},
		{"dashboard-options", "no margins", func(d *draft) { set(d.one.options, "useMargins", false) }, ""},
		{"dashboard-options", "colours", func(d *draft) { remove(d.one.options, "syncColors") }, ""},
		{"dashboard-query", "a query", func(d *draft) { set(d.one.source, "query/query", "a: b") }, ""},
		{"dashboard-query", "a filter", func(d *draft) {
			add(d.one.source, "filter", m{"meta": m{"indexRefName": "f"}})
			add(d.one.object, "references", m{"type": "index-pattern", "id": "apmws-logs", "name": "f"})
		}, ""},
		{"dashboard-version", "3", board("version", 3), ""},
		{"names", "of a control", control("explicitInput/field", "x"), ""},
		{"names", "sorted", control("explicitInput/sort", m{"by": "count", "direction": "desc"}), ""},
		{"names", "of a link", func(d *draft) { set(d.attributes("links"), "links/0/dest", "x") }, ""},
		{"names", "of a panel", func(d *draft) { set(d.panel("Table"), "embeddableConfig/hideTitle", true) }, ""},
		{"names", "of a text", func(d *draft) { set(d.panel("visualization"), "embeddableConfig/savedVis/params/font", 12) }, ""},
		{"names", "of a search", func(d *draft) { set(d.source, "highlight", true) }, ""},
		{"names", "of a format", func(d *draft) {
			set(d.views["apmws-logs"], "attributes/fieldFormatMap", `{"trace.id":{"id":"url","params":{"urlTemplate":"x","label":"y"}}}`)
		}, ""},
		{"controls", "one missing", control("explicitInput/fieldName", "service.node.name"), ""},
		{"control-shape", "type", control("type", "rangeSliderControl"), ""},
		{"control-shape", "id", control("explicitInput/id", "x"), ""},
		{"control-shape", "chosen", control("explicitInput/selectedOptions", l{"x"}), ""},
		{"control-shape", "order", control("order", 0), ""},
		{"control-shape", "no title", control("explicitInput/title", ""), ""},
		{"control-settings", "ignored", func(d *draft) { set(d.one.settings, "ignoreQuery", true) }, ""},
		{"control-settings", "chaining", board("controlGroupInput/chainingSystem", "CHAIN"), ""},
		{"control-settings", "style", board("controlGroupInput/controlStyle", "oneline"), ""},
		{"links-bar", "none", func(d *draft) {
			text := placed(m{}, 0, 0, 48, 3)
			text["embeddableConfig"], text["title"], text["type"] = d.panel("visualization")["embeddableConfig"], "", "visualization"
			d.one.panels[0] = text
			set(d.one.object, "references", slices.DeleteFunc(get(d.one.object, "references").(l), func(r any) bool {
				return get(r, "type") == "dashboard"
			}))
		}, ""},
		{"links-bar", "vertical", func(d *draft) { set(d.attributes("links"), "layout", "vertical") }, ""},
		{"links-bar", "not at the top", func(d *draft) {
			set(d.panel("links"), "gridData/y", 3)
			set(d.panel("visualization"), "gridData/y", 0)
		}, ""},
		{"links-all", "twice the same", func(d *draft) {
			for _, r := range get(d.one.object, "references").(l) {
				if get(r, "type") == "dashboard" {
					set(r, "id", "apmws-one")
				}
			}
		}, ""},
		{"links-shape", "order", func(d *draft) { set(d.attributes("links"), "links/1/order", 0) }, ""},
		{"links-shape", "label", func(d *draft) { set(d.attributes("links"), "links/1/label", "") }, ""},
		{"links-shape", "filters", func(d *draft) { set(d.attributes("links"), "links/1/options/useCurrentFilters", false) }, ""},
		{"links-shape", "type", func(d *draft) {
			add(d.attributes("links"), "links", m{"id": "x", "label": "x", "order": 2, "type": "link"})
		}, ""},
		{"drilldown", "to a URL", func(d *draft) {
			set(d.panel("Table"), "embeddableConfig/enhancements/dynamicActions", m{"events": l{m{
				"eventId": "e", "triggers": l{"VALUE_CLICK_TRIGGER"}, "action": m{
					"factoryId": "URL_DRILLDOWN", "name": "x", "config": m{"url": m{"template": "https://example.com"}},
				},
			}}})
		}, ""},
		{"panel-type", "markdown", func(d *draft) { set(d.panel("visualization"), "type", "DASHBOARD_MARKDOWN") }, ""},
		{"panel-type", "legacy", func(d *draft) { set(d.panel("visualization"), "embeddableConfig/savedVis/type", "metrics") }, ""},
		{"panel-keys", "newer", func(d *draft) { set(d.panel("Table"), "sectionId", "x") }, ""},
		{"panel-keys", "no title", func(d *draft) { remove(d.panel("visualization"), "title") }, ""},
		{"panel-title", "empty", func(d *draft) { set(d.panel("Table"), "title", "") }, ""},
		{"panel-title", "prefix", func(d *draft) { set(d.panel("Table"), "title", "[apmws] Table") }, ""},
		{"panel-title-unique", "twice", func(d *draft) { set(d.panel("Table"), "title", "Cloud") }, ""},
		{"panel-description", "empty", func(d *draft) { set(d.attributes("Latency"), "description", "") }, ""},
	}
}

func referenceFaults() []fault {
	drop := func(in any, part string) {
		kept := slices.DeleteFunc(slices.Clone(get(in, "references").(l)), func(r any) bool {
			return strings.Contains(get(r, "name").(string), part)
		})
		set(in, "references", kept)
	}
	index := func(d *draft, title string) string { return d.panel(title)["panelIndex"].(string) }
	return []fault{
		{"reference-missing", "of a reference line", func(d *draft) { drop(d.one.object, index(d, "Latency")+":indexpattern-datasource-layer-r") }, ""},
		{"reference-missing", "of a sparkline", func(d *draft) { drop(d.one.object, "layer-trend") }, ""},
		{"reference-missing", "of a control", func(d *draft) { drop(d.one.object, identifier("control", 0)) }, ""},
		{"reference-missing", "of a link", func(d *draft) { drop(d.one.object, identifier("link", 0)) }, "links-all"},
		{"reference-missing", "of a search panel", func(d *draft) { drop(d.one.object, "panel_") }, ""},
		{"reference-missing", "of a search", func(d *draft) { set(d.source, "indexRefName", "index") }, ""},
		{"reference-missing", "of a drilldown", func(d *draft) {
			set(d.panel("Table"), "embeddableConfig/enhancements/dynamicActions", m{"events": l{m{
				"eventId": "e", "triggers": l{"FILTER_TRIGGER"}, "action": m{"factoryId": dashboardDrilldown, "name": "x", "config": m{}},
			}}})
		}, ""},
		{"reference-missing", "wrong type", func(d *draft) { set(d.search, "references/0/type", "search") }, "reference-dangling"},
		{"reference-inner", "of a layer", func(d *draft) { drop(d.attributes("Latency"), "layer-main") }, ""},
		{"reference-inner", "of a filter", func(d *draft) {
			set(d.attributes("Table"), "state/filters", l{m{"meta": m{"index": "u"}, "query": m{}}})
			add(d.one.object, "references", m{"type": "index-pattern", "id": "apmws-traces", "name": index(d, "Table") + ":u"})
		}, ""},
		{"reference-mismatch", "other view", func(d *draft) { set(d.attributes("Latency"), "references/0/id", "apmws-logs") }, ""},
		{"reference-unused", "of the dashboard", func(d *draft) {
			add(d.one.object, "references", m{"type": "index-pattern", "id": "apmws-logs", "name": "x"})
		}, ""},
		{"reference-unused", "of a panel", func(d *draft) {
			add(d.attributes("Latency"), "references", m{"type": "index-pattern", "id": "apmws-logs", "name": "x"})
		}, ""},
		{"reference-dangling", "a view", func(d *draft) { set(d.search, "references/0/id", "apm_static_data_view_id_default") }, ""},
		{"reference-inline", "of a layer", func(d *draft) { set(d.layer("Table"), "indexPatternId", "apmws-traces") }, ""},
		{"reference-inline", "of a control", func(d *draft) {
			set(d.one.controls, identifier("control", 1)+"/explicitInput/dataViewId", "apmws-traces")
		}, ""},
		{"reference-inline", "in a text", func(d *draft) {
			set(d.panel("visualization"), "embeddableConfig/savedVis/params/markdown", "[x](#/view/apmws-two)")
		}, ""},
		{"reference-inline", "ad hoc", func(d *draft) { set(d.attributes("Table"), "state/adHocDataViews", m{"x": m{}}) }, ""},
		{"reference-inline", "of a search", func(d *draft) { set(d.source, "index", "apmws-logs") }, ""},
		{"reference-inline", "of a link", func(d *draft) { set(d.attributes("links"), "links/1/destination", "apmws-two") }, ""},
		{"panel-ref-name", "by value", func(d *draft) { set(d.panel("search"), "embeddableConfig/attributes", m{}) }, ""},
		{"panel-ref-name", "other name", func(d *draft) { set(d.panel("search"), "panelRefName", "panel_1") }, "reference-missing reference-unused"},
		{"panel-ref-name", "a chart's", func(d *draft) { set(d.panel("Table"), "panelRefName", "panel_1") }, ""},
	}
}

func gridFaults() []fault {
	place := func(title, key string, value any) func(*draft) {
		return func(d *draft) { set(d.panel(title), "gridData/"+key, value) }
	}
	return []fault{
		{"panel-index", "differs", place("Table", "i", identifier("panel", 9)), ""},
		{"panel-index", "no UUID", func(d *draft) {
			d.rewritten = func(data []byte) []byte {
				return bytes.ReplaceAll(data, []byte(d.panel("Table")["panelIndex"].(string)), []byte("table"))
			}
		}, ""},
		{"panel-index", "twice", func(d *draft) {
			index := d.panel("Table")["panelIndex"]
			set(d.panel("visualization"), "panelIndex", index)
			set(d.panel("visualization"), "gridData/i", index)
		}, ""},
		{"grid-bounds", "too wide", place("By filter", "w", 25), ""},
		{"grid-bounds", "a fraction", place("By filter", "h", 10.5), "grid-gap"},
		{"grid-bounds", "no height", place("visualization", "h", 0), "grid-gap"},
		{"grid-bounds", "newer key", place("Table", "sectionId", "x"), ""},
		{"grid-overlap", "wider than its place", place("Donut", "w", 13), ""},
		{"grid-gap", "narrower", place("Donut", "w", 11), ""},
		{"grid-gap", "below", func(d *draft) { d.one.panels = d.one.panels[:len(d.one.panels)-1]; dropUnused(d) }, ""},
		{"grid-heights", "one beside two", func(d *draft) {
			// The chart is cut in two, one above the other.
			set(d.panel("Durations"), "gridData/h", 5)
			half := placed(byFilter(), 0, 47, 24, 5)
			set(half, "title", "Half")
			half["panelIndex"] = identifier("half", 1)
			set(half, "gridData/i", half["panelIndex"])
			d.one.panels = append(d.one.panels, half)
			add(d.one.object, "references", m{
				"type": "index-pattern", "id": "apmws-logs", "name": identifier("half", 1) + ":indexpattern-datasource-layer-main",
			})
		}, ""},
		{"grid-fold", "too few", func(d *draft) {
			for _, p := range d.two.panels[1:] {
				set(p, "gridData/h", 24)
				set(p, "gridData/y", 3+(get(p, "gridData/y").(int)-3)*4)
			}
		}, ""},
		{"grid-count", "too many", func(d *draft) {
			for y := 52; y < 52+6*6; y += 6 {
				p := placed(moving(), 0, y, 48, 6)
				set(p, "title", identifier("more", y))
				d.one.panels = append(d.one.panels, p)
				add(d.one.object, "references", m{
					"type": "index-pattern", "id": "apmws-metrics", "name": p["panelIndex"].(string) + ":indexpattern-datasource-layer-main",
				})
			}
		}, ""},
	}
}

// dropUnused removes the references of panels that are gone.
func dropUnused(d *draft) {
	set(d.one.object, "references", slices.DeleteFunc(get(d.one.object, "references").(l), func(r any) bool {
		name := get(r, "name").(string)
		return !strings.HasPrefix(name, "controlGroup_") && !slices.ContainsFunc(d.one.panels, func(p m) bool {
			return strings.HasPrefix(name, p["panelIndex"].(string))
		})
	}))
}
