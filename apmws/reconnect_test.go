package apmws

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
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

// feed sends numbers to all who have subscribed.
type feed struct {
	mu      sync.Mutex
	members map[*Conn]bool
	n       int
}

func (f *feed) join(c *Conn) { f.mu.Lock(); defer f.mu.Unlock(); f.members[c] = true }

func (f *feed) leave(c *Conn) { f.mu.Lock(); defer f.mu.Unlock(); delete(f.members, c) }

// tick sends the next number, if there is anybody.
func (f *feed) tick(ctx context.Context) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.members) == 0 {
		return
	}
	f.n++
	for c := range f.members {
		_ = c.Write(ctx, TextMessage, fmt.Append(nil, f.n))
	}
}

// TestTokenIsRenewed: before it expires another connection takes the place of the
// first, and no message is missed.
func TestTokenIsRenewed(t *testing.T) {
	f := &feed{members: map[*Conn]bool{}}
	server, client := newObserved(MessageOptions{}), newObserved(MessageOptions{})
	var tokens []string
	srv := httptest.NewServer(server.agent.Endpoint("/feed", EndpointOptions{
		Authenticate: func(ctx context.Context, r *http.Request) (context.Context, error) {
			f.mu.Lock()
			defer f.mu.Unlock()
			tokens = append(tokens, r.Header.Get("Authorization"))
			return ctx, nil
		},
		Message: func(ctx context.Context, _ Message) error { // "subscribe"
			f.join(FromContext(ctx))
			return FromContext(ctx).Write(ctx, TextMessage, []byte("subscribed"))
		},
		Close: func(_ context.Context, c *Conn, _ error) { f.leave(c) },
	}))
	defer srv.Close()

	var mu sync.Mutex
	seen := map[string]bool{}
	calls := 0
	states := &states{}
	d := client.agent.Dialer("feed", wsURL(srv), soon(DialerOptions{
		Token: func(context.Context) (string, time.Time, error) {
			calls++
			return fmt.Sprint(tokenWord, calls), time.Now().Add(100 * time.Millisecond), nil
		},
		Connect: func(ctx context.Context, conn *Conn) (context.Context, error) {
			err := conn.Write(ctx, TextMessage, []byte("subscribe"))
			if err == nil {
				_, _, err = conn.WebSocket().ReadMessage() // until it is subscribed
			}
			return ctx, err
		},
		Message: func(_ context.Context, m Message) error {
			mu.Lock()
			defer mu.Unlock()
			seen[string(m.Data)] = true
			return nil
		},
		State: states.note,
	}))
	stop := running(t, d)
	eventually(t, "it has been renewed five times", func() bool {
		f.tick(t.Context())
		return len(states.of(DialOpen)) > 5
	})
	last := f.n
	eventually(t, "the last number has come", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return seen[fmt.Sprint(last)]
	})
	if err := stop(); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	for i := 1; i <= last; i++ {
		if !seen[fmt.Sprint(i)] {
			t.Errorf("%d of %d is missing", i, last)
		}
	}
	if waits := states.of(DialWaiting); len(waits) > 0 {
		t.Errorf("it was not connected: %v", waits)
	}
	opened := len(states.of(DialOpen))
	server.rec.wait(t, "disconnect", opened)
	results := map[string]int{}
	for _, e := range client.rec.all("disconnect") {
		results[fmt.Sprint(e.result, " by the ", e.attrs["websocket.close.initiator"])]++
	}
	if want := map[string]int{"normal by the client": opened - 1, "going_away by the client": 1}; !maps.Equal(results, want) {
		t.Errorf("they ended %v, want %v", results, want)
	}
	if slices.Sort(tokens); len(slices.Compact(tokens)) < opened {
		t.Errorf("tokens %v for %d connections", tokens, opened)
	}
	if strings.Contains(client.told()+server.told(), tokenWord) {
		t.Error("a token is told")
	}
}

