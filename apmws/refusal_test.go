package apmws

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/gorilla/websocket"
)

// handshakeWith sends a handshake to where url says, changed as asked, and
// returns the answer and its body.
func handshakeWith(t *testing.T, url string, change func(*http.Request)) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, "http"+strings.TrimPrefix(url, "ws"), http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"Connection": "Upgrade", "Upgrade": "websocket", "Sec-Websocket-Version": "13",
		"Sec-Websocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
	} {
		r.Header.Set(name, value)
	}
	if change != nil {
		change(r)
	}
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusSwitchingProtocols {
		return resp, ""
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

func failsWith(err error) func(context.Context, *http.Request) (context.Context, error) {
	return func(ctx context.Context, _ *http.Request) (context.Context, error) { return ctx, err }
}

// neverMessage is the Message hook of endpoints that see none.
func neverMessage(t *testing.T) func(context.Context, Message) error {
	return func(_ context.Context, m Message) error {
		t.Errorf("a message was handled: %q", m.Data)
		return nil
	}
}

// strange is an error whose methods panic.
type strange struct{}

func (strange) Error() string { return "strange" }
func (strange) As(any) bool   { panic("As") }

// TestEndpointRefuses: what the client gets, and what is recorded, counted and
// logged.
func TestEndpointRefuses(t *testing.T) {
	custom := func(w http.ResponseWriter, _ *http.Request, status int, reason error) {
		w.Header().Set("Sec-WebSocket-Version", "13") // as gorilla has it in its own
		w.Header().Set("X-Reason", fmt.Sprintf("%T", reason))
		http.Error(w, "custom", status)
	}
	concealing := func(w http.ResponseWriter, r *http.Request, _ int, _ error) { http.NotFound(w, r) }
	foreign := func(r *http.Request) { r.Header.Set("Origin", "https://evil.example/page") }
	reasons := func(reason string, err error) func(context.Context, *http.Request) (context.Context, error) {
		return func(ctx context.Context, _ *http.Request) (context.Context, error) {
			FromContext(ctx).SetRefusalReason(reason)
			return ctx, err
		}
	}
	secret := errors.New("token SECRET has expired")
	var nilRefusal *RefusalError
	tests := []struct {
		name         string
		authenticate func(context.Context, *http.Request) (context.Context, error)
		custom       func(http.ResponseWriter, *http.Request, int, error)
		checkOrigin  func(*http.Request) bool
		change       func(*http.Request)
		status       int
		reason       string
		logged       string // a part of error.message
	}{
		{name: "a plain error", authenticate: failsWith(secret), status: 401, reason: "unauthenticated", logged: "token SECRET has expired"},
		{name: "forbidden", authenticate: failsWith(Refuse(403, "forbidden")), status: 403, reason: "forbidden", logged: "refused with 403 forbidden"},
		{name: "draining", authenticate: failsWith(Refuse(503, "draining")), status: 503, reason: "draining", logged: "503"},
		{name: "a registered reason", authenticate: failsWith(Refuse(402, "unpaid")), status: 402, reason: "unpaid", logged: "402"},
		{name: "an unregistered reason", authenticate: failsWith(Refuse(418, "teapot")), status: 418, reason: "_OTHER", logged: "teapot"},
		{name: "elsewhere", authenticate: failsWith(Refuse(302, "")), status: 302, reason: "_OTHER", logged: "refused with 302"},
		{name: "a status that does not refuse", authenticate: failsWith(Refuse(200, "forbidden")), status: 500, reason: "forbidden", logged: "500"},
		{name: "a status that does not exist", authenticate: failsWith(Refuse(600, "")), status: 500, reason: "upgrade_failed", logged: "500"},
		{name: "wrapped", authenticate: failsWith(fmt.Errorf("user SECRET: %w", Refuse(403, ""))), status: 403, reason: "forbidden", logged: "user SECRET: "},
		{name: "joined", authenticate: failsWith(errors.Join(secret, Refuse(429, "unpaid"))), status: 429, reason: "unpaid", logged: "SECRET"},
		{name: "by hand", authenticate: failsWith(&RefusalError{Status: 403}), status: 403, reason: "forbidden", logged: "403"},
		{name: "by hand, with no status", authenticate: failsWith(&RefusalError{Reason: "forbidden"}), status: 500, reason: "forbidden", logged: "forbidden"},
		{name: "by hand, with 101", authenticate: failsWith(&RefusalError{Status: 101}), status: 500, reason: "upgrade_failed", logged: "101"},
		{name: "a nil RefusalError", authenticate: failsWith(nilRefusal), status: 401, reason: "unauthenticated", logged: "(error without a text)"},
		{name: "an error that panics", authenticate: failsWith(strange{}), status: 401, reason: "unauthenticated", logged: "strange"},
		{name: "SetRefusalReason", authenticate: reasons("unpaid", secret), status: 401, reason: "unpaid", logged: "SECRET"},
		{name: "SetRefusalReason and a status", authenticate: reasons("unpaid", Refuse(403, "")), status: 403, reason: "unpaid", logged: "403"},
		{name: "SetRefusalReason and another reason", authenticate: reasons("unpaid", Refuse(403, "forbidden")), status: 403, reason: "forbidden", logged: "403"},
		{name: "a custom answer", authenticate: failsWith(Refuse(403, "")), custom: custom, status: 403, reason: "forbidden", logged: "403"},
		{name: "a custom answer with another status", authenticate: failsWith(secret), custom: concealing, status: 404, reason: "unauthenticated", logged: "SECRET"},
		{name: "another origin", change: foreign, status: 403, reason: "origin", logged: "origin not allowed"},
		{name: "another origin, a custom answer", change: foreign, custom: custom, status: 403, reason: "origin", logged: "origin not allowed"},
		{name: "another origin, concealed", change: foreign, custom: concealing, status: 404, reason: "origin", logged: "origin not allowed"},
		{name: "an origin refused for a reason", checkOrigin: func(r *http.Request) bool {
			FromContext(r.Context()).SetRefusalReason("unpaid")
			return false
		}, change: foreign, status: 403, reason: "unpaid", logged: "origin not allowed"},
		{name: "a bad version", change: func(r *http.Request) { r.Header.Set("Sec-Websocket-Version", "8") }, status: 400, reason: "bad_handshake", logged: "unsupported version"},
		{name: "a bad key", change: func(r *http.Request) { r.Header.Set("Sec-Websocket-Key", "short") }, status: 400, reason: "bad_handshake", logged: "Sec-WebSocket-Key"},
		{name: "a proxy in between", change: func(r *http.Request) {
			r.Header.Del("Connection")
			r.Header.Del("Upgrade")
		}, status: 400, reason: "bad_handshake", logged: "'upgrade' token not found"},
		{name: "a bad method", change: func(r *http.Request) { r.Method = http.MethodPost }, status: 405, reason: "bad_handshake", logged: "not GET"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			rec := newRecorder()
			l := newLogged(Options{Exporters: []Exporter{rec}, RefusalReasons: []string{"unpaid"}})
			opts := EndpointOptions{Authenticate: test.authenticate, Message: neverMessage(t)}
			opts.Upgrader.Error, opts.Upgrader.CheckOrigin = test.custom, test.checkOrigin
			resp, body := handshakeWith(t, serveWS(t, l.Endpoint("/ws", opts)), test.change)

			if resp.StatusCode != test.status {
				t.Errorf("answered with %d", resp.StatusCode)
			}
			for _, text := range []string{body, fmt.Sprint(resp.Header)} {
				if strings.Contains(text, "SECRET") || strings.Contains(text, "origin not allowed") {
					t.Errorf("the answer tells %q", text)
				}
			}
			if test.custom == nil && body != http.StatusText(test.status)+"\n" {
				t.Errorf("the answer's text is %q", body)
			}
			if version := resp.Header.Get("Sec-WebSocket-Version"); test.custom == nil && (version == "13") != (test.authenticate == nil) {
				t.Errorf("the answer's version is %q", version)
			}
			e := rec.wait(t, "opened", 1)[0]
			outcome := OutcomeSuccess
			if test.status >= 500 {
				outcome = OutcomeFailure
			}
			if e.status != test.status || e.attrs["websocket.refusal.reason"] != test.reason || e.outcome != outcome || e.failure != nil {
				t.Errorf("recorded %d %v %s %+v, want the reason %s", e.status, e.attrs["websocket.refusal.reason"], e.outcome, e.failure, test.reason)
			}
			stats := l.Stats().Routes[0]
			want := RefusedStats{Status: test.status, Reason: test.reason, Count: 1}
			if len(stats.Refused) != 1 || stats.Refused[0] != want || stats.ConnectionsOpened != 0 {
				t.Errorf("counted %+v, %d opened", stats.Refused, stats.ConnectionsOpened)
			}
			lines := l.lines(t)
			if len(lines) != 2 {
				t.Fatalf("logged %v", lines)
			}
			text, _ := lines[1]["error.message"].(string)
			if lines[1]["event.action"] != "websocket-refused" || lines[1]["event.reason"] != test.reason || !strings.Contains(text, test.logged) {
				t.Errorf("logged %v", lines[1])
			}
			hooks := 0
			if test.authenticate != nil {
				hooks = 1
			}
			if started, ended := rec.all("span"), rec.all("span-end"); len(started) != hooks || len(ended) != hooks {
				t.Errorf("%d spans for %d hooks, %d ended", len(started), hooks, len(ended))
			}
		})
	}
}

