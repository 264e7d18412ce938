package routers

import (
	"net/http"

	"github.com/apmws/go-apmws/apmws"
)

// Outermost puts the agent around a whole router, which may be any, with its
// middleware and handlers of its own kind. Such a router does not know the route
// yet when the request arrives, so http.ServeMux in front of it does.
func Outermost(agent *apmws.Agent, router http.Handler) http.Handler {
	front := http.NewServeMux()
	front.Handle("/rooms/{id}", agent.Handler("", router))
	front.Handle("/", router) // whatever is no WebSocket
	return front
}
