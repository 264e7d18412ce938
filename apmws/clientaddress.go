package apmws

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// trustedProxies are Options.TrustedProxies.
type trustedProxies []netip.Prefix

// newTrustedProxies makes prefixes of IPv4 addresses in IPv6 those of IPv4, as
// comparable makes the addresses.
func newTrustedProxies(prefixes []netip.Prefix) trustedProxies {
	const mapped = 96 // bits that every IPv4-mapped address begins with (RFC 4291, section 2.5.5.2)
	trusted := make(trustedProxies, 0, len(prefixes))
	for _, p := range prefixes {
		if p.Addr().Is4In6() && p.Bits() >= mapped {
			p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-mapped)
		}
		trusted = append(trusted, p)
	}
	return trusted
}

func (t trustedProxies) contain(addr netip.Addr) bool {
	for _, p := range t {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

const (
	maxHops = 32 // that are looked at in X-Forwarded-For
	maxHop  = 64 // bytes; the longest address, in brackets and with a port, has less
)

// forwardedFor returns the address of the client behind trusted proxies. ok is
// false where the socket's address is the client's. Each proxy has appended whom
// it was talking to, so all that is right of an address which is not trusted is
// true, and all that is left of it may be made up.
func (t trustedProxies) forwardedFor(socket string, headers []string) (client netip.Addr, ok bool) {
	if len(t) == 0 || len(headers) == 0 {
		return netip.Addr{}, false
	}
	if proxy, valid := parseHop(socket); !valid || !t.contain(proxy) {
		return netip.Addr{}, false
	}
	looked := 0
	for _, rest := range slices.Backward(headers) {
		for more := true; more; looked++ {
			if looked == maxHops {
				return client, ok
			}
			hop := rest
			if comma := strings.LastIndexByte(rest, ','); comma >= 0 {
				rest, hop = rest[:comma], rest[comma+1:]
			} else {
				more = false
			}
			addr, valid := parseHop(strings.Trim(hop, " \t"))
			if !valid {
				return client, ok
			}
			client, ok = addr, true
			if !t.contain(addr) {
				return client, ok
			}
		}
	}
	return client, ok
}

// parseHop parses an address with or without a port, an IPv6 address with or
// without brackets. The result is comparable: never IPv4-mapped, and without the
// zone, which means nothing on another machine and is free text.
func parseHop(s string) (netip.Addr, bool) {
	if len(s) > maxHop {
		return netip.Addr{}, false
	}
	addr, err := netip.ParseAddr(s)
	if err != nil {
		var withPort netip.AddrPort
		if withPort, err = netip.ParseAddrPort(s); err == nil {
			addr = withPort.Addr()
		} else if inside, closed := strings.CutSuffix(s, "]"); closed && strings.HasPrefix(s, "[") {
			addr, err = netip.ParseAddr(inside[1:])
			if err == nil && !addr.Is6() {
				return netip.Addr{}, false
			}
		}
	}
	if err != nil {
		return netip.Addr{}, false
	}
	return addr.Unmap().WithZone(""), true
}

// ClientAddress returns the address of the client that has sent a request, as
// Options.TrustedProxies say, without a port: for access logs and limits on
// requests that are no handshakes. That of a handshake is Conn.ClientAddress.
func (a *Agent) ClientAddress(r *http.Request) string {
	if addr, ok := a.proxies.forwardedFor(r.RemoteAddr, r.Header["X-Forwarded-For"]); ok {
		return addr.String()
	}
	return hostOf(sanitize(r.RemoteAddr, maxPeer))
}

// ClientAddress returns the address of the client, without a port: that of the
// socket unless Options.TrustedProxies say better. It is the empty string on a nil
// Conn and on one of a Dialer, which is the client itself.
func (c *Conn) ClientAddress() string {
	switch {
	case c == nil, c.dialled != nil:
		return ""
	case c.client != nil:
		return *c.client
	default:
		return hostOf(c.peer)
	}
}

// maxPeer bounds the address of a socket, where middleware may have put what it
// has found in a header. In bytes.
const maxPeer = 128

// hostOf returns the address without the port.
func hostOf(peer string) string {
	host, _, err := net.SplitHostPort(peer)
	if err != nil {
		return peer
	}
	return host
}
