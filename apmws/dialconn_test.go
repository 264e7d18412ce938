package apmws

import (
	"bufio"
	"context"
	"crypto/sha1"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/gorilla/websocket"
)

// startProxy starts a proxy that makes tunnels (RFC 9110, section 9.3.6).
func startProxy(t *testing.T) (address *url.URL, tunnels *atomic.Int64) {
	t.Helper()
	tunnels = new(atomic.Int64)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect || r.Header.Get("Proxy-Authorization") == "" {
			w.WriteHeader(http.StatusProxyAuthRequired)
			return
		}
		to, err := net.Dial("tcp", r.Host)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer to.Close()
		from, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer from.Close()
		tunnels.Add(1)
		_, _ = io.WriteString(from, "HTTP/1.1 200 OK\r\n\r\n")
		go func() { _, _ = io.Copy(to, from); to.Close() }()
		_, _ = io.Copy(from, to)
	}))
	t.Cleanup(srv.Close)
	address, err := url.Parse(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	address.User = url.UserPassword("me", tokenWord)
	return address, tunnels
}

// TestDialerWays: whatever is between the two, each counts what the other does, and
// what gorilla's options ask for is done.
func TestDialerWays(t *testing.T) {
	proxy, tunnels := startProxy(t)
	throughProxy := http.ProxyURL(proxy)
	socks, socksTunnels := startSOCKS(t)
	throughSOCKS := http.ProxyURL(socks)
	tests := []struct {
		name    string
		tls     bool
		tunnels int64
		set     func(d *websocket.Dialer, roots *x509.CertPool, called *atomic.Int64)
		called  int64
	}{
		{name: "ws"},
		{name: "ws, compressed", set: func(d *websocket.Dialer, _ *x509.CertPool, _ *atomic.Int64) { d.EnableCompression = true }},
		{name: "ws, NetDial", called: 1, set: func(d *websocket.Dialer, _ *x509.CertPool, called *atomic.Int64) {
			d.NetDial = func(network, addr string) (net.Conn, error) { called.Add(1); return net.Dial(network, addr) }
		}},
		{name: "ws, NetDialContext", called: 1, set: func(d *websocket.Dialer, _ *x509.CertPool, called *atomic.Int64) {
			d.NetDialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
				called.Add(1)
				return new(net.Dialer).DialContext(ctx, network, addr)
			}
		}},
		{name: "ws through a proxy", tunnels: 1, set: func(d *websocket.Dialer, _ *x509.CertPool, _ *atomic.Int64) { d.Proxy = throughProxy }},
		{name: "ws through SOCKS5", tunnels: 1, set: func(d *websocket.Dialer, _ *x509.CertPool, _ *atomic.Int64) { d.Proxy = throughSOCKS }},
		{name: "wss through SOCKS5", tls: true, tunnels: 1, set: func(d *websocket.Dialer, roots *x509.CertPool, _ *atomic.Int64) {
			d.Proxy, d.TLSClientConfig = throughSOCKS, &tls.Config{RootCAs: roots}
		}},
		{name: "wss", tls: true, set: func(d *websocket.Dialer, roots *x509.CertPool, _ *atomic.Int64) {
			d.TLSClientConfig = &tls.Config{RootCAs: roots}
		}},
		{name: "wss through a proxy", tls: true, tunnels: 1, set: func(d *websocket.Dialer, roots *x509.CertPool, _ *atomic.Int64) {
			d.Proxy, d.TLSClientConfig = throughProxy, &tls.Config{RootCAs: roots}
		}},
		{name: "wss, NetDialTLSContext", tls: true, called: 1, set: func(d *websocket.Dialer, roots *x509.CertPool, called *atomic.Int64) {
			d.NetDialTLSContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
				called.Add(1)
				return (&tls.Dialer{Config: &tls.Config{RootCAs: roots}}).DialContext(ctx, network, addr)
			}
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			tunnels.Store(0)
			socksTunnels.Store(0)
			server, client := newObserved(MessageOptions{}), newObserved(MessageOptions{})
			var cookies atomic.Pointer[string]
			srv := httptest.NewUnstartedServer(server.agent.Endpoint("/feed", EndpointOptions{
				Upgrader: websocket.Upgrader{EnableCompression: true},
				BeforeUpgrade: func(w http.ResponseWriter, r *http.Request) error {
					cookie := r.Header.Get("Cookie")
					cookies.Store(&cookie)
					http.SetCookie(w, &http.Cookie{Name: "session", Value: "s-1"})
					return nil
				},
				Message: func(ctx context.Context, m Message) error { return FromContext(ctx).Write(ctx, m.Type, m.Data) },
			}))
			if test.tls {
				srv.StartTLS()
			} else {
				srv.Start()
			}
			defer srv.Close()
			jar, err := cookiejar.New(nil)
			if err != nil {
				t.Fatal(err)
			}
			here, err := url.Parse(srv.URL)
			if err != nil {
				t.Fatal(err)
			}
			jar.SetCookies(here, []*http.Cookie{{Name: "before", Value: "b-1"}})

			var called atomic.Int64
			opts := DialerOptions{Dialer: websocket.Dialer{Jar: jar}}
			if test.set != nil {
				roots := x509.NewCertPool()
				if test.tls {
					roots.AddCert(srv.Certificate())
				}
				test.set(&opts.Dialer, roots, &called)
			}
			text := strings.Repeat("tick ", 1000)
			back := make(chan bool, 1)
			opts.Connect = func(ctx context.Context, conn *Conn) (context.Context, error) {
				return ctx, conn.Write(ctx, TextMessage, []byte(text))
			}
			opts.Message = func(_ context.Context, m Message) error { back <- string(m.Data) == text; return nil }
			stop := running(t, client.agent.Dialer("feed", wsURL(srv)+"/"+queryWord, soon(opts)))
			if !<-back {
				t.Error("the message came back as another")
			}
			if err := stop(); !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
			server.rec.wait(t, "disconnect", 1)
			s, c := server.agent.Stats().Routes[0], client.agent.Stats().Routes[0]
			if c.ConnectionsOpened != 1 || len(c.Refused) > 0 || s.MessagesReceived != 1 || c.MessagesSent != 1 || c.MessagesReceived != 1 ||
				s.BytesReceived != c.BytesSent || s.BytesSent != c.BytesReceived || c.BytesSent == 0 {
				t.Errorf("server %+v, client %+v", s, c)
			}
			if opts.Dialer.EnableCompression != (c.BytesSent < int64(len(text))) {
				t.Errorf("%d bytes for %d", c.BytesSent, len(text))
			}
			if n := tunnels.Load() + socksTunnels.Load(); n != test.tunnels {
				t.Errorf("%d tunnels", n)
			}
			if n := called.Load(); n != test.called {
				t.Errorf("the application's function was called %d times", n)
			}
			if e := client.rec.all("disconnect")[0]; e.result != "going_away" || e.attrs["websocket.close.initiator"] != "client" {
				t.Errorf("%+v", e)
			}
			if got := *cookies.Load(); got != "before=b-1" {
				t.Errorf("the server got the cookies %q", got)
			}
			if got := jar.Cookies(here); len(got) != 2 {
				t.Errorf("the jar has %v", got)
			}
			for _, secret := range []string{queryWord, tokenWord} {
				if strings.Contains(client.told(), secret) {
					t.Errorf("%s is told", secret)
				}
			}
		})
	}
}