// TestCustomRefusalGetsTheError: Upgrader.Error can tell errors of Authenticate
// from gorilla's.
func TestCustomRefusalGetsTheError(t *testing.T) {
	type call struct {
		status int
		err    error
	}
	calls := make(chan call, 1)
	why := errors.New("expired")
	opts := EndpointOptions{Authenticate: failsWith(fmt.Errorf("%w: %w", Refuse(403, ""), why)), Message: neverMessage(t)}
	opts.Upgrader.Error = func(w http.ResponseWriter, _ *http.Request, status int, err error) {
		calls <- call{status, err}
		w.Header().Set("WWW-Authenticate", "Bearer")
		w.WriteHeader(status)
	}
	resp, _ := handshakeWith(t, serveWS(t, New(Options{}).Endpoint("/ws", opts)), nil)
	if resp.Header.Get("WWW-Authenticate") != "Bearer" {
		t.Errorf("answered with %v", resp.Header)
	}
	if got := receive(t, calls); got.status != 403 || !errors.Is(got.err, why) {
		t.Errorf("got %+v", got)
	}
}

// TestEndpointNoHandshake: such a request is answered, not watched.
func TestEndpointNoHandshake(t *testing.T) {
	rec := newRecorder()
	l := newLogged(Options{Exporters: []Exporter{rec}})
	endpoint := l.Endpoint("/ws", EndpointOptions{
		Authenticate: func(ctx context.Context, _ *http.Request) (context.Context, error) {
			t.Error("Authenticate was called")
			return ctx, nil
		},
		Message: neverMessage(t),
	})
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		r := httptest.NewRequest(method, "/ws", http.NoBody)
		w := httptest.NewRecorder()
		endpoint.ServeHTTP(w, r)
		if w.Code != http.StatusUpgradeRequired || w.Header().Get("Upgrade") != "websocket" || w.Header().Get("Connection") != "Upgrade" {
			t.Errorf("%s: answered with %d %v", method, w.Code, w.Header())
		}
	}
	r := httptest.NewRequest(http.MethodGet, "/ws", http.NoBody)
	r.Proto, r.ProtoMajor, r.ProtoMinor = "HTTP/2.0", 2, 0
	w := httptest.NewRecorder()
	endpoint.ServeHTTP(w, r)
	if w.Code != http.StatusUpgradeRequired || w.Header().Get("Upgrade") != "" || w.Header().Get("Connection") != "" {
		t.Errorf("HTTP/2: answered with %d %v", w.Code, w.Header())
	}
	if lines := l.lines(t); len(lines) != 0 || len(rec.all("connect")) != 0 || len(l.Stats().Routes[0].Refused) != 0 {
		t.Errorf("watched: %v", lines)
	}
}

