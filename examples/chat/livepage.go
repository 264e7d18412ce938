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
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.cfg.exposeLive && !local(r) {
			writeError(w, http.StatusForbidden, "the live page is for this machine alone; -expose-live opens it")
			return
		}
		s.live.ServeHTTP(w, r)
	})
}

// local says whether a request was made on this machine, to this machine. The
// Host must be a local name too: a page of another site whose name was made to
// resolve to 127.0.0.1 has its own there (DNS rebinding). What a proxy on this
// machine forwards is not local.
func local(r *http.Request) bool {
	for _, forwarded := range []string{"Forwarded", "X-Forwarded-For", "X-Real-Ip"} {
		if r.Header.Get(forwarded) != "" {
			return false
		}
	}
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	return err == nil && peer.Addr().Unmap().IsLoopback() && localHost(r.Host)
}

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