// TestDialerUnreachable: no answer is no status, and errors hold no path.
func TestDialerUnreachable(t *testing.T) {
	untrusted := httptest.NewUnstartedServer(http.NotFoundHandler())
	untrusted.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	untrusted.StartTLS()
	defer untrusted.Close()
	silent := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
			conn.Close()
		}
	}))
	defer silent.Close()
	echo, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer echo.Close()
	go func() {
		for {
			conn, err := echo.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(conn, conn); conn.Close() }()
		}
	}()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone := listener.Addr().String()
	listener.Close()
	proxy, _ := startProxy(t)
	refusing := *proxy
	refusing.User = nil
	tests := []struct {
		name, url string
		dialer    websocket.Dialer
	}{
		{"nobody there", "ws://" + gone, websocket.Dialer{}},
		{"nobody there, wss", "wss://" + gone, websocket.Dialer{}},
		{"untrusted", "ws" + strings.TrimPrefix(untrusted.URL, "http"), websocket.Dialer{}},
		{"no answer", "ws" + strings.TrimPrefix(silent.URL, "http"), websocket.Dialer{}},
		{"no HTTP, but what was sent", "ws://" + echo.Addr().String(), websocket.Dialer{}},
		{"the proxy refuses", "ws://" + gone, websocket.Dialer{Proxy: http.ProxyURL(&refusing)}},
		{"no proxy", "ws://" + gone, websocket.Dialer{Proxy: func(*http.Request) (*url.URL, error) {
			return nil, errors.New("invalid proxy address http://me:" + tokenWord + "@proxy.example")
		}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			client := newObserved(MessageOptions{})
			states := &states{}
			d := client.agent.Dialer("feed", test.url+"/"+queryWord+"?token="+queryWord, soon(DialerOptions{Dialer: test.dialer, State: states.note}))
			stop := running(t, d)
			e := client.rec.wait(t, "opened", 3)[0]
			if err := stop(); !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
			if e.status != 0 || e.result != "none" || e.outcome != OutcomeFailure || e.attrs["websocket.refusal.reason"] != "unreachable" || e.attrs["http.response.status_code"] != nil || e.failure != nil {
				t.Errorf("%+v", e)
			}
			refused := client.agent.Stats().Routes[0].Refused
			if refused[len(refused)-1].Reason != "unreachable" || refused[len(refused)-1].Count < 3 || refused[len(refused)-1].Status != 0 {
				t.Errorf("refused %+v", refused)
			}
			line := linesOf(t, client.log)[1]
			if line["message"] != "websocket refused" || line["level"] != "warn" || line["error.message"] == nil || line["labels.websocket_refusal_reason"] != "unreachable" {
				t.Errorf("line %v", line)
			}
			told := client.told()
			for _, state := range states.of(DialWaiting) {
				told += state.Err.Error()
			}
			for _, secret := range []string{queryWord, tokenWord} {
				if strings.Contains(told, secret) {
					t.Errorf("%s is told: %s", secret, told)
				}
			}
		})
	}
}

