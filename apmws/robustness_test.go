package apmws

import (
	"context"
	"errors"
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

type nilError struct{ s string }

func (e *nilError) Error() string { return e.s }

func handshakeReq() *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/ws", nil)
	r.Header.Set("Connection", "Upgrade")
	r.Header.Set("Upgrade", "websocket")
	r.Header.Set("Sec-Websocket-Version", "13")
	r.Header.Set("Sec-Websocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
	return r
}

// hides hides the Hijacker, as middleware without Unwrap does.

type hides struct{ http.ResponseWriter }

// TestNameFuncReturnsPayload: a naming function that returns a part of the payload, instead of
// appending it, must not put that into the pool of name buffers.
func TestNameFuncReturnsPayload(t *testing.T) {
	agent := New(Options{Routes: map[string]MessageOptions{
		"/raw":  {Name: func(_ []byte, _ MessageType, p []byte) []byte { return p[:2] }},
		"/json": {Name: JSONField("type")},
	}})
	c1 := &Conn{agent: agent, route: agent.route("/raw")}
	c2 := &Conn{agent: agent, route: agent.route("/json")}
	for range 1000 { // pools may forget; under -race they do on purpose
		payload := []byte("my secret payload, being handled")
		c1.nameOf(Message{Type: 1, Data: payload}, &c1.route.names)
		c2.nameOf(Message{Type: 1, Data: []byte(`{"type":"CORRUPTED"}`)}, &c2.route.names)
		if string(payload) != "my secret payload, being handled" {
			t.Fatalf("another connection's message became %q", payload)
		}
	}
}

// TestWriteWithExpiredContext: nothing is written, and the connection is whole.
func TestWriteWithExpiredContext(t *testing.T) {
	_, conn, _ := serveMessages(t, Options{}, func(ctx context.Context, _ Message) error {
		c := FromContext(ctx)
		expired, cancel := context.WithTimeout(ctx, -1)
		defer cancel()
		if err := c.Write(expired, TextMessage, []byte("late")); err == nil {
			t.Error("no error")
		}
		if err := c.Write(ctx, TextMessage, []byte("next")); err != nil {
			t.Errorf("nothing had been written, yet the connection is broken: %v", err)
		}
		return nil
	})
	send(t, conn, "go")
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	if _, b, err := conn.ReadMessage(); err != nil || string(b) != "next" {
		t.Errorf("%q %v", b, err)
	}
}

// TestGoexit: a handler that ends its goroutine ends its message too.
func TestGoexit(t *testing.T) {
	rec := newRecorder()
	agent, conn, _ := serveMessages(t, Options{Exporters: []Exporter{rec}}, func(ctx context.Context, _ Message) error {
		runtime.Goexit()
		return nil
	})
	send(t, conn, "go")
	rec.wait(t, "disconnect", 1)
	if n := len(rec.all("message-end")); n != 1 {
		t.Errorf("%d started, %d ended", len(rec.all("message")), n)
	}
	if m := agent.Stats().Routes[0].Messages; len(m) != 1 {
		t.Errorf("counted %+v", m)
	}
}

// TestTypedNilErrors: errors whose methods panic are failures like others.
func TestTypedNilErrors(t *testing.T) {
	for name, err := range map[string]error{"application's": (*nilError)(nil), "CloseError": (*CloseError)(nil), "PanicError": (*PanicError)(nil)} {
		t.Run(name, func(t *testing.T) {
			rec := newRecorder()
			panicked := make(chan any, 1)
			agent := New(Options{Exporters: []Exporter{rec}})
			url := serveWS(t, agent.Handler("/ws", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				conn, e := (&websocket.Upgrader{}).Upgrade(w, r, nil)
				if e != nil {
					return
				}
				defer conn.Close()
				defer func() { panicked <- recover() }()
				_ = Serve(r.Context(), conn, func(context.Context, Message) error { return err })
			})))
			conn := dial(t, url, nil)
			send(t, conn, "x")
			rec.wait(t, "message-end", 1)
			conn.Close()
			if p := <-panicked; p != nil {
				t.Errorf("Serve panicked: %v; message-ends: %d", p, len(rec.all("message-end")))
			}
		})
	}
}

