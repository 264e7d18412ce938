package elastic

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// instructions are the Dockerfile's lines, those that go on joined.
func instructions(text string) (lines [][2]string) {
	text = strings.ReplaceAll(text, "\\\n", " ")
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, rest, _ := strings.Cut(line, " ")
		lines = append(lines, [2]string{name, strings.TrimSpace(rest)})
	}
	return lines
}

// binaries does what the Dockerfile's first stage does, in a directory: copies
// what it copies and nothing else, and runs its go build. It returns where the
// binaries are.
func binaries(t *testing.T) string {
	t.Helper()
	built.once.Do(func() { built.err = build(built.dir) })
	if built.err != nil {
		t.Fatalf("%v\n%s", built.err, &built.log)
	}
	return filepath.Join(built.dir, "out")
}

func build(root string) error {
	raw, err := os.ReadFile("Dockerfile")
	if err != nil {
		return err
	}
	env := os.Environ()
	at, builds := "/", 0
	for _, line := range instructions(string(raw)) {
		inside := filepath.Join(root, at)
		switch line[0] {
		case "ENV":
			env = append(env, strings.Fields(line[1])...)
		case "WORKDIR":
			at = line[1]
			if err := os.MkdirAll(filepath.Join(root, at), 0o700); err != nil {
				return err
			}
		case "COPY":
			words := strings.Fields(line[1])
			if strings.HasPrefix(words[0], "--from") {
				continue // of the second stage
			}
			to := filepath.Join(inside, words[len(words)-1])
			for _, from := range words[:len(words)-1] {
				if err := copyInto(filepath.Join(checkout, from), to); err != nil {
					return err
				}
			}
		case "RUN":
			_, command, found := strings.Cut(line[1], "go build")
			if !found {
				continue
			}
			builds++
			command = strings.ReplaceAll("go build"+command, "/out/", filepath.Join(root, "out")+"/")
			cmd := exec.Command("sh", "-c", command)
			cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = inside, env, &built.log, &built.log
			if err := cmd.Run(); err != nil {
				return fmt.Errorf("%s: %w", command, err)
			}
		}
	}
	if builds != 2 {
		return fmt.Errorf("%d builds in the Dockerfile", builds)
	}
	return nil
}

// copyInto copies a file into a directory, or a directory to where it says, as
// COPY does, but what .dockerignore leaves out.
func copyInto(from, to string) error {
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		raw, err := os.ReadFile(from)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, filepath.Base(from)), raw, 0o600)
	}
	return filepath.WalkDir(from, func(name string, entry os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.Name() == "node_modules" || entry.Name() == ".env" || entry.Name() == "pictures" {
			if entry.IsDir() {
				return filepath.SkipDir
			}
			return nil
		}
		below, err := filepath.Rel(from, name)
		if err != nil {
			return err
		}
		target := filepath.Join(to, below)
		if entry.IsDir() {
			return os.MkdirAll(target, 0o700)
		}
		raw, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		return os.WriteFile(target, raw, 0o600)
	})
}

// The images that it begins from are at an exact version, it ends as somebody
// else than root, and nothing that it copies is left out of the context.
func TestDockerfile(t *testing.T) {
	var ignored []string
	for line := range strings.Lines(readFile(t, filepath.Join(checkout, ".dockerignore"))) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			ignored = append(ignored, line)
		}
	}
	if !slices.Contains(ignored, ".git") || !slices.Contains(ignored, "**/.env") {
		t.Errorf("the context holds secrets, or history: %q", ignored)
	}
	exact := regexp.MustCompile(`^[a-z]+:\d+\.\d+\.\d+(-alpine)?( AS build)?$`)
	user, copies, stages := "root", 0, 0
	for _, line := range instructions(readFile(t, "Dockerfile")) {
		switch line[0] {
		case "FROM":
			stages++
			user = "root"
			if !exact.MatchString(line[1]) {
				t.Errorf("FROM %s is not at an exact version", line[1])
			}
		case "USER":
			user = line[1]
		case "COPY":
			if strings.HasPrefix(line[1], "--from=build ") {
				continue
			}
			words := strings.Fields(line[1])
			for _, source := range words[:len(words)-1] {
				copies++
				if _, err := os.Stat(filepath.Join(checkout, source)); err != nil {
					t.Error(err)
				}
				for _, pattern := range ignored {
					if ok, err := path.Match(strings.TrimPrefix(pattern, "**/"), source); err != nil || ok {
						t.Errorf("%s is copied, and ignored as %s: %v", source, pattern, err)
					}
				}
			}
		}
	}
	if user != "10001" || stages != 2 || copies < 5 {
		t.Errorf("user %s, %d stages, %d sources", user, stages, copies)
	}
}

// apmServer takes what an agent sends, and keeps what it showed as its right.
type apmServer struct {
	mu     sync.Mutex
	tokens map[string]int
}

