package livews

import (
	"cmp"
	"slices"

	"github.com/apmws/go-apmws/apmws"
)

// callsListed bounds the list: hosts, routes and names are bounded each, and
// their combinations only by that.
const callsListed = 200

// calls lists the outbound calls of all routes, and says how many entries there are.
func calls(stats *apmws.Stats) (list []Calls, total int) {
	list = []Calls{}
	for i := range stats.Routes {
		r := &stats.Routes[i]
		for _, c := range r.Calls {
			list = append(list, Calls{Host: cut(c.Address, maxText), Route: r.Route, Name: c.Name, Count: c.Count})
		}
	}
	slices.SortFunc(list, func(a, b Calls) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Host, b.Host),
			cmp.Compare(a.Route, b.Route), cmp.Compare(a.Name, b.Name))
	})
	total = len(list)
	return list[:min(total, callsListed)], total
}