// TestAuthenticateDoesNotReturn: panics and runtime.Goexit before the upgrade.
func TestAuthenticateDoesNotReturn(t *testing.T) {
	boom := errors.New("boom SECRET")
	for _, test := range []struct {
		name    string
		repanic bool
		hook    func()
		status  int // 0: there is no answer
		failure string
	}{
		{"panic", false, func() { raise(boom) }, 500, "boom SECRET"},
		{"panic with a refusal", false, func() { raise(Refuse(403, "")) }, 500, "refused with 403"},
		{"panic raised again", true, func() { raise(boom) }, 0, "boom SECRET"},
		{"http.ErrAbortHandler", false, func() { panic(http.ErrAbortHandler) }, 0, ""},
		{"http.ErrAbortHandler with Repanic", true, func() { panic(http.ErrAbortHandler) }, 0, ""},
		{"runtime.Goexit", false, runtime.Goexit, 0, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			rec := newRecorder()
			l := newLogged(Options{Exporters: []Exporter{rec}, Messages: MessageOptions{Repanic: test.repanic}})
			raised := make(chan any, 1)
			endpoint := l.Endpoint("/ws", EndpointOptions{
				Authenticate: func(ctx context.Context, _ *http.Request) (context.Context, error) {
					test.hook()
					return ctx, nil
				},
				Message: neverMessage(t),
			})
			url := serveWS(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				defer func() {
					p := recover()
					raised <- p
					if p != nil {
						panic(http.ErrAbortHandler)
					}
				}()
				endpoint.ServeHTTP(w, r)
			}))
			if test.status == 0 {
				conn := rawHandshake(t, url)
				if answer, err := io.ReadAll(conn); err != nil || len(answer) != 0 {
					t.Errorf("answered with %q, %v", answer, err)
				}
			} else if resp, body := handshakeWith(t, url, nil); resp.StatusCode != test.status || strings.Contains(body, "SECRET") {
				t.Errorf("answered with %d %q", resp.StatusCode, body)
			}
			p := receive(t, raised)
			if abort := strings.HasPrefix(test.name, "http.ErrAbort"); (p != nil) != (test.repanic || abort) || abort && p != http.ErrAbortHandler {
				t.Errorf("raised %v", p)
			}
			e := rec.wait(t, "opened", 1)[0]
			if e.status != test.status || e.outcome != OutcomeFailure || e.attrs["websocket.refusal.reason"] != "upgrade_failed" {
				t.Errorf("recorded %+v", e)
			}
			if (e.failure != nil) != (test.failure != "") {
				t.Fatalf("the failure is %+v", e.failure)
			}
			if e.failure != nil && (!strings.Contains(e.failure.Message, test.failure) || !bytes.Contains(e.failure.Stack, []byte("apmws.raise("))) {
				t.Errorf("the failure is %s at\n%s", e.failure.Message, e.failure.Stack)
			}
			if ends := rec.wait(t, "span-end", 1); ends[0].name != "authenticate" || ends[0].outcome != OutcomeFailure {
				t.Errorf("the span ended as %+v", ends)
			}
			lines := l.lines(t)
			if len(lines) != 2 || lines[1]["level"] != "error" && test.failure != "" {
				t.Errorf("logged %v", lines)
			}
		})
	}
}

