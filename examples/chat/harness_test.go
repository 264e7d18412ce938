package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/apmws/go-apmws/apmws"
)

// patience bounds every wait; it is only ever reached by a test that fails.
const patience = 2 * time.Minute

// logLines collects log lines, and lets tests wait for one.
type logLines struct {
	mu      sync.Mutex
	partial []byte
	raw     bytes.Buffer
	lines   []logLine
	more    chan struct{} // closed and renewed with every line
}

// logLine is a line's fields; those of one that is no JSON are its text.
type logLine map[string]any

func (l logLine) str(field string) string {
	s, _ := l[field].(string)
	return s
}

func (l *logLines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.raw.Write(b)
	l.partial = append(l.partial, b...)
	for {
		line, rest, ok := bytes.Cut(l.partial, []byte("\n"))
		if !ok {
			break
		}
		fields := logLine{}
		if json.Unmarshal(line, &fields) != nil {
			fields = logLine{"text": string(line)}
		}
		l.lines = append(l.lines, fields)
		l.partial = rest
		if l.more != nil {
			close(l.more)
			l.more = nil
		}
	}
	return len(b), nil
}

func (l *logLines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.raw.String()
}

// all returns the lines that match so far, and a channel that closes with the
// next line.
func (l *logLines) all(match func(logLine) bool) ([]logLine, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var found []logLine
	for _, line := range l.lines {
		if match(line) {
			found = append(found, line)
		}
	}
	if l.more == nil {
		l.more = make(chan struct{})
	}
	return found, l.more
}

// wait waits for n lines that match.
func (l *logLines) wait(t *testing.T, what string, n int, match func(logLine) bool) []logLine {
	t.Helper()
	deadline := time.After(patience)
	for {
		found, more := l.all(match)
		if len(found) >= n {
			return found
		}
		select {
		case <-more:
		case <-deadline:
			t.Fatalf("%d of %d lines: %s; the log is\n%s", len(found), n, what, l)
		}
	}
}

func action(name string) func(logLine) bool {
	return func(l logLine) bool { return l["event.action"] == name }
}

func message(text string) func(logLine) bool {
	return func(l logLine) bool { return l["message"] == text }
}

// node is a chat server in the test's process.
type node struct {
	*server
	log  *logLines
	stop func() // idempotent
}

// startNode starts a server on a port of its own. It is shut down with the test.
func startNode(t *testing.T, change func(*config)) *node {
	t.Helper()
	lines := &logLines{}
	cfg := config{
		addr: "127.0.0.1:0", service: "chat-test", environment: "test", log: testLogger.Output(lines),
		heartbeat: apmws.Heartbeat{Interval: -1}, // a peer answers pings while it reads, and tests do so now and then
	}
	if change != nil {
		change(&cfg)
	}
	s, err := start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	n := &node{server: s, log: lines, stop: sync.OnceFunc(func() { s.shutdown(context.WithoutCancel(t.Context())) })}
	t.Cleanup(n.stop)
	return n
}

// request makes an HTTP request on a connection of its own.
func request(t *testing.T, method, url, body string, header map[string]string) (*http.Response, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range header {
		if name == "Host" {
			req.Host = value
		}
		req.Header.Set(name, value)
	}
	transport := &http.Transport{DisableKeepAlives: true, TLSClientConfig: trustAll()}
	res, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(answer)
}

// trustAll trusts any certificate: the server makes its own.
func trustAll() *tls.Config { return &tls.Config{InsecureSkipVerify: true} }

var asJSON = map[string]string{"Content-Type": "application/json"}

// signIn returns a token of /login.
func signIn(t *testing.T, url, user string) string {
	t.Helper()
	res, body := request(t, "POST", url+"login", `{"user":"`+user+`"}`, asJSON)
	var answer struct {
		Token string `json:"token"`
	}
	if res.StatusCode != http.StatusOK || json.Unmarshal([]byte(body), &answer) != nil || answer.Token == "" {
		t.Fatalf("login: %d %s", res.StatusCode, body)
	}
	return answer.Token
}

