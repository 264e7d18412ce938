package main

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
)

const livePath = "/debug/ws/"

// livePage serves the page of live connections: to this machine alone, since it
// shows who is here, unless it was opened by a flag.
func (s *server) livePage() http.Handler {
	if s.cfg.exposeLive {
		return s.live
	}
	return localOnly(s.live, "the live page is for this machine alone; -expose-live opens it")
}

// localOnly refuses requests that were not made on this machine.
func localOnly(h http.Handler, refusal string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !local(r) {
			writeError(w, http.StatusForbidden, refusal)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// local says whether a request was made on this machine, to this machine. The
// Host must be a local name too: a page of another site whose name was made to
// resolve to 127.0.0.1 has its own there (DNS rebinding). What a proxy on this
// machine says that it forwards is not local. A proxy or tunnel that adds no
// header and sends a local Host (nginx's bare proxy_pass, ssh -L) cannot be
// told from a browser here: it opens the page to whom it serves.
func local(r *http.Request) bool {
	if forwarded(r.Header) {
		return false
	}
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	return err == nil && peer.Addr().Unmap().IsLoopback() && localHost(r.Host)
}

// forwarded says whether a proxy has left its mark, be it an empty one.
func forwarded(header http.Header) bool {
	for name := range header {
		switch name {
		case "Forwarded", "Via", "X-Real-Ip", "Cf-Connecting-Ip", "True-Client-Ip":
			return true
		}
		if strings.HasPrefix(name, "X-Forwarded-") {
			return true
		}
	}
	return false
}

// localHost says whether a Host header names this machine as only requests from
// this machine do.
func localHost(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = strings.Trim(hostport, "[]")
	}
	if strings.EqualFold(host, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}
