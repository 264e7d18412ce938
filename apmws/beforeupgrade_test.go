package apmws

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

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
