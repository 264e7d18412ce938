package elastic

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

func TestScriptsAreSound(t *testing.T) {
	scripts, err := filepath.Glob("*.sh")
	if err != nil || len(scripts) != 3 {
		t.Fatalf("the scripts are %v, %v", scripts, err)
	}
	checker := []string{"bash", "-n"}
	if path, err := exec.LookPath("shellcheck"); err == nil {
		checker = []string{path, "--severity=style"}
	}
	for _, script := range scripts {
		cmd := exec.CommandContext(t.Context(), checker[0], append(checker[1:], script)...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", script, err, out)
		}
		if info, err := os.Stat(script); err != nil || info.Mode()&0o111 == 0 {
			t.Errorf("%s cannot be executed: %v", script, err)
		}
	}
}

// setup.sh makes what nobody can guess, for nobody else to read, and never twice.
func TestSetup(t *testing.T) {
	dir := t.TempDir()
	copied := filepath.Join(dir, "setup.sh")
	if err := os.WriteFile(copied, []byte(readFile(t, "setup.sh")), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out := script(t, copied, nil); code != 0 || !strings.Contains(out, ".env") {
		t.Fatalf("exit code %d\n%s", code, out)
	}
	env := filepath.Join(dir, ".env")
	if info, err := os.Stat(env); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, mode %v", err, info.Mode())
	}
	first := readFile(t, env)
	if code, out := script(t, copied, nil); code != 1 || !strings.Contains(out, "docker compose down --volumes") {
		t.Errorf("the second time: exit code %d\n%s", code, out)
	}
	if readFile(t, env) != first {
		t.Error("the second time it has changed the secrets")
	}

	// 24 bytes in hexadecimal digits: more than the 32 characters that Kibana wants.
	random := regexp.MustCompile(`^[0-9a-f]{48}$`)
	seen := map[string]string{}
	for range 2 {
		for name, value := range secrets(t) {
			if name == "STACK_VERSION" {
				continue
			}
			if !random.MatchString(value) || seen[value] != "" {
				t.Errorf("%s is no good secret, or that of %s", name, seen[value])
			}
			seen[value] = name
		}
	}
	if len(seen) != 20 {
		t.Errorf("%d secrets in two runs", len(seen))
	}
	if ignored := fields(readFile(t, ".gitignore")); !slices.Contains(ignored, ".env") {
		t.Error(".env is not ignored")
	}
}

// exchange is a stand-in for a service that is asked by a script.
type exchange struct {
	mu     sync.Mutex
	asked  []string // method, path, and the body's beginning
	answer func(r *http.Request, body string) (status int, answer string)
}

func (e *exchange) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	raw, err := io.ReadAll(r.Body)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	body := strings.Join(strings.Fields(string(raw)), " ")
	e.mu.Lock()
	e.asked = append(e.asked, strings.TrimSpace(r.Method+" "+r.URL.Path+" "+body))
	status, answer := e.answer(r, string(raw))
	e.mu.Unlock()
	w.WriteHeader(status)
	if _, err := io.WriteString(w, answer); err != nil {
		return // the script has gone
	}
}

// requests returns what it was asked since the last time.
func (e *exchange) requests() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	asked := e.asked
	e.asked = nil
	return asked
}

func TestUsers(t *testing.T) {
	const secret = "of-elastic"
	env := []string{
		"ELASTIC_PASSWORD=" + secret, "KIBANA_SYSTEM_PASSWORD=one", "APM_WRITER_PASSWORD=two",
		"FILEBEAT_WRITER_PASSWORD=three", "DASHBOARDS_PASSWORD=four",
	}
	starting := 3 // answers that come before it is ready
	es := &exchange{answer: func(r *http.Request, _ string) (int, string) {
		if user, password, _ := r.BasicAuth(); user != "elastic" || password != secret {
			return http.StatusUnauthorized, ""
		}
		if starting--; starting >= 0 {
			return http.StatusServiceUnavailable, ""
		}
		return http.StatusOK, "{}"
	}}
	server := httptest.NewServer(es)
	defer server.Close()
	if code, out := script(t, "users.sh", append(env, "ES_URL="+server.URL)); code != 0 || strings.Contains(out, secret) {
		t.Fatalf("exit code %d\n%s", code, out)
	}
	want := []string{
		`POST /_security/user/kibana_system/_password {"password": "one"}`,
		`PUT /_security/role/apm_writer { "cluster": ["monitor"], "indices": [ {"names": ["traces-apm*", "logs-apm*", "metrics-apm*"], "privileges": ["auto_configure", "create_doc"]}, {"names": [".apm-agent-configuration"], "privileges": ["read"], "allow_restricted_indices": true} ] }`,
		`PUT /_security/user/apm_writer {"password": "two", "roles": ["apm_writer"]}`,
		`PUT /_security/role/filebeat_writer { "cluster": ["monitor"], "indices": [{"names": ["logs-chat-*"], "privileges": ["auto_configure", "create_doc"]}] }`,
		`PUT /_security/user/filebeat_writer {"password": "three", "roles": ["filebeat_writer"]}`,
		`PUT /_security/user/dashboards {"password": "four", "roles": ["kibana_admin"]}`,
	}
	want = append(slices.Repeat(want[:1], 3), want...)
	if asked := es.requests(); !slices.Equal(asked, want) {
		t.Errorf("it asks\n%s", strings.Join(asked, "\n"))
	}

	// A wrong password does not become right by waiting.
	env[0] = "ELASTIC_PASSWORD=wrong"
	code, out := script(t, "users.sh", append(env, "ES_URL="+server.URL))
	if asked := es.requests(); code != 1 || !strings.Contains(out, "status 401 after 1 attempts") || len(asked) != 1 {
		t.Errorf("exit code %d after %d requests\n%s", code, len(asked), out)
	}
}

