package apmws

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// TestBeforeUpgradeFails: errors, panics and runtime.Goexit of the hook refuse the
// handshake, and are told as those of Authenticate are.
func TestBeforeUpgradeFails(t *testing.T) {
	for _, test := range []struct {
		name    string
		repanic bool
		hook    func() error
		status  int // that the peer gets; 0: none
		reason  string
		failure bool // CONNECT has a failure
		text    string
	}{
		{"an error", false, func() error { return errors.New("store down") }, 500, "upgrade_failed", false, "store down"},
		{"Refuse", false, func() error { return fmt.Errorf("store: %w", Refuse(503, "draining")) }, 503, "draining", false, "store: "},
		{"a panic", false, func() error { panic("store nil") }, 500, "upgrade_failed", true, "store nil"},
		{"a panic that is raised again", true, func() error { panic("store nil") }, 0, "upgrade_failed", true, "store nil"},
		{"http.ErrAbortHandler", false, func() error { panic(http.ErrAbortHandler) }, 0, "upgrade_failed", false, ""},
		{"runtime.Goexit", false, goexit, 0, "upgrade_failed", false, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			rec := newRecorder()
			l := newLogged(Options{Exporters: []Exporter{rec}, Messages: MessageOptions{Repanic: test.repanic}})
			url := serveWS(t, l.Endpoint("/ws", EndpointOptions{
				BeforeUpgrade: func(http.ResponseWriter, *http.Request) error { return test.hook() },
				Connect:       func(ctx context.Context, _ *Conn) (context.Context, error) { t.Error("connected"); return ctx, nil },
				Message:       func(context.Context, Message) error { return nil },
			}))
			conn, res, err := websocket.DefaultDialer.Dial(url, nil)
			if err == nil {
				conn.Close()
				t.Fatal("not refused")
			}
			status := 0
			if res != nil {
				status = res.StatusCode
			}
			if status != test.status {
				t.Errorf("answered by %d", status)
			}
			e := rec.wait(t, "opened", 1)[0]
			if e.status != test.status || e.attrs["websocket.refusal.reason"] != test.reason || (e.failure != nil) != test.failure {
				t.Errorf("CONNECT ended as %+v", e)
			}
			var refused fields
			eventually(t, "the line", func() bool {
				for _, line := range l.lines(t) {
					if line["event.action"] == "websocket-refused" {
						refused = line
					}
				}
				return refused != nil
			})
			if got, _ := refused["error.message"].(string); !strings.HasPrefix(got, test.text) || (got == "") != (test.text == "") {
				t.Errorf("logged as %v", refused)
			}
		})
	}
}

// TestBeforeUpgradeAnswers: an answer of the hook's is the only one, whatever the
// middleware around hides.
func TestBeforeUpgradeAnswers(t *testing.T) {
	type hijackerAlone struct {
		http.ResponseWriter
		http.Hijacker
	}
	for name, hook := range map[string]func(w http.ResponseWriter){
		"a status": func(w http.ResponseWriter) { w.WriteHeader(http.StatusForbidden) },
		"a body":   func(w http.ResponseWriter) { _, _ = w.Write([]byte("no")) },
		"both":     func(w http.ResponseWriter) { http.Error(w, "no", http.StatusForbidden) },
	} {
		for _, hidden := range []bool{false, true} {
			agent := New(Options{})
			h := agent.Endpoint("/ws", EndpointOptions{
				BeforeUpgrade: func(w http.ResponseWriter, _ *http.Request) error { hook(w); return nil },
				Connect:       func(ctx context.Context, _ *Conn) (context.Context, error) { t.Error("connected"); return ctx, nil },
				Message:       func(context.Context, Message) error { return nil },
			})
			if hidden {
				inside := h
				h = agent.Handler("/ws", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					inside.ServeHTTP(hijackerAlone{w, w.(http.Hijacker)}, r)
				}))
			}
			conn := dialRaw(t, serveWS(t, h))
			answer, err := io.ReadAll(conn)
			if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 ") || strings.Contains(string(answer), "101 Switching") {
				t.Errorf("%s, hidden %v: answered with %q, %v", name, hidden, answer, err)
			}
		}
	}
	// Hints are no answer.
	hints := bufio.NewReader(dialRaw(t, serveWS(t, New(Options{}).Endpoint("/ws", EndpointOptions{
		BeforeUpgrade: func(w http.ResponseWriter, _ *http.Request) error { w.WriteHeader(http.StatusEarlyHints); return nil },
		Message:       func(context.Context, Message) error { return nil },
	}))))
	for line := ""; !strings.HasPrefix(line, "HTTP/1.1 101 "); {
		var err error
		if line, err = hints.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
}

// dialRaw sends a handshake that asks the server to close the connection when it
// does not upgrade.
func dialRaw(t *testing.T, url string) net.Conn {
	t.Helper()
	host, _, _ := strings.Cut(strings.TrimPrefix(url, "ws://"), "/")
	conn, err := net.Dial("tcp", host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	_, err = io.WriteString(conn, "GET /ws HTTP/1.1\r\nHost: "+host+"\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
	if err != nil {
		t.Fatal(err)
	}
	return conn
}
