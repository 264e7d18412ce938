package routers

import (
	"net/http"

	"github.com/apmws/go-apmws/apmws"
)

// ServeMux is the standard library's router, which sets the request's Pattern.
// The route is the pattern without method and host: "/rooms/{id}".
func ServeMux(agent *apmws.Agent) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /rooms/{id}", agent.Handler("", http.HandlerFunc(room)))
	mux.Handle("GET /v2/rooms/{id}", agent.Endpoint("", roomOptions()))
	return mux
}
