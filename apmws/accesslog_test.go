package apmws_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/rs/zerolog"
	"github.com/rs/zerolog/hlog"

	"github.com/apmws/go-apmws/apmws"
)

// lineLog is a log's destination.
type lineLog chan map[string]any

func (l lineLog) Write(line []byte) (int, error) {
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.UseNumber()
	var f map[string]any
	if err := dec.Decode(&f); err != nil {
		return 0, err
	}
	l <- f
	return len(line), nil
}

// next returns the next line, which must be this one.
func (l lineLog) next(t *testing.T, message string) map[string]any {
	t.Helper()
	select {
	case line := <-l:
		if line["message"] != message {
			t.Fatalf("%v, want %s", line, message)
		}
		return line
	case <-time.After(25 * time.Second):
		t.Fatalf("no line %s", message)
	}
	return nil
}

// placements of the access log.
var placements = map[string]func(agent *apmws.Agent, logger zerolog.Logger, ws http.Handler) http.Handler{
	"around the mux": func(agent *apmws.Agent, logger zerolog.Logger, ws http.Handler) http.Handler {
		return accessLog(logger, pages(agent.Handler("/ws", ws)))
	},
	"inside of the agent": func(agent *apmws.Agent, logger zerolog.Logger, ws http.Handler) http.Handler {
		return pages(agent.Handler("/ws", accessLog(logger, ws)), func(h http.Handler) http.Handler { return accessLog(logger, h) })
	},
}

// pages is a server with ordinary pages beside a WebSocket.
func pages(ws http.Handler, wrap ...func(http.Handler) http.Handler) http.Handler {
	page := http.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			http.Error(w, "no", http.StatusTeapot)
			return
		}
		_, _ = io.WriteString(w, "hello")
	}))
	for _, w := range wrap {
		page = w(page)
	}
	mux := http.NewServeMux()
	mux.Handle("/ws", ws)
	mux.Handle("/", page)
	return mux
}

// TestAccessLog: an ordinary request has one line after its answer; a connection
// has the agent's, at once, and nothing from the access log when it ends.
func TestAccessLog(t *testing.T) {
	for name, place := range placements {
		t.Run(name, func(t *testing.T) {
			lines := make(lineLog, 100)
			logger := zerolog.New(lines)
			agent := apmws.New(apmws.Options{Logger: &logger})
			handled := make(chan struct{}, 2)
			ws := place(agent, logger, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Query().Get("token") == "bad" {
					http.Error(w, "no", http.StatusUnauthorized)
					return
				}
				echo(w, r)
			}))
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				ws.ServeHTTP(w, r)
				if r.Header.Get("Upgrade") != "" {
					handled <- struct{}{}
				}
			}))
			defer server.Close()

			request := func(method, path string, status int, size string) {
				t.Helper()
				req, err := http.NewRequestWithContext(t.Context(), method, server.URL+path, strings.NewReader("body"))
				if err != nil {
					t.Fatal(err)
				}
				req.Header.Set("User-Agent", "Browser/1.0")
				resp, err := http.DefaultClient.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				line := lines.next(t, "http request")
				checkInteger(t, line, "event.duration")
				delete(line, "event.duration")
				want := map[string]any{
					"level": "info", "message": "http request", "event.action": "http-request", "http.request.method": method, "url.path": strings.Split(path, "?")[0],
					"client.address": "127.0.0.1", "user_agent.original": "Browser/1.0",
					"http.response.status_code": json.Number(fmt.Sprint(status)), "http.response.body.bytes": json.Number(size),
				}
				if resp.StatusCode != status || !maps.Equal(line, want) {
					t.Errorf("%d: %v, want %v", resp.StatusCode, line, want)
				}
			}
			request("GET", "/?token=secret", 200, "5")
			request("POST", "/page?token=secret", 418, "3")
			request("GET", "/ws?token=bad", 401, "3") // no handshake, though it is the route

			url := "ws" + strings.TrimPrefix(server.URL, "http") + "/ws"
			conn, _, err := websocket.DefaultDialer.Dial(url+"?token=secret", http.Header{"User-Agent": {"Browser/1.0"}})
			if err != nil {
				t.Fatal(err)
			}
			arrival := lines.next(t, "websocket handshake")
			connected := lines.next(t, "websocket connected")
			checkInteger(t, connected, "event.duration")
			for key, value := range map[string]any{
				"http.request.method": "GET", "url.path": "/ws", "client.address": "127.0.0.1", "user_agent.original": "Browser/1.0",
			} { // the same names as in the line of a request
				if arrival[key] != value || connected[key] != value {
					t.Errorf("%s is %v, and then %v", key, arrival[key], connected[key])
				}
			}
			if connected["http.response.status_code"] != json.Number("101") {
				t.Errorf("connected with %v", connected)
			}
			conn.Close()
			lines.next(t, "websocket disconnected")
			<-handled

			if _, resp, err := websocket.DefaultDialer.Dial(url+"?token=bad", nil); err == nil || resp.StatusCode != http.StatusUnauthorized {
				t.Errorf("not refused: %v", err)
			}
			lines.next(t, "websocket handshake")
			if line := lines.next(t, "websocket refused"); line["http.response.status_code"] != json.Number("401") {
				t.Errorf("refused with %v", line)
			}
			<-handled
			server.Close()
			if len(lines) != 0 {
				t.Errorf("one line more: %v", <-lines)
			}
		})
	}
}

// TestAccessLogStripped: a handshake that a proxy has taken its headers from is
// one for the access log too, since it is one for the agent.
func TestAccessLogStripped(t *testing.T) {
	lines := make(lineLog, 100)
	logger := zerolog.New(lines)
	h := accessLog(logger, apmws.New(apmws.Options{Logger: &logger}).Handler("/ws", http.HandlerFunc(echo)))
	r := httptest.NewRequest(http.MethodGet, "/ws", nil)
	r.Header.Set("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
	h.ServeHTTP(httptest.NewRecorder(), r)
	lines.next(t, "websocket handshake")
	lines.next(t, "websocket refused")
	if len(lines) != 0 {
		t.Errorf("one line more: %v", <-lines)
	}
}

// checkInteger fails unless a field is a number without a fraction.
func checkInteger(t *testing.T, line map[string]any, key string) {
	t.Helper()
	n, _ := line[key].(json.Number)
	if v, err := n.Int64(); err != nil || v <= 0 {
		t.Errorf("%s is %v in %v", key, line[key], line)
	}
}

// TestMiddlewareInside: zerolog's own middleware between the agent and the
// handler, as it is, does not get into the way of an upgrade.
func TestMiddlewareInside(t *testing.T) {
	lines := make(lineLog, 100)
	logger := zerolog.New(lines)
	agent := apmws.New(apmws.Options{Logger: &logger})
	var statuses []int
	h := hlog.AccessHandler(func(_ *http.Request, status, _ int, _ time.Duration) { statuses = append(statuses, status) })(http.HandlerFunc(echo))
	h = hlog.RequestIDHandler("http.request.id", "X-Request-Id")(hlog.NewHandler(logger)(h))
	returned := make(chan struct{})
	observed := agent.Handler("/ws", h)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(returned)
		observed.ServeHTTP(w, r)
	}))
	defer server.Close()
	conn, _, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(server.URL, "http"), nil)
	if err != nil {
		t.Fatal(err, <-lines, <-lines)
	}
	conn.Close()
	<-returned
	if !slices.Equal(statuses, []int{0}) {
		t.Errorf("statuses: %v", statuses)
	}
}
