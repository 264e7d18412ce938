package interop

import (
	"context"
	"net/http"
	"runtime"
	"testing"

	"github.com/apmws/go-apmws/apmws"
)

// TestHandlerReturns: the connection is left to another goroutine.
func TestHandlerReturns(t *testing.T) {
	t.Parallel()
	eachLibrary(t, func(t *testing.T, l library) {
		w := newWatch(apmws.Options{})
		returned := make(chan struct{})
		h := w.agent.Handler(route, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			r = r.WithContext(context.WithoutCancel(r.Context()))
			c, err := l.upgrade(rw, r, upgrading{})
			if err != nil {
				t.Error(err)
				return
			}
			go func() {
				defer c.drop()
				<-returned
				echo(c, r)
			}()
		}))
		srv := start(t, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			defer close(returned)
			h.ServeHTTP(rw, r)
		}), false)
		p := srv.upgrade(t)
		<-returned
		if n := len(w.rec.ends()); n != 0 || w.stats(t).ConnectionsActive != 1 {
			t.Fatalf("%d ends when the handler returned, %d active", n, w.stats(t).ConnectionsActive)
		}
		p.send(opText, []byte("hello"))
		if _, b := p.message(); string(b) != "hello" {
			t.Errorf("echo %q", b)
		}
		closed(1000)(p)
		checkEnd(t, w, tally{messages: 1, bytes: 5}, tally{messages: 1, bytes: 5})
		checkClose(t, w, closeWanted{"1000", "client", "normal", good})
	})
}

// TestForgotten: nobody closes the connection; the garbage collector does, as
// it would without the agent.
func TestForgotten(t *testing.T) {
	t.Parallel()
	eachLibrary(t, func(t *testing.T, l library) {
		w := newWatch(apmws.Options{})
		returned := make(chan struct{})
		srv := start(t, w.agent.Handler(route, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			defer close(returned)
			c, err := l.upgrade(rw, r, upgrading{})
			if err != nil {
				t.Error(err)
				return
			}
			if err := c.send(opText, []byte("farewell")); err != nil {
				t.Error(err)
			}
		})), false)
		p := srv.upgrade(t)
		p.message()
		<-returned
		eventually(t, "the collection of a forgotten connection", func() bool {
			runtime.GC()
			return len(w.rec.ends()) == 1
		})
		if how := p.rest(); how != "end" {
			t.Errorf("the peer saw %s", how)
		}
		checkClose(t, w, closeWanted{"none", "server", "application", good})
	}, "coder") // its connections are never collected: a finalizer is in a cycle
}

// TestRecoveredInside: the handler closes the connection under a panic that it
// recovers from, and has other things to do. The connection has ended.
func TestRecoveredInside(t *testing.T) {
	t.Parallel()
	eachLibrary(t, func(t *testing.T, l library) {
		w := newWatch(apmws.Options{})
		ended := make(chan struct{})
		srv := start(t, w.agent.Handler(route, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			recovers(&notes{}, l.serve(upgrading{}, func(wsConn, *http.Request) { panic("x") })).ServeHTTP(rw, r)
			<-ended
		})), false)
		defer close(ended)
		srv.upgrade(t).rest()
		w.end(t)
		w.idle(t)
	})
}
