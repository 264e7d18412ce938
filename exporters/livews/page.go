package livews

import (
	"embed"
	"net/http"
	"path"
	"strconv"
	"strings"
)

//go:embed assets
var assets embed.FS

// ServeHTTP serves the page and its data. What follows the last slash of the
// path says which; the rest is a prefix, so any will do.
func (v *View) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	setHeaders(w.Header())
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	name := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
	switch {
	case name == "data.json":
		v.serveData(w, r)
	case name == "" && endsInSlash(r):
		serveAsset(w, "index.html")
	case strings.Contains(name, "."):
		serveAsset(w, name)
	default:
		redirectToSlash(w, r)
	}
}

// setHeaders keeps the page's scripts to what it brought with it, and other
// sites from framing or reading it.
func setHeaders(h http.Header) {
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; "+
		"connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "+
		"require-trusted-types-for 'script'; trusted-types 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
}

func (v *View) serveData(w http.ResponseWriter, r *http.Request) {
	var since uint64
	if s := r.URL.Query().Get("since"); s != "" {
		var err error
		if since, err = strconv.ParseUint(s, 10, 64); err != nil {
			http.Error(w, "since is not a number", http.StatusBadRequest)
			return
		}
	}
	data, err := v.document(since).encode()
	if err != nil {
		http.Error(w, "cannot encode", http.StatusInternalServerError)
		return
	}
	write(w, "application/json", data)
}

func serveAsset(w http.ResponseWriter, name string) {
	data, err := assets.ReadFile("assets/" + name)
	if err != nil {
		http.Error(w, "not found", http.StatusNotFound)
		return
	}
	write(w, contentType(name), data)
}

// contentType does not ask the operating system, which may know it otherwise.
func contentType(name string) string {
	switch path.Ext(name) {
	case ".html":
		return "text/html; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	default:
		return "application/octet-stream"
	}
}

func write(w http.ResponseWriter, contentType string, data []byte) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	w.Write(data)
}

// requestPath is the path as the client asked for it: URL.Path may have been
// stripped of a prefix.
func requestPath(r *http.Request) string {
	target := r.RequestURI
	if target == "" {
		target = r.URL.EscapedPath()
	}
	target, _, _ = strings.Cut(target, "?")
	return target
}

func endsInSlash(r *http.Request) bool { return strings.HasSuffix(requestPath(r), "/") }

// redirectToSlash makes the page's relative addresses point below it. The
// location is relative to what the client asked for, so that no prefix needs to
// be known, and begins with a dot, so that it leads to no other host.
func redirectToSlash(w http.ResponseWriter, r *http.Request) {
	target := requestPath(r)
	last := target[strings.LastIndexByte(target, '/')+1:]
	w.Header().Set("Location", "./"+last+"/")
	w.WriteHeader(http.StatusTemporaryRedirect)
}
