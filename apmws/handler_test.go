package apmws

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/rs/zerolog"
)

// lockedBuffer is a log's destination.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// TestArrivalIsLoggedFirst: the handshake's line is there when the handler
// begins, and CONNECT is exported while the connection is open.
func TestArrivalIsLoggedFirst(t *testing.T) {
	var out lockedBuffer
	logger := zerolog.New(&out)
	rec := newRecorder()
	agent := New(Options{Logger: &logger, Exporters: []Exporter{rec}})
	begun, goOn := make(chan string, 1), make(chan struct{})
	echo := echoLoop(&websocket.Upgrader{})
	url := serveWS(t, agent.Handler("/ws", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begun <- out.String()
		<-goOn // slow authentication
		echo.ServeHTTP(w, r)
	})))
	go func() {
		if line := <-begun; !strings.Contains(line, `"message":"websocket handshake"`) {
			t.Errorf("the handler began before the arrival line; the log was %q", line)
		}
		if n := len(rec.all("opened")); n != 0 {
			t.Errorf("CONNECT ended before the handler answered")
		}
		close(goOn)
	}()
	conn := dial(t, url, nil)
	opened := rec.wait(t, "opened", 1)[0]
	if opened.status != 101 || opened.result != "HTTP 1xx" || opened.outcome != OutcomeSuccess {
		t.Errorf("CONNECT ended with %+v", opened)
	}
	if n := len(agent.Connections()); n != 1 {
		t.Errorf("%d connections are registered", n)
	}
	if n := len(rec.all("disconnect")); n != 0 {
		t.Error("DISCONNECT of an open connection")
	}
	conn.Close()
	rec.wait(t, "disconnect", 1)
	eventually(t, "no connection is registered after the end", func() bool { return len(agent.Connections()) == 0 })
}

