package apmws

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
)

// scriptedServer answers each connection over memory, so that it can be in a bubble
// with a clock of its own.
type scriptedServer struct {
	mu       sync.Mutex
	dialled  []time.Time
	requests []http.Header
	answer   func(n int, r *http.Request, conn net.Conn) // of the nth request, from 0
}

func (s *scriptedServer) dial(context.Context, string, string) (net.Conn, error) {
	server, client := net.Pipe()
	s.mu.Lock()
	n := len(s.dialled)
	s.dialled = append(s.dialled, time.Now())
	s.mu.Unlock()
	go func() {
		defer server.Close()
		r, err := http.ReadRequest(bufio.NewReader(server))
		if err != nil {
			return
		}
		s.mu.Lock()
		s.requests = append(s.requests, r.Header)
		s.mu.Unlock()
		s.answer(n, r, server)
	}()
	return client, nil
}

func refuseWith(status int, header string) func(int, *http.Request, net.Conn) {
	return func(_ int, _ *http.Request, conn net.Conn) {
		_, _ = fmt.Fprintf(conn, "HTTP/1.1 %d No\r\nContent-Length: 0\r\n%s\r\n", status, header)
	}
}

// accept answers with a 101, and sends what follows it.
func accept(r *http.Request, conn net.Conn, frames string) {
	_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "+
		acceptKey(r.Header.Get("Sec-Websocket-Key"))+"\r\n\r\n"+frames)
}

// closeFrame16 is a server's close frame with that code.
func closeFrame16(code int) string { return string([]byte{0x88, 2, byte(code >> 8), byte(code)}) }

func (s *scriptedServer) gaps() (gaps []time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := 1; i < len(s.dialled); i++ {
		gaps = append(gaps, s.dialled[i].Sub(s.dialled[i-1]))
	}
	return gaps
}

// dialScripted runs a Dialer against a scripted server until it has waited for n
// times, or gives up.
func dialScripted(t *testing.T, s *scriptedServer, waits int, opts DialerOptions) (waited []DialState, err error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if opts.Message == nil {
		opts.Message = func(context.Context, Message) error { return nil }
	}
	opts.Dialer.NetDialContext = s.dial
	opts.Heartbeat.Interval = -1 // the server answers nothing
	opts.State = func(state DialState) {
		if state.Phase == DialWaiting {
			if waited = append(waited, state); len(waited) == waits {
				cancel()
			}
		}
	}
	err = New(Options{}).Dialer("feed", "ws://feed.example/?"+queryWord, opts).Run(ctx)
	return waited, err
}

// TestFullJitter: waits are uniform below a bound, which doubles up to the greatest.
func TestFullJitter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const waits = 2000
		s := &scriptedServer{answer: refuseWith(500, "")}
		waited, err := dialScripted(t, s, waits, DialerOptions{})
		if !errors.Is(err, context.Canceled) || len(waited) != waits {
			t.Fatalf("%d waits, %v", len(waited), err)
		}
		bound := 500 * time.Millisecond
		for i, state := range waited[:10] {
			if state.Delay < 0 || state.Delay > bound {
				t.Errorf("wait %d is %v, the bound %v", i, state.Delay, bound)
			}
			var refused *RefusalError
			if !errors.As(state.Err, &refused) || refused.Status != 500 {
				t.Errorf("why: %v", state.Err)
			}
			bound = min(2*bound, 30*time.Second)
		}
		var quarters [4]int
		for _, state := range waited[10:] {
			if state.Delay < 0 || state.Delay > 30*time.Second {
				t.Fatalf("a wait of %v", state.Delay)
			}
			quarters[min(3, state.Delay/(30*time.Second/4))]++
		}
		for _, n := range quarters { // 497.5 is expected, give or take 19
			if n < 380 || n > 620 {
				t.Errorf("waits by quarter of the bound: %v", quarters)
				break
			}
		}
		for i, gap := range s.gaps() {
			if gap != waited[i].Delay {
				t.Fatalf("the wait before attempt %d was %v, not %v", i+1, gap, waited[i].Delay)
			}
		}
	})
}

