package apmws

import (
	"maps"
	"slices"
	"strings"

	"github.com/apmws/go-apmws/apmws/semconv"
)

// maxPatternRoutes bounds the routes that are taken from requests: a pattern is
// meant to be a template, but anybody may set it.
const maxPatternRoutes = 1000

// route returns the route's state, the same for every call with that name.
func (a *Agent) route(name string) *route {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.routeLocked(name)
}

func (a *Agent) routeLocked(name string) *route {
	r := a.routes[name]
	if r == nil {
		opts, ok := a.routeOptions[name]
		if !ok {
			opts = a.messages
		}
		r = newRoute(name, opts)
		a.routes[name] = r
	}
	return r
}

// patternRoute returns the route of a request's pattern.
func (a *Agent) patternRoute(pattern string) *route {
	name := routeOf(pattern)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.routes[name] == nil && name != semconv.Other {
		if a.derived == maxPatternRoutes {
			a.drops.routes.Add(1)
			name = semconv.Other
		} else {
			a.derived++
		}
	}
	return a.routeLocked(name)
}

// routeOf returns the path of a pattern "[METHOD ][HOST]/[PATH]", as
// http.ServeMux documents it, or _OTHER.
func routeOf(pattern string) string {
	start := strings.IndexByte(pattern, '/')
	if start < 0 {
		return semconv.Other
	}
	return strings.TrimSuffix(sanitize(pattern[start:], maxRoute), "{$}")
}

// maxRoute bounds a route that is taken from a request.
const maxRoute = 256 // bytes

func (a *Agent) routeList() []*route {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Collect(maps.Values(a.routes))
}