func (s *apmServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	if s.tokens == nil {
		s.tokens = map[string]int{}
	}
	s.tokens[r.URL.Path+" "+r.Header.Get("Authorization")]++
	s.mu.Unlock()
	w.WriteHeader(http.StatusAccepted)
}

// The chat and the traffic run by the very commands of compose.yaml, but for
// addresses; the chat's health is asked as there; and its log, in the file that
// Filebeat reads, is what filebeat.yml takes it for.
func TestChatAndTraffic(t *testing.T) {
	env := secrets(t)
	project := load(t, env)
	bin := binaries(t)
	chat, dir := project.Services["chat"], t.TempDir()
	var apm apmServer
	server := httptest.NewServer(&apm)
	defer server.Close()

	command := slices.Clone(chat.Command)
	for from, to := range map[string]string{"-addr :8080": "-addr 127.0.0.1:0", "/var/log/chat/": dir + "/"} {
		if !strings.Contains(command[2], from) {
			t.Fatalf("the command has no %q: %q", from, command)
		}
		command[2] = strings.ReplaceAll(command[2], from, to)
	}
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Env = []string{"PATH=" + bin + ":" + os.Getenv("PATH")}
	for name, value := range chat.Environment {
		if name == "ELASTIC_APM_SERVER_URL" {
			value = &server.URL
		}
		cmd.Env = append(cmd.Env, name+"="+*value)
	}
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	t.Cleanup(func() { _ = cmd.Process.Kill() }) // it has ended where the test passes

	log := filepath.Join(dir, "chat.log")
	url := ""
	until(t, "the chat listens", func() bool {
		match := regexp.MustCompile(`"url.full":"(http://[^"/]+/)"[^\n]*"message":"listening"`).FindStringSubmatch(readLog(log))
		if match != nil {
			url = match[1]
		}
		return match != nil
	})
	checkHealth(t, chat.HealthCheck.Test, url)

	args := slices.Clone(project.Services["load"].Command)
	i := slices.Index(args, "http://chat:8080")
	if args[0] != "load" || i < 0 {
		t.Fatalf("the command is %q", args)
	}
	args[i] = url
	talkUntil(t, filepath.Join(bin, "load"), args[1:], func() bool {
		for _, field := range logFields {
			if !strings.Contains(readLog(log), `"`+field+`":`) {
				return false
			}
		}
		return true
	})

	// The shell has made way for the chat, so that the signal reaches it.
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	var err error
	select {
	case err = <-exited:
	case <-time.After(patience):
		err = errors.New("it does not end")
	}
	if err != nil || complaints.Len() > 0 {
		t.Errorf("the chat ends with %v, and complains %q", err, complaints.String())
	}
	checkLog(t, log)

	apm.mu.Lock()
	defer apm.mu.Unlock()
	for sender := range apm.tokens {
		if !strings.HasSuffix(sender, " Bearer "+env["APM_SECRET_TOKEN"]) {
			t.Errorf("a request without the token: %.30s", sender)
		}
	}
	if len(apm.tokens) == 0 {
		t.Error("the agent has sent nothing")
	}
}

// talkUntil lets people talk until something is true, and what they said has come
// back to them.
func talkUntil(t *testing.T, load string, args []string, enough func() bool) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "load.log")
	file, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	cmd := exec.CommandContext(t.Context(), load, args...)
	cmd.Stdout, cmd.Stderr = file, file
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	echo := regexp.MustCompile(`, echo p50 [0-9.]*[1-9]`)
	until(t, "the log has all fields, and there are echoes", func() bool {
		return len(exited) > 0 || enough() && echo.MatchString(readLog(name))
	})
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatalf("it has ended: %v\n%s", err, readLog(name))
	}
	select {
	case err = <-exited:
	case <-time.After(patience):
		err = errors.New("it does not end")
	}
	if echoes := regexp.MustCompile(`\nechoes +[1-9]\d* of `); err != nil || !echoes.MatchString(readLog(name)) {
		t.Errorf("load: %v\n%s", err, readLog(name))
	}
}

func readLog(name string) string {
	raw, err := os.ReadFile(name)
	if err != nil {
		return "" // not there yet
	}
	return string(raw)
}

// checkHealth asks for the health as the container does, but by Go.
func checkHealth(t *testing.T, test []string, url string) {
	t.Helper()
	asked, found := strings.CutPrefix(test[len(test)-1], "http://127.0.0.1:8080/")
	if !found {
		t.Fatalf("the health check is %q", test)
	}
	res, err := http.Get(url + asked)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Errorf("the health is %d", res.StatusCode)
	}
}

// logFields are those of the log that the dashboards and the join with traces need.
var logFields = []string{
	"trace.id", "transaction.id", "event.action", "event.outcome", "event.duration", "user.id", "client.address", "url.path",
	"http.response.status_code", "labels.websocket_connection_id", "labels.websocket_close_cause", "labels.http_route",
	"labels.websocket_refusal_reason", "websocket.messages.received",
}

