package routers

import (
	"net/http"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"

	"github.com/apmws/go-apmws/apmws"
)

// Echo reports routes in echo's spelling: "/rooms/:id".
func Echo(agent *apmws.Agent) http.Handler {
	router := echo.New()
	router.GET("/rooms/:id", echoHandler(agent.Handler("", http.HandlerFunc(room))))
	v2 := router.Group("/v2")
	v2.GET("/rooms/:id", echoHandler(agent.Endpoint("", roomOptions())))
	return router
}

// echoHandler is echo.WrapHandler, with the template of the route and the path
// values.
func echoHandler(next http.Handler) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		r.Pattern = c.Path()
		for _, name := range c.ParamNames() {
			r.SetPathValue(name, c.Param(name))
		}
		next.ServeHTTP(c.Response(), r)
		return nil
	}
}

// EchoAlone knows nothing of apmws and has a handler of echo's own kind, which
// upgrades through echo's Response; see Outermost.
func EchoAlone() http.Handler {
	router := echo.New()
	router.Use(middleware.Recover())
	router.GET("/rooms/:id", func(c echo.Context) error {
		serveRoom(c.Response(), c.Request(), c.Param("id"))
		return nil
	})
	return router
}
