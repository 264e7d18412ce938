// Package routers shows how the routes of common routers become the routes of
// apmws, without naming them twice: with an empty route, Agent.Handler and
// Agent.Endpoint take the template from the request's Pattern. http.ServeMux and
// chi set that; for gorilla/mux, gin and echo a few lines do.
//
// There is one file for each router. Outermost is for handlers of a router's own
// kind, and for whoever wants the agent outside of the router's middleware.
package routers
