package apmws

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
)

// TestDialerCancel: wherever it is, it ends.
func TestDialerCancel(t *testing.T) {
	hold := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	tests := []struct {
		name   string
		answer func(n int, r *http.Request, conn net.Conn)
		opts   func(arrived func()) DialerOptions
	}{
		{"in Token", nil, func(arrived func()) DialerOptions {
			return DialerOptions{Token: func(ctx context.Context) (string, time.Time, error) { arrived(); return "", time.Time{}, hold(ctx) }}
		}},
		{"in the handshake", func(_ int, _ *http.Request, conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }, func(arrived func()) DialerOptions {
			return DialerOptions{Header: func(context.Context) (http.Header, error) { defer arrived(); return nil, nil }}
		}},
		{"in Connect", func(_ int, r *http.Request, conn net.Conn) { accept(r, conn, ""); _, _ = io.Copy(io.Discard, conn) }, func(arrived func()) DialerOptions {
			return DialerOptions{Connect: func(ctx context.Context, _ *Conn) (context.Context, error) { arrived(); return ctx, hold(ctx) }}
		}},
		{"in Message", func(_ int, r *http.Request, conn net.Conn) {
			accept(r, conn, "\x81\x02hi")
			_, _ = io.Copy(io.Discard, conn)
		}, func(arrived func()) DialerOptions {
			return DialerOptions{Message: func(ctx context.Context, _ Message) error { arrived(); return hold(ctx) }}
		}},
		{"open, and the server does not answer", func(_ int, r *http.Request, conn net.Conn) {
			accept(r, conn, "")
			_, _ = io.Copy(io.Discard, conn)
		}, func(arrived func()) DialerOptions {
			return DialerOptions{State: func(s DialState) {
				if s.Phase == DialOpen {
					arrived()
				}
			}}
		}},
		{"while it waits", refuseWith(500, "Retry-After: 1000\r\n"), func(arrived func()) DialerOptions {
			return DialerOptions{State: func(s DialState) {
				if s.Phase == DialWaiting {
					arrived()
				}
			}}
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // which fails for goroutines that are left
				s := &scriptedServer{answer: test.answer}
				client := newObserved(MessageOptions{})
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				opts := test.opts(func() {
					synctest.Wait() // else the reader may wait for a mutex, and the clock with it
					cancel()
				})
				opts.Dialer.NetDialContext = s.dial
				opts.Heartbeat.Interval = -1
				if opts.Message == nil {
					opts.Message = func(context.Context, Message) error { return nil }
				}
				began := time.Now()
				d := client.agent.Dialer("feed", "ws://feed.example", opts)
				if err := d.Run(ctx); !errors.Is(err, context.Canceled) {
					t.Errorf("Run returned %v", err)
				}
				if took := time.Since(began); took > 2*closeTimeout {
					t.Errorf("it took %v", took)
				}
				opened, ended := len(client.rec.all("opened")), len(client.rec.all("disconnect"))
				stats := client.agent.Stats().Routes[0]
				if opened != 1 || int64(ended) != stats.ConnectionsOpened || stats.ConnectionsActive != 0 || len(client.agent.Connections()) != 0 {
					t.Errorf("%d opened, %d ended, %+v", opened, ended, stats)
				}
				for _, refused := range stats.Refused {
					if refused.Reason == "unreachable" {
						t.Errorf("refused: %+v", refused)
					}
				}
			})
		})
	}
}

