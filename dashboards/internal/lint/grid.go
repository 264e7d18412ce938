package lint

import (
	"regexp"
	"slices"
)

const gridWidth = 48

// gridRules are about where panels are.
func gridRules() []rule {
	return []rule{
		{
			Rule:      Rule{"panel-index", "panelIndex and gridData.i must be the same UUID, its own for each panel: Kibana finds a panel's references and place by it."},
			dashboard: checkIndexes,
		},
		{
			Rule:  Rule{"grid-bounds", "x, y, w and h must be whole numbers, w and h above 0, x+w within 48 columns: Kibana moves or squeezes what is not."},
			panel: checkBounds,
		},
		{
			Rule:      Rule{"grid-overlap", "Panels must not overlap: Kibana pushes one of them down, and all below it."},
			dashboard: checkOverlap,
		},
		{
			Rule:      Rule{"grid-gap", "Every cell of the grid down to the last row must be covered: Elastic's guidelines want no dead space, and Kibana moves panels up into a gap where it can."},
			dashboard: checkGaps,
		},
		{
			Rule:      Rule{"grid-heights", "Panels that begin in the same row have the same height: Elastic's guidelines, and rows that a reader can follow."},
			dashboard: checkHeights,
		},
	}
}

var uuid = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)

func checkIndexes(o *object, say say) {
	seen := make(map[string]bool)
	for _, p := range o.panels {
		if i := text(p.raw, "gridData", "i"); i != p.index {
			say("panelIndex of %q is %q, gridData.i is %q", p.title, p.index, i)
		}
		if !uuid.MatchString(p.index) {
			say("panelIndex %q of %q is no UUID in lower case", p.index, p.title)
		}
		if seen[p.index] {
			say("there are two panels of panelIndex %s", p.index)
		}
		seen[p.index] = true
	}
}

func checkBounds(p *panel, say say) {
	if !p.placed {
		say("x, y, w, h are not whole numbers, w and h above 0: %v", p.raw["gridData"])
		return
	}
	if p.x+p.w > gridWidth {
		say("it ends at column %d of %d", p.x+p.w, gridWidth)
	}
	for _, key := range unknown(p.raw["gridData"], "x y w h i") {
		say("gridData.%s is not of Kibana 8.12", key)
	}
}

// placed returns the panels that have a place.
func (o *object) placed() []*panel {
	return slices.DeleteFunc(slices.Clone(o.panels), func(p *panel) bool { return !p.placed })
}

func checkOverlap(o *object, say say) {
	panels := o.placed()
	for i, p := range panels {
		for _, q := range panels[i+1:] {
			if p.x < q.x+q.w && q.x < p.x+p.w && p.y < q.y+q.h && q.y < p.y+p.h {
				say("%q and %q overlap", p.title, q.title)
			}
		}
	}
}

func checkGaps(o *object, say say) {
	panels := o.placed()
	last := 0
	for _, p := range panels {
		last = max(last, p.y+p.h)
	}
	for y := range min(last, 1000) {
		for x := range gridWidth {
			covered := slices.ContainsFunc(panels, func(p *panel) bool {
				return p.x <= x && x < p.x+p.w && p.y <= y && y < p.y+p.h
			})
			if !covered {
				say("nothing is at column %d of row %d", x, y)
				return
			}
		}
	}
}

func checkHeights(o *object, say say) {
	panels := o.placed()
	for i, p := range panels {
		for _, q := range panels[i+1:] {
			if p.y == q.y && p.h != q.h {
				say("%q is %d rows high, %q beside it %d", p.title, p.h, q.title, q.h)
			}
		}
	}
}
