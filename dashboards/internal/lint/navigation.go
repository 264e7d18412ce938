package lint

import (
	"slices"
	"strings"
)

const (
	dashboardDrilldown = "DASHBOARD_TO_DASHBOARD_DRILLDOWN"
	discoverDrilldown  = "OPEN_IN_DISCOVER_DRILLDOWN"
	urlDrilldown       = "URL_DRILLDOWN"
)

// navigationRules are about the ways from one dashboard to another.
func navigationRules() []rule {
	return []rule{
		{
			Rule:      Rule{"links-bar", "A dashboard has one bar of links, over its whole width at the top: it is how a reader finds the others."},
			dashboard: checkBar,
		},
		{
			Rule:      Rule{"links-all", "The bar leads to every dashboard of the file, itself included, once each: so it is the same on all of them."},
			dashboard: checkDestinations,
		},
		{
			Rule:  Rule{"links-shape", "Links have unique ids and orders from 0, a label, the name of a reference, and take filters and time along in the same tab: a link without its reference's name throws, one with a doubled order hides another."},
			panel: checkLinks,
		},
		{
			Rule:  Rule{"drilldown", "A drilldown is one to a dashboard or to Discover: one to a URL needs a Gold licence, and does nothing on Basic."},
			panel: checkDrilldowns,
		},
	}
}

// links returns the links of a panel of links.
func (p *panel) links() []any {
	if p.typ != "links" {
		return nil
	}
	return elements(p.raw, "embeddableConfig", "attributes", "links")
}

// events returns a panel's drilldowns.
func (p *panel) events() []any {
	return elements(p.raw, "embeddableConfig", "enhancements", "dynamicActions", "events")
}

func (o *object) bars() []*panel {
	return slices.DeleteFunc(slices.Clone(o.panels), func(p *panel) bool { return p.typ != "links" })
}

func checkBar(o *object, say say) {
	bars := o.bars()
	if len(bars) != 1 {
		say("there are %d bars of links", len(bars))
	}
	for _, p := range bars {
		if p.x != 0 || p.y != 0 || p.w != gridWidth {
			say("the bar is not at the top over the whole width")
		}
		if layout := text(p.raw, "embeddableConfig", "attributes", "layout"); layout != "horizontal" {
			say("the layout is %q, not horizontal", layout)
		}
	}
}

func checkDestinations(o *object, say say) {
	for _, p := range o.bars() {
		count := make(map[string]int)
		for _, link := range p.links() {
			count[refersTo(o.references, typeDashboard, p.index+":"+text(link, "destinationRefName"))]++
		}
		for _, other := range o.file.objects {
			if n := count[other.id]; other.typ == typeDashboard && n != 1 {
				say("%d links lead to %s", n, other.where())
			}
		}
	}
}

func checkLinks(p *panel, say say) {
	links := p.links()
	ids, orders := make(map[string]bool), make(map[int]bool)
	for _, link := range links {
		id, label := text(link, "id"), strings.TrimSpace(text(link, "label"))
		if ids[id] || id == "" {
			say("the link %q has no id of its own", label)
		}
		ids[id] = true
		order, ok := whole(link, "order")
		if !ok || orders[order] || order < 0 || order >= len(links) {
			say("the order of link %q is %v, not its own from 0 to %d", label, at(link, "order"), len(links)-1)
		}
		orders[order] = true
		if label == "" {
			say("link %s has no label", id)
		}
		switch text(link, "type") {
		case "dashboardLink":
			if name := text(link, "destinationRefName"); name != "link_"+id+"_dashboard" {
				say("destinationRefName of link %q is %q, not link_%s_dashboard", label, name, id)
			}
			options := at(link, "options")
			if !isTrue(options, "useCurrentFilters") || !isTrue(options, "useCurrentDateRange") || !isFalse(options, "openInNewTab") {
				say("link %q does not take filters and time along in the same tab", label)
			}
		case "externalLink":
			if text(link, "destination") == "" {
				say("link %q leads nowhere", label)
			}
		default:
			say("link %q is of type %v", label, at(link, "type"))
		}
	}
}

func checkDrilldowns(p *panel, say say) {
	for _, event := range p.events() {
		switch id := text(event, "action", "factoryId"); id {
		case dashboardDrilldown, discoverDrilldown:
			if text(event, "eventId") == "" || text(event, "action", "name") == "" || len(texts(event, "triggers")) == 0 {
				say("the drilldown needs an eventId, a name and a trigger")
			}
		case urlDrilldown:
			say("a drilldown to a URL")
		default:
			say("a drilldown of kind %q", id)
		}
	}
}
