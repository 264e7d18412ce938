package interop

import (
	"net/http"
	"testing"

	"github.com/apmws/go-apmws/apmws"
)

// TestNested: of two handlers of an agent the outer one watches, under its route,
// and the inner one brings the Hijacker back.
func TestNested(t *testing.T) {
	t.Parallel()
	eachLibrary(t, func(t *testing.T, l library) {
		w := newWatch(apmws.Options{})
		h := w.agent.Handler("/inner", l.serve(upgrading{}, echo))
		p := start(t, w.agent.Handler(route, hidesHijacker(h)), false).upgrade(t)
		talk(p, false, 100)
		wrote, read := p.framesWrote(), p.framesRead()
		closed(1000)(p)
		checkEnd(t, w, wrote, read)
		if arrivals := w.log.lines("websocket-handshake"); len(arrivals) != 1 {
			t.Errorf("arrivals: %v", arrivals)
		}
		for _, s := range w.agent.Stats().Routes {
			if s.Route == "/inner" && (s.ConnectionsOpened != 0 || s.MessagesReceived != 0) {
				t.Errorf("the inner route counts %+v", s)
			}
		}
	})
}

// TestNestedAgents: handlers of two agents both watch.
func TestNestedAgents(t *testing.T) {
	t.Parallel()
	eachLibrary(t, func(t *testing.T, l library) {
		outer, inner := newWatch(apmws.Options{}), newWatch(apmws.Options{})
		p := start(t, outer.agent.Handler(route, inner.agent.Handler(route, l.serve(upgrading{}, echo))), false).upgrade(t)
		talk(p, false, 100)
		wrote, read := p.framesWrote(), p.framesRead()
		closed(1000)(p)
		checkEnd(t, outer, wrote, read)
		checkEnd(t, inner, wrote, read)
	})
}

// TestNestedRefusal: the status, and why, are those of the inner handler.
func TestNestedRefusal(t *testing.T) {
	t.Parallel()
	w := newWatch(apmws.Options{})
	h := w.agent.Handler("/inner", http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		apmws.FromContext(r.Context()).SetRefusalReason("draining")
		http.Error(rw, "later", http.StatusServiceUnavailable)
	}))
	p := start(t, w.agent.Handler(route, hidesHijacker(h)), false).connect(t)
	if res := p.ask(handshake()); res.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("the answer is %s", res.Status)
	}
	eventually(t, "the line", func() bool { return len(w.log.lines("websocket-refused")) == 1 })
	if s := w.stats(t); len(s.Refused) != 1 || s.Refused[0].Reason != "draining" || s.Refused[0].Status != 503 {
		t.Errorf("counted %+v", s.Refused)
	}
}