func TestRefusals(t *testing.T) {
	answer := func(status int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }
	}
	upgrade := echoLoop(&websocket.Upgrader{}).ServeHTTP
	hijack := func(raw string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			for i := range raw { // a byte at a time: the head may come in any pieces
				_, _ = io.WriteString(conn, raw[i:i+1])
			}
		}
	}
	tests := []struct {
		name    string
		handler http.HandlerFunc
		header  http.Header
		status  int // 0: none
		reason  string
		outcome Outcome
		failure bool
	}{
		{"401", answer(401), nil, 401, "unauthenticated", OutcomeSuccess, false},
		{"403", answer(403), nil, 403, "forbidden", OutcomeSuccess, false},
		{"404", answer(404), nil, 404, "_OTHER", OutcomeSuccess, false},
		{"500", answer(500), nil, 500, "upgrade_failed", OutcomeFailure, false},
		{"503", answer(503), nil, 503, "_OTHER", OutcomeFailure, false},
		{"early hints first", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusEarlyHints)
			w.WriteHeader(http.StatusTeapot)
		}, nil, 418, "_OTHER", OutcomeSuccess, false},
		{"no answer of its own", func(http.ResponseWriter, *http.Request) {}, nil, 200, "_OTHER", OutcomeSuccess, false},
		{"body only", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "no") }, nil, 200, "_OTHER", OutcomeSuccess, false},
		{"gorilla's origin check", upgrade, http.Header{"Origin": {"https://elsewhere.example"}}, 403, "origin", OutcomeSuccess, false},
		{"registered reason", func(w http.ResponseWriter, r *http.Request) {
			FromContext(r.Context()).SetRefusalReason("quota")
			w.WriteHeader(http.StatusTooManyRequests)
		}, nil, 429, "quota", OutcomeSuccess, false},
		{"unregistered reason", func(w http.ResponseWriter, r *http.Request) {
			FromContext(r.Context()).SetRefusalReason("made up by " + r.UserAgent())
			w.WriteHeader(http.StatusTooManyRequests)
		}, nil, 429, "_OTHER", OutcomeSuccess, false},
		{"panic", func(http.ResponseWriter, *http.Request) { panic("boom") }, nil, 0, "upgrade_failed", OutcomeFailure, true},
		{"panic after the answer", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusUnauthorized)
			panic("boom")
		}, nil, 0, "upgrade_failed", OutcomeFailure, true},
		{"panic after the answer was sent", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusUnauthorized)
			w.(http.Flusher).Flush()
			panic("boom")
		}, nil, 401, "upgrade_failed", OutcomeFailure, true},
		{"abort", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, nil, 0, "upgrade_failed", OutcomeFailure, false},
		{"raw refusal", hijack("HTTP/1.1 409 Conflict\r\nContent-Length: 0\r\n\r\n"), nil, 409, "_OTHER", OutcomeSuccess, false},
		{"hijacked and closed", hijack(""), nil, 0, "upgrade_failed", OutcomeFailure, false},
		{"hijacked, half a 101", hijack("HTTP/1.1 101 Swit"), nil, 0, "upgrade_failed", OutcomeFailure, false},
		{"hijacked, no HTTP", hijack("220 smtp ready\r\n\r\n"), nil, 0, "upgrade_failed", OutcomeFailure, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			rec := newRecorder()
			agent := New(Options{Exporters: []Exporter{rec}, RefusalReasons: []string{"quota"}})
			url := serveWS(t, agent.Handler("/ws", test.handler))
			_, resp, err := websocket.DefaultDialer.Dial(url, test.header)
			if err == nil {
				t.Fatal("the handshake was accepted")
			}
			// gorilla's client takes an informational answer for the last one.
			if test.status != 0 && test.name != "early hints first" && (resp == nil || resp.StatusCode != test.status) {
				t.Errorf("the client saw %v, want status %d", resp, test.status)
			}
			end := rec.wait(t, "opened", 1)[0]
			if end.status != test.status || end.outcome != test.outcome || end.attrs["websocket.refusal.reason"] != test.reason {
				t.Errorf("CONNECT: status %d, outcome %s, reason %v; want %d, %s, %s", end.status, end.outcome,
					end.attrs["websocket.refusal.reason"], test.status, test.outcome, test.reason)
			}
			if (end.failure != nil) != test.failure {
				t.Errorf("failure is %+v", end.failure)
			}
			stats := agent.Stats().Routes[0]
			if len(stats.Refused) != 1 || stats.Refused[0] != (RefusedStats{test.status, test.reason, 1}) {
				t.Errorf("counted %+v", stats.Refused)
			}
			if stats.ConnectionsOpened != 0 || stats.ConnectionsActive != 0 || len(stats.Closed) != 0 || stats.BytesSent != 0 {
				t.Errorf("a refusal counts as a connection: %+v", stats)
			}
			if n := len(rec.all("disconnect")); n != 0 {
				t.Errorf("%d DISCONNECTs of a refused handshake", n)
			}
		})
	}
}

// TestHandlerPanic: a panic after the upgrade is the cause of the end, with its
// value, although the handler's deferred Close comes first.
func TestHandlerPanic(t *testing.T) {
	rec := newRecorder()
	agent := New(Options{Exporters: []Exporter{rec}})
	boom := errors.New("boom")
	url := serveWS(t, agent.Handler("/ws", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := (&websocket.Upgrader{}).Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer conn.Close()
		_, _, _ = conn.ReadMessage()
		panic(boom)
	})))
	conn := dial(t, url, nil)
	if err := conn.WriteMessage(websocket.TextMessage, []byte("x")); err != nil {
		t.Fatal(err)
	}
	end := rec.wait(t, "disconnect", 1)[0]
	if end.result != "panic" || end.outcome != OutcomeFailure {
		t.Errorf("ended with %s, %s", end.result, end.outcome)
	}
	if end.failure == nil || end.failure.Panic != boom || !bytes.Contains(end.failure.Stack, []byte("TestHandlerPanic")) {
		t.Errorf("failure is %+v", end.failure)
	}
	if n := len(rec.all("disconnect")); n != 1 {
		t.Errorf("%d DISCONNECTs", n)
	}
}

// TestNoHandshake: other requests get the very ResponseWriter and Request that
// came in.
func TestNoHandshake(t *testing.T) {
	rec := newRecorder()
	agent := New(Options{Exporters: []Exporter{rec}})
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	called := false
	agent.Handler("/ws", http.HandlerFunc(func(gotW http.ResponseWriter, gotR *http.Request) {
		called = true
		if gotW != http.ResponseWriter(w) || gotR != r {
			t.Error("the request was touched")
		}
		if FromContext(gotR.Context()) != nil {
			t.Error("an ordinary request has a connection")
		}
	})).ServeHTTP(w, r)
	if !called || len(rec.events) != 0 {
		t.Errorf("called %v, events %v", called, rec.events)
	}
	if s := agent.Stats().Routes[0]; s.ConnectionsOpened != 0 || len(s.Refused) != 0 {
		t.Errorf("counted %+v", s)
	}
}

