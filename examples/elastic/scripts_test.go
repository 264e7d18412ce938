package elastic

import (
	"fmt"
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
	"time"
)

func TestScriptsAreSound(t *testing.T) {
	scripts, err := filepath.Glob("*.sh")
	if err != nil || len(scripts) != 4 {
		t.Fatalf("the scripts are %v, %v", scripts, err)
	}
	for _, script := range scripts {
		cmd := exec.CommandContext(t.Context(), "shellcheck", "--severity=style", script)
		if out, err := cmd.CombinedOutput(); err != nil { // make setup installs it
			t.Errorf("%s: %v\n%s", script, err, out)
		}
		if info, err := os.Stat(script); err != nil || info.Mode()&0o111 == 0 {
			t.Errorf("%s cannot be executed: %v", script, err)
		}
	}
}

// setup.sh makes what nobody can guess, for nobody else to read, and never twice.
func TestSetup(t *testing.T) {
	copied := copyOfSetup(t)
	dir := filepath.Dir(copied)
	if code, out := script(t, copied, nil); code != 0 || !strings.Contains(out, ".env") {
		t.Fatalf("exit code %d\n%s", code, out)
	}
	for _, name := range mounted {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode()&0o444 != 0o444 {
			t.Errorf("not every user of a container can read %s: %v, %v", name, err, info.Mode())
		}
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
	if ignored := strings.Fields(readFile(t, ".gitignore")); !slices.Contains(ignored, ".env") || !slices.Contains(ignored, ".env.*") {
		t.Error(".env is not ignored")
	}
}

// Where there is no chance, or no room, nothing is left that would be taken for
// secrets.
func TestSetupFails(t *testing.T) {
	for name, program := range map[string]string{
		"no random bytes":  "od", // which prints nothing
		"too few of them":  "od; printf 'ab cd\n'",
		"od fails":         "od; exit 1",
		"it cannot rename": "mv; exit 1",
	} {
		t.Run(name, func(t *testing.T) {
			copied, bin := copyOfSetup(t), t.TempDir()
			program, does, _ := strings.Cut(program, ";")
			if err := os.WriteFile(filepath.Join(bin, program), []byte("#!/bin/sh\n"+does+"\n"), 0o700); err != nil {
				t.Fatal(err)
			}
			code, out := script(t, copied, []string{"PATH=" + bin + ":" + os.Getenv("PATH")})
			if left, err := filepath.Glob(filepath.Join(filepath.Dir(copied), ".env*")); code != 1 || err != nil || len(left) > 0 {
				t.Errorf("exit code %d, and %q are left, %v\n%s", code, left, err, out)
			}
		})
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
type demoStack struct {
	*exchange
	templates string
	refuses   string // a data stream, whose bulk request it answers with errors
	sums      []int  // how many documents APM Server has made, look by look, and then the last
	waits     int    // answers of Kibana before it is ready
}

func (d *demoStack) answer(r *http.Request, body string) (int, string) {
	user, password, _ := r.BasicAuth()
	byAgent := strings.HasPrefix(r.URL.Path, "/apm/")
	if byAgent && r.Header.Get("Authorization") != "Bearer token" || !byAgent && (user != "elastic" || password != "of-elastic") {
		return http.StatusUnauthorized, ""
	}
	if strings.HasPrefix(r.URL.Path, "/kibana/") && r.Header.Get("kbn-xsrf") == "" {
		return http.StatusBadRequest, ""
	}
	const sums = "/es/metrics-apm.transaction.*,metrics-apm.service_*/"
	switch asked := r.Method + " " + r.URL.Path; asked {
	case "GET /kibana/api/status":
		if d.waits--; d.waits >= 0 {
			return http.StatusServiceUnavailable, "Kibana server is not ready yet"
		}
		return http.StatusOK, "{}"
	case "GET /es/_index_template/traces-apm*":
		return http.StatusOK, d.templates
	case "GET /kibana/api/fleet/epm/packages/apm":
		return http.StatusOK, `{"item":{"name":"apm","version":"8.12.2"}}`
	case "POST /apm/intake/v2/events":
		if r.Header.Get("Content-Type") != "application/x-ndjson" || strings.Contains(body, "bad") {
			return http.StatusBadRequest, ""
		}
		return http.StatusAccepted, ""
	case "POST " + sums + "_count", "POST " + sums + "_delete_by_query":
		n := d.sums[0]
		if strings.HasSuffix(asked, "_count") && len(d.sums) > 1 {
			d.sums = d.sums[1:]
		}
		return http.StatusOK, fmt.Sprintf(`{"count":%d,"deleted":%[1]d,"failures":[]}`, n)
	case "POST /es/logs-chat-default/_bulk", "POST /es/metrics-apm.transaction.1m-default/_bulk",
		"POST /es/metrics-apm.service_destination.1m-default/_bulk":
		// APM's own pipelines take documents of APM Server alone.
		if strings.Contains(asked, "metrics") != (r.URL.RawQuery == "pipeline=_none") {
			return http.StatusBadRequest, ""
		}
		return http.StatusOK, fmt.Sprintf(`{"errors":%t,"items":[]}`, d.refuses != "" && strings.Contains(asked, d.refuses))
	case "GET /es/", "GET /apm/", "POST /kibana/api/fleet/setup", "POST /kibana/api/fleet/epm/packages/apm/8.12.2",
		"POST " + sums + "_refresh":
		return http.StatusOK, "{}"
	}
	return http.StatusNotFound, "unexpected"
}

// recording writes what demo.sh is to load, less one file.
func recording(t *testing.T, first, without string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for name, text := range map[string]string{
		"intake-1.ndjson":                                        first,
		"intake-2.ndjson":                                        "{\"metadata\":{}}\n{\"span\":{}}\n",
		"bulk-logs-chat-default.ndjson":                          "{\"create\":{}}\n{\"message\":\"a\"}\n{\"create\":{}}\n{\"message\":\"b\"}\n",
		"bulk-metrics-apm.transaction.1m-default.ndjson":         "{\"create\":{}}\n{\"_doc_count\":7}\n",
		"bulk-metrics-apm.service_destination.1m-default.ndjson": "{\"create\":{}}\n{\"x\":8}\n",
		"hour.json": `{"environments":["production","staging"],"end":"2026-03-04T12:00:00Z"}`,
	} {
		if strings.HasPrefix(name, without) && without != "" {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestDemo(t *testing.T) {
	const (
		none = `{"index_templates":[]}`
		some = `{"index_templates":[{"name":"traces-apm@template"}]}`
		good = "{\"metadata\":{}}\n{\"transaction\":{}}\n"
		sums = "POST /es/metrics-apm.transaction.*,metrics-apm.service_*/"
		own  = ` {"query": {"bool": {"filter": [ {"range": {"@timestamp": {"gte": "MINUTE"}}}, {"terms": {"service.environment": ["production","staging"]}} ]}}}`
	)
	requests := []string{
		`GET /apm/`,
		`POST /apm/intake/v2/events {"metadata":{}} {"transaction":{}}`,
		`POST /apm/intake/v2/events {"metadata":{}} {"span":{}}`,
	}
	look := []string{sums + "_refresh", sums + "_count" + own}
	bulk := []string{
		`POST /es/metrics-apm.transaction.1m-default/_bulk {"create":{}} {"_doc_count":7}`,
		`POST /es/metrics-apm.service_destination.1m-default/_bulk {"create":{}} {"x":8}`,
		`POST /es/logs-chat-default/_bulk {"create":{}} {"message":"a"} {"create":{}} {"message":"b"}`,
	}
	begin := []string{"GET /es/", "GET /kibana/api/status", "GET /kibana/api/status", "GET /kibana/api/status", "GET /es/_index_template/traces-apm*"}
	install := []string{
		"POST /kibana/api/fleet/setup", "GET /kibana/api/fleet/epm/packages/apm",
		`POST /kibana/api/fleet/epm/packages/apm/8.12.2 {"force": true}`,
	}
	// The first documents come at the third look, the last at the fifth; and then
	// nothing changes for 24.
	loads := slices.Concat(requests, slices.Repeat(look, 5+24), []string{sums + "_delete_by_query" + own}, bulk)
	for _, c := range []struct {
		name      string
		templates string
		refuses   string
		dir       string
		code      int
		out       string
		asked     []string
	}{
		{"templates are there", some, "", recording(t, good, ""), 0, "2 documents of logs-chat-default are loaded", slices.Concat(begin, loads)},
		{"templates are not", none, "", recording(t, good, ""), 0, "installing APM's templates 8.12.2", slices.Concat(begin, install, loads)},
		{"lines are not taken", some, "logs", recording(t, good, ""), 1, "does not take all of bulk-logs-chat-default.ndjson", slices.Concat(begin, loads)},
		{"sums are not taken", some, "destination", recording(t, good, ""), 1, "does not take all of bulk-metrics-apm.service_destination", slices.Concat(begin, loads[:len(loads)-1])},
		{"an event is not taken", some, "", recording(t, "bad", ""), 1, "does not take the agent's requests", slices.Concat(begin, requests[:1], []string{`POST /apm/intake/v2/events bad`})},
		{"no requests", some, "", recording(t, good, "intake"), 1, "there is no intake-*.ndjson", nil},
		{"no lines", some, "", recording(t, good, "bulk-logs"), 1, "there is no bulk-logs-chat-default.ndjson", nil},
		{"no hour", some, "", recording(t, good, "hour"), 1, "there is no hour.json", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			stack := &demoStack{templates: c.templates, refuses: c.refuses, sums: []int{0, 0, 3, 3, 7}, waits: 2}
			stack.exchange = &exchange{answer: stack.answer}
			server := httptest.NewServer(stack)
			defer server.Close()
			minute := time.Now().UTC().Add(-time.Minute).Truncate(time.Minute) // the one before
			code, out := script(t, "demo.sh", []string{
				"ES_URL=" + server.URL + "/es", "KIBANA_URL=" + server.URL + "/kibana", "APM_URL=" + server.URL + "/apm",
				"ELASTIC_PASSWORD=of-elastic", "APM_SECRET_TOKEN=token",
			}, c.dir)
			if code != c.code || !strings.Contains(out, c.out) || strings.Contains(out, "of-elastic") {
				t.Errorf("exit code %d\n%s", code, out)
			}
			asked := stack.requests()
			for i := range asked { // by which minute it has begun is left to chance
				for at := minute; at.Before(time.Now().Add(-time.Minute)); at = at.Add(time.Minute) {
					asked[i] = strings.ReplaceAll(asked[i], at.Format(time.RFC3339), "MINUTE")
				}
			}
			if !slices.Equal(asked, c.asked) {
				t.Errorf("it asks\n%s", strings.Join(asked, "\n"))
			}
		})
	}
}

// steady.sh finds who was killed for memory, started anew, or failed; who runs, or
// has ended well, is well.
func TestSteady(t *testing.T) {
	const good = "/apmws-chat-1 running false 0 0\\n/apmws-users-1 exited false 0 0\\n"
	for _, c := range []struct {
		name, states string
		code         int
		says         string
	}{
		{"all is well", good, 0, "apmws-users-1: exited, out of memory: false, started anew 0 times, exit code 0"},
		{"killed", good + "/apmws-kibana-1 running true 0 0\\n", 1, "apmws-kibana-1: running, out of memory: true"},
		{"started anew", "/apmws-kibana-1 running false 2 0\\n" + good, 1, "started anew 2 times"},
		{"failed", "/apmws-users-1 exited false 0 1\\n" + good, 1, "exit code 1"},
		{"nothing runs", "", 1, "there are no containers"},
	} {
		t.Run(c.name, func(t *testing.T) {
			bin := t.TempDir()
			docker := "#!/bin/sh\ncase \"$1 $2\" in\n'compose ps') printf '" + map[bool]string{true: "", false: "a\\nb\\n"}[c.states == ""] +
				"' ;;\n'inspect --format') printf '" + c.states + "' ;;\n*) exit 1 ;;\nesac\n"
			if err := os.WriteFile(filepath.Join(bin, "docker"), []byte(docker), 0o700); err != nil {
				t.Fatal(err)
			}
			code, out := script(t, "steady.sh", []string{"PATH=" + bin + ":" + os.Getenv("PATH")})
			if code != c.code || !strings.Contains(out, c.says) {
				t.Errorf("exit code %d\n%s", code, out)
			}
		})
	}
}
