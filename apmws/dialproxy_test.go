package apmws

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/gorilla/websocket"
)

// startSOCKS starts a proxy of SOCKS5 (RFC 1928) that asks for nothing.
func startSOCKS(t *testing.T) (address *url.URL, tunnels *atomic.Int64) {
	t.Helper()
	tunnels = new(atomic.Int64)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			from, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer from.Close()
				to, err := socksTarget(from)
				if err != nil {
					return
				}
				defer to.Close()
				tunnels.Add(1)
				go func() { _, _ = io.Copy(to, from); to.Close() }()
				_, _ = io.Copy(from, to)
			}()
		}
	}()
	return &url.URL{Scheme: "socks5", Host: listener.Addr().String()}, tunnels
}

// socksTarget answers a client, and connects to the IPv4 address that it asks for.
func socksTarget(from net.Conn) (to net.Conn, err error) {
	var greeting [2]byte
	if _, err = io.ReadFull(from, greeting[:]); err != nil {
		return nil, err
	}
	if _, err = io.CopyN(io.Discard, from, int64(greeting[1])); err != nil {
		return nil, err
	}
	_, _ = from.Write([]byte{5, 0})
	var request [10]byte // CONNECT to an IPv4 address
	if _, err = io.ReadFull(from, request[:]); err != nil {
		return nil, err
	}
	if to, err = net.Dial("tcp", fmt.Sprintf("%v:%d", net.IP(request[4:8]), binary.BigEndian.Uint16(request[8:]))); err == nil {
		_, err = from.Write([]byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0})
	}
	return to, err
}

// proxyProbe is the name of the variable that holds the URL for TestProxyProbe.
const proxyProbe = "APMWS_PROXY_PROBE"

// TestProxyProbe is run by TestProxyFromEnvironment in a process of its own, since
// net/http reads the environment once. Without that it connects to its own server.
func TestProxyProbe(t *testing.T) {
	target := os.Getenv(proxyProbe)
	if target == "" {
		srv := httptest.NewServer(New(Options{}).Endpoint("/feed", EndpointOptions{Message: func(context.Context, Message) error { return nil }}))
		defer srv.Close()
		target = wsURL(srv)
	}
	ctx, cancel := context.WithCancel(t.Context())
	opened := false
	opts := soon(DialerOptions{
		Dialer: *websocket.DefaultDialer,
		State: func(s DialState) {
			opened = opened || s.Phase == DialOpen
			if s.Phase == DialOpen || s.Phase == DialWaiting {
				cancel()
			}
		},
	})
	if err := New(Options{}).Dialer("feed", target, opts).Run(ctx); !errors.Is(err, context.Canceled) || !opened {
		t.Errorf("opened: %t, %v", opened, err)
	}
}

// TestProxyFromEnvironment: gorilla's default dialer goes by the environment.
func TestProxyFromEnvironment(t *testing.T) {
	server := newObserved(MessageOptions{})
	srv := httptest.NewServer(server.agent.Endpoint("/feed", EndpointOptions{Message: func(context.Context, Message) error { return nil }}))
	defer srv.Close()
	asked := make(chan string, 1)
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.Method + " " + r.Host
		to, err := net.Dial("tcp", srv.Listener.Addr().String())
		if err != nil {
			t.Error(err)
			return
		}
		defer to.Close()
		from, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer from.Close()
		_, _ = io.WriteString(from, "HTTP/1.1 200 OK\r\n\r\n")
		go func() { _, _ = io.Copy(to, from); to.Close() }()
		_, _ = io.Copy(from, to)
	}))
	defer proxy.Close()
	probe := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestProxyProbe$")
	for _, variable := range os.Environ() {
		if name, _, _ := strings.Cut(strings.ToLower(variable), "="); name != "http_proxy" && name != "no_proxy" && name != "request_method" {
			probe.Env = append(probe.Env, variable)
		}
	}
	probe.Env = append(probe.Env, proxyProbe+"=ws://feed.invalid/", "HTTP_PROXY="+proxy.URL)
	if out, err := probe.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if got := <-asked; got != "CONNECT feed.invalid:80" {
		t.Errorf("the proxy was asked for %s", got)
	}
	server.rec.wait(t, "disconnect", 1)
}

// TestProxyWithoutReason: what gorilla makes of a proxy's answer must not end the
// process.
func TestProxyWithoutReason(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	closed := make(chan struct{}, 100)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(conn, "HTTP/1.1 407\r\n\r\n")
			_, _ = io.Copy(io.Discard, conn)
			closed <- struct{}{}
		}
	}()
	client := newObserved(MessageOptions{})
	d := client.agent.Dialer("feed", "ws://feed.example", soon(DialerOptions{Dialer: websocket.Dialer{
		Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: listener.Addr().String()}),
	}}))
	stop := running(t, d)
	e := client.rec.wait(t, "opened", 2)[0]
	<-closed
	if err := stop(); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if e.outcome != OutcomeFailure || e.status != 0 || e.failure == nil || e.failure.Type != "panic" {
		t.Errorf("%+v", e)
	}
	if n := client.agent.handshakes.Load(); n != 0 {
		t.Errorf("%d handshakes are in progress", n)
	}
}
