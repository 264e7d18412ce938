package main

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/apmws/go-apmws/apmws"
)

// Each request has one line: an ordinary one when it was answered, a handshake
// apmws' own.
func TestAccessLog(t *testing.T) {
	n := startNode(t, nil)
	res, page := request(t, "GET", n.url+"?secret=query", "", map[string]string{"User-Agent": "the-agent"})
	if res.StatusCode != http.StatusOK {
		t.Fatal(res.Status)
	}
	request(t, "GET", n.url+"nowhere", "", nil)
	ada := join(t, n.url, "Ada", "tea")
	// A line is written after its answer, so their order is anybody's.
	lines := map[any]logLine{}
	for _, line := range n.log.wait(t, "requests", 3, action("http-request")) {
		lines[line["url.path"]] = line
	}

	first := lines["/"]
	if d, ok := first["event.duration"].(float64); !ok || d <= 0 || d != float64(int64(d)) {
		t.Errorf("event.duration is %v, not a number of nanoseconds", first["event.duration"])
	}
	for field, want := range map[string]any{
		"message": "http request", "log.level": "info", "http.request.method": "GET", "url.path": "/",
		"client.address": "127.0.0.1", "user_agent.original": "the-agent", "http.response.status_code": 200.0,
		"http.response.body.bytes": float64(len(page)), "event.outcome": "success",
	} {
		if first[field] != want {
			t.Errorf("%s is %v, want %v", field, first[field], want)
		}
	}
	if lines["/nowhere"]["http.response.status_code"] != 404.0 || lines["/login"]["http.response.status_code"] != 200.0 {
		t.Errorf("the lines are %v", lines)
	}

	// The handshake has its lines already, under the same names.
	for _, name := range []string{"websocket-handshake", "websocket-connected"} {
		line := n.log.wait(t, name, 1, action(name))[0]
		for _, field := range []string{"http.request.method", "url.path", "client.address", "user_agent.original"} {
			if _, ok := line[field]; !ok {
				t.Errorf("no %s in %v", field, line)
			}
		}
	}
	ada.Close()
	n.log.wait(t, "disconnected", 1, action("websocket-disconnected"))
	n.stop() // and with it every handler
	if all, _ := n.log.all(action("http-request")); len(all) != 3 {
		t.Errorf("%d access lines, want 3: %v", len(all), all)
	}
	if strings.Contains(n.log.String(), "secret=query") {
		t.Error("the log shows a query")
	}
}

// A handshake for a path where no agent is, is an ordinary request.
func TestAccessLogOfStrayHandshake(t *testing.T) {
	n := startNode(t, nil)
	if _, res, err := dial(t, wsURL(n.url)+"/nowhere", nil); err == nil || res.StatusCode != http.StatusNotFound {
		t.Fatalf("answered by %v (%v)", res, err)
	}
	if line := n.log.wait(t, "request", 1, action("http-request"))[0]; line["http.response.status_code"] != 404.0 {
		t.Errorf("logged as %v", line)
	}
}

// The recipe by itself: levels, a handler that writes nothing, one that
// panics, and an upgrade through it.
func TestAccessLogRecipe(t *testing.T) {
	lines := &logLines{}
	logger := testLogger.Output(lines)
	agent := apmws.New(apmws.Options{Logger: &logger})
	logged := accessLog(logger, agent.ClientAddress, func(r *http.Request) bool { return r.URL.Path == "/quiet" })
	mux := http.NewServeMux()
	mux.Handle("/", logged(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/fails":
			w.WriteHeader(http.StatusBadGateway)
		case "/panics":
			panic(http.ErrAbortHandler)
		case "/quiet", "/path":
			fmt.Fprint(w, "12345")
		}
	})))
	mux.Handle("/ws", agent.Handler("/ws", logged(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var upgrader websocket.Upgrader
		conn, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		conn.Close()
	}))))
	server := httptest.NewServer(mux)
	defer server.Close()
	for _, path := range []string{"/path", "/nothing", "/fails", "/quiet"} {
		request(t, "GET", server.URL+path+"?a=b", "", nil)
	}
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	fmt.Fprintf(conn, "GET /panics HTTP/1.1\r\nHost: x\r\n\r\n")
	if _, err := http.ReadResponse(bufio.NewReader(conn), nil); err == nil {
		t.Error("an answer after a panic")
	}
	if c, _, err := dial(t, "ws"+strings.TrimPrefix(server.URL, "http")+"/ws", nil); err != nil {
		t.Fatal(err)
	} else if _, _, err := c.ReadMessage(); err == nil {
		t.Error("a message out of nowhere")
	}
	lines.wait(t, "disconnected", 1, action("websocket-disconnected"))
	server.Close() // waits for the handlers

	var got []string
	all, _ := lines.all(action("http-request"))
	for _, l := range all {
		got = append(got, fmt.Sprint(l["url.path"], " ", l["http.response.status_code"], " ", l["event.outcome"], " ", l["log.level"], " ", l["http.response.body.bytes"]))
	}
	want := []string{
		"/path 200 success info 5", "/nothing <nil> unknown info 0", "/fails 502 failure error 0", "/quiet 200 success debug 5",
		"/panics <nil> unknown info 0",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("the lines are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