func wsURL(url string) string { return "ws" + strings.TrimPrefix(url, "http") + "ws" }

// peer is a client of the chat.
type peer struct {
	*websocket.Conn
	t *testing.T
}

// join signs a user in, connects, and joins a room.
func join(t *testing.T, url, user, room string) *peer {
	t.Helper()
	p := connect(t, url, signIn(t, url, user))
	p.send(fmt.Sprintf(`{"type":"chat.join","room":%q}`, room))
	p.expect(map[string]string{"type": "chat.joined", "room": room})
	return p
}

// connect connects as a browser does, with the token in the subprotocol.
func connect(t *testing.T, url, token string) *peer {
	t.Helper()
	conn, res, err := dial(t, wsURL(url), http.Header{"Sec-Websocket-Protocol": {"bearer, " + token}})
	if err != nil {
		t.Fatalf("dial: %v (%v)", err, res)
	}
	return &peer{conn, t}
}

func dial(t *testing.T, url string, header http.Header) (*websocket.Conn, *http.Response, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	dialer := websocket.Dialer{TLSClientConfig: trustAll()}
	conn, res, err := dialer.DialContext(ctx, url, header)
	if err == nil {
		t.Cleanup(func() { conn.Close() })
		err = conn.SetReadDeadline(time.Now().Add(patience))
	}
	return conn, res, err
}

// wait bounds the next read: the peer may have had other things to do for long.
func (p *peer) wait() {
	p.t.Helper()
	if err := p.SetReadDeadline(time.Now().Add(patience)); err != nil {
		p.t.Fatal(err)
	}
}

func (p *peer) send(text string) {
	p.t.Helper()
	if err := p.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
		p.t.Fatal(err)
	}
}

func (p *peer) say(room, text string) {
	p.t.Helper()
	if err := p.WriteJSON(map[string]string{"type": "chat.say", "room": room, "text": text}); err != nil {
		p.t.Fatal(err)
	}
}

func (p *peer) receive() map[string]string {
	p.t.Helper()
	var got map[string]string
	p.wait()
	if err := p.ReadJSON(&got); err != nil {
		p.t.Fatalf("read: %v", err)
	}
	return got
}

// expect receives a message that has just these fields.
func (p *peer) expect(want map[string]string) {
	p.t.Helper()
	if got := p.receive(); fmt.Sprint(got) != fmt.Sprint(want) {
		p.t.Fatalf("received %v, want %v", got, want)
	}
}

// expectError receives an error with a text that contains part.
func (p *peer) expectError(part string) {
	p.t.Helper()
	got := p.receive()
	if got["type"] != "error" || part == "" || !strings.Contains(got["error"], part) {
		p.t.Fatalf("received %v, want an error with %q", got, part)
	}
}

// expectClose reads until the close frame and checks its code.
func (p *peer) expectClose(code int) {
	p.t.Helper()
	p.wait()
	for {
		_, _, err := p.ReadMessage()
		if err == nil {
			continue
		}
		if !websocket.IsCloseError(err, code) {
			p.t.Fatalf("the connection ended with %v, want code %d", err, code)
		}
		return
	}
}

// expectClosed receives nothing but messages of rooms before a close frame.
func (p *peer) expectClosed(code int, reason string) {
	p.t.Helper()
	p.wait()
	for {
		_, message, err := p.ReadMessage()
		if err == nil && strings.HasPrefix(string(message), `{"type":"chat.said"`) {
			continue
		}
		if closed := new(websocket.CloseError); !errors.As(err, &closed) || closed.Code != code || closed.Text != reason {
			p.t.Fatalf("received %s, and the connection ended with %v, want %d %s", message, err, code, reason)
		}
		return
	}
}

func sayings(room, user, text string) map[string]string {
	return map[string]string{"type": "chat.said", "room": room, "user": user, "text": text}
}
