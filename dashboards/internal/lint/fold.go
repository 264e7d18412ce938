package lint

// fold is the number of rows that are seen without scrolling.
const fold = 24

// foldRules are about how much there is on a dashboard.
func foldRules() []rule {
	return []rule{
		{
			Rule: Rule{"grid-fold", "8 to 12 panels begin above the fold, which is row 24, links and text not counted: Elastic's guidelines want the summary there, and no more than an eye takes in."},
			dashboard: func(o *object, say say) {
				if n := count(o, func(p *panel) bool { return p.y < fold }); n < 8 || n > 12 {
					say("%d panels begin above row %d", n, fold)
				}
			},
		},
		{
			Rule: Rule{"grid-count", "A dashboard has at most 20 panels, links and text not counted: Elastic's guidelines, and each panel is a search at every refresh."},
			dashboard: func(o *object, say say) {
				if n := count(o, func(*panel) bool { return true }); n > 20 {
					say("there are %d panels", n)
				}
			},
		},
	}
}

// count counts the panels that show data.
func count(o *object, which func(*panel) bool) int {
	n := 0
	for _, p := range o.panels {
		if p.showsData() && which(p) {
			n++
		}
	}
	return n
}

func (p *panel) showsData() bool { return p.typ == "lens" || p.typ == typeSearch }
