package main

import (
	"bufio"
	"context"
	"encoding/json"
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
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// chatProcess is the real chat, in a process of its own.
type chatProcess struct {
	url string

	mu    sync.Mutex
	lines []map[string]any
}

// startChat builds and starts the chat, and reads its log.
func startChat(t *testing.T) *chatProcess {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "chat")
	if out, err := exec.Command("go", "build", "-o", binary, "../chat").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	cmd := exec.Command(binary, "-addr", "127.0.0.1:0")
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "ELASTIC_APM_") && !strings.HasPrefix(v, "NEW_RELIC_") && !strings.HasPrefix(v, "REDIS_") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c := &chatProcess{}
	read := make(chan error, 1)
	go func() { read <- c.read(stdout) }()
	t.Cleanup(func() {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
		if err := <-read; err != nil {
			t.Error(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("the chat ends with %v", err)
		}
	})
	until(t, "the chat listens", func() bool { return c.count("message", "listening") == 1 })
	for _, line := range c.all() {
		if line["message"] == "listening" {
			c.url = line["url.full"].(string)
		}
	}
	return c
}

func (c *chatProcess) read(log io.Reader) error {
	scanner := bufio.NewScanner(log)
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		line := map[string]any{}
		if err := json.Unmarshal(scanner.Bytes(), &line); err != nil {
			return fmt.Errorf("%s: %w", scanner.Bytes(), err)
		}
		c.mu.Lock()
		c.lines = append(c.lines, line)
		c.mu.Unlock()
	}
	return scanner.Err()
}

func (c *chatProcess) all() []map[string]any {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clip(c.lines)
}

func (c *chatProcess) count(field string, value any) (n int) {
	for _, line := range c.all() {
		if line[field] == value {
			n++
		}
	}
	return n
}

