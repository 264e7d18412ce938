package apmws

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// TestDialerShutdownAtOnce: wherever a Dialer is without a connection, Agent.Shutdown
// ends it at once, waits until that is reported, and nothing is dialled afterwards.
func TestDialerShutdownAtOnce(t *testing.T) {
	silent := func(_ int, _ *http.Request, conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }
	tests := []struct {
		name     string
		answer   func(n int, r *http.Request, conn net.Conn)
		opts     func(arrived func()) DialerOptions
		attempts int
	}{
		{"while it waits", refuseWith(503, "Retry-After: 1000\r\n"), func(arrived func()) DialerOptions {
			return DialerOptions{State: func(s DialState) {
				if s.Phase == DialWaiting {
					arrived()
				}
			}}
		}, 1},
		{"in Token", silent, func(arrived func()) DialerOptions {
			return DialerOptions{Token: func(ctx context.Context) (string, time.Time, error) {
				arrived()
				<-ctx.Done()
				return "", time.Time{}, ctx.Err()
			}}
		}, 0},
		{"in the handshake", silent, func(arrived func()) DialerOptions {
			return DialerOptions{Header: func(context.Context) (http.Header, error) { defer arrived(); return nil, nil }}
		}, 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &scriptedServer{answer: test.answer}
				client := newObserved(MessageOptions{})
				arrived := make(chan struct{})
				opts := test.opts(func() { close(arrived) })
				opts.Dialer.NetDialContext = s.dial
				opts.Message = func(context.Context, Message) error { return nil }
				states := &states{}
				if state := opts.State; state != nil {
					opts.State = func(s DialState) { states.note(s); state(s) }
				} else {
					opts.State = states.note
				}
				ran := make(chan error, 1)
				go func() { ran <- client.agent.Dialer("feed", "ws://feed.example", opts).Run(t.Context()) }()
				<-arrived
				synctest.Wait()
				began := time.Now()
				if err := client.agent.Shutdown(t.Context()); err != nil {
					t.Error(err)
				}
				if n := len(client.rec.all("opened")); n != 1 {
					t.Errorf("%d attempts have been reported when Shutdown returns", n)
				}
				if err := <-ran; !errors.Is(err, ErrShutDown) {
					t.Errorf("Run returned %v", err)
				}
				if took := time.Since(began); took != 0 {
					t.Errorf("it took %v", took)
				}
				if n := len(s.dialled); n > test.attempts {
					t.Errorf("%d attempts", n)
				}
				if told := states.of(DialGaveUp); len(told) != 1 || !errors.Is(told[0].Err, ErrShutDown) {
					t.Errorf("told %v", told)
				}
				if n := client.agent.handshakes.Load(); n != 0 {
					t.Errorf("%d handshakes are in progress", n)
				}
				for _, refused := range client.agent.Stats().Routes[0].Refused {
					if refused.Reason == "unauthenticated" || refused.Reason == "unreachable" {
						t.Errorf("refused: %+v", refused)
					}
				}
			})
		})
	}
}

// TestDialerShutdownRaces: whenever Shutdown comes, what has been opened by then is
// closed, counted and reported when it returns.
func TestDialerShutdownRaces(t *testing.T) {
	for range 100 {
		s := &scriptedServer{answer: func(_ int, r *http.Request, conn net.Conn) {
			accept(r, conn, closeFrame16(1012))
			_, _ = io.Copy(io.Discard, conn)
		}}
		client := newObserved(MessageOptions{})
		began := make(chan struct{}, 1)
		d := client.agent.Dialer("feed", "ws://feed.example", soon(DialerOptions{
			Header: func(context.Context) (http.Header, error) {
				select {
				case began <- struct{}{}:
				default:
				}
				return nil, nil
			},
		}))
		d.opts.Dialer.NetDialContext = s.dial
		ran := make(chan error, 1)
		go func() { ran <- d.Run(t.Context()) }()
		<-began
		if err := client.agent.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		stats := client.agent.Stats().Routes[0]
		opened, ended := len(client.rec.all("opened")), len(client.rec.all("disconnect"))
		refused := int64(0)
		for _, r := range stats.Refused {
			refused += r.Count
		}
		if int64(opened) != stats.ConnectionsOpened+refused || int64(ended) != stats.ConnectionsOpened || stats.ConnectionsActive != 0 {
			t.Fatalf("%d reported, %d of them ended, %+v", opened, ended, stats)
		}
		if err := <-ran; !errors.Is(err, ErrShutDown) {
			t.Fatal(err)
		}
		if again := client.agent.Stats().Routes[0]; again.ConnectionsOpened != stats.ConnectionsOpened {
			t.Fatalf("%d connections were opened after Shutdown", again.ConnectionsOpened-stats.ConnectionsOpened)
		}
	}
}

// TestNoDialAfterShutdown: an attempt that comes a moment too late is none.
func TestNoDialAfterShutdown(t *testing.T) {
	client := newObserved(MessageOptions{})
	d := client.agent.Dialer("feed", "ws://feed.example", soon(DialerOptions{}))
	if err := client.agent.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	made, back := d.attempt(t.Context(), t.Context())
	if made != nil || !errors.Is(back.err, ErrShutDown) || len(client.rec.all("connect")) != 0 || client.agent.handshakes.Load() != 0 {
		t.Errorf("%v, %v, %d handshakes are in progress", made, back.err, client.agent.handshakes.Load())
	}
}