// TestStrippedHandshake: a proxy that takes the hop-by-hop headers away makes
// every handshake fail; that must be seen.
func TestStrippedHandshake(t *testing.T) {
	rec := newRecorder()
	agent := New(Options{Exporters: []Exporter{rec}})
	r := httptest.NewRequest(http.MethodGet, "/ws", nil)
	r.Header.Set("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
	r.Header.Set("Sec-WebSocket-Version", "13")
	agent.Handler("/ws", echoLoop(&websocket.Upgrader{})).ServeHTTP(httptest.NewRecorder(), r)
	end := rec.wait(t, "opened", 1)[0]
	if end.status != 400 || end.attrs["websocket.refusal.reason"] != "bad_handshake" {
		t.Errorf("got %+v", end)
	}
}

// TestContextSwitches: a handler's context carries CONNECT until the 101 has
// been written and no vendor's transaction afterwards, whatever was outside.
func TestContextSwitches(t *testing.T) {
	rec := newRecorder()
	agent := New(Options{Exporters: []Exporter{rec}})
	outer := &vendorTx{name: "outer"}
	type appKey struct{}
	done := make(chan struct{})
	h := agent.Handler("/ws", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(done)
		derived := context.WithValue(r.Context(), appKey{}, "derived")
		if tx := vendorOf(derived); tx == nil || tx.name != "CONNECT /ws" || tx.ended {
			t.Errorf("before the upgrade the context carries %+v", tx)
		}
		conn, err := (&websocket.Upgrader{}).Upgrade(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		if tx := vendorOf(derived); tx != nil {
			t.Errorf("after the upgrade the context carries %+v", tx)
		}
		if _, span := StartSpan(derived, "late", SpanOptions{}); span != nil {
			t.Error("a span started below an ended CONNECT")
		}
		if derived.Value(appKey{}) != "derived" || FromContext(derived) == nil || r.Context().Value(appKey{}) != nil {
			t.Error("other values were lost")
		}
		if derived.Value(http.ServerContextKey) == nil {
			t.Error("the server's values were lost")
		}
	}))
	url := serveWS(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), vendorKey{}, outer)))
	}))
	dial(t, url, nil)
	<-done
	rec.wait(t, "disconnect", 1)
	if spans := rec.all("span"); len(spans) != 0 {
		t.Errorf("spans: %+v", spans)
	}
}

// TestSpansBelowConnect: authentication is a span of CONNECT.
func TestSpansBelowConnect(t *testing.T) {
	rec := newRecorder()
	agent := New(Options{Exporters: []Exporter{rec}})
	url := serveWS(t, agent.Handler("/ws", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, span := StartSpan(r.Context(), "authenticate", SpanOptions{})
		_, query := StartSpan(ctx, "SELECT users", SpanOptions{Type: "db.postgresql.query", Destination: "postgresql"})
		query.End(errors.New("no such user"))
		span.End(nil)
		span.End(errors.New("again")) // does nothing
		w.WriteHeader(http.StatusUnauthorized)
	})))
	_, _, _ = websocket.DefaultDialer.Dial(url, nil)
	rec.wait(t, "opened", 1)
	spans, ends := rec.all("span"), rec.all("span-end")
	if len(spans) != 2 || len(ends) != 2 {
		t.Fatalf("%d spans, %d ends", len(spans), len(ends))
	}
	if spans[0].parent != "CONNECT /ws" || spans[1].parent != "authenticate" {
		t.Errorf("parents are %q and %q", spans[0].parent, spans[1].parent)
	}
	if spans[0].start.Type != "app" || spans[1].start.Destination != "postgresql" {
		t.Errorf("started %+v and %+v", spans[0].start, spans[1].start)
	}
	if ends[0].outcome != OutcomeFailure || ends[1].outcome != OutcomeSuccess {
		t.Errorf("ended %s and %s", ends[0].outcome, ends[1].outcome)
	}
	if spans[0].attrs["websocket.connection.id"] != rec.all("connect")[0].conn {
		t.Errorf("span attributes: %v", spans[0].attrs)
	}
}