// TestServeOfAnotherConnection: a connection that the handler has dialled is not the
// one of its context.
func TestServeOfAnotherConnection(t *testing.T) {
	backend := serveWS(t, echoLoop(&websocket.Upgrader{}))
	got := make(chan error, 1)
	agent := New(Options{})
	url := serveWS(t, agent.Handler("/ws", serving(func(ctx context.Context, m Message) error {
		up, _, err := websocket.DefaultDialer.Dial(backend, nil)
		if err != nil {
			return err
		}
		_ = up.WriteMessage(1, []byte("q"))
		_ = Serve(ctx, up, func(context.Context, Message) error { return Close(1000, "") })
		up.Close()
		got <- FromContext(ctx).Write(ctx, TextMessage, []byte("answer"))
		return nil
	}, nil)))
	conn := dial(t, url, nil)
	send(t, conn, "go")
	if err := <-got; err != nil {
		t.Errorf("Write while Serve runs for the connection: %v", err)
	}
}

// TestNewKeepsOptions: New does not write into the caller's slices.
func TestNewKeepsOptions(t *testing.T) {
	backing := make([]string, 40)
	for i := range backing {
		backing[i] = "keep"
	}
	opts := Options{Subprotocols: backing[:1], RefusalReasons: backing[:1]}
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() { New(opts) })
	}
	wg.Wait()
	if backing[1] != "keep" {
		t.Errorf("the caller's array now holds %q", backing[1])
	}
}

// TestMessageLoggers: what a handler adds to its logger ends with the message, with and
// without an exporter.
func TestMessageLoggers(t *testing.T) {
	for _, exporters := range [][]Exporter{{newRecorder()}, nil} {
		var out lockedBuffer
		logger := zerolog.New(&out)
		done := make(chan struct{}, 10)
		_, conn, _ := serveMessages(t, Options{Logger: &logger, Exporters: exporters}, func(ctx context.Context, m Message) error {
			zerolog.Ctx(ctx).UpdateContext(func(c zerolog.Context) zerolog.Context { return c.Str("room", string(m.Data)) })
			zerolog.Ctx(ctx).Info().Msg("mine")
			done <- struct{}{}
			return nil
		})
		send(t, conn, "a", "b", "c")
		for range 3 {
			<-done
		}
		for line := range strings.Lines(out.String()) {
			if !strings.Contains(line, `"mine"`) {
				continue
			}
			if n := strings.Count(line, `"room"`); n != 1 {
				t.Errorf("exporters %d: %d rooms in %s", len(exporters), n, line)
			}
			if !strings.Contains(line, "websocket_message_name") {
				t.Errorf("exporters %d: no message name in %s", len(exporters), line)
			}
		}
	}
}

// TestNothingAfterRefusal: exporters hear nothing of a refused connection any more.
func TestNothingAfterRefusal(t *testing.T) {
	rec := newRecorder()
	agent := New(Options{Exporters: []Exporter{rec}})
	var kept context.Context
	agent.Handler("/ws", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		kept = r.Context()
		w.WriteHeader(http.StatusUnauthorized)
	})).ServeHTTP(httptest.NewRecorder(), handshakeReq())
	_, tx := StartMessage(kept, MessageInfo{})
	tx.End(nil)
	if n := len(rec.all("message")); n != 0 {
		t.Errorf("%d messages of a refused connection, after Opened (exporter.go: after a refusal nothing else is called)", n)
	}
}

// TestSpanLeftOpen: a span that is never ended ends with its transaction.
func TestSpanLeftOpen(t *testing.T) {
	rec := newRecorder()
	c := make(chan context.Context, 1)
	_, conn, _ := serveMessages(t, Options{Exporters: []Exporter{rec}}, func(ctx context.Context, _ Message) error {
		ctx, _ = StartSpan(ctx, "async", SpanOptions{})
		c <- ctx
		return nil
	})
	send(t, conn, "x")
	rec.wait(t, "message-end", 1)
	if _, s := StartSpan(<-c, "late", SpanOptions{}); s != nil {
		t.Error("a span started in an ended transaction (StartSpan: the span does nothing)")
	}
}

