package apmws

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
)

func prefixes(all ...string) []netip.Prefix {
	var parsed []netip.Prefix
	for _, p := range all {
		parsed = append(parsed, netip.MustParsePrefix(p))
	}
	return parsed
}

func TestClientAddress(t *testing.T) {
	manyHops := strings.Repeat("10.0.0.7, ", maxHops) + "10.0.0.8"
	for _, test := range []struct {
		name    string
		trusted []netip.Prefix
		socket  string
		headers []string
		want    string
	}{
		{"nobody is trusted", nil, "10.0.0.1:9", []string{"203.0.113.9"}, "10.0.0.1"},
		{"no header", prefixes("10.0.0.0/8"), "10.0.0.1:9", nil, "10.0.0.1"},
		{"an empty header", prefixes("10.0.0.0/8"), "10.0.0.1:9", []string{""}, "10.0.0.1"},
		{"an untrusted sender", prefixes("10.0.0.0/8"), "192.0.2.1:9", []string{"203.0.113.9"}, "192.0.2.1"},
		{"one proxy", prefixes("10.0.0.0/8"), "10.0.0.1:9", []string{"203.0.113.9"}, "203.0.113.9"},
		{"a spoofed left part", prefixes("10.0.0.0/8"), "10.0.0.1:9", []string{"198.51.100.66, 203.0.113.9"}, "203.0.113.9"},
		{"a spoofed left part that looks trusted", prefixes("10.0.0.0/8"), "10.0.0.1:9", []string{"198.51.100.66, 10.0.0.66, 203.0.113.9, 10.0.0.2"}, "203.0.113.9"},
		{"a spoofed header before the proxy's", prefixes("10.0.0.0/8"), "10.0.0.1:9", []string{"198.51.100.66", "203.0.113.9", "10.0.0.2"}, "203.0.113.9"},
		{"proxies of several networks", prefixes("10.0.0.0/8", "2001:db8::/32"), "[2001:db8::1]:9", []string{"203.0.113.9,10.0.0.2"}, "203.0.113.9"},
		{"proxies alone", prefixes("10.0.0.0/8"), "10.0.0.1:9", []string{"10.0.0.3, 10.0.0.2"}, "10.0.0.3"},
		{"a name at the right", prefixes("10.0.0.0/8"), "10.0.0.1:9", []string{"203.0.113.9, unknown"}, "10.0.0.1"},
		{"a name further left", prefixes("10.0.0.0/8"), "10.0.0.1:9", []string{"203.0.113.9, unknown, 10.0.0.2"}, "10.0.0.2"},
		{"nothing between commas", prefixes("10.0.0.0/8"), "10.0.0.1:9", []string{"203.0.113.9,, 10.0.0.2"}, "10.0.0.2"},
		{"nothing at the left", prefixes("10.0.0.0/8"), "10.0.0.1:9", []string{", 203.0.113.9"}, "203.0.113.9"},
		{"quotes", prefixes("10.0.0.0/8"), "10.0.0.1:9", []string{`"203.0.113.9"`}, "10.0.0.1"},
		{"a port", prefixes("10.0.0.0/8"), "10.0.0.1:9", []string{"203.0.113.9:1234"}, "203.0.113.9"},
		{"white space", prefixes("10.0.0.0/8"), "10.0.0.1:9", []string{" \t203.0.113.9\t ,10.0.0.2 "}, "203.0.113.9"},
		{"IPv6", prefixes("10.0.0.0/8"), "10.0.0.1:9", []string{"2001:DB8::9"}, "2001:db8::9"},
		{"IPv6 in brackets", prefixes("10.0.0.0/8"), "10.0.0.1:9", []string{"[2001:db8::9]"}, "2001:db8::9"},
		{"IPv6 with a port", prefixes("10.0.0.0/8"), "10.0.0.1:9", []string{"[2001:db8::9]:1234"}, "2001:db8::9"},
		{"IPv4 in brackets", prefixes("10.0.0.0/8"), "10.0.0.1:9", []string{"[203.0.113.9]"}, "10.0.0.1"},
		{"a zone", prefixes("10.0.0.0/8"), "10.0.0.1:9", []string{"fe80::9%<b>"}, "fe80::9"},
		{"a zone of the proxy's", prefixes("fe80::/10"), "[fe80::1%eth0]:9", []string{"203.0.113.9"}, "203.0.113.9"},
		{"an IPv4-mapped client", prefixes("10.0.0.0/8"), "10.0.0.1:9", []string{"::ffff:203.0.113.9"}, "203.0.113.9"},
		{"an IPv4-mapped proxy", prefixes("10.0.0.0/8"), "[::ffff:10.0.0.1]:9", []string{"203.0.113.9, ::ffff:10.0.0.2"}, "203.0.113.9"},
		{"an IPv4-mapped prefix", prefixes("::ffff:10.0.0.0/104"), "10.0.0.1:9", []string{"203.0.113.9"}, "203.0.113.9"},
		{"IPv4 is not in ::/0", prefixes("::/0"), "10.0.0.1:9", []string{"203.0.113.9"}, "10.0.0.1"},
		{"a prefix with host bits", prefixes("10.1.2.3/8"), "10.0.0.1:9", []string{"203.0.113.9"}, "203.0.113.9"},
		{"the zero prefix", []netip.Prefix{{}}, "10.0.0.1:9", []string{"203.0.113.9"}, "10.0.0.1"},
		{"everybody is trusted", prefixes("0.0.0.0/0"), "10.0.0.1:9", []string{"198.51.100.66, 203.0.113.9"}, "198.51.100.66"},
		{"too many hops", prefixes("10.0.0.0/8"), "10.0.0.1:9", []string{"203.0.113.9, " + manyHops}, "10.0.0.7"},
		{"the last hop that counts", prefixes("10.0.0.0/8"), "10.0.0.1:9", []string{"203.0.113.9" + strings.Repeat(", 10.0.0.7", maxHops-1)}, "203.0.113.9"},
		{"one hop too many", prefixes("10.0.0.0/8"), "10.0.0.1:9", []string{"203.0.113.9" + strings.Repeat(", 10.0.0.7", maxHops)}, "10.0.0.7"},
		{"too many headers", prefixes("10.0.0.0/8"), "10.0.0.1:9", slices.Concat([]string{"203.0.113.9"}, slices.Repeat([]string{"10.0.0.7"}, maxHops)), "10.0.0.7"},
		{"a long entry", prefixes("10.0.0.0/8"), "10.0.0.1:9", []string{"fe80::9%" + strings.Repeat("z", maxHop)}, "10.0.0.1"},
		{"a socket without a port", prefixes("10.0.0.0/8"), "10.0.0.1", []string{"203.0.113.9"}, "203.0.113.9"},
		{"a Unix domain socket", prefixes("0.0.0.0/0", "::/0"), "@", []string{"203.0.113.9"}, "@"},
	} {
		a := New(Options{TrustedProxies: test.trusted})
		r := upgradeRequest()
		r.RemoteAddr = test.socket
		if test.headers != nil {
			r.Header["X-Forwarded-For"] = test.headers
		}
		r.Header.Set("Forwarded", "for=198.51.100.67")
		r.Header.Set("X-Real-Ip", "198.51.100.68")
		if got := a.ClientAddress(r); got != test.want {
			t.Errorf("%s: the client of the request is %q, want %q", test.name, got, test.want)
		}
		c := a.connect(a.route("/ws"), r)
		if got := c.ClientAddress(); got != test.want {
			t.Errorf("%s: the client of the connection is %q, want %q", test.name, got, test.want)
		}
		if info := c.info(); info.Client != test.want || info.Peer != test.socket || c.request.Client != test.want || c.request.Peer != test.socket {
			t.Errorf("%s: info %+v, request %+v", test.name, info, c.request)
		}
	}
	if got := (*Conn)(nil).ClientAddress(); got != "" {
		t.Errorf("no connection has the client %q", got)
	}
}

