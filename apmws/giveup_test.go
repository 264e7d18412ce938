package apmws

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
)

// TestGivesUp: what no further attempt can change.
func TestGivesUp(t *testing.T) {
	closing := func(code int) func(int, *http.Request, net.Conn) {
		return func(_ int, r *http.Request, conn net.Conn) {
			accept(r, conn, closeFrame16(code))
			_, _ = io.Copy(io.Discard, conn)
		}
	}
	token := func(calls *int) func(context.Context) (string, time.Time, error) {
		return func(context.Context) (string, time.Time, error) {
			*calls++
			return fmt.Sprint(tokenWord, *calls), time.Time{}, nil
		}
	}
	const forever = 0
	tests := []struct {
		name    string
		answer  func(int, *http.Request, net.Conn)
		without int // attempts without credentials
		with    int // and with them
		status  int
		code    int
	}{
		{"401", refuseWith(401, "WWW-Authenticate: Bearer\r\n"), 1, 2, 401, 0},
		{"403", refuseWith(403, ""), 1, 2, 403, 0},
		{"1008", closing(1008), 1, 1, 0, 1008},
		{"4401", closing(4401), 1, 2, 0, 4401},
		{"4403", closing(4403), 1, 1, 0, 4403},
		{"404", refuseWith(404, ""), forever, forever, 0, 0},
		{"500", refuseWith(500, ""), forever, forever, 0, 0},
		{"1001", closing(1001), forever, forever, 0, 0},
		{"1011", closing(1011), forever, forever, 0, 0},
		{"1013", closing(1013), forever, forever, 0, 0},
	}
	for _, test := range tests {
		for _, credentials := range []string{"none", "token", "header"} {
			t.Run(test.name+" "+credentials, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := &scriptedServer{answer: test.answer}
					want, calls := test.with, 0
					opts := DialerOptions{}
					switch credentials {
					case "none":
						want = test.without
					case "token":
						opts.Token = token(&calls)
					case "header":
						opts.Header = func(context.Context) (http.Header, error) {
							calls++
							return http.Header{"Authorization": {fmt.Sprint("Bearer ", tokenWord, calls)}}, nil
						}
					}
					const enough = 30
					waited, err := dialScripted(t, s, enough, opts)
					attempts := len(s.dialled)
					if want == forever {
						if !errors.Is(err, context.Canceled) || len(waited) != enough || attempts != enough {
							t.Errorf("%d attempts, %v", attempts, err)
						}
						return
					}
					var gaveUp *GaveUpError
					if !errors.As(err, &gaveUp) || attempts != want || strings.Contains(err.Error(), tokenWord) {
						t.Fatalf("%d attempts, %v", attempts, err)
					}
					var refused *RefusalError
					if test.status != 0 && (!errors.As(err, &refused) || refused.Status != test.status) {
						t.Errorf("gave up for %v", err)
					}
					if test.status == 401 && refused.Header.Get("WWW-Authenticate") != "Bearer" {
						t.Errorf("its header: %v", refused.Header)
					}
					var closed *websocket.CloseError
					if test.code != 0 && (!errors.As(err, &closed) || closed.Code != test.code) {
						t.Errorf("gave up for %v", err)
					}
					if credentials != "none" {
						for i, header := range s.requests {
							if got := header.Get("Authorization"); got != fmt.Sprint("Bearer ", tokenWord, i+1) {
								t.Errorf("attempt %d: %q", i, got)
							}
						}
					}
				})
			})
		}
	}
}

// TestExpiryIsNoFault: a server that closes each connection with 4401 when its token
// has expired gets fresh ones for good.
func TestExpiryIsNoFault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &scriptedServer{answer: func(_ int, r *http.Request, conn net.Conn) {
			accept(r, conn, "")
			time.Sleep(time.Minute)
			_, _ = io.WriteString(conn, closeFrame16(4401))
			_, _ = io.Copy(io.Discard, conn)
		}}
		waited, err := dialScripted(t, s, 20, DialerOptions{
			Token: func(context.Context) (string, time.Time, error) { return tokenWord, time.Time{}, nil },
		})
		if !errors.Is(err, context.Canceled) || len(waited) != 20 {
			t.Errorf("%d waits, %v", len(waited), err)
		}
	})
}

// TestOwnCloseIsNoVerdict: the server's answer to a close frame of the client's says
// nothing of the client.
func TestOwnCloseIsNoVerdict(t *testing.T) {
	server := newObserved(MessageOptions{})
	srv := httptest.NewServer(server.agent.Endpoint("/feed", EndpointOptions{Message: func(context.Context, Message) error { return nil }}))
	defer srv.Close()
	for _, code := range []int{1008, 4401, 4403} {
		states := &states{}
		client := newObserved(MessageOptions{})
		d := client.agent.Dialer("feed", wsURL(srv), soon(DialerOptions{
			Connect: func(ctx context.Context, conn *Conn) (context.Context, error) { return ctx, conn.Close(code, "") },
			State:   states.note,
		}))
		stop := running(t, d)
		client.rec.wait(t, "disconnect", 5)
		if err := stop(); !errors.Is(err, context.Canceled) {
			t.Errorf("%d: %v", code, err)
		}
	}
}

// TestCredentialsFail: an attempt without credentials is none, and is told.
func TestCredentialsFail(t *testing.T) {
	client := newObserved(MessageOptions{})
	states := &states{}
	why := errors.New("the token service is away")
	d := client.agent.Dialer("feed", "ws://feed.example", soon(DialerOptions{
		Token: func(context.Context) (string, time.Time, error) { return "", time.Time{}, why },
		State: states.note,
	}))
	stop := running(t, d)
	e := client.rec.wait(t, "opened", 3)[0]
	if err := stop(); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if e.status != 0 || e.attrs["websocket.refusal.reason"] != "unauthenticated" || e.outcome != OutcomeFailure {
		t.Errorf("%+v", e)
	}
	if !errors.Is(states.of(DialWaiting)[0].Err, why) || !strings.Contains(client.log.String(), why.Error()) {
		t.Error("nobody is told why")
	}
}