//go:noinline
func raise(value any) { panic(value) }

// TestCheckOriginPanics: it is net/http's to handle, as everywhere else, and
// leaves no span open.
func TestCheckOriginPanics(t *testing.T) {
	rec := newRecorder()
	opts := EndpointOptions{Message: neverMessage(t)}
	opts.Upgrader.CheckOrigin = func(*http.Request) bool { panic("boom") }
	conn := rawHandshake(t, serveWS(t, New(Options{Exporters: []Exporter{rec}}).Endpoint("/ws", opts)))
	if answer, err := io.ReadAll(conn); err != nil || len(answer) != 0 {
		t.Errorf("answered with %q, %v", answer, err)
	}
	if e := rec.wait(t, "opened", 1)[0]; e.failure == nil || e.failure.Panic != "boom" {
		t.Errorf("recorded %+v", e)
	}
	if started, ended := rec.all("span"), rec.all("span-end"); len(started) != len(ended) {
		t.Errorf("spans started: %+v, ended: %+v", started, ended)
	}
}

// TestRefusedBeforeTheHooks: what gorilla refuses, a page of another site above all,
// makes no hook work. CheckOrigin is asked once.
func TestRefusedBeforeTheHooks(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*http.Request)
		status int
		asked  int64
	}{
		"another origin": {func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") }, 403, 1},
		"a bad key":      {func(r *http.Request) { r.Header.Set("Sec-Websocket-Key", "short") }, 400, 1},
		"a bad version":  {func(r *http.Request) { r.Header.Set("Sec-Websocket-Version", "8") }, 400, 0},
		"a good one":     {func(*http.Request) {}, 101, 1},
	} {
		t.Run(name, func(t *testing.T) {
			var asked, worked atomic.Int64
			opts := EndpointOptions{
				Authenticate:  func(ctx context.Context, _ *http.Request) (context.Context, error) { worked.Add(1); return ctx, nil },
				BeforeUpgrade: func(http.ResponseWriter, *http.Request) error { worked.Add(1); return nil },
				Message:       neverMessage(t),
			}
			opts.Upgrader.CheckOrigin = func(r *http.Request) bool {
				asked.Add(1)
				if FromContext(r.Context()) == nil {
					t.Error("CheckOrigin's request is of no connection")
				}
				return r.Header.Get("Origin") != "https://evil.example"
			}
			resp, _ := handshakeWith(t, serveWS(t, New(Options{}).Endpoint("/ws", opts)), test.change)
			hooks := int64(0)
			if test.status == 101 {
				hooks = 2
			}
			if resp.StatusCode != test.status || worked.Load() != hooks || asked.Load() != test.asked {
				t.Errorf("answered with %d, %d hooks called, CheckOrigin asked %d times", resp.StatusCode, worked.Load(), asked.Load())
			}
		})
	}
}

