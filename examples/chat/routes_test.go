package main

import (
	"strings"
	"testing"
)

func TestRoutes(t *testing.T) {
	n := startNode(t, nil)
	for _, c := range []struct {
		method, path string
		status       int
		contentType  string
	}{
		{"GET", "", 200, "text/html"},
		{"HEAD", "", 200, "text/html"},
		{"GET", "chat.js", 200, "text/javascript"},
		{"GET", "connection.js", 200, "text/javascript"},
		{"GET", "log.js", 200, "text/javascript"},
		{"GET", "chat.css", 200, "text/css"},
		{"GET", "icon.svg", 200, "image/svg+xml"},
		{"GET", "healthz", 200, "application/json"},
		{"GET", "readyz", 200, "application/json"},
		{"GET", "debug/ws/", 200, "text/html"},
		{"GET", "metrics", 200, "text/plain"},
		{"POST", "", 405, ""},
		{"POST", "chat.js", 405, ""},
		{"DELETE", "login", 405, ""},
		{"POST", "healthz", 405, ""},
		{"POST", "readyz", 405, ""},
		{"POST", "metrics", 405, ""},
		{"GET", "index.html", 404, ""},
		{"GET", "page/index.html", 404, ""},
		{"GET", "debug/", 404, ""},
		{"GET", "ws/", 404, ""},
		{"GET", "favicon.ico", 404, ""},
		{"GET", "..%2fmain.go", 404, ""},
		{"POST", "nowhere", 404, ""},
	} {
		res, _ := request(t, c.method, n.url+c.path, "", nil)
		if res.StatusCode != c.status || !strings.HasPrefix(res.Header.Get("Content-Type"), c.contentType) {
			t.Errorf("%s /%s: %s %s, want %d %s", c.method, c.path, res.Status, res.Header.Get("Content-Type"), c.status, c.contentType)
		}
		if res.Header.Get("X-Content-Type-Options") != "nosniff" || res.Header.Get("Referrer-Policy") != "no-referrer" {
			t.Errorf("/%s has the headers %v", c.path, res.Header)
		}
	}
}

// The page brings all it needs, and its policy forbids the rest.
func TestPageIsSelfContained(t *testing.T) {
	n := startNode(t, nil)
	res, _ := request(t, "GET", n.url, "", nil)
	for _, part := range []string{"default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "require-trusted-types-for 'script'"} {
		if !strings.Contains(res.Header.Get("Content-Security-Policy"), part) {
			t.Errorf("the policy lacks %s", part)
		}
	}
	files, err := pageFiles.ReadDir("page")
	if err != nil || len(files) != 6 {
		t.Fatalf("%d files (%v)", len(files), err)
	}
	for _, file := range files {
		data, err := pageFiles.ReadFile("page/" + file.Name())
		if err != nil {
			t.Fatal(err)
		}
		for _, bad := range []string{"http://", "https://", "//cdn", "innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval(", " style=", " onclick", "localStorage"} {
			if text := strings.ReplaceAll(string(data), "http://www.w3.org/2000/svg", ""); strings.Contains(text, bad) {
				t.Errorf("%s has %q", file.Name(), bad)
			}
		}
	}
}
