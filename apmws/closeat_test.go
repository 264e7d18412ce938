package apmws

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
)

// connected serves an endpoint whose Connect hook hands its connection out.
func connected(t *testing.T, opts EndpointOptions) (rec *recorder, conn *websocket.Conn, c *Conn) {
	t.Helper()
	conns := make(chan *Conn, 1)
	opts.Connect = func(ctx context.Context, c *Conn) (context.Context, error) {
		conns <- c
		return ctx, nil
	}
	if opts.Message == nil {
		opts.Message = func(context.Context, Message) error { return nil }
	}
	rec = newRecorder()
	conn = dial(t, serveWS(t, New(Options{Exporters: []Exporter{rec}}).Endpoint("/ws", opts)), nil)
	return rec, conn, receive(t, conns)
}

// TestCloseAt: at once for a time that has passed, with the cause of the code.
func TestCloseAt(t *testing.T) {
	for code, cause := range map[int]string{4401: "application", 1000: "normal", 1001: "going_away", 1008: "application"} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			rec, conn, c := connected(t, EndpointOptions{})
			if err := c.CloseAt(time.Now().Add(-time.Hour), code, strings.Repeat("é", 100)); err != nil {
				t.Fatal(err)
			}
			if got, text := closeCodeOf(t, conn); got != code || text != strings.Repeat("é", 61) {
				t.Errorf("closed with %d %q", got, text)
			}
			end := rec.wait(t, "disconnect", 1)[0]
			if end.result != cause || end.attrs["websocket.close.initiator"] != "server" {
				t.Errorf("%+v", end)
			}
			if err := c.CloseAt(time.Now(), 1000, ""); err != nil {
				t.Errorf("after the end: %v", err)
			}
		})
	}
}

// TestCloseAtErrors: as those of Close.
func TestCloseAtErrors(t *testing.T) {
	_, conn, c := connected(t, EndpointOptions{})
	for _, code := range []int{0, 999, 1004, 1005, 1006, 1015, 2999, 5000} {
		if err := c.CloseAt(time.Now(), code, ""); !errors.Is(err, ErrCloseCode) {
			t.Errorf("%d: %v", code, err)
		}
	}
	if err := c.CloseAt(time.Time{}, 0, ""); err != nil {
		t.Errorf("nothing to take back: %v", err)
	}
	if err := (*Conn)(nil).CloseAt(time.Now(), 1000, ""); err != nil {
		t.Errorf("no connection: %v", err)
	}
	leave(t, conn)
}

// TestCloseAtMoves: a later call replaces the time, also by the message that is in
// hand when it comes, and the zero time takes it back.
func TestCloseAtMoves(t *testing.T) {
	due := make(chan struct{})
	rec, conn, c := connected(t, EndpointOptions{Message: func(ctx context.Context, m Message) error {
		c := FromContext(ctx)
		if string(m.Data) == "renew" {
			_ = c.CloseAt(time.Now(), 4401, "expired")
			eventually(t, "the time is up", func() bool { return c.retiring.Load() != nil })
			if err := c.CloseAt(time.Now().Add(time.Hour), 4401, "expired"); err != nil {
				t.Error(err)
			}
			close(due)
		}
		return c.Write(ctx, m.Type, m.Data)
	}})
	send(t, conn, "renew")
	receive(t, due)
	for _, message := range []string{"renew", "a", "b"} {
		if message != "renew" {
			send(t, conn, message)
		}
		if _, answer, err := conn.ReadMessage(); err != nil || string(answer) != message {
			t.Fatalf("%q, %v", answer, err)
		}
	}
	if err := c.CloseAt(time.Time{}, 0, ""); err != nil {
		t.Error(err)
	}
	leave(t, conn)
	rec.wait(t, "disconnect", 1)
	c.agent.wheel.mu.Lock()
	defer c.agent.wheel.mu.Unlock()
	for _, a := range c.agent.wheel.heap {
		t.Errorf("the wheel still has %+v", a)
	}
}

// TestCloseAtNever: a time that is farther off than can be counted does not come.
func TestCloseAtNever(t *testing.T) {
	c := watched(t)
	for _, at := range []time.Time{time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC), time.Unix(1<<40, 0)} {
		if err := c.CloseAt(at, 4401, ""); err != nil {
			t.Error(err)
		}
		if c.times.at < time.Hour || c.retiring.Load() != nil {
			t.Errorf("%v: it is closed at %v", at, c.times.at)
		}
	}
	c.forgetTimes()
}

