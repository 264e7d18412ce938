package apmws

import (
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
)

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

// TestRenewalIsRefused: a server that refuses the new token does not cost the connection
// that is open. When that ends, Run gives up as ever; it may be called again.
func TestRenewalIsRefused(t *testing.T) {
	server, client := newObserved(MessageOptions{}), newObserved(MessageOptions{})
	var refusing, refused atomic.Int64
	srv := httptest.NewServer(server.agent.Endpoint("/feed", EndpointOptions{
		Authenticate: func(ctx context.Context, _ *http.Request) (context.Context, error) {
			if status := refusing.Load(); status != 0 {
				refused.Add(1)
				return ctx, Refuse(int(status), "")
			}
			return ctx, nil
		},
		Message: func(_ context.Context, m Message) error { return Close(4401, string(m.Data)) },
	}))
	defer srv.Close()
	states := &states{}
	d := client.agent.Dialer("feed", wsURL(srv), soon(DialerOptions{
		Token: func(context.Context) (string, time.Time, error) {
			return "t", time.Now().Add(20 * time.Millisecond), nil
		},
		State: states.note,
	}))
	for i, status := range []int64{401, 403} {
		refusing.Store(0)
		before, opened := refused.Load(), len(states.of(DialOpen))
		ran := make(chan error, 1)
		go func() { ran <- d.Run(t.Context()) }()
		eventually(t, "it is renewed", func() bool { return len(states.of(DialOpen)) > opened+1 })
		refusing.Store(status)
		eventually(t, "it is refused again and again", func() bool { return refused.Load() > before+4 })
		conn, err := d.Conn()
		if err != nil {
			t.Fatalf("%d: the connection is given up: %v", status, err)
		}
		if err := conn.Write(t.Context(), TextMessage, []byte("end")); err != nil {
			t.Errorf("%d: the connection does not work: %v", status, err)
		}
		var gaveUp *GaveUpError
		var refusal *RefusalError
		if err := receive(t, ran); !errors.As(err, &gaveUp) || !errors.As(err, &refusal) || refusal.Status != int(status) {
			t.Errorf("%d: %v", status, err)
		}
		if n := len(states.of(DialGaveUp)); n != i+1 || len(client.agent.Connections()) != 0 {
			t.Errorf("%d: gave up %d times, %d connections", status, n, len(client.agent.Connections()))
		}
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