// Against the real chat: all that it should see it does, both sides have counted
// the same, and nothing is left when the traffic ends.
func TestTraffic(t *testing.T) {
	c := startChat(t)
	var out, complaints output
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	cfg, err := configFrom([]string{"-url", c.url, "-connections", "24", "-rate", "8", "-churn", "1200"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	cfg.progress = 20 * time.Millisecond
	f := newFleet(cfg)
	code := make(chan int)
	go func() { code <- f.drive(ctx, &out, &complaints) }()
	echo := regexp.MustCompile(`, echo p50 [0-9.]*[1-9]`)
	back := regexp.MustCompile(`, [1-9][0-9]* lost, back p99 [0-9.]*[1-9]`)
	// Those that no run of any length can do without.
	until(t, "people have come, gone, vanished, been refused and been cut off", func() bool {
		return c.count("event.action", "websocket-connected") > 60 &&
			c.count("event.action", "websocket-refused") > 5 &&
			c.count("labels.websocket_refusal_reason", "token_malformed") > 0 &&
			c.count("labels.websocket_close_cause", "normal") > 0 &&
			c.count("labels.websocket_close_cause", "read_error") > 0 &&
			c.count("labels.websocket_close_cause", "message_too_big") > 0 &&
			f.counts.get(hopeless) > 0 && f.counts.get(unknown) > 0 && f.counts.get(complaint) > 0 &&
			echo.MatchString(out.String()) && back.MatchString(out.String())
	})
	stop()
	if got := <-code; got != 0 || complaints.String() != "" {
		t.Errorf("exit code %d, complaints %q", got, complaints.String())
	}
	until(t, "all connections have ended", func() bool {
		return c.count("event.action", "websocket-disconnected") == c.count("event.action", "websocket-connected")
	})
	if n := c.count("labels.websocket_close_cause", "going_away"); n == 0 {
		t.Error("nobody said goodbye in the end")
	}

	var did struct {
		opened, left, vanished, ended, refused, unreachable, sent, unknown, received, complaints, echoed, asked, unechoed int

		half, most, nearly, all string
		back, attempts, gaveUp  int
	}
	const form = "connections  %d opened: %d closed, %d dropped without a goodbye, %d ended by the chat\n" +
		"handshakes   %d refused; the chat was unreachable %d times\n" +
		"came back    %d, after p50 %s p90 %s p99 %s max %s at most %d attempts in a second; %d gave up\n" +
		"messages     %d sent, %d of them unknown to the chat; %d received, %d of them complaints\n" +
		"echoes       %d of %d, %d never came\n"
	_, summary, _ := strings.Cut(out.String(), "\nconnections  ")
	if _, err := fmt.Sscanf("connections  "+summary, form, &did.opened, &did.left, &did.vanished, &did.ended,
		&did.refused, &did.unreachable, &did.back, &did.half, &did.most, &did.nearly, &did.all, &did.attempts, &did.gaveUp, &did.sent, &did.unknown, &did.received, &did.complaints,
		&did.echoed, &did.asked, &did.unechoed); err != nil {
		t.Fatalf("the summary: %v\n%s", err, out.String())
	}
	if did.left+did.vanished+did.ended != did.opened || did.echoed+did.unechoed != did.asked {
		t.Errorf("the sums are wrong: %+v", did)
	}
	// A handshake that was under way when the time was over, or that took too long,
	// is counted there alone.
	lost := 24 + did.unreachable
	if n := c.count("event.action", "websocket-connected"); n < did.opened || n > did.opened+lost {
		t.Errorf("the chat has seen %d connections, and %d were opened", n, did.opened)
	}
	if n := c.count("event.action", "websocket-refused"); n < did.refused || n > did.refused+lost {
		t.Errorf("the chat has refused %d handshakes, and %d were", n, did.refused)
	}
	// Those with a wrong token try once more; one may be on its way in the end.
	if did.gaveUp == 0 || did.refused < 2*did.gaveUp || did.attempts == 0 {
		t.Errorf("%d refusals, %d have given up, %d attempts in a second", did.refused, did.gaveUp, did.attempts)
	}
	// Who said too much at once was cut off, and came back.
	if longest, err := time.ParseDuration(strings.TrimSuffix(did.all, ";")); err != nil || longest == 0 || did.back == 0 || did.back > did.ended {
		t.Errorf("%d connections were lost, %d people came back, and the longest way was %s (%v)", did.ended, did.back, did.all, err)
	}
	if did.echoed == 0 || did.unknown == 0 || did.complaints == 0 {
		t.Errorf("there is no life in it: %+v", did)
	}
}

// A chat that is away at first, and one that forgets its tokens, are come back
// to.
func TestComesBack(t *testing.T) {
	var logins, handshakes, rejected atomic.Int64
	upgrader := websocket.Upgrader{}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /login", func(w http.ResponseWriter, _ *http.Request) {
		if logins.Add(1) <= 3 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		fmt.Fprint(w, `{"token":"good"}`)
	})
	mux.HandleFunc("/ws", func(w http.ResponseWriter, r *http.Request) {
		status := http.StatusForbidden // of an intruder
		if r.Header.Get("Authorization") == "Bearer good" && r.Header.Get("Origin") == "" {
			switch handshakes.Add(1) {
			case 1, 2:
				status = http.StatusUnauthorized
			case 3:
				status = http.StatusBadGateway // an answer, too, and nothing that a new token would mend
			default:
				status = http.StatusSwitchingProtocols
			}
		}
		if status != http.StatusSwitchingProtocols {
			rejected.Add(1)
			w.WriteHeader(status)
			return
		}
		conn, err := upgrader.Upgrade(w, r, nil)
		if err == nil {
			conn.Close() // at once: it is not well yet
		}
	})
	server := httptest.NewServer(mux)
	defer server.Close()

	cfg, err := configFrom([]string{"-url", server.URL, "-connections", "1"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	cfg.firstDelay, cfg.maxDelay = time.Millisecond, 4*time.Millisecond
	cfg.progress = 5 * time.Millisecond
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	f := newFleet(cfg)
	var out output
	over := make(chan struct{})
	go func() {
		f.run(ctx, &out)
		close(over)
	}()
	until(t, "three connections", func() bool { return f.counts.get(opened) >= 3 })
	until(t, "a line", func() bool { return strings.Contains(out.String(), "3 times unreachable") })
	stop()
	<-over
	if n := f.counts.get(unreachable); n != 3 {
		t.Errorf("%d times unreachable, want 3", n)
	}
	// One that was given up in the end is counted there alone.
	if n, all := f.counts.get(refused), rejected.Load(); n < 3 || n < all-1 || n > all {
		t.Errorf("%d handshakes are refused, want %d", n, all)
	}
	if n := logins.Load(); n != 3+1+2 {
		t.Errorf("%d logins, want one more after each 401", n)
	}
	if f.counts.get(opened) != f.counts.get(ended)+f.counts.get(left)+f.counts.get(vanished) {
		t.Errorf("a connection has no end: %v", &f.counts)
	}
}

// Who loses a node goes to the next; with a token whose end is near, a new one is
// fetched and nothing is lost.
func TestNextNode(t *testing.T) {
	t.Parallel()
	var first, second atomic.Int64 // connections
	upgrader := websocket.Upgrader{}
	node := func(seen *atomic.Int64, serve func(*websocket.Conn)) *httptest.Server {
		mux := http.NewServeMux()
		mux.HandleFunc("POST /login", func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, `{"token":"good","expires_in":3}`)
		})
		mux.HandleFunc("/ws", func(w http.ResponseWriter, r *http.Request) {
			conn, err := upgrader.Upgrade(w, r, nil)
			if err != nil {
				return
			}
			defer conn.Close()
			seen.Add(1)
			serve(conn)
		})
		server := httptest.NewServer(mux)
		t.Cleanup(server.Close)
		return server
	}
	dies := node(&first, func(*websocket.Conn) {})
	lives := node(&second, func(conn *websocket.Conn) {
		for {
			if _, _, err := conn.ReadMessage(); err != nil {
				return
			}
		}
	})
	cfg, err := configFrom([]string{"-url", dies.URL + "," + lives.URL}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	f := newFleet(cfg)
	v := newVisit(newPerson(f, 0), talks)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	over := make(chan struct{})
	go func() {
		v.run(ctx)
		close(over)
	}()
	until(t, "another connection to the node that lives", func() bool { return f.counts.get(opened) >= 3 })
	stop()
	<-over
	if n := first.Load(); n != 1 || second.Load() < 2 {
		t.Errorf("%d and %d connections to the nodes", n, second.Load())
	}
	if lost, went := f.counts.get(ended), f.counts.get(left); lost != 1 || went < 2 || lost+went != f.counts.get(opened) {
		t.Errorf("it has counted %v", &f.counts)
	}
	if d := f.backAfter.percentile(100); d == 0 {
		t.Error("nobody came back")
	}
}

// Where there is no chat at all it says so, and fails.
func TestNobodyThere(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close() // its port refuses connections
	cfg, err := configFrom([]string{"-url", server.URL, "-connections", "2"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	cfg.progress = 5 * time.Millisecond
	var out, complaints output
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	code := make(chan int)
	go func() { code <- newFleet(cfg).drive(ctx, &out, &complaints) }()
	until(t, "it is known why", func() bool { return strings.Contains(out.String(), "refused)") })
	stop()
	if got := <-code; got != 1 || !strings.Contains(complaints.String(), "could be opened: ") || !strings.Contains(complaints.String(), "connection refused") {
		t.Errorf("exit code %d, complaints %q", got, complaints.String())
	}
}

// It ends by itself when the time is over.
func TestDuration(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	var out, complaints output
	code := run(t.Context(), []string{"-url", server.URL, "-connections", "1", "-for", "1ms"}, &out, &complaints)
	if code != 1 || !strings.Contains(out.String(), "connections  0 opened") {
		t.Errorf("exit code %d, it writes %q", code, out.String())
	}
}

// One who reads slowly, and one who does nothing at all, end with the traffic,
// too: against a chat that goes on sending, and never closes.
func TestQuietOnes(t *testing.T) {
	t.Parallel()
	for _, m := range []manner{slow, freezes} {
		t.Run(fmt.Sprint(m), func(t *testing.T) {
			t.Parallel()
			var sent atomic.Int64
			ended := make(chan struct{})
			upgrader := websocket.Upgrader{}
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				conn, err := upgrader.Upgrade(w, r, nil)
				if err != nil {
					return
				}
				defer conn.Close()
				for conn.WriteMessage(websocket.TextMessage, []byte(`{"type":"chat.joined"}`)) == nil {
					sent.Add(1)
					time.Sleep(time.Millisecond)
				}
				close(ended)
			}))
			defer server.Close()
			cfg, err := configFrom([]string{"-url", server.URL}, io.Discard)
			if err != nil {
				t.Fatal(err)
			}
			f := newFleet(cfg)
			p := newPerson(f, 0)
			p.token = token{text: "good"}
			v := newVisit(p, m)
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			go func() {
				for sent.Load() < 10 && ctx.Err() == nil {
					time.Sleep(time.Millisecond)
				}
				stop()
			}()
			v.run(ctx)
			<-ended
			if n := f.counts.get(received); n >= sent.Load() || m == freezes && n != 0 {
				t.Errorf("it has read %d of %d messages", n, sent.Load())
			}
			if n := f.counts.get(left); n != 1 {
				t.Errorf("it has left %d times", n)
			}
		})
	}
}