// TestMaxAgeAfterAll: a greatest age that comes while another close waits is not
// forgotten when that is taken back.
func TestMaxAgeAfterAll(t *testing.T) {
	opts := EndpointOptions{MaxAge: time.Hour, Message: func(ctx context.Context, _ Message) error {
		c := FromContext(ctx)
		_ = c.CloseAt(time.Now().Add(time.Minute), 4401, "expired")
		time.Sleep(2 * time.Hour)
		return c.CloseAt(time.Now().Add(time.Hour), 4401, "expired") // renewed
	}}
	opts.Heartbeat.Interval = -1
	lived, code, end := inBubbleAt(t, func(a *Agent) http.Handler { return a.Endpoint("/ws", opts) }, func(conn net.Conn) {
		_, _ = conn.Write([]byte{finBit | opText, maskBit, 0, 0, 0, 0})
	})
	between(t, lived, 2*time.Hour, 2*time.Hour+time.Minute)
	if code != 1001 || end.result != "max_age" {
		t.Errorf("%d, %+v", code, end)
	}
}

// TestCloseAtStuck: a peer that takes nothing of a message does not keep its
// connection open, nor what it sends on it in use.
func TestCloseAtStuck(t *testing.T) {
	for name, owned := range map[string]bool{"a handler": false, "an endpoint with a queue": true} {
		t.Run(name, func(t *testing.T) {
			opts := EndpointOptions{WriteTimeout: -1, SendQueue: SendQueue{Messages: 9}}
			opts.Heartbeat.Interval = -1
			opts.Message = func(context.Context, Message) error { return nil }
			opts.Connect = func(ctx context.Context, c *Conn) (context.Context, error) {
				_ = c.Send(ctx, TextMessage, []byte("hello"))
				return ctx, c.CloseAt(time.Now().Add(time.Minute), 4401, "expired")
			}
			plain := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				conn, err := (&websocket.Upgrader{}).Upgrade(w, r, nil)
				if err != nil {
					return
				}
				defer conn.Close()
				_ = FromContext(r.Context()).CloseAt(time.Now().Add(time.Minute), 4401, "expired")
				go func() { _ = conn.WriteMessage(websocket.TextMessage, []byte("hello")) }()
				for err == nil {
					_, _, err = conn.ReadMessage()
				}
			})
			synctest.Test(t, func(t *testing.T) {
				rec := newRecorder()
				agent := New(Options{Exporters: []Exporter{rec}})
				handler := agent.Handler("/ws", plain)
				if owned {
					handler = agent.Endpoint("/ws", opts)
				}
				listener := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
				srv := &http.Server{Handler: handler, ReadHeaderTimeout: time.Hour}
				go func() { _ = srv.Serve(listener) }()
				defer srv.Close()
				conn, theirs := net.Pipe()
				defer conn.Close()
				listener.conns <- theirs
				if err := upgradeRequest().Write(conn); err != nil {
					t.Fatal(err)
				}
				if _, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil {
					t.Fatal(err)
				}
				go func() { // it goes on sending
					for {
						if _, err := conn.Write([]byte{finBit | opText, maskBit, 0, 0, 0, 0}); err != nil {
							return
						}
						time.Sleep(time.Second)
					}
				}()
				due := time.Now().Add(time.Minute)
				time.Sleep(2 * time.Hour)
				end := rec.wait(t, "disconnect", 1)[0]
				between(t, end.at.Sub(due), 25*time.Second, flushGrace+stuckGrace+10*time.Second)
				if end.result != "application" || end.attrs["websocket.close.initiator"] != "server" {
					t.Errorf("%+v", end)
				}
			})
		})
	}
}

// inBubbleAt runs a handler with a clock of its own and returns how long it took
// until the peer, which answers, was told to go.
func inBubbleAt(t *testing.T, handler func(*Agent) http.Handler, talk func(conn net.Conn)) (lived time.Duration, code int, end event) {
	synctest.Test(t, func(t *testing.T) {
		rec := newRecorder()
		dial := servePipes(t, handler(New(Options{Exporters: []Exporter{rec}})))
		start := time.Now()
		conn := dial()
		br := upgradePipe(t, conn)
		if talk != nil {
			go talk(conn)
		}
		var parser frameParser
		var sink closeSink
		for sink.code == 0 {
			b, err := br.ReadByte()
			if err != nil {
				t.Fatal(err)
			}
			parser.feed([]byte{b}, &sink)
		}
		lived, code = time.Since(start), sink.code
		if _, err := conn.Write(append([]byte{finBit | opClose, maskBit | 2, 0, 0, 0, 0}, byte(code>>8), byte(code))); err != nil {
			t.Error(err)
		}
		end = rec.wait(t, "disconnect", 1)[0]
		time.Sleep(2 * time.Hour) // for handlers that sleep, and the wheel's last turn
	})
	return lived, code, end
}

// between checks how long something lasted.
func between(t *testing.T, lived, least, most time.Duration) {
	t.Helper()
	if lived < least || lived > most {
		t.Errorf("it was told to go after %s, want between %s and %s", lived, least, most)
	}
}