// TestRetryAfter: the server's wish is the least wait, and jitter comes on top.
func TestRetryAfter(t *testing.T) {
	tests := []struct {
		name   string
		header func() string
		least  time.Duration
	}{
		{"seconds", func() string { return "7" }, 7 * time.Second},
		{"a date", func() string { return time.Now().Add(90 * time.Second).UTC().Format(http.TimeFormat) }, 89 * time.Second},
		{"a date that has passed", func() string { return time.Now().Add(-90 * time.Second).UTC().Format(http.TimeFormat) }, 0},
		{"nonsense", func() string { return "soon" }, 0},
		{"negative", func() string { return "-7" }, 0},
		{"a year", func() string { return "31536000" }, time.Hour},
		{"more than fits", func() string { return "99999999999999999999" }, time.Hour},
		{"a date in ten years", func() string { return time.Now().AddDate(10, 0, 0).UTC().Format(http.TimeFormat) }, time.Hour},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &scriptedServer{answer: func(n int, r *http.Request, conn net.Conn) {
					refuseWith(503, "Retry-After: "+test.header()+"\r\n")(n, r, conn)
				}}
				waited, _ := dialScripted(t, s, 50, DialerOptions{FirstDelay: time.Second, MaxDelay: time.Second})
				more := false
				for _, state := range waited {
					if state.Delay < test.least || state.Delay > test.least+2*time.Second {
						t.Errorf("a wait of %v", state.Delay)
					}
					more = more || state.Delay != waited[0].Delay
				}
				if !more {
					t.Error("all waits are the same")
				}
			})
		})
	}
}

// TestPaceIsReset: after a connection that has lasted, and not after one that has not.
func TestPaceIsReset(t *testing.T) {
	for _, test := range []struct {
		lasts time.Duration
		reset bool
	}{{29 * time.Second, false}, {31 * time.Second, true}} {
		synctest.Test(t, func(t *testing.T) {
			s := &scriptedServer{answer: func(_ int, r *http.Request, conn net.Conn) {
				accept(r, conn, "")
				time.Sleep(test.lasts)
				_, _ = io.WriteString(conn, closeFrame16(1012))
				_, _ = io.Copy(io.Discard, conn)
			}}
			waited, _ := dialScripted(t, s, 60, DialerOptions{})
			longest := time.Duration(0)
			for _, state := range waited {
				longest = max(longest, state.Delay)
				if !websocket.IsCloseError(state.Err, 1012) {
					t.Errorf("why: %v", state.Err)
				}
			}
			if reset := longest <= 500*time.Millisecond; reset != test.reset {
				t.Errorf("connections of %v: waits of up to %v", test.lasts, longest)
			}
		})
	}
}

// TestServerRestart: a client comes back to each server that follows, and subscribes
// there.
func TestServerRestart(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	client := newObserved(MessageOptions{})
	var connects atomic.Int64
	states := &states{}
	d := client.agent.Dialer("feed", "ws://"+address, soon(DialerOptions{
		Connect: func(ctx context.Context, conn *Conn) (context.Context, error) {
			connects.Add(1)
			return ctx, conn.Write(ctx, TextMessage, []byte("subscribe"))
		},
		State: states.note,
	}))
	stop := running(t, d)
	const restarts = 4
	for i := range restarts {
		server := newObserved(MessageOptions{})
		subscribed := make(chan struct{}, 1)
		srv := &http.Server{ReadHeaderTimeout: time.Minute, Handler: server.agent.Endpoint("/feed", EndpointOptions{
			Connect: func(ctx context.Context, conn *Conn) (context.Context, error) {
				go func() { <-subscribed; conn.WebSocket().NetConn().Close() }() // it is killed
				return ctx, nil
			},
			Message: func(context.Context, Message) error { subscribed <- struct{}{}; return nil },
		})}
		go func() { _ = srv.Serve(listener) }()
		server.rec.wait(t, "disconnect", 1)
		srv.Close() // before the client is let in again, or after
		if listener, err = net.Listen("tcp", address); err != nil {
			t.Fatal(err)
		}
		if n := connects.Load(); n < int64(i+1) {
			t.Errorf("Connect was called %d times for %d servers", n, i+1)
		}
	}
	listener.Close()
	if err := stop(); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	stats := client.agent.Stats().Routes[0]
	if int64(len(states.of(DialOpen))) > connects.Load() || connects.Load() > stats.ConnectionsOpened || stats.ConnectionsActive != 0 {
		t.Errorf("%d open, %d connects, %+v", len(states.of(DialOpen)), connects.Load(), stats)
	}
	refused := int64(0)
	for _, r := range stats.Refused {
		refused += r.Count
	}
	if attempts := int64(len(states.of(DialConnecting))); attempts != stats.ConnectionsOpened+refused {
		t.Errorf("%d attempts, %d opened, %d refused", attempts, stats.ConnectionsOpened, refused)
	}
}
