package interop

import (
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"

	"github.com/apmws/go-apmws/apmws"
)

// proxyTo is the standard library's reverse proxy, which knows upgrades.
func proxyTo(t *testing.T, backend *server) http.Handler {
	target, err := url.Parse(backend.URL)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	transport := backend.Client().Transport.(*http.Transport).Clone()
	t.Cleanup(transport.CloseIdleConnections)
	proxy.Transport = transport
	return proxy
}

// TestReverseProxy: the agent watches a proxy whose backend speaks WebSocket.
func TestReverseProxy(t *testing.T) {
	t.Parallel()
	for _, l := range libraries {
		scene{
			name: l.name,
			handler: func(n *notes) http.Handler {
				return setsCookies(proxyTo(n.t, start(n.t, l.serve(upgrading{}, echo), false)))
			},
			client: func(p *peer) string {
				p.ask101(handshake())
				p.send(opText, []byte("hello"))
				p.message()
				closed(1000)(p)
				_ = p.conn.Close() // the proxy waits for that
				return "closed"
			},
		}.run(t)
		scene{
			name: l.name + "/refused",
			handler: func(n *notes) http.Handler {
				return proxyTo(n.t, start(n.t, l.serve(upgrading{}, echo), false))
			},
			client: asksOnce(strings.Replace(handshake(), "Version: 13", "Version: 12", 1)),
		}.run(t)
	}
}

// TestReverseProxyCounts compares the agent's figures with the peer's.
func TestReverseProxyCounts(t *testing.T) {
	t.Parallel()
	eachLibrary(t, func(t *testing.T, l library) {
		backend := start(t, l.serve(upgrading{compress: true}, echo), false)
		w := newWatch(apmws.Options{})
		p := start(t, w.agent.Handler(route, proxyTo(t, backend)), false).
			upgrade(t, "Sec-WebSocket-Extensions: "+deflateOffer)
		talk(p, true, 65536)
		wrote, read := p.framesWrote(), p.framesRead()
		closed(1000)(p)
		_ = p.conn.Close()
		checkEnd(t, w, wrote, read)
		checkClose(t, w, closeWanted{"1000", "client", "normal", good})
	})
}