// TestRenewHook: the connection stays, and the server is told the new token on it;
// when that fails, another takes its place.
func TestRenewHook(t *testing.T) {
	server, client := newObserved(MessageOptions{}), newObserved(MessageOptions{})
	told := make(chan string, 100)
	srv := httptest.NewServer(server.agent.Endpoint("/feed", EndpointOptions{
		Message: func(_ context.Context, m Message) error { told <- string(m.Data); return nil },
	}))
	defer srv.Close()
	states := &states{}
	var fails atomic.Bool
	calls := 0
	d := client.agent.Dialer("feed", wsURL(srv), soon(DialerOptions{
		Token: func(context.Context) (string, time.Time, error) {
			calls++
			return fmt.Sprint("number ", calls), time.Now().Add(50 * time.Millisecond), nil
		},
		Renew: func(ctx context.Context, conn *Conn, token string) error {
			if FromContext(ctx) != conn {
				t.Error("Renew has another context")
			}
			if fails.Load() {
				panic("upset")
			}
			return conn.Write(ctx, TextMessage, []byte(token))
		},
		State: states.note,
	}))
	stop := running(t, d)
	for i := 2; i < 6; i++ {
		if got, want := <-told, fmt.Sprint("number ", i); got != want {
			t.Errorf("the server was told %q, want %q", got, want)
		}
	}
	if n := len(states.of(DialOpen)); n != 1 {
		t.Errorf("%d connections", n)
	}
	fails.Store(true)
	eventually(t, "another takes its place", func() bool { return len(states.of(DialOpen)) > 1 })
	if e := client.rec.wait(t, "disconnect", 1)[0]; e.result != "panic" || e.failure == nil || e.failure.Message != "upset" {
		t.Errorf("%+v", e)
	}
	if err := stop(); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestRenewalGivesUp: a server that refuses the new token is told of, and the old
// connection is closed.
func TestRenewalGivesUp(t *testing.T) {
	server, client := newObserved(MessageOptions{}), newObserved(MessageOptions{})
	var handshakes atomic.Int64
	srv := httptest.NewServer(server.agent.Endpoint("/feed", EndpointOptions{
		Authenticate: func(ctx context.Context, _ *http.Request) (context.Context, error) {
			if handshakes.Add(1) > 1 {
				return ctx, Refuse(http.StatusForbidden, "")
			}
			return ctx, nil
		},
		Message: func(context.Context, Message) error { return nil },
	}))
	defer srv.Close()
	err := client.agent.Dialer("feed", wsURL(srv), soon(DialerOptions{
		Token: func(context.Context) (string, time.Time, error) {
			return "t", time.Now().Add(20 * time.Millisecond), nil
		},
	})).Run(t.Context())
	var gaveUp *GaveUpError
	var refused *RefusalError
	if !errors.As(err, &gaveUp) || !errors.As(err, &refused) || refused.Status != 403 || handshakes.Load() != 3 {
		t.Errorf("%v after %d handshakes", err, handshakes.Load())
	}
	if e := client.rec.wait(t, "disconnect", 1)[0]; e.result != "normal" || len(client.agent.Connections()) != 0 {
		t.Errorf("%+v", e)
	}
}

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

// TestRenewIn: between 80 and 90 % of a token's life, at different moments.
func TestRenewIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const first, greatest = 2 * time.Millisecond, 16 * time.Millisecond
		now := time.Now()
		centuries := now.AddDate(500, 0, 0)
		tests := []struct {
			name            string
			issued, expires time.Time
			least, most     time.Duration
		}{
			{"not known", now, time.Time{}, noRenewal, noRenewal},
			{"expired when it was new", now, now.Add(-time.Hour), noRenewal, noRenewal},
			{"new", now, now.Add(time.Hour), 48 * time.Minute, 54 * time.Minute},
			{"for centuries", now, centuries, centuries.Sub(now) / 10 * 8, centuries.Sub(now) / 10 * 9},
			{"half an hour old", now.Add(-30 * time.Minute), now.Add(30 * time.Minute), 18 * time.Minute, 24 * time.Minute},
			{"expired meanwhile", now.Add(-time.Minute), now.Add(-time.Second), 0, greatest},
			{"hardly alive", now, now.Add(time.Microsecond), 0, greatest},
		}
		for _, test := range tests {
			r := &dialRun{dialer: &Dialer{opts: DialerOptions{FirstDelay: first}}, pace: newPace(first, greatest)}
			x := &dialled{issued: test.issued, expires: test.expires}
			seen := map[time.Duration]bool{}
			for range 100 {
				in := r.renewIn(x)
				if in < test.least || in > test.most {
					t.Errorf("%s: renewed in %v", test.name, in)
				}
				seen[in] = true
			}
			if test.least != test.most && len(seen) < 50 {
				t.Errorf("%s: %d moments", test.name, len(seen))
			}
		}
	})
}

// TestShortTokensAreNoHurry: by a clock that is wrong, tokens may live for hardly any
// time; the server must not pay for that.
func TestShortTokensAreNoHurry(t *testing.T) {
	for _, renew := range []func(context.Context, *Conn, string) error{nil, func(context.Context, *Conn, string) error { return nil }} {
		synctest.Test(t, func(t *testing.T) {
			s := &scriptedServer{answer: func(_ int, r *http.Request, conn net.Conn) {
				accept(r, conn, "")
				_, _ = io.ReadFull(conn, make([]byte, 8)) // the close frame
				_, _ = io.WriteString(conn, closeFrame16(1000))
				_, _ = io.Copy(io.Discard, conn)
			}}
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
			defer cancel()
			tokens := 0
			opts := DialerOptions{
				Token: func(context.Context) (string, time.Time, error) {
					tokens++
					return tokenWord, time.Now().Add(50 * time.Millisecond), nil
				},
				Renew:     renew,
				Message:   func(context.Context, Message) error { return nil },
				Heartbeat: Heartbeat{Interval: -1},
			}
			opts.Dialer.NetDialContext = s.dial
			if err := New(Options{}).Dialer("feed", "ws://feed.example", opts).Run(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
			if n := len(s.dialled); tokens > 100 || n > 100 || tokens < 20 { // one in 15 s is expected in the end
				t.Errorf("%d tokens and %d connections in 10 minutes", tokens, n)
			}
		})
	}
}