// TestMaxAge: an idle connection, and one with a message in hand at its age.
func TestMaxAge(t *testing.T) {
	opts := EndpointOptions{MaxAge: time.Hour, Message: func(ctx context.Context, _ Message) error {
		time.Sleep(3 * time.Hour)
		return FromContext(ctx).Write(ctx, TextMessage, []byte("done"))
	}}
	opts.Heartbeat.Interval = -1
	handler := func(a *Agent) http.Handler { return a.Endpoint("/ws", opts) }
	lived, code, end := inBubbleAt(t, handler, nil)
	between(t, lived, 48*time.Minute, time.Hour+time.Minute)
	if code != 1001 || end.result != "max_age" || end.outcome != OutcomeSuccess || end.attrs["websocket.close.reason"] != "max age" {
		t.Errorf("%d, %+v", code, end)
	}
	lived, code, end = inBubbleAt(t, handler, func(conn net.Conn) {
		time.Sleep(40 * time.Minute)
		_, _ = conn.Write([]byte{finBit | opText, maskBit | 2, 0, 0, 0, 0, 'h', 'i'})
	})
	between(t, lived, 220*time.Minute, 221*time.Minute)
	if code != 1001 || end.result != "max_age" || end.attrs["websocket.messages.sent"] != int64(1) {
		t.Errorf("%d, %+v", code, end)
	}
}

// TestMaxAgeJitter: each connection has its own.
func TestMaxAgeJitter(t *testing.T) {
	seen := map[time.Duration]bool{}
	for range 20 {
		c := watched(t)
		c.limitAge(time.Hour)
		age := c.times.maxAge - c.start.Sub(processStart)
		between(t, age, 48*time.Minute, time.Hour)
		seen[age] = true
		c.forgetTimes()
	}
	if len(seen) < 10 {
		t.Errorf("%d ages of 20 connections", len(seen))
	}
}

// TestCloseAtPlain: at level 1, in the middle of a message that another goroutine
// writes in fragments; and a program that does not read any more.
func TestCloseAtPlain(t *testing.T) {
	plain := func(serve func(c *Conn, conn *websocket.Conn)) func(*Agent) http.Handler {
		return func(a *Agent) http.Handler {
			return a.Handler("/ws", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				conn, err := (&websocket.Upgrader{WriteBufferSize: 64}).Upgrade(w, r, nil)
				if err != nil {
					return
				}
				defer conn.Close()
				c := FromContext(r.Context())
				if err := c.CloseAt(time.Now().Add(time.Minute), 4401, "expired"); err != nil {
					t.Error(err)
				}
				serve(c, conn)
			}))
		}
	}
	var wrote error
	lived, code, end := inBubbleAt(t, plain(func(_ *Conn, conn *websocket.Conn) {
		go func() { // ten minutes for a message
			w, _ := conn.NextWriter(websocket.TextMessage)
			for range 10 {
				_, _ = w.Write(make([]byte, 100))
				time.Sleep(time.Minute)
			}
			wrote = w.Close()
		}()
		_, _, _ = conn.ReadMessage()
	}), nil)
	between(t, lived, 10*time.Minute, 10*time.Minute+5*time.Second)
	if code != 4401 || end.result != "application" || wrote != nil || end.attrs["websocket.messages.sent"] != int64(1) {
		t.Errorf("%d, %v, %+v", code, wrote, end)
	}
	lived, code, _ = inBubbleAt(t, plain(func(_ *Conn, conn *websocket.Conn) {
		_, _, _ = conn.ReadMessage()
		time.Sleep(time.Hour)
	}), func(conn net.Conn) { _, _ = conn.Write([]byte{finBit | opText, maskBit, 0, 0, 0, 0}) })
	between(t, lived, 70*time.Second, 75*time.Second)
	if code != 4401 {
		t.Errorf("closed with %d", code)
	}
}

// TestCloseAtUnfinished: a peer that does not finish its message does not stay.
func TestCloseAtUnfinished(t *testing.T) {
	opts := EndpointOptions{Message: func(context.Context, Message) error { return nil }}
	opts.Heartbeat.Interval = -1
	opts.Connect = func(ctx context.Context, c *Conn) (context.Context, error) {
		return ctx, c.CloseAt(time.Now().Add(time.Minute), 4401, "expired")
	}
	lived, code, _ := inBubbleAt(t, func(a *Agent) http.Handler { return a.Endpoint("/ws", opts) }, func(conn net.Conn) {
		_, _ = conn.Write([]byte{finBit | opText, maskBit | 2, 0, 0, 0, 0, 'h'})
	})
	between(t, lived, 90*time.Second, 95*time.Second)
	if code != 4401 {
		t.Errorf("closed with %d", code)
	}
}
