package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// built is the chat as its users start it, built once, in TestMain's dir.
var built struct {
	dir  string
	once sync.Once
	err  error
}

func builtChat(t *testing.T) string {
	t.Helper()
	built.once.Do(func() {
		var out []byte
		out, built.err = exec.Command("go", "build", "-race", "-o", filepath.Join(built.dir, "chat"), ".").CombinedOutput()
		if built.err != nil {
			built.err = errors.New(string(out))
		}
	})
	if built.err != nil {
		t.Fatalf("go build: %v", built.err)
	}
	return filepath.Join(built.dir, "chat")
}

// process is a chat server in a process of its own.
type process struct {
	cmd    *exec.Cmd
	url    string
	stdout *logLines
	stderr *bytes.Buffer // to be read after the exit
	exited chan struct{}
	err    error // of the exit
}

// unhurried are arguments with which whatever waits for as long as -drain lets it does
// not end within a test's patience.
var unhurried = []string{"-drain", "1h"}

// startProcess starts the chat and waits until it listens. The environment has
// nothing of the caller's that the chat or an agent would read.
func startProcess(t *testing.T, args, env []string) *process {
	t.Helper()
	p := launch(t, append([]string{"-addr", "127.0.0.1:0"}, args...), env)
	p.url = p.stdout.wait(t, "listening", 1, message("listening"))[0].str("url.full")
	return p
}

func launch(t *testing.T, args, env []string) *process {
	t.Helper()
	p := &process{
		cmd:    exec.Command(builtChat(t), args...),
		stdout: &logLines{}, stderr: &bytes.Buffer{}, exited: make(chan struct{}),
	}
	p.cmd.Env = append(cleanEnv(), env...)
	p.cmd.Stdout, p.cmd.Stderr = p.stdout, p.stderr
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.exited)
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // it has mostly ended by itself
		<-p.exited
		if strings.Contains(p.stderr.String(), "DATA RACE") {
			t.Error(p.stderr.String())
		}
	})
	return p
}

func cleanEnv() []string {
	var env []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "ELASTIC_APM_") && !strings.HasPrefix(v, "NEW_RELIC_") && !strings.HasPrefix(v, "CHAT_") && !strings.HasPrefix(v, "REDIS_") {
			env = append(env, v)
		}
	}
	// The race detector would sleep for a second before each exit.
	return append(env, "ELASTIC_APM_CLOUD_PROVIDER=none", "ELASTIC_APM_CENTRAL_CONFIG=false", "GORACE=atexit_sleep_ms=50")
}

func (p *process) signal(t *testing.T, sig os.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
}

// waitExit waits for the end and returns the exit code, -1 for a signal's.
func (p *process) waitExit(t *testing.T) int {
	t.Helper()
	select {
	case <-p.exited:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(patience):
		t.Fatalf("it does not end; it has written\n%s", p.stdout)
		return 0
	}
}

// On SIGINT and SIGTERM peers are told, and the exit is clean and soon: with
// peers that answer, and with one that does not.
func TestSignals(t *testing.T) {
	t.Parallel()
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		t.Run(sig.String(), func(t *testing.T) {
			t.Parallel()
			p := startProcess(t, unhurried, nil)
			ada, bob := join(t, p.url, "Ada", "tea"), join(t, p.url, "Bob", "tea")
			_ = join(t, p.url, "Deaf", "tea") // never reads, so never answers
			p.signal(t, sig)
			ada.expectClose(1001)
			bob.expectClose(1001)
			// Soon: the server would let a drain take for longer than we wait.
			if code := p.waitExit(t); code != 0 {
				t.Errorf("exit code %d\n%s%s", code, p.stdout, p.stderr)
			}
			ends, _ := p.stdout.all(action("websocket-disconnected"))
			if len(ends) != 3 {
				t.Fatalf("%d of 3 ends are in the log:\n%s", len(ends), p.stdout)
			}
			for _, end := range ends {
				if end["labels.websocket_close_code"] != "1001" || end["labels.websocket_close_initiator"] != "server" || end["event.reason"] != "drain" {
					t.Errorf("an end is logged as %v", end)
				}
			}
			if p.stderr.Len() > 0 {
				t.Errorf("standard error: %s", p.stderr)
			}
		})
	}
}

