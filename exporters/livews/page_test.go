package livews

import (
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
)

func containsFold(s, sub string) bool {
	return strings.Contains(strings.ToLower(s), strings.ToLower(sub))
}

// mounts are the ways in which an application may mount the view.
func mounts(v *View) map[string]http.Handler {
	plain, stripped, deep := http.NewServeMux(), http.NewServeMux(), http.NewServeMux()
	plain.Handle("/debug/ws/", v)
	stripped.Handle("/debug/ws/", http.StripPrefix("/debug/ws", v))
	deep.Handle("/debug/ws/", http.StripPrefix("/debug/ws/", v))
	return map[string]http.Handler{
		"with its prefix": plain, "stripped": stripped, "stripped with the slash": deep,
		"any path": http.HandlerFunc(v.ServeHTTP), "stripped without a mux": http.StripPrefix("/debug/ws", v),
	}
}

func TestThePageWorksUnderAnyPrefix(t *testing.T) {
	for name, h := range mounts(New(Options{})) {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(h)
			defer server.Close()
			for path, contentType := range map[string]string{
				"/debug/ws":           "text/html; charset=utf-8", // after a redirect
				"/debug/ws/":          "text/html; charset=utf-8",
				"/debug/ws/live.js":   "text/javascript; charset=utf-8",
				"/debug/ws/live.css":  "text/css; charset=utf-8",
				"/debug/ws/data.json": "application/json",
			} {
				resp, err := http.Get(server.URL + path)
				if err != nil {
					t.Fatal(err)
				}
				body, _ := io.ReadAll(resp.Body)
				resp.Body.Close()
				if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != contentType || len(body) == 0 {
					t.Errorf("%s: %d, %s, %d bytes", path, resp.StatusCode, resp.Header.Get("Content-Type"), len(body))
				}
				if got := resp.Request.URL.Path; got != path && got != path+"/" {
					t.Errorf("%s led to %s", path, got)
				}
			}
			resp, err := http.Get(server.URL + "/debug/ws/nothing.js")
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != http.StatusNotFound {
				t.Errorf("nothing.js: %d", resp.StatusCode)
			}
		})
	}
}

func TestTheRedirectLeadsToNoOtherHost(t *testing.T) {
	for target, want := range map[string]string{
		"/debug/ws":          "./ws/",
		"/debug/ws?x=/y":     "./ws/",
		"/debug/a%2Fb":       "./a%2Fb/",
		"//evil.example":     "./evil.example/",
		"/javascript:alert":  "./javascript:alert/",
		"/debug/%0d%0aX:%20": "./%0d%0aX:%20/",
	} {
		r := httptest.NewRequest(http.MethodGet, "/x", nil)
		r.RequestURI, r.URL.Path = target, ""
		w := httptest.NewRecorder()
		New(Options{}).ServeHTTP(w, r)
		if got := w.Header().Get("Location"); w.Code != http.StatusTemporaryRedirect || got != want {
			t.Errorf("%s: %d to %q; want %q", target, w.Code, got, want)
		}
	}
}

func TestHeaders(t *testing.T) {
	v := New(Options{})
	for _, path := range []string{"/", "/data.json", "/live.js", "/live.css", "/nothing.js", "/redirected", "/data.json?since=x"} {
		w := httptest.NewRecorder()
		v.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		csp := w.Header().Get("Content-Security-Policy")
		for _, part := range []string{
			"default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'", "img-src 'self' data:",
			"frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'",
		} {
			if !strings.Contains(csp+";", part+";") {
				t.Errorf("%s: no %q in %q", path, part, csp)
			}
		}
		if strings.Contains(csp, "unsafe") || strings.Contains(csp, "*") {
			t.Errorf("%s: policy %q", path, csp)
		}
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store",
			"X-Frame-Options": "DENY", "Cross-Origin-Resource-Policy": "same-origin",
		} {
			if got := w.Header().Get(name); got != want {
				t.Errorf("%s: %s is %q; want %q", path, name, got, want)
			}
		}
		if name := "Access-Control-Allow-Origin"; w.Header().Get(name) != "" {
			t.Errorf("%s: %s is set", path, name)
		}
	}
}

func TestMethods(t *testing.T) {
	server := httptest.NewServer(New(Options{}))
	defer server.Close()
	for _, path := range []string{"/", "/data.json", "/live.js"} {
		for method, want := range map[string]int{
			"GET": 200, "HEAD": 200, "POST": 405, "PUT": 405, "DELETE": 405, "PATCH": 405, "OPTIONS": 405, "STRANGE": 405,
		} {
			req, err := http.NewRequestWithContext(t.Context(), method, server.URL+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			if resp.StatusCode != want {
				t.Errorf("%s %s: %d; want %d", method, path, resp.StatusCode, want)
			}
			if want == 405 && resp.Header.Get("Allow") != "GET, HEAD" {
				t.Errorf("%s %s: Allow %q", method, path, resp.Header.Get("Allow"))
			}
			if method == "HEAD" && (len(body) != 0 || resp.ContentLength <= 0) {
				t.Errorf("HEAD %s: %d bytes, length %d", path, len(body), resp.ContentLength)
			}
		}
	}
}

func TestSinceMustBeANumber(t *testing.T) {
	for query, want := range map[string]int{"": 200, "?since=": 200, "?since=7": 200, "?since=-1": 400, "?since=x": 400, "?since=1e3": 400} {
		w := httptest.NewRecorder()
		New(Options{}).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/data.json"+query, nil))
		if w.Code != want {
			t.Errorf("%q: %d; want %d", query, w.Code, want)
		}
	}
}

// The page must not build markup of what it shows, and must work without any
// other host and under the policy it is served with.
func TestAssetsKeepTheRules(t *testing.T) {
	rules := map[string]string{
		"markup from text":  `innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|createContextualFragment|srcdoc`,
		"code from text":    `\beval\(|new Function|setTimeout\(\s*["'` + "`" + `]|javascript:`,
		"another host":      `https?://(?:www\.w3\.org/2000/svg)?[^'"\s]*`,
		"an absolute path":  `(?:src|href|action)="/`,
		"an inline style":   `\sstyle="|<style`,
		"an inline handler": `\son[a-z]+=`,
		"an inline script":  `<script(?:\s+type="module")?>`,
	}
	seen := 0
	err := fs.WalkDir(assets, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		seen++
		if strings.HasPrefix(contentType(path), "application/octet-stream") {
			t.Errorf("%s has no content type", path)
		}
		data, err := assets.ReadFile(path)
		if err != nil {
			return err
		}
		text := strings.ReplaceAll(string(data), "http://www.w3.org/2000/svg", "")
		for what, pattern := range rules {
			if found := regexp.MustCompile(pattern).FindString(text); found != "" {
				t.Errorf("%s has %s: %s", path, what, found)
			}
		}
		return nil
	})
	if err != nil || seen < 8 {
		t.Errorf("%d assets seen, %v", seen, err)
	}
}

// Every module and style that the assets name is there.
func TestAssetsAreComplete(t *testing.T) {
	named := regexp.MustCompile(`(?:from|src=|href=)\s*"(?:\./)?([a-z]+\.(?:js|css))"`)
	found := 0
	entries, err := assets.ReadDir("assets")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		data, err := assets.ReadFile("assets/" + entry.Name())
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range named.FindAllStringSubmatch(string(data), -1) {
			found++
			if _, err := assets.ReadFile("assets/" + m[1]); err != nil {
				t.Errorf("%s names %s: %v", entry.Name(), m[1], err)
			}
		}
	}
	if found < 10 {
		t.Errorf("%d names found", found)
	}
}