// demoStack answers as Elasticsearch, Kibana and APM Server do, on one port.
func demoStack(templates string, errors bool) *exchange {
	waits := 2
	return &exchange{answer: func(r *http.Request, body string) (int, string) {
		user, password, _ := r.BasicAuth()
		byAgent := r.URL.Path == "/apm/" || r.URL.Path == "/apm/intake/v2/events"
		if byAgent && r.Header.Get("Authorization") != "Bearer token" || !byAgent && (user != "elastic" || password != "of-elastic") {
			return http.StatusUnauthorized, ""
		}
		if strings.HasPrefix(r.URL.Path, "/kibana/") && r.Header.Get("kbn-xsrf") == "" {
			return http.StatusBadRequest, ""
		}
		switch r.Method + " " + r.URL.Path {
		case "GET /kibana/api/status":
			if waits--; waits >= 0 {
				return http.StatusServiceUnavailable, "Kibana server is not ready yet"
			}
			return http.StatusOK, "{}"
		case "GET /es/_index_template/traces-apm*":
			return http.StatusOK, templates
		case "GET /kibana/api/fleet/epm/packages/apm":
			return http.StatusOK, `{"item":{"name":"apm","version":"8.12.2"}}`
		case "POST /apm/intake/v2/events":
			if r.Header.Get("Content-Type") != "application/x-ndjson" || strings.Contains(body, "bad") {
				return http.StatusBadRequest, ""
			}
			return http.StatusAccepted, ""
		case "POST /es/logs-chat-default/_bulk":
			if errors {
				return http.StatusOK, `{"errors":true,"items":[]}`
			}
			return http.StatusOK, `{"errors":false,"items":[]}`
		case "GET /es/", "GET /apm/", "POST /kibana/api/fleet/setup", "POST /kibana/api/fleet/epm/packages/apm/8.12.2":
			return http.StatusOK, "{}"
		}
		return http.StatusNotFound, "unexpected"
	}}
}

func TestDemo(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"intake-1.ndjson": "{\"metadata\":{}}\n{\"transaction\":{}}\n",
		"intake-2.ndjson": "{\"metadata\":{}}\n{\"span\":{}}\n",
		"logs.ndjson":     "{\"create\":{}}\n{\"message\":\"a\"}\n{\"create\":{}}\n{\"message\":\"b\"}\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	bad := t.TempDir()
	for _, name := range []string{"intake-1.ndjson", "intake-2.ndjson", "logs.ndjson"} {
		if err := os.WriteFile(filepath.Join(bad, name), []byte("bad"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const (
		none = `{"index_templates":[]}`
		some = `{"index_templates":[{"name":"traces-apm@template"}]}`
	)
	loads := []string{
		`GET /apm/`,
		`POST /apm/intake/v2/events {"metadata":{}} {"transaction":{}}`,
		`POST /apm/intake/v2/events {"metadata":{}} {"span":{}}`,
		`POST /es/logs-chat-default/_bulk {"create":{}} {"message":"a"} {"create":{}} {"message":"b"}`,
	}
	begin := []string{"GET /es/", "GET /kibana/api/status", "GET /kibana/api/status", "GET /kibana/api/status", "GET /es/_index_template/traces-apm*"}
	install := []string{
		"POST /kibana/api/fleet/setup", "GET /kibana/api/fleet/epm/packages/apm",
		`POST /kibana/api/fleet/epm/packages/apm/8.12.2 {"force": true}`,
	}
	for _, c := range []struct {
		name      string
		templates string
		errors    bool
		dir       string
		code      int
		out       string
		asked     []string
	}{
		{"templates are there", some, false, dir, 0, "2 requests of an agent and 2 log lines", slices.Concat(begin, loads)},
		{"templates are not", none, false, dir, 0, "installing APM's templates 8.12.2", slices.Concat(begin, install, loads)},
		{"lines are not taken", some, true, dir, 1, "does not take all log lines", slices.Concat(begin, loads)},
		{"an event is not taken", some, false, bad, 1, "does not take the agent's requests", slices.Concat(begin, loads[:1], []string{`POST /apm/intake/v2/events bad`})},
		{"no documents", some, false, t.TempDir(), 1, "there is no intake-*.ndjson", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			stack := demoStack(c.templates, c.errors)
			server := httptest.NewServer(stack)
			defer server.Close()
			code, out := script(t, "demo.sh", []string{
				"ES_URL=" + server.URL + "/es", "KIBANA_URL=" + server.URL + "/kibana", "APM_URL=" + server.URL + "/apm",
				"ELASTIC_PASSWORD=of-elastic", "APM_SECRET_TOKEN=token",
			}, c.dir)
			if code != c.code || !strings.Contains(out, c.out) || strings.Contains(out, "of-elastic") {
				t.Errorf("exit code %d\n%s", code, out)
			}
			if asked := stack.requests(); !slices.Equal(asked, c.asked) {
				t.Errorf("it asks\n%s", strings.Join(asked, "\n"))
			}
		})
	}
}