// While the first signal's shutdown waits for a peer, a second signal ends that, and
// the exit code says so; the connection's end is reported all the same.
func TestSecondSignal(t *testing.T) {
	t.Parallel()
	p := startProcess(t, nil, nil)
	join(t, p.url, "Deaf", "tea")
	p.signal(t, syscall.SIGTERM)
	p.stdout.wait(t, "draining", 1, action("websocket-draining"))
	p.signal(t, syscall.SIGTERM)
	if code := p.waitExit(t); code != 1 {
		t.Errorf("exit code %d\n%s", code, p.stdout)
	}
	line := p.stdout.wait(t, "drained", 1, action("websocket-drained"))[0]
	if line["websocket.drain.cut_off"] != 1.0 {
		t.Errorf("drained: %v", line)
	}
	if end := p.stdout.wait(t, "disconnected", 1, action("websocket-disconnected"))[0]; end["event.reason"] != "drain" {
		t.Errorf("the end is logged as %v", end)
	}
}

// Standard output has ECS lines only, standard error nothing.
func TestOutput(t *testing.T) {
	p := startProcess(t, nil, nil)
	if found := p.stdout.wait(t, "live page", 1, message("live page")); found[0]["url.full"] != p.url+"debug/ws/" {
		t.Errorf("the live page is announced as %v", found[0])
	}
	join(t, p.url, "Ada", "tea").Close()
	p.stdout.wait(t, "disconnected", 1, action("websocket-disconnected"))
	p.signal(t, os.Interrupt)
	if code := p.waitExit(t); code != 0 || p.stderr.Len() > 0 {
		t.Errorf("exit code %d, standard error %q", code, p.stderr)
	}
	lines, _ := p.stdout.all(func(logLine) bool { return true })
	for _, line := range lines {
		for _, field := range []string{"@timestamp", "log.level", "message", "ecs.version", "service.name", "service.environment"} {
			if line.str(field) == "" {
				t.Errorf("no %s in %v", field, line)
			}
		}
	}
}

func TestPrettyOutput(t *testing.T) {
	p := launch(t, []string{"-addr", "127.0.0.1:0", "-pretty"}, nil)
	line := p.stdout.wait(t, "listening", 1, func(l logLine) bool { return strings.Contains(l.str("text"), "listening") })[0]
	if text := line.str("text"); !strings.Contains(text, "INF listening url.full=http://127.0.0.1:") {
		t.Errorf("the line is %q", text)
	}
	p.signal(t, os.Interrupt)
	if code := p.waitExit(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

func TestStartFails(t *testing.T) {
	p := startProcess(t, nil, nil)
	taken := strings.TrimSuffix(strings.TrimPrefix(p.url, "http://"), "/")
	for _, c := range []struct {
		name       string
		args, env  []string
		code       int
		out, noise string
	}{
		{name: "port taken", args: []string{"-addr", taken}, code: 1, out: "address already in use"},
		{name: "no such Redis", env: []string{"REDIS_URL=redis://:pass-word@127.0.0.1:1/0"}, code: 1, out: "redis"},
		{name: "no such Elastic", env: []string{"ELASTIC_APM_SERVER_URL=http://user:pass-word@bad host:8200"}, code: 1, out: "elastic"},
		{name: "wrong licence key", env: []string{"NEW_RELIC_LICENSE_KEY=key-pass-word"}, code: 1, out: "new relic: license length is not 40"},
		{name: "unknown flag", args: []string{"-unknown"}, code: 2, noise: "-expose-live"},
		{name: "cert without key", args: []string{"-cert", "x.pem"}, code: 2, noise: "-cert and -key belong together"},
		{name: "no such certificate", args: []string{"-cert", "x.pem", "-key", "y.pem"}, code: 1, out: "x.pem"},
		{name: "help", args: []string{"-h"}, code: 0, noise: "CHAT_JWT_SECRET"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := launch(t, append([]string{"-addr", "127.0.0.1:0"}, c.args...), c.env)
			if code := p.waitExit(t); code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
			if !strings.Contains(p.stdout.String(), c.out) || !strings.Contains(p.stderr.String(), c.noise) {
				t.Errorf("it writes\n%s%s", p.stdout, p.stderr)
			}
			if strings.Contains(p.stdout.String()+p.stderr.String(), "pass-word") {
				t.Error("it writes a password")
			}
		})
	}
}
