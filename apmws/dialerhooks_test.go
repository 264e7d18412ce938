package apmws

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// TestDialerPanics: what hooks panic with is recorded, and the Dialer goes on.
func TestDialerPanics(t *testing.T) {
	upset := func() { panic("upset") }
	tests := []struct {
		hook string
		kind string // of the event with the failure
	}{{"token", "opened"}, {"connect", "disconnect"}, {"message", "disconnect"}}
	for _, test := range tests {
		t.Run(test.hook, func(t *testing.T) {
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if c, err := new(websocket.Upgrader).Upgrade(w, r, nil); err == nil {
					defer c.Close()
					answer(c)
					_, _, _ = c.ReadMessage()
				}
			}))
			defer srv.Close()
			client := newObserved(MessageOptions{})
			panicked := false
			once := func(hook string) {
				if hook == test.hook && !panicked {
					panicked = true
					upset()
				}
			}
			handled := make(chan struct{}, 1)
			d := client.agent.Dialer("feed", wsURL(srv), soon(DialerOptions{
				Token:   func(context.Context) (string, time.Time, error) { once("token"); return tokenWord, time.Time{}, nil },
				Connect: func(ctx context.Context, _ *Conn) (context.Context, error) { once("connect"); return ctx, nil },
				Message: func(context.Context, Message) error { once("message"); handled <- struct{}{}; return nil },
			}))
			stop := running(t, d)
			<-handled
			if err := stop(); !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
			e := client.rec.all(test.kind)[0]
			if e.failure == nil || e.failure.Type != "panic" || e.failure.Message != "upset" || e.outcome != OutcomeFailure {
				t.Errorf("%+v", e)
			}
			if strings.Contains(client.told(), tokenWord) {
				t.Error("the token is told")
			}
		})
	}
}

// TestDialerConnectFails: a hook that fails because the connection has ended, or the
// context of Run has, is not to blame for that end; one that just fails is.
func TestDialerConnectFails(t *testing.T) {
	t.Parallel()
	reads := func(_ context.Context, conn *Conn) error { _, _, err := conn.WebSocket().ReadMessage(); return err }
	writes := func(ctx context.Context, conn *Conn) error {
		for {
			if err := conn.Write(ctx, TextMessage, make([]byte, 1<<10)); err != nil {
				return err
			}
		}
	}
	waits := func(ctx context.Context, _ *Conn) error { <-ctx.Done(); return ctx.Err() }
	broken := errors.New("broken")
	vanishes := func(c *websocket.Conn) { c.Close() }
	stays := func(c *websocket.Conn) {
		for {
			if _, _, err := c.NextReader(); err != nil {
				return
			}
		}
	}
	tests := []struct {
		name      string
		server    func(*websocket.Conn)
		hook      func(context.Context, *Conn) error
		cancelled bool // by the hook, a moment before
		cause     CloseCause
		initiator string
		failed    bool
	}{
		{"the server closes", closeWith(4000), reads, false, CauseNormal, "server", false},
		{"the server vanishes", vanishes, reads, false, CauseReadError, "network", false},
		{"cancelled while it reads", stays, reads, true, CauseGoingAway, "client", false},
		{"cancelled while it writes", stays, writes, true, CauseGoingAway, "client", false},
		{"cancelled while it waits", stays, waits, true, CauseGoingAway, "client", false},
		{"it is broken", stays, func(context.Context, *Conn) error { return broken }, false, CauseHandlerError, "client", true},
		{"it closes, and is broken", stays, func(_ context.Context, conn *Conn) error {
			return errors.Join(conn.Close(1000, ""), broken)
		}, false, CauseHandlerError, "client", true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if c, err := new(websocket.Upgrader).Upgrade(w, r, nil); err == nil {
					defer c.Close()
					test.server(c)
				}
			}))
			defer srv.Close()
			client := newObserved(MessageOptions{})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			states := &states{}
			var hookErr error
			d := client.agent.Dialer("feed", wsURL(srv), soon(DialerOptions{
				Connect: func(ctx context.Context, conn *Conn) (context.Context, error) {
					if test.cancelled {
						cancel()
					}
					hookErr = test.hook(ctx, conn)
					return ctx, hookErr
				},
				State: func(s DialState) {
					states.note(s)
					if s.Phase == DialWaiting {
						cancel()
					}
				},
				Close: func(context.Context, *Conn, error) { t.Error("Close was called") },
			}))
			if err := d.Run(ctx); !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
			e := client.rec.wait(t, "disconnect", 1)[0]
			if e.result != string(test.cause) || e.attrs["websocket.close.initiator"] != test.initiator || (e.failure != nil) != test.failed {
				t.Errorf("%s by the %v, %v", e.result, e.attrs["websocket.close.initiator"], e.failure)
			}
			if opened := client.rec.all("opened")[0]; (opened.outcome == OutcomeFailure) != test.failed {
				t.Errorf("CONNECT: %+v", opened)
			}
			if told := states.of(DialWaiting); !test.cancelled && (len(told) != 1 || !errors.Is(told[0].Err, hookErr)) {
				t.Errorf("told %v, not %v", told, hookErr)
			}
		})
	}
}

// TestDialerRepanic: what hooks panic with is raised again on the goroutine of Run
// where that is asked for, and nothing is left open.
func TestDialerRepanic(t *testing.T) {
	server, client := newObserved(MessageOptions{}), newObserved(MessageOptions{Repanic: true})
	srv := httptest.NewServer(server.agent.Endpoint("/feed", EndpointOptions{Message: func(context.Context, Message) error { return nil }}))
	defer srv.Close()
	upset := func(opts DialerOptions) (raised any) {
		defer func() { raised = recover() }()
		return client.agent.Dialer("feed", wsURL(srv), soon(opts)).Run(t.Context())
	}
	token := func(context.Context) (string, time.Time, error) {
		return "t", time.Now().Add(10 * time.Millisecond), nil
	}
	for name, opts := range map[string]DialerOptions{
		"Header": {Header: func(context.Context) (http.Header, error) { panic("upset") }},
		"Renew":  {Token: token, Renew: func(context.Context, *Conn, string) error { panic("upset") }},
		"State, when another takes its place": {Token: token, State: func() func(DialState) {
			opened := 0
			return func(s DialState) {
				if s.Phase == DialOpen {
					if opened++; opened == 2 {
						panic("upset")
					}
				}
			}
		}()},
	} {
		if raised := upset(opts); raised != "upset" {
			t.Errorf("%s: %v", name, raised)
		}
	}
	eventually(t, "nothing is open", func() bool { return len(client.agent.Connections())+len(server.agent.Connections()) == 0 })
}
