package apmws

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
)

func TestEndpointHooksFail(t *testing.T) {
	boom := errors.New("boom")
	for _, test := range []struct {
		name    string
		in      string // the hook
		act     func() error
		code    int // that the peer gets
		text    string
		cause   string
		connect Outcome
		failure string // of DISCONNECT
		closes  bool   // the Close hook runs
	}{
		{"an error", "Connect", func() error { return boom }, 1011, "", "handler_error", OutcomeFailure, "boom", false},
		{"a timeout", "Connect", func() error { return fmt.Errorf("db: %w", context.DeadlineExceeded) }, 1011, "", "handler_error", OutcomeFailure, "db: ", false},
		{"Close", "Connect", func() error { return Close(4403, "x") }, 4403, "x", "application", OutcomeSuccess, "", false},
		{"a wrapped Close", "Connect", func() error { return fmt.Errorf("%w: %w", Close(1013, "later"), boom) }, 1013, "later", "application", OutcomeFailure, "", false},
		{"a panic", "Connect", func() error { panic(boom) }, 1011, "", "panic", OutcomeFailure, "boom", false},
		{"runtime.Goexit", "Connect", goexit, 1011, "", "handler_error", OutcomeFailure, "runtime.Goexit", false},
		{"Close", "Message", func() error { return Close(4403, "x") }, 4403, "x", "application", OutcomeSuccess, "", true},
		{"Close after a timeout", "Message", func() error { return fmt.Errorf("%w: %w", Close(4403, "x"), context.DeadlineExceeded) }, 4403, "x", "application", OutcomeSuccess, "", true},
		{"a panic", "Message", func() error { panic(boom) }, 1011, "", "panic", OutcomeSuccess, "boom", true},
		{"runtime.Goexit", "Message", goexit, 1011, "", "handler_error", OutcomeSuccess, "runtime.Goexit", true},
		{"a panic", "Close", func() error { panic(boom) }, 1000, "", "panic", OutcomeSuccess, "boom", true},
		{"runtime.Goexit", "Close", goexit, 1000, "", "normal", OutcomeSuccess, "", true},
		{"a panic", "pong handler", func() error { panic(boom) }, 1011, "", "panic", OutcomeSuccess, "boom", true},
		{"runtime.Goexit", "pong handler", goexit, 1011, "", "handler_error", OutcomeSuccess, "runtime.Goexit", true},
	} {
		t.Run(test.in+"/"+test.name, func(t *testing.T) {
			rec := newRecorder()
			l := newLogged(Options{Exporters: []Exporter{rec}})
			before := runtime.NumGoroutine()
			result := make(chan error, 1)
			act := func(in string) error {
				if in == test.in {
					return test.act()
				}
				return nil
			}
			srv := httptest.NewServer(l.Endpoint("/ws", EndpointOptions{
				Connect: func(ctx context.Context, conn *Conn) (context.Context, error) {
					conn.WebSocket().SetPongHandler(func(string) error { return act("pong handler") })
					return ctx, act("Connect")
				},
				Message: func(context.Context, Message) error { return act("Message") },
				Close: func(_ context.Context, conn *Conn, err error) {
					if conn.WebSocket() != nil || !errors.Is(conn.Write(t.Context(), TextMessage, nil), ErrNotServing) {
						t.Error("Close can write")
					}
					result <- err
					_ = act("Close")
				},
			}))
			conn := dial(t, "ws"+strings.TrimPrefix(srv.URL, "http"), nil)
			switch test.in {
			case "Message":
				send(t, conn, "x", "one that is not handled any more")
			case "Close":
				_ = conn.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(1000, ""))
			case "pong handler":
				_ = conn.WriteMessage(websocket.PongMessage, nil)
				send(t, conn, "one that is not handled any more")
			}
			if code, text := closeCodeOf(t, conn); code != test.code || text != test.text {
				t.Errorf("the peer got %d %q", code, text)
			}
			e := rec.wait(t, "disconnect", 1)[0]
			if e.result != test.cause || (e.failure != nil) != (test.failure != "") || e.failure != nil && !strings.Contains(e.failure.Message, test.failure) {
				t.Errorf("DISCONNECT is %s, with %+v", e.result, e.failure)
			}
			if code := e.attrs["websocket.close.code"]; code != fmt.Sprint(test.code) {
				t.Errorf("its code is %v", code)
			}
			if opened := rec.all("opened"); len(opened) != 1 || opened[0].outcome != test.connect || opened[0].status != 101 {
				t.Errorf("CONNECT ended as %+v", opened)
			}
			if test.closes {
				if err := receive(t, result); err == nil {
					t.Error("Close was told of no error")
				}
			} else if len(result) > 0 {
				t.Error("Close was called")
			}
			if starts, ends := rec.all("message"), rec.all("message-end"); len(starts) != len(ends) || len(starts) > 1 {
				t.Errorf("%d messages started, %d ended", len(starts), len(ends))
			}
			conn.Close()
			srv.Close()
			eventually(t, "no goroutine is left", func() bool { return runtime.NumGoroutine() <= before })
			eventually(t, "no connection is registered", func() bool { return len(l.Connections()) == 0 })
			if stats := l.Stats().Routes[0]; stats.ConnectionsActive != 0 || stats.ConnectionsOpened != 1 {
				t.Errorf("counted %+v", stats)
			}
			if len(rec.all("disconnect")) != 1 {
				t.Error("DISCONNECT came twice")
			}
		})
	}
}

