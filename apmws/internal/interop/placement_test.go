package interop

import (
	"net/http"
	"testing"

	"go.elastic.co/apm/module/apmhttp/v2"
	"go.elastic.co/apm/v2"
	"go.elastic.co/apm/v2/transport"
)

// hidesHijacker is a middleware whose ResponseWriter has nothing but Unwrap.
func hidesHijacker(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(unwrapper{w}, r)
	})
}

type unwrapper struct{ http.ResponseWriter }

func (w unwrapper) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// setsCookies is a middleware that leaves cookies to be sent with the answer.
func setsCookies(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "session", Value: "1"})
		http.SetCookie(w, &http.Cookie{Name: "theme", Value: "dark"})
		next.ServeHTTP(w, r)
	})
}

// vendorHTTP is Elastic's HTTP middleware.
func vendorHTTP(t *testing.T, opts ...apmhttp.ServerOption) func(http.Handler) http.Handler {
	tracer, err := apm.NewTracerOptions(apm.TracerOptions{ServiceName: "interop", Transport: transport.NewDiscardTransport(nil)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tracer.Close)
	return func(next http.Handler) http.Handler {
		return apmhttp.Wrap(next, append(opts, apmhttp.WithTracer(tracer))...)
	}
}

// placement puts the agent and the usual middleware around a handler.
type placement struct {
	name  string
	place func(t *testing.T, w *watch, h http.Handler) http.Handler
}

var placements = []placement{
	{"outermost", func(_ *testing.T, w *watch, h http.Handler) http.Handler {
		return w.agent.Handler(route, setsCookies(h))
	}},
	{"outside the vendor", func(t *testing.T, w *watch, h http.Handler) http.Handler {
		return w.agent.Handler(route, vendorHTTP(t)(h))
	}},
	{"outside the vendor, who ignores handshakes", func(t *testing.T, w *watch, h http.Handler) http.Handler {
		ignore := apmhttp.WithServerRequestIgnorer(func(r *http.Request) bool { return r.Header.Get("Upgrade") != "" })
		return w.agent.Handler(route, vendorHTTP(t, ignore)(h))
	}},
	{"behind a hidden Hijacker", func(_ *testing.T, w *watch, h http.Handler) http.Handler {
		return hidesHijacker(w.agent.Handler(route, h))
	}},
	{"behind cookies", func(_ *testing.T, w *watch, h http.Handler) http.Handler {
		return setsCookies(w.agent.Handler(route, h))
	}},
	{"behind the vendor", func(t *testing.T, w *watch, h http.Handler) http.Handler {
		return vendorHTTP(t)(w.agent.Handler(route, h))
	}},
}