// TestForgottenConnection: a connection that the program has lost is closed by
// the garbage collector, as without the agent, and its end is reported.
func TestForgottenConnection(t *testing.T) {
	rec := newRecorder()
	agent := New(Options{Exporters: []Exporter{rec}})
	url := serveWS(t, agent.Handler("/ws", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := (&websocket.Upgrader{}).Upgrade(w, r, nil); err != nil {
			t.Error(err)
		}
	})))
	conn := dial(t, url, nil)
	rec.wait(t, "opened", 1)
	for deadline := time.Now().Add(patience); len(rec.all("disconnect")) == 0; {
		if time.Now().After(deadline) {
			t.Fatal("a forgotten connection stays registered")
		}
		runtime.GC()
	}
	var netErr net.Error
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	if _, _, err := conn.ReadMessage(); errors.As(err, &netErr) && netErr.Timeout() {
		t.Error("the socket of a forgotten connection stays open")
	}
	if agent.Stats().Routes[0].ConnectionsActive != 0 {
		t.Error("it still counts as active")
	}
}

// TestPings: round trips of pings that the application sends, whoever it is.
func TestPings(t *testing.T) {
	rec := newRecorder()
	agent := New(Options{Exporters: []Exporter{rec}})
	pong := make(chan struct{})
	url := serveWS(t, agent.Handler("/ws", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := (&websocket.Upgrader{}).Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer conn.Close()
		conn.SetPongHandler(func(string) error { close(pong); return nil })
		_ = conn.WriteControl(websocket.PingMessage, []byte("one"), time.Now().Add(time.Second))
		go func() {
			<-pong
			_ = conn.WriteControl(websocket.PingMessage, []byte("lost"), time.Now().Add(time.Second))
			_ = conn.WriteMessage(websocket.TextMessage, []byte("go"))
		}()
		_, _, _ = conn.ReadMessage()
	})))
	conn := dial(t, url, nil)
	answered := 0
	conn.SetPingHandler(func(data string) error {
		if answered++; answered > 1 {
			return nil // silent from now on
		}
		return conn.WriteControl(websocket.PongMessage, []byte(data), time.Now().Add(time.Second))
	})
	if _, _, err := conn.ReadMessage(); err != nil {
		t.Fatal(err)
	}
	info := agent.Connections()
	if len(info) != 1 || info[0].PingRTT <= 0 {
		t.Errorf("connections: %+v", info)
	}
	conn.Close()
	end := rec.wait(t, "disconnect", 1)[0]
	if rtt, _ := end.attrs["websocket.ping.rtt"].(float64); rtt <= 0 {
		t.Errorf("DISCONNECT's round trip is %v", end.attrs["websocket.ping.rtt"])
	}
	s := agent.Stats().Routes[0]
	if s.PingRTT.Count != 1 || s.PingsUnanswered != 1 {
		t.Errorf("%d round trips, %d unanswered", s.PingRTT.Count, s.PingsUnanswered)
	}
}

// TestEndpointAfterUpgrade: an Endpoint that gets a connection which the program has
// upgraded by itself changes nothing any more: CONNECT has ended.
func TestEndpointAfterUpgrade(t *testing.T) {
	rec := newRecorder()
	agent := New(Options{Exporters: []Exporter{rec}})
	endpoint := agent.Endpoint("/ws", EndpointOptions{Message: func(context.Context, Message) error { return nil }})
	url := serveWS(t, agent.Handler("/ws", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ws, err := new(websocket.Upgrader).Upgrade(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		defer ws.Close()
		endpoint.ServeHTTP(w, r)
	})))
	dial(t, url, nil)
	rec.wait(t, "disconnect", 1)
	if ends := rec.all("opened"); len(ends) != 1 || ends[0].outcome != OutcomeSuccess {
		t.Errorf("CONNECT has ended %d times: %+v", len(ends), ends)
	}
	if end := rec.all("disconnect")[0]; end.failure != nil {
		t.Errorf("DISCONNECT has the failure %+v", end.failure)
	}
}
