package apmws

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// ouroboros is an error that is its own cause.
type ouroboros struct{ error }

func (o *ouroboros) Unwrap() error { return o }

// hydra has itself among several causes.
type hydra struct{ error }

func (h *hydra) Unwrap() []error { return []error{h, errors.New("head"), h} }

// TestErrorsThatAreTheirOwnCause: nothing hangs, wherever one comes from.
func TestErrorsThatAreTheirOwnCause(t *testing.T) {
	endlessErrors := map[string]error{
		"of itself":  &ouroboros{errors.New("round")},
		"of several": &hydra{errors.New("round")},
		"of wrapped": fmt.Errorf("outer: %w", &ouroboros{errors.New("round")}),
	}
	for name, cause := range endlessErrors {
		for hook, act := range map[string]func(at string) error{
			"returned": func(string) error { return cause },
			"panicked": func(string) error { panic(cause) },
		} {
			for _, in := range []string{"Authenticate", "BeforeUpgrade", "Connect", "Message", "none"} {
				t.Run(name+" "+hook+" "+in, func(t *testing.T) {
					server := newObserved(MessageOptions{})
					fail := func(at string) error {
						if at == in {
							return act(at)
						}
						return nil
					}
					srv := httptest.NewServer(server.agent.Endpoint("/ws", EndpointOptions{
						Authenticate: func(ctx context.Context, _ *http.Request) (context.Context, error) {
							return ctx, fail("Authenticate")
						},
						BeforeUpgrade: func(http.ResponseWriter, *http.Request) error { return fail("BeforeUpgrade") },
						Connect:       func(ctx context.Context, _ *Conn) (context.Context, error) { return ctx, fail("Connect") },
						Message: func(ctx context.Context, _ Message) error {
							if err := fail("Message"); err != nil {
								defer func() { _ = FromContext(ctx).Close(1000, "") }()
								return err
							}
							return Close(1000, "")
						},
					}))
					defer srv.Close()
					client := newObserved(MessageOptions{})
					d := client.agent.Dialer("feed", wsURL(srv), soon(DialerOptions{
						Header: func(context.Context) (http.Header, error) {
							if in == "none" {
								return nil, act(in)
							}
							return nil, nil
						},
						Connect: func(ctx context.Context, c *Conn) (context.Context, error) {
							return ctx, c.Write(ctx, TextMessage, []byte("go"))
						},
					}))
					stop := running(t, d)
					switch in {
					case "none":
						client.rec.wait(t, "opened", 2)
					case "Authenticate", "BeforeUpgrade":
						server.rec.wait(t, "opened", 2)
					default:
						server.rec.wait(t, "disconnect", 2)
					}
					var gaveUp *GaveUpError // of two times 401
					if err := stop(); !errors.Is(err, context.Canceled) && !errors.As(err, &gaveUp) {
						t.Error(err)
					}
					told := server.log.String() + client.log.String()
					if !strings.Contains(told, "round") {
						t.Errorf("the error is told nowhere: %s", told)
					}
				})
			}
		}
	}
}