func TestRefusalHeader(t *testing.T) {
	url := serveWS(t, New(Options{}).Endpoint("/ws", EndpointOptions{
		Authenticate: failsWith(&RefusalError{
			Status: http.StatusUnauthorized, Header: http.Header{"Www-Authenticate": {"Bearer"}},
		}),
		Message: neverMessage(t),
	}))
	resp, _ := handshakeWith(t, url, nil)
	if resp.StatusCode != http.StatusUnauthorized || resp.Header.Get("WWW-Authenticate") != "Bearer" {
		t.Errorf("answered %d with %v", resp.StatusCode, resp.Header)
	}
}

func TestNoHandshakeInTheApplicationsFormat(t *testing.T) {
	url := serveWS(t, New(Options{}).Endpoint("/ws", EndpointOptions{
		Upgrader: websocket.Upgrader{Error: func(w http.ResponseWriter, _ *http.Request, status int, reason error) {
			w.WriteHeader(status)
			_, _ = w.Write([]byte("{}"))
		}},
		Message: neverMessage(t),
	}))
	resp, body := handshakeWith(t, url, func(r *http.Request) { r.Header = http.Header{} })
	if resp.StatusCode != http.StatusUpgradeRequired || resp.Header.Get("Upgrade") != "websocket" || body != "{}" {
		t.Errorf("answered %d with %v and %q", resp.StatusCode, resp.Header, body)
	}
}