// TestDialerInHandler: a Dialer that runs under a message is none of that.
func TestDialerInHandler(t *testing.T) {
	upstream := newObserved(MessageOptions{})
	there := httptest.NewServer(upstream.agent.Endpoint("/feed", EndpointOptions{Message: func(context.Context, Message) error { return nil }}))
	defer there.Close()
	relay := newObserved(MessageOptions{Name: JSONField("type"), Names: []string{"relay"}})
	here := httptest.NewServer(relay.agent.Endpoint("/relay", EndpointOptions{
		Message: func(ctx context.Context, _ Message) error {
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			conn := FromContext(ctx)
			err := relay.agent.Dialer("feed", wsURL(there), soon(DialerOptions{
				Connect: func(ctx context.Context, dialled *Conn) (context.Context, error) {
					if FromContext(ctx) != dialled || dialled == conn || vendorOf(ctx).name != "CONNECT feed" {
						t.Error("Connect has the context of another")
					}
					return ctx, dialled.Write(ctx, TextMessage, nil)
				},
				State: func(s DialState) {
					if s.Phase == DialOpen {
						cancel()
					}
				},
			})).Run(ctx)
			if !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
			if vendorOf(ctx) == nil || vendorOf(ctx).name != "relay" || vendorOf(ctx).ended {
				t.Error("the message's own transaction is gone")
			}
			return nil
		},
	}))
	defer here.Close()
	conn := dial(t, wsURL(here), nil)
	if err := conn.WriteMessage(websocket.TextMessage, []byte(`{"type":"relay"}`)); err != nil {
		t.Fatal(err)
	}
	relay.rec.wait(t, "message-end", 1)
	parents := map[string]string{}
	for _, e := range relay.rec.all("span") {
		parents[e.name] = e.parent
	}
	if parents["dial"] != "CONNECT feed" || parents["send _OTHER"] != "CONNECT feed" {
		t.Errorf("spans are below %v", parents)
	}
}

// TestDialerShutdown: an agent that is shut down closes what a Dialer has, which does
// not connect again.
func TestDialerShutdown(t *testing.T) {
	server, client := newObserved(MessageOptions{}), newObserved(MessageOptions{})
	srv := httptest.NewServer(server.agent.Endpoint("/feed", EndpointOptions{Message: func(context.Context, Message) error { return nil }}))
	defer srv.Close()
	open := make(chan struct{})
	d := client.agent.Dialer("feed", wsURL(srv), soon(DialerOptions{State: func(s DialState) {
		if s.Phase == DialOpen {
			close(open)
		}
	}}))
	ran := make(chan error, 1)
	go func() { ran <- d.Run(t.Context()) }()
	<-open
	if err := client.agent.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-ran; !errors.Is(err, ErrShutDown) {
		t.Errorf("Run returned %v", err)
	}
	for _, side := range []*observed{client, server} { // the frame was masked, else the server would call it a fault
		if e := side.rec.wait(t, "disconnect", 1)[0]; e.attrs["websocket.close.code"] != "1001" || e.attrs["websocket.close.initiator"] != "client" {
			t.Errorf("%+v", e)
		}
	}
}

// TestDialerHeartbeat: a server that vanishes without a word is noticed, by masked
// pings, and another connection is made.
func TestDialerHeartbeat(t *testing.T) {
	var handshakes atomic.Int64
	var firstFrame atomic.Uint32
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := new(websocket.Upgrader).Upgrade(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		if handshakes.Add(1) > 1 {
			_, _, _ = c.ReadMessage() // gorilla answers pings
			return
		}
		frame := make([]byte, 2)
		_, _ = io.ReadFull(c.NetConn(), frame)
		firstFrame.Store(uint32(frame[0])<<8 | uint32(frame[1]))
		_, _ = io.Copy(io.Discard, c.NetConn()) // and says nothing
	}))
	defer srv.Close()
	client := newObserved(MessageOptions{})
	states := &states{}
	d := client.agent.Dialer("feed", wsURL(srv), soon(DialerOptions{
		State: states.note, Heartbeat: Heartbeat{Interval: 20 * time.Millisecond, Timeout: 100 * time.Millisecond},
	}))
	stop := running(t, d)
	eventually(t, "the second server answers", func() bool { return client.agent.Stats().Routes[0].PingRTT.Count > 0 })
	if err := stop(); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if got := firstFrame.Load(); got != 0x8988 {
		t.Errorf("the first frame begins with %04x, not as a masked ping of 8 bytes", got)
	}
	if e := client.rec.all("disconnect")[0]; e.result != "heartbeat_timeout" || e.attrs["websocket.close.initiator"] != "network" {
		t.Errorf("%+v", e)
	}
	if err := states.of(DialWaiting)[0].Err; !errors.Is(err, ErrPeerLost) {
		t.Errorf("why: %v", err)
	}
}
