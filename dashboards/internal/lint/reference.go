package lint

import (
	"slices"
	"strings"
)

// searchIndex is the name by which a saved search finds its data view.
const searchIndex = "kibanaSavedObjectMeta.searchSourceJSON.index"

// referenceRules are about names that lead to other objects.
func referenceRules() []rule {
	return []rule{
		{
			Rule:   Rule{"reference-missing", "Every name that an object uses must be among its references, with the right type: a layer without one is dropped, the panel empty without an error; a link throws."},
			object: checkNeeds,
		},
		{
			Rule: Rule{"reference-inner", "What a Lens panel refers to must be among the panel's own references, too: Kibana keeps of the dashboard's only those whose name is there."},
			lens: checkInner,
		},
		{
			Rule: Rule{"reference-mismatch", "A reference in a Lens panel and that of the dashboard must be the same: Kibana takes the dashboard's, so that the panel's misleads."},
			lens: checkSame,
		},
		{
			Rule:   Rule{"reference-unused", "A reference that nothing uses is the trace of a wrong name, and an import asks for its object all the same."},
			object: checkUnused,
			lens:   checkUnusedInner,
		},
		{
			Rule: Rule{"reference-dangling", "What is referred to must be in the file: of data views and searches the import says missing_references, of dashboards nothing, and the link fails."},
			object: func(o *object, say say) {
				for _, r := range o.references {
					if o.file.find(r.typ, r.id) == nil {
						say("%s %s, to which %s refers, is not in the file", r.typ, r.id, r.name)
					}
				}
			},
		},
		{
			Rule:   Rule{"reference-inline", "No id stands anywhere but in references: Kibana rewrites only those when it imports into a second space, and an inline one shows the first space's object, or nothing."},
			object: checkInline,
		},
		{
			Rule:  Rule{"panel-ref-name", "A search panel is by reference, and its panelRefName is panel_ and its panelIndex: one by value is dropped by Kibana 9.4 if anything of it is missing."},
			panel: checkRefName,
		},
	}
}

// needs returns the references, without ids, that an object uses.
func (o *object) needs() []reference {
	var all []reference
	add := func(typ, name string) { all = append(all, reference{typ: typ, name: name}) }
	switch o.typ {
	case typeSearch:
		add(typeDataView, searchIndex)
	case typeDashboard:
		for _, p := range o.panels {
			for _, n := range p.needs() {
				add(n.typ, p.index+":"+n.name)
			}
		}
		for _, id := range sortedKeys(o.controls()) {
			add(typeDataView, "controlGroup_"+id+":optionsListDataView")
		}
		for _, filter := range elements(decoded(o.attributes, "kibanaSavedObjectMeta", "searchSourceJSON"), "filter") {
			add(typeDataView, text(filter, "meta", "indexRefName"))
		}
	}
	return all
}

// needs returns the references that a panel uses, without the panel's index before
// their names.
func (p *panel) needs() []reference {
	var all []reference
	add := func(typ, name string) { all = append(all, reference{typ: typ, name: name}) }
	if p.lens != nil {
		all = append(all, p.lens.needs()...)
	}
	if p.typ == typeSearch {
		add(typeSearch, text(p.raw, "panelRefName"))
	}
	for _, link := range p.links() {
		if text(link, "type") == "dashboardLink" {
			add(typeDashboard, text(link, "destinationRefName"))
		}
	}
	for _, event := range p.events() {
		if text(event, "action", "factoryId") == dashboardDrilldown {
			add(typeDashboard, "drilldown:"+dashboardDrilldown+":"+text(event, "eventId")+":dashboardId")
		}
	}
	return all
}

// needs returns what a chart must have among its own references as well.
func (l *lens) needs() []reference {
	var all []reference
	for _, y := range l.layers {
		all = append(all, reference{typ: typeDataView, name: layerReference(y.id)})
	}
	for _, filter := range elements(l.attributes, "state", "filters") {
		all = append(all, reference{typ: typeDataView, name: text(filter, "meta", "index")})
	}
	return all
}

func checkNeeds(o *object, say say) {
	for _, n := range o.needs() {
		if refersTo(o.references, n.typ, n.name) == "" {
			say("no reference of type %s has the name %q", n.typ, n.name)
		}
	}
	if o.typ == typeSearch {
		if name := text(decoded(o.attributes, "kibanaSavedObjectMeta", "searchSourceJSON"), "indexRefName"); name != searchIndex {
			say("indexRefName is %q, not %s", name, searchIndex)
		}
	}
}

func checkInner(l *lens, say say) {
	inner := references(l.attributes)
	for _, n := range l.needs() {
		if refersTo(inner, n.typ, n.name) == "" {
			say("the panel itself has no reference of type %s and name %q", n.typ, n.name)
		}
	}
}

func checkSame(l *lens, say say) {
	for _, inner := range references(l.attributes) {
		for _, outer := range l.panel.dashboard.references {
			if outer.name == l.panel.index+":"+inner.name && (outer.id != inner.id || outer.typ != inner.typ) {
				say("%s is %s %s in the panel, %s %s in the dashboard", inner.name, inner.typ, inner.id, outer.typ, outer.id)
			}
		}
	}
}

func checkUnused(o *object, say say) { sayUnused(o.references, o.needs(), say) }

func checkUnusedInner(l *lens, say say) { sayUnused(references(l.attributes), l.needs(), say) }

func sayUnused(references, needs []reference, say say) {
	for _, r := range references {
		if !slices.ContainsFunc(needs, func(n reference) bool { return n.name == r.name }) {
			say("nothing uses the reference %s", r.name)
		}
	}
}

func checkInline(o *object, say say) {
	for _, name := range sortedKeys(o.attributes) {
		walk(name, o.attributes[name], func(key string, value any) {
			switch key {
			case "indexPatternId", "dataViewId", "savedObjectId", "dashboardId", "currentIndexPatternId":
				say("%s is an inline id", key)
			case "adHocDataViews", "internalReferences":
				if len(members(value)) > 0 || len(elements(value)) > 0 {
					say("%s is not empty", key)
				}
			}
			if s := text(value); strings.Contains(s, "#/view/") {
				say("%q holds the path of an object", s)
			}
			if source := members(value); isSource(source) && has(source, "index") {
				say("the search has an inline index")
			}
			if text(value, "type") == "dashboardLink" && has(value, "destination") {
				say("a link has an inline destination")
			}
		})
	}
}

// isSource says whether an object is what is searched for.
func isSource(object map[string]any) bool { return has(object, "query") && has(object, "filter") }

func checkRefName(p *panel, say say) {
	name, ok := p.raw["panelRefName"]
	if p.typ != typeSearch {
		if ok {
			say("a panel of type %s is by value, and has no panelRefName", p.typ)
		}
		return
	}
	if name != "panel_"+p.index {
		say("panelRefName is %v, not panel_%s", name, p.index)
	}
	if has(p.raw["embeddableConfig"], "attributes") {
		say("the search is by value")
	}
}
