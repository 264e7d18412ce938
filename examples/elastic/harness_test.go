package elastic

import (
	"bytes"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/dotenv"
	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
	"go.yaml.in/yaml/v4"
)

// patience bounds every wait; it is only ever reached by a test that fails.
const patience = 60 * time.Second

const checkout = "../.."

// until polls.
func until(t *testing.T, what string, met func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if met() {
			return
		}
	}
	t.Fatalf("it never came true: %s", what)
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	raw, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func parseYAML(t *testing.T, name string) (document map[string]any) {
	t.Helper()
	if err := yaml.Unmarshal([]byte(readFile(t, name)), &document); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return document
}

// script runs one of the shell scripts and returns its exit code and output.
func script(t *testing.T, name string, env []string, args ...string) (code int, output string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "bash", append([]string{name}, args...)...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "PAUSE=0.01"}, env...)
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

// mounted are the files that containers read.
var mounted = []string{"apm-server.yml", "filebeat.yml", "kibana.yml", "users.sh"}

// copyOfSetup copies setup.sh and the files that it looks after, as a careful
// user's checkout has them, to a directory of its own.
func copyOfSetup(t *testing.T) (name string) {
	t.Helper()
	dir := t.TempDir()
	for _, name := range append([]string{"setup.sh"}, mounted...) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(readFile(t, name)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "setup.sh")
}

// secrets are what setup.sh makes, in a directory of its own.
func secrets(t *testing.T) map[string]string {
	t.Helper()
	copied := copyOfSetup(t)
	if code, out := script(t, copied, nil); code != 0 {
		t.Fatalf("setup.sh: exit code %d\n%s", code, out)
	}
	env, err := dotenv.Read(filepath.Join(filepath.Dir(copied), ".env"))
	if err != nil {
		t.Fatal(err)
	}
	return env
}

// load reads compose.yaml as Docker Compose does, its schema checked.
func load(t *testing.T, env map[string]string) *types.Project {
	t.Helper()
	dir, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	project, err := loader.LoadWithContext(t.Context(), types.ConfigDetails{
		WorkingDir: dir, Environment: env,
		ConfigFiles: []types.ConfigFile{{Filename: filepath.Join(dir, "compose.yaml")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return project
}

func each(services types.Services, do func(name string, service types.ServiceConfig)) {
	for _, name := range slices.Sorted(maps.Keys(services)) {
		do(name, services[name])
	}
}

// built is what the Dockerfile builds, made by its own lines.
var built struct {
	once sync.Once
	dir  string
	err  error
	log  bytes.Buffer
}

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "elastic-test")
	if err != nil {
		panic(err)
	}
	built.dir = dir
	code := m.Run()
	if err := os.RemoveAll(dir); err != nil {
		panic(err)
	}
	os.Exit(code)
}
