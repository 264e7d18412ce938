package main

import (
	"embed"
	"io/fs"
	"net/http"

	"github.com/apmws/go-apmws/apmws"
)

// routes answers all requests. Handshakes go to the socket past everything else,
// so that they are in the log before anything can hold them up, and not in the
// access log, which is outside of everything else for other requests.
func (s *server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /login", s.login)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
	})
	mux.HandleFunc("GET /readyz", s.ready)
	sockets := map[string]http.Handler{socketPath: s.socket()}
	if s.incident != nil {
		sockets[incidentPath] = s.incident.handler()
	}
	for path, socket := range sockets {
		mux.Handle(path, socket) // for who does not ask for an upgrade
	}
	mux.Handle(livePath, s.livePage())
	mux.Handle("GET "+metricsPath, s.metrics())
	mux.Handle("GET /{$}", pageFile("index.html"))
	for _, name := range []string{"chat.js", "connection.js", "log.js", "chat.css", "icon.svg"} {
		mux.Handle("GET /"+name, pageFile(name))
	}

	// The live page asks for news every second or so, Prometheus and probes every few.
	logged := accessLog(s.cfg.log, s.agent.ClientAddress, func(r *http.Request) bool {
		switch r.URL.Path {
		case livePath + "data.json", metricsPath, "/readyz", "/healthz":
			return true
		}
		return false
	})
	rest := logged(mux)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Referrer-Policy", "no-referrer")
		boundBody(w, r)
		if socket := sockets[r.URL.Path]; socket != nil && apmws.IsHandshake(r) {
			socket.ServeHTTP(w, r)
			return
		}
		rest.ServeHTTP(w, r)
	})
}

//go:embed page
var pageFiles embed.FS

// policy allows a page what the chat needs: its own script, style and icon, and
// connections to where it came from; and no script may write HTML.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// pageFile serves one of the chat page's files.
func pageFile(name string) http.Handler {
	files, err := fs.Sub(pageFiles, "page")
	if err != nil {
		panic(err) // the name is a constant
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", policy)
		w.Header().Set("Cache-Control", "no-cache")
		http.ServeFileFS(w, r, files, name)
	})
}
