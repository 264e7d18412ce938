package main

import (
	"net/http"
	"net/netip"
	"testing"
)

// What a trusted proxy says of its client is in the access log and in apmws' lines
// alike; what anybody else says is in neither.
func TestTrustedProxies(t *testing.T) {
	for want, trusted := range map[string]string{"203.0.113.9": "127.0.0.0/8", "127.0.0.1": "10.0.0.0/8"} {
		n := startNode(t, func(cfg *config) { cfg.trustedProxies = []netip.Prefix{netip.MustParsePrefix(trusted)} })
		const forwarded = "198.51.100.66, 203.0.113.9"
		request(t, "GET", n.url+"healthz", "", map[string]string{"X-Forwarded-For": forwarded})
		if _, _, err := dial(t, wsURL(n.url), http.Header{"X-Forwarded-For": {forwarded}}); err == nil {
			t.Error("let in without a token")
		}
		for _, of := range []string{"http-request", "websocket-handshake", "websocket-refused"} {
			if line := n.log.wait(t, of, 1, action(of))[0]; line["client.address"] != want {
				t.Errorf("%s trusted: %s has %v, want %s", trusted, of, line["client.address"], want)
			}
		}
	}
}
