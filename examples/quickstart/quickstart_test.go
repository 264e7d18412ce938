package quickstart

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// patience bounds every wait; it is only ever reached by a test that fails.
const patience = 60 * time.Second

// server is one of the two programs, running.
type server struct {
	echo string // the address of its WebSocket
	live string // that of the page that one of them has

	mu     sync.Mutex
	stdout bytes.Buffer
}

func (s *server) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stdout.Write(b)
}

func (s *server) output() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stdout.String()
}

// run builds and starts one of the programs.
func run(t *testing.T, name string) *server {
	t.Helper()
	binary := filepath.Join(t.TempDir(), name)
	if out, err := exec.Command("go", "build", "-o", binary, "./"+name).CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	for range 5 { // somebody else may take the port between the look and the start
		if s := start(t, binary); s != nil {
			return s
		}
	}
	t.Fatalf("%s does not start", name)
	return nil
}

// start returns nil when the program ends by itself.
func start(t *testing.T, binary string) *server {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	ln.Close()
	s := &server{echo: "ws://" + addr + "/echo", live: "http://" + addr + "/debug/ws/"}
	cmd := exec.Command(binary, "-addr", addr)
	cmd.Stdout = s
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait() // killed below
		close(ended)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
	})
	for {
		if conn, err := net.Dial("tcp", addr); err == nil {
			conn.Close()
			return s
		}
		select {
		case <-ended:
			return nil
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// Both servers behave alike.
func TestEcho(t *testing.T) {
	for _, name := range []string{"before", "after"} {
		t.Run(name, func(t *testing.T) {
			s := run(t, name)
			conn, _, err := websocket.DefaultDialer.DialContext(t.Context(), s.echo, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			conn.SetReadDeadline(time.Now().Add(patience))
			for _, m := range []struct {
				typ  int
				data string
			}{
				{websocket.TextMessage, `{"type":"hello"}`},
				{websocket.TextMessage, ""},
				{websocket.BinaryMessage, "\x00\xff"},
				{websocket.TextMessage, strings.Repeat("x", 1<<20)},
			} {
				if err := conn.WriteMessage(m.typ, []byte(m.data)); err != nil {
					t.Fatal(err)
				}
				typ, data, err := conn.ReadMessage()
				if err != nil || typ != m.typ || string(data) != m.data {
					t.Fatalf("%d bytes of type %d came back as %d of type %d (%v)", len(m.data), m.typ, len(data), typ, err)
				}
			}
			bye := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "bye")
			if err := conn.WriteMessage(websocket.CloseMessage, bye); err != nil {
				t.Fatal(err)
			}
			var closed *websocket.CloseError
			if _, _, err := conn.ReadMessage(); !errors.As(err, &closed) || closed.Code != websocket.CloseNormalClosure {
				t.Errorf("the close is answered by %v", err)
			}
			if _, res, err := websocket.DefaultDialer.DialContext(t.Context(), s.echo, http.Header{"Origin": {"https://evil.example"}}); err == nil || res.StatusCode != http.StatusForbidden {
				t.Errorf("another site's page is answered by %v (%v)", res, err)
			}
		})
	}
}

// What the few lines have bought: log lines and a page.
func TestAfterIsVisible(t *testing.T) {
	s := run(t, "after")
	conn, _, err := websocket.DefaultDialer.DialContext(t.Context(), s.echo, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetReadDeadline(time.Now().Add(patience))
	if err := conn.WriteMessage(websocket.TextMessage, []byte(`{"type":"hello","secret":"payload"}`)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := conn.ReadMessage(); err != nil {
		t.Fatal(err)
	}
	if page := get(t, s.live); !strings.Contains(page, "<html") {
		t.Errorf("the page is %.100s", page)
	}
	// The answer may overtake the end of the message that it answers.
	until(t, "the live page shows the message and its answer", func() bool {
		data := get(t, s.live+"data.json")
		if strings.Contains(data, "payload") {
			t.Fatalf("the live page shows a payload: %s", data)
		}
		return strings.Contains(data, `"hello"`) && strings.Contains(data, `"send hello"`)
	})
	conn.Close()
	until(t, "the end is in the log", func() bool { return strings.Contains(s.output(), `"websocket-disconnected"`) })
	for _, action := range []string{"websocket-handshake", "websocket-connected", "websocket-disconnected"} {
		if n := strings.Count(s.output(), `"event.action":"`+action+`"`); n != 1 {
			t.Errorf("%d lines %s in\n%s", n, action, s.output())
		}
	}
}

func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !is(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it never came true that %s", what)
		}
	}
}

func get(t *testing.T, url string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s (%v)", url, res.Status, err)
	}
	return string(body)
}

// The change is as small as promised: it replaces the read loop, and adds no
// more than what the README shows.
func TestSmallDifference(t *testing.T) {
	before, after := codeLines(t, "before"), codeLines(t, "after")
	removed, added := difference(before, after)
	t.Logf("%d lines of %d removed, %d added", removed, len(before), added)
	if removed == 0 || removed > 11 || added > 21 {
		t.Errorf("%d lines removed, %d added", removed, added)
	}
}

// codeLines are a program's lines that are neither blank nor comments.
func codeLines(t *testing.T, name string) []string {
	t.Helper()
	source, err := os.ReadFile(filepath.Join(name, "main.go"))
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(string(source)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "//") {
			lines = append(lines, line)
		}
	}
	return lines
}

// difference counts the lines that are not in the longest common subsequence.
func difference(a, b []string) (removed, added int) {
	common := make([][]int, len(a)+1)
	for i := range common {
		common[i] = make([]int, len(b)+1)
	}
	for i := range a {
		for j := range b {
			if a[i] == b[j] {
				common[i+1][j+1] = common[i][j] + 1
			} else {
				common[i+1][j+1] = max(common[i][j+1], common[i+1][j])
			}
		}
	}
	n := common[len(a)][len(b)]
	return len(a) - n, len(b) - n
}