// checkLog checks that each line is one object of ECS whose dotted names can be
// expanded, beside what Filebeat adds, and that all fields come which the
// dashboards and the join with traces need.
func checkLog(t *testing.T, name string) {
	t.Helper()
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	seen := map[string]int{}
	lines := 0
	scanner := bufio.NewScanner(file)
	scanner.Buffer(nil, 16<<10) // Filebeat would take more, and a person would not
	for scanner.Scan() {
		lines++
		line := map[string]any{}
		if err := json.Unmarshal(scanner.Bytes(), &line); err != nil {
			t.Fatalf("line %d: %v: %s", lines, err, scanner.Bytes())
		}
		at, err := time.Parse(time.RFC3339, fmt.Sprint(line["@timestamp"]))
		if err != nil || time.Since(at).Abs() > time.Hour {
			t.Errorf("line %d is of %v: %v", lines, line["@timestamp"], err)
		}
		if line["service.name"] != "chat" || line["service.environment"] != "demo" || line["ecs.version"] == nil || line["message"] == "" {
			t.Errorf("line %d is not of the chat: %s", lines, scanner.Bytes())
		}
		if level := fmt.Sprint(line["log.level"]); !slices.Contains([]string{"info", "warn", "error"}, level) {
			t.Errorf("line %d has the level %s", lines, level)
		}
		if err := expand(line); err != nil {
			t.Errorf("line %d: %v: %s", lines, err, scanner.Bytes())
		}
		for field := range line {
			seen[field]++
		}
	}
	if err := scanner.Err(); err != nil {
		t.Fatal(err)
	}
	for _, field := range logFields {
		if seen[field] == 0 {
			t.Errorf("no line of %d has the field %s", lines, field)
		}
	}
	// Filebeat waits until there are that many bytes to tell the file by.
	if info, err := file.Stat(); err != nil || info.Size() < 1024 {
		t.Errorf("the log is too short for Filebeat to begin: %v", err)
	}
}

// expand makes objects of dotted names, together with those that Filebeat adds to
// every event. It fails where a name would be a value and an object at once.
func expand(line map[string]any) error {
	root := map[string]any{}
	put := func(name string, value any) error {
		parts := strings.Split(name, ".")
		at := root
		for _, part := range parts[:len(parts)-1] {
			below, ok := at[part].(map[string]any)
			if !ok {
				if at[part] != nil {
					return fmt.Errorf("%s is below a value", name)
				}
				below = map[string]any{}
				at[part] = below
			}
			at = below
		}
		last := parts[len(parts)-1]
		if _, ok := at[last].(map[string]any); ok {
			return fmt.Errorf("%s is an object, too", name)
		}
		at[last] = value
		return nil
	}
	for _, name := range []string{
		"log.offset", "log.file.path", "log.file.fingerprint", "input.type", "host.name", "agent.name", "agent.type", "ecs.version",
		"data_stream.type", "data_stream.dataset", "data_stream.namespace",
	} {
		if err := put(name, true); err != nil {
			return err
		}
	}
	for name, value := range line {
		if err := put(name, value); err != nil {
			return err
		}
	}
	return nil
}

// A name that is a value and an object at once is found.
func TestExpand(t *testing.T) {
	for _, c := range []struct {
		line map[string]any
		ok   bool
	}{
		{map[string]any{"log.level": "info", "error.message": "x"}, true},
		{map[string]any{"error": "x", "error.message": "x"}, false},
		{map[string]any{"log": "x"}, false},
		{map[string]any{"log.offset.deep": "x"}, false},
	} {
		if err := expand(c.line); (err == nil) != c.ok {
			t.Errorf("%v: %v", c.line, err)
		}
	}
}

// The import's command is one that it knows: what it says against is that there
// is no Kibana.
func TestImportCommand(t *testing.T) {
	project := load(t, secrets(t))
	nobody := httptest.NewServer(http.NotFoundHandler())
	nobody.Close()
	service := project.Services["dashboards"]
	args := slices.Clone(service.Command)
	i := slices.Index(args, "http://kibana:5601")
	if args[0] != "import" || i < 0 {
		t.Fatalf("the command is %q", args)
	}
	args[i] = nobody.URL
	cmd := exec.CommandContext(t.Context(), filepath.Join(binaries(t), "import"), append(args[1:], "-timeout", "5s")...)
	cmd.Env = []string{"KIBANA_PASSWORD=" + *service.Environment["KIBANA_PASSWORD"]}
	out, err := cmd.CombinedOutput()
	if code := cmd.ProcessState.ExitCode(); code != 1 || !bytes.Contains(out, []byte(nobody.URL)) {
		t.Errorf("exit code %d, %v\n%s", code, err, out)
	}
}
