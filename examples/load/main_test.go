package main

import (
	"bytes"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// patience bounds every wait; it is only ever reached by a test that fails.
const patience = 60 * time.Second

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// output is a writer that tests may read at any time.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// until polls.
func until(t *testing.T, what string, met func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if met() {
			return
		}
	}
	t.Fatalf("it never came true: %s", what)
}

func TestCommandLine(t *testing.T) {
	for _, c := range []struct {
		name  string
		args  []string
		code  int
		noise string
	}{
		{"help", []string{"-h"}, 0, "-connections N"},
		{"unknown flag", []string{"-unknown"}, 2, "not defined"},
		{"argument", []string{"now"}, 2, `unexpected argument "now"`},
		{"scheme", []string{"-url", "ftp://chat"}, 2, "by http, https, ws or wss"},
		{"no host", []string{"-url", "chat:8080"}, 2, "-url is such as"},
		{"password", []string{"-url", "http://a:b@chat"}, 2, "no user"},
		{"another of them by TLS", []string{"-url", "http://a,https://b"}, 2, "differ in host"},
		{"another with a path", []string{"-url", "http://a", "-url", "http://b/chat"}, 2, "differ in host"},
		{"none", []string{"-connections", "0"}, 2, "-connections is"},
		{"too many", []string{"-connections", "20001"}, 2, "-connections is"},
		{"silent", []string{"-rate", "0"}, 2, "-rate is"},
		{"no number", []string{"-rate", "NaN"}, 2, "-rate is"},
		{"endless churn", []string{"-churn", "+Inf"}, 2, "-churn is"},
		{"past", []string{"-for", "-1s"}, 2, "-for is"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out, complaints output
			if code := run(t.Context(), c.args, &out, &complaints); code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
			if strings.Contains(complaints.String(), "a:b") {
				t.Error("it writes a password")
			}
			if !strings.Contains(complaints.String(), c.noise) || out.String() != "" {
				t.Errorf("it writes %q and complains %q", out.String(), complaints.String())
			}
		})
	}
}

func TestBaseURL(t *testing.T) {
	for given, want := range map[string]string{
		"ws://chat:8080":       "http://chat:8080",
		"wss://chat/":          "https://chat/",
		"http://chat:8080/sub": "http://chat:8080/sub",
	} {
		u, err := baseURL(given)
		if err != nil || u.String() != want {
			t.Errorf("%s: %v, %v; want %s", given, u, err, want)
		}
	}
}