func goexit() error {
	runtime.Goexit()
	return nil
}

func TestEndpointSecondPanic(t *testing.T) {
	rec := newRecorder()
	l := newLogged(Options{Exporters: []Exporter{rec}})
	conn := dial(t, serveWS(t, l.Endpoint("/ws", EndpointOptions{
		Message: func(context.Context, Message) error { panic("first") },
		Close:   func(context.Context, *Conn, error) { panic("second") },
	})), nil)
	send(t, conn, "x")
	closeCodeOf(t, conn)
	if e := rec.wait(t, "disconnect", 1)[0]; e.failure == nil || e.failure.Panic != "first" {
		t.Errorf("DISCONNECT has %+v", e.failure)
	}
	if log := l.out.String(); !strings.Contains(log, `"error.message":"second"`) || !strings.Contains(log, "TestEndpointSecondPanic") {
		t.Errorf("the log is %s", log)
	}
}

func TestEndpointPanicAfterTheEnd(t *testing.T) {
	t.Run("Connect", func(t *testing.T) {
		rec := newRecorder()
		conn := dial(t, serveWS(t, New(Options{Exporters: []Exporter{rec}}).Endpoint("/ws", EndpointOptions{
			Connect: func(_ context.Context, conn *Conn) (context.Context, error) {
				conn.WebSocket().Close()
				panic("boom")
			},
			Message: neverMessage(t),
		})), nil)
		if code, _ := closeCodeOf(t, conn); code != 0 {
			t.Errorf("the peer got %d", code)
		}
		if e := rec.wait(t, "disconnect", 1)[0]; e.result != "panic" || e.failure == nil || e.failure.Panic != "boom" {
			t.Errorf("DISCONNECT is %s, with %+v", e.result, e.failure)
		}
		if kinds := rec.kinds(); !slices.Equal(kinds[len(kinds)-2:], []string{"opened CONNECT /ws", "disconnect DISCONNECT /ws"}) {
			t.Errorf("recorded %v", kinds)
		}
	})
	t.Run("Close", func(t *testing.T) {
		l := newLogged(Options{})
		conn := dial(t, serveWS(t, l.Endpoint("/ws", EndpointOptions{
			Message: func(ctx context.Context, _ Message) error { return FromContext(ctx).WebSocket().Close() },
			Close:   func(context.Context, *Conn, error) { panic("boom") },
		})), nil)
		send(t, conn, "x")
		eventually(t, "the panic in the log", func() bool {
			return strings.Contains(l.out.String(), `"error.message":"boom"`)
		})
	})
}