// TestClientBehindProxy: through real sockets, the client's address is on all that
// tells of a connection, and the socket's where no proxy is trusted.
func TestClientBehindProxy(t *testing.T) {
	for _, test := range []struct {
		name    string
		trusted []netip.Prefix
		want    string
	}{
		{"trusted", prefixes("127.0.0.0/8", "10.0.0.0/8"), "203.0.113.9"},
		{"not trusted", prefixes("10.0.0.0/8"), "127.0.0.1"},
		{"nobody", nil, "127.0.0.1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			rec := newRecorder()
			l := newLogged(Options{Exporters: []Exporter{rec}, TrustedProxies: test.trusted})
			inHook, seen := make(chan string, 2), make(chan ConnInfo, 1)
			url := serveWS(t, l.Endpoint("/ws", EndpointOptions{
				Authenticate: func(ctx context.Context, r *http.Request) (context.Context, error) {
					inHook <- FromContext(ctx).ClientAddress()
					if r.Header.Get("X-Refuse") != "" {
						return ctx, errors.New("no")
					}
					return ctx, nil
				},
				Message: func(context.Context, Message) error {
					seen <- l.Connections()[0]
					return nil
				},
			}))
			header := http.Header{"X-Forwarded-For": {"198.51.100.66, 203.0.113.9", "10.0.0.2"}}
			conn := dial(t, url, header)
			send(t, conn, "x")
			if got := receive(t, inHook); got != test.want {
				t.Errorf("Authenticate sees %q", got)
			}
			if info := receive(t, seen); info.Client != test.want || info.Peer != conn.LocalAddr().String() {
				t.Errorf("the registry has %+v", info)
			}
			leave(t, conn)
			start := rec.wait(t, "connect", 1)[0]
			if start.request.Client != test.want || start.request.Peer != conn.LocalAddr().String() {
				t.Errorf("exporters get %+v", start.request)
			}
			rec.wait(t, "disconnect", 1)
			header.Set("X-Refuse", "1")
			if conn, _, err := websocket.DefaultDialer.Dial(url, header); err == nil {
				conn.Close()
				t.Error("not refused")
			}
			rec.wait(t, "opened", 2)
			told := map[string]int{}
			eventually(t, "the lines", func() bool {
				for _, line := range l.lines(t) {
					if client, ok := line["client.address"]; ok {
						told[line["event.action"].(string)]++
						if client != test.want {
							t.Errorf("the line %s has %v", line["event.action"], client)
						}
					}
				}
				return told["websocket-handshake"] == 2 && told["websocket-connected"] == 1 &&
					told["websocket-disconnected"] == 1 && told["websocket-refused"] == 1
			})
		})
	}
}

