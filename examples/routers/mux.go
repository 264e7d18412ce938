package routers

import (
	"net/http"

	"github.com/gorilla/mux"

	"github.com/apmws/go-apmws/apmws"
)

// Mux is gorilla/mux, whose middleware runs when the route is known.
func Mux(agent *apmws.Agent) http.Handler {
	router := mux.NewRouter()
	router.Use(muxPattern)
	router.Handle("/rooms/{id}", agent.Handler("", http.HandlerFunc(room))).Methods(http.MethodGet)
	v2 := router.PathPrefix("/v2").Subrouter()
	v2.Handle("/rooms/{id}", agent.Endpoint("", roomOptions())).Methods(http.MethodGet)
	return router
}

// muxPattern gives requests the template of their route, and the path values
// beside mux.Vars.
func muxPattern(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if route := mux.CurrentRoute(r); route != nil {
			r.Pattern, _ = route.GetPathTemplate() // an error: a route without a path
		}
		for name, value := range mux.Vars(r) {
			r.SetPathValue(name, value)
		}
		next.ServeHTTP(w, r)
	})
}
