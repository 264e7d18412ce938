package lint

import "strings"

// panelRules are about what every panel has.
func panelRules() []rule {
	return []rule{
		{
			Rule:  Rule{"panel-type", "A panel is lens, links, visualization (a markdown text by value) or search: other types came after Kibana 8.12 (DASHBOARD_MARKDOWN, markdown, vis), or are legacy."},
			panel: checkPanelType,
		},
		{
			Rule:  Rule{"panel-keys", "A panel has embeddableConfig, gridData, panelIndex, title, type and perhaps panelRefName and version: others are of newer Kibanas, and without embeddableConfig a panel cannot be loaded."},
			panel: checkPanelKeys,
		},
		{
			Rule:  Rule{"panel-title", "A panel that shows data has a title, without the prefix [apmws], which the dashboard's has."},
			panel: checkPanelTitle,
		},
		{
			Rule:      Rule{"panel-title-unique", "Titles of panels are unique on a dashboard: a reader, and whoever reports a fault, names a panel by its title."},
			dashboard: checkTitlesUnique,
		},
		{
			Rule:  Rule{"panel-description", "A chart has a description, of the panel or of its attributes: Kibana shows it at the title, and it says what the numbers count."},
			panel: checkDescription,
		},
	}
}

func checkPanelType(p *panel, say say) {
	switch p.typ {
	case "lens", "links", typeSearch:
	case "visualization":
		vis := at(p.raw, "embeddableConfig", "savedVis")
		if kind := text(vis, "type"); kind != "markdown" {
			say("a visualization of type %q", kind)
		} else if strings.TrimSpace(text(vis, "params", "markdown")) == "" {
			say("a text without text")
		}
	default:
		say("type is %q", p.typ)
	}
}

func checkPanelKeys(p *panel, say say) {
	for _, key := range unknown(p.raw, "embeddableConfig gridData panelIndex panelRefName title type version") {
		say("%s is not of Kibana 8.12", key)
	}
	for _, key := range missing(p.raw, "embeddableConfig gridData panelIndex title type") {
		say("%s is missing", key)
	}
	if has(p.raw, "embeddableConfig") && members(p.raw, "embeddableConfig") == nil {
		say("embeddableConfig is no object")
	}
}

func checkPanelTitle(p *panel, say say) {
	if p.showsData() && strings.TrimSpace(p.title) == "" {
		say("the title is empty")
	}
	if strings.Contains(p.title, "[apmws]") {
		say("the title has the prefix of dashboards")
	}
}

func checkTitlesUnique(o *object, say say) {
	seen := make(map[string]bool)
	for _, p := range o.panels {
		if p.title != "" && seen[p.title] {
			say("there are two panels of title %q", p.title)
		}
		seen[p.title] = true
	}
}

// description returns what Kibana shows at a panel's title.
func (p *panel) description() string {
	if s := strings.TrimSpace(text(p.raw, "embeddableConfig", "description")); s != "" {
		return s
	}
	return strings.TrimSpace(text(p.raw, "embeddableConfig", "attributes", "description"))
}

func checkDescription(p *panel, say say) {
	if p.typ == "lens" && p.description() == "" {
		say("description is empty")
	}
}
