package routers

import (
	"net/http"

	"github.com/go-chi/chi/v5"

	"github.com/apmws/go-apmws/apmws"
)

// Chi sets the request's Pattern, and its path values, when it has found the
// handler: agent.Handler belongs around that, or in Router.With, and not in
// Router.Use, which runs before.
func Chi(agent *apmws.Agent) http.Handler {
	router := chi.NewRouter()
	router.Method(http.MethodGet, "/rooms/{id}", agent.Handler("", http.HandlerFunc(room)))
	router.Route("/v2", func(router chi.Router) {
		router.Method(http.MethodGet, "/rooms/{id}", agent.Endpoint("", roomOptions()))
	})
	return router
}
