package routers

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/apmws/go-apmws/apmws"
)

// Gin reports routes in gin's spelling: "/rooms/:id".
func Gin(agent *apmws.Agent) http.Handler {
	router := gin.New()
	router.GET("/rooms/:id", ginHandler(agent.Handler("", http.HandlerFunc(room))))
	v2 := router.Group("/v2")
	v2.GET("/rooms/:id", ginHandler(agent.Endpoint("", roomOptions())))
	return router
}

// ginHandler is gin.WrapH, with the template of the route and the path values.
func ginHandler(next http.Handler) gin.HandlerFunc {
	return func(c *gin.Context) {
		c.Request.Pattern = c.FullPath()
		for _, param := range c.Params {
			c.Request.SetPathValue(param.Key, param.Value)
		}
		next.ServeHTTP(c.Writer, c.Request)
	}
}

// GinAlone knows nothing of apmws and has a handler of gin's own kind, which
// upgrades through gin's ResponseWriter; see Outermost.
func GinAlone() http.Handler {
	router := gin.New()
	router.Use(gin.Recovery())
	router.GET("/rooms/:id", func(c *gin.Context) { serveRoom(c.Writer, c.Request, c.Param("id")) })
	return router
}