// FuzzClientAddress: whatever senders write, the client's address is one of those
// that were given, and never one that is left of an untrusted one.
func FuzzClientAddress(f *testing.F) {
	for _, seed := range []string{
		"203.0.113.9", "198.51.100.66, 203.0.113.9, 10.0.0.2", "[2001:db8::9]:1, ::ffff:10.0.0.3", "fe80::1%x, 10.0.0.2", "[,],:,%,",
		"unknown, 10.0.0.2", strings.Repeat("10.0.0.7,", 40), "[10.0.0.1]", "10.0.0.1:", "[fe80::1%a,b]:1",
	} {
		f.Add("10.0.0.1:9", seed, "")
		f.Add("[::ffff:10.0.0.1]:9", "203.0.113.9", seed)
		f.Add(seed, seed, seed)
	}
	trusted := newTrustedProxies(prefixes("10.0.0.0/8", "fe80::/10"))
	f.Fuzz(func(t *testing.T, socket, first, second string) {
		headers := []string{first, second}
		client, ok := trusted.forwardedFor(socket, headers)
		proxy, valid := parseHop(socket)
		if !ok {
			if client.IsValid() {
				t.Errorf("no client, but %s", client)
			}
			return
		}
		if !valid || !trusted.contain(proxy) {
			t.Fatalf("%q is trusted", socket)
		}
		if client.Zone() != "" || client.Is4In6() {
			t.Errorf("%s is not comparable", client)
		}
		hops := strings.Split(strings.Join(headers, ","), ",")
		at := -1
		for i, hop := range slices.Backward(hops) {
			// By the packages net and netip, without parseHop.
			host := strings.Trim(hop, " \t")
			if h, _, err := net.SplitHostPort(host); err == nil {
				host = h
			}
			addr, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"))
			if err == nil && addr.Unmap().WithZone("") == client {
				at = i
				break
			}
			if err != nil || !trusted.contain(addr.Unmap().WithZone("")) {
				t.Fatalf("%s is left of %q in %q", client, hop, hops)
			}
		}
		if at < 0 {
			t.Errorf("%s is none of %q", client, hops)
		}
	})
}