// TestDialerBadAnswer: what gorilla does not accept is no connection, whatever its
// status, and nothing behind it is counted.
func TestDialerBadAnswer(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = http.ReadRequest(bufio.NewReader(conn))
			_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: wrong\r\n\r\n\x81\x02hi")
			conn.Close()
		}
	}()
	client := newObserved(MessageOptions{})
	stop := running(t, client.agent.Dialer("feed", "ws://"+listener.Addr().String(), soon(DialerOptions{})))
	e := client.rec.wait(t, "opened", 2)[0]
	if err := stop(); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if e.status != 101 || e.outcome != OutcomeFailure || e.attrs["websocket.refusal.reason"] != "bad_handshake" {
		t.Errorf("%+v", e)
	}
	if s := client.agent.Stats().Routes[0]; s.ConnectionsOpened != 0 || s.MessagesReceived != 0 || s.BytesReceived != 0 {
		t.Errorf("%+v", s)
	}
}

// acceptKey is the answer to a key (RFC 6455, section 4.2.2).
func acceptKey(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// TestDialerEarlyFrames: what comes in one piece with the answer is counted, and
// handled.
func TestDialerEarlyFrames(t *testing.T) {
	for _, cut := range []int{0, 1, 10, 1000} { // bytes of each piece; 0: all in one
		server, conn := net.Pipe()
		defer server.Close()
		go func() {
			r, err := http.ReadRequest(bufio.NewReader(server))
			if err != nil {
				return
			}
			answer := "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " +
				acceptKey(r.Header.Get("Sec-Websocket-Key")) + "\r\n\r\n\x81\x02hi\x81\x05hello\x88\x02\x03\xe8"
			for len(answer) > 0 {
				n := min(len(answer), max(cut, 1))
				if cut == 0 {
					n = len(answer)
				}
				if _, err := io.WriteString(server, answer[:n]); err != nil {
					return
				}
				answer = answer[n:]
			}
			_, _ = io.Copy(io.Discard, server)
		}()
		client := newObserved(MessageOptions{})
		var got []string
		d := client.agent.Dialer("feed", "ws://feed.example", soon(DialerOptions{
			Dialer: websocket.Dialer{NetDialContext: func(context.Context, string, string) (net.Conn, error) {
				if conn == nil {
					return nil, errors.New("once is enough")
				}
				defer func() { conn = nil }()
				return conn, nil
			}},
			Message: func(_ context.Context, m Message) error { got = append(got, string(m.Data)); return nil },
		}))
		stop := running(t, d)
		e := client.rec.wait(t, "disconnect", 1)[0]
		if err := stop(); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if strings.Join(got, " ") != "hi hello" || e.result != "normal" || e.attrs["websocket.close.initiator"] != "server" {
			t.Errorf("cut by %d: got %q, %s", cut, got, e.result)
		}
		if s := client.agent.Stats().Routes[0]; s.MessagesReceived != 2 || s.BytesReceived != 7 {
			t.Errorf("cut by %d: %+v", cut, s)
		}
	}
}