// TestHiddenHijackerIsLogged: the commonest misconfiguration is named in the log.
func TestHiddenHijackerIsLogged(t *testing.T) {
	var out lockedBuffer
	logger := zerolog.New(&out)
	agent := New(Options{Logger: &logger})
	echo := echoLoop(&websocket.Upgrader{})
	url := serveWS(t, agent.Handler("/ws", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		echo.ServeHTTP(hides{w}, r)
	})))
	_, _, _ = websocket.DefaultDialer.Dial(url, nil)
	eventually(t, "a line", func() bool { return strings.Contains(out.String(), "refused") })
	if !strings.Contains(out.String(), "ijack") {
		t.Errorf("nothing says why: %s", out.String())
	}
}

// TestLongRemoteAddr: a middleware may have put a peer's header there.
func TestLongRemoteAddr(t *testing.T) {
	rec := newRecorder()
	var out lockedBuffer
	logger := zerolog.New(&out)
	agent := New(Options{Exporters: []Exporter{rec}, Logger: &logger})
	r := handshakeReq()
	r.RemoteAddr = strings.Repeat("x", 500_000) // gorilla/handlers.ProxyHeaders: X-Forwarded-For as it came
	agent.Handler("/ws", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusUnauthorized)
	})).ServeHTTP(httptest.NewRecorder(), r)
	if n := len(rec.all("connect")[0].request.Peer); n > 1024 {
		t.Errorf("Peer has %d bytes, the log %d", n, len(out.String()))
	}
}

// TestLongErrorText: an error may repeat what a peer has sent.
func TestLongErrorText(t *testing.T) {
	var out lockedBuffer
	logger := zerolog.New(&out)
	_, conn, result := serveMessages(t, Options{Logger: &logger}, func(_ context.Context, m Message) error {
		return errors.New("unknown room " + string(m.Data))
	})
	send(t, conn, strings.Repeat("A", 1<<20))
	eventually(t, "a line", func() bool { return strings.Contains(out.String(), "websocket message") })
	conn.Close()
	if err := <-result; err == nil {
		t.Error("Serve returned no error")
	}
	if n := len(out.String()); n > 100_000 {
		t.Errorf("a peer made the log %d bytes long with one message", n)
	}
}

// TestWriteWaitsItsTurn: a context bounds the wait behind a writer that is stuck.
func TestWriteWaitsItsTurn(t *testing.T) {
	held := make(chan struct{})
	_, conn, _ := serveMessages(t, Options{}, func(ctx context.Context, _ Message) error {
		c := FromContext(ctx)
		c.currentServing().turn.try() // a writer that is stuck
		short, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
		defer cancel()
		if err := c.Write(short, TextMessage, []byte("x")); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Write returned %v", err)
		}
		c.currentServing().turn.give()
		close(held)
		return c.Write(ctx, TextMessage, []byte("next"))
	})
	send(t, conn, "go")
	<-held
	if _, data, err := conn.ReadMessage(); err != nil || string(data) != "next" {
		t.Errorf("read %q, %v", data, err)
	}
}

// TestIllegalCloseCodes: codes that must not be sent are not.
func TestIllegalCloseCodes(t *testing.T) {
	for _, code := range []int{0, 999, 1004, 1005, 1006, 1015, 2999, 5000, 99999} {
		refused := make(chan error, 1)
		_, conn, _ := serveMessages(t, Options{}, func(ctx context.Context, _ Message) error {
			refused <- FromContext(ctx).Close(code, "")
			return Close(code, "")
		})
		send(t, conn, "x")
		if err := <-refused; !errors.Is(err, ErrCloseCode) {
			t.Errorf("Conn.Close(%d) returned %v", code, err)
		}
		if _, _, err := conn.ReadMessage(); !websocket.IsCloseError(err, websocket.CloseInternalServerErr) {
			t.Errorf("after Close(%d) the peer saw %v", code, err)
		}
	}
}
