package interop

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/rs/zerolog"
	"go.elastic.co/apm/module/apmhttp/v2"
	"go.elastic.co/apm/v2"

	"github.com/apmws/go-apmws/apmws"
)

// useEverything does with a context what a handler may do at any time, from any
// goroutine.
func (e *elastic) useEverything(ctx context.Context, prefix string) error {
	span, spanCtx := apm.StartSpan(ctx, prefix+"span", "app")
	inner, _ := apm.StartSpan(spanCtx, prefix+"inner", "app")
	inner.End()
	span.End()
	_, own := apmws.StartSpan(ctx, prefix+"own", apmws.SpanOptions{})
	own.End(nil)
	if err := e.get(ctx); err != nil {
		return err
	}
	if err := e.redis.Publish(ctx, "room", "hello").Err(); err != nil {
		return err
	}
	apm.CaptureError(ctx, fmt.Errorf("%serror", prefix)).Send()
	zerolog.Ctx(ctx).Info().Msg(prefix + "line")
	apmws.FromContext(ctx).SetUser("u1")
	return nil
}

// setLabel is what an ended transaction panics on. Elastic allows it on one
// goroutine at a time.
func setLabel(ctx context.Context, key string) (found bool) {
	tx := apm.TransactionFromContext(ctx)
	if tx == nil {
		return false
	}
	tx.Context.SetLabel(key, "x")
	return true
}

// TestContextForLife uses a request's context from several goroutines before,
// during and long after the upgrade, and after the end.
func TestContextForLife(t *testing.T) {
	t.Parallel()
	eachLibrary(t, func(t *testing.T, l library) {
		for _, place := range placements {
			if place.name == "outside the vendor" {
				continue // its transaction is nearer to the handler than the agent's
			}
			t.Run(place.name, func(t *testing.T) {
				t.Parallel()
				testContextForLife(t, l, place)
			})
		}
	})
}

func testContextForLife(t *testing.T, l library, place placement) {
	e := newElastic(t, apmws.Options{})
	type key struct{}
	var (
		users    sync.WaitGroup
		stop     = make(chan struct{})
		upgraded = make(chan struct{})
		late     = make(chan struct{}) // CONNECT has been exported
		done     = make(chan context.Context, 1)
	)
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := r.Context()
		derived, cancel := context.WithCancel(context.WithValue(context.WithoutCancel(ctx), key{}, 1))
		defer cancel()
		if !setLabel(ctx, "early") || !setLabel(derived, "derived") {
			t.Error("no transaction before the upgrade")
		}
		if err := e.useEverything(ctx, "early "); err != nil {
			t.Error(err)
		}
		for range 3 {
			users.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					if err := e.useEverything(derived, "any "); err != nil && derived.Err() == nil {
						t.Error(err)
						return
					}
				}
			})
		}
		c, err := l.upgrade(w, r, upgrading{})
		if err != nil {
			t.Error(err)
			close(upgraded)
			return
		}
		close(upgraded)
		<-late
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() {
				for _, c := range []context.Context{ctx, derived} {
					if setLabel(c, "late") {
						t.Error("an ended transaction was found")
					}
					if apm.SpanFromContext(c) != nil {
						t.Error("a span was found")
					}
					if err := e.useEverything(c, "late "); err != nil {
						t.Error(err)
					}
				}
			})
		}
		all.Wait()
		echo(c, r)
		c.drop()
		done <- derived
	})
	srv := start(t, place.place(t, e.watch, h), false)
	p := srv.upgrade(t)
	<-upgraded
	connect := e.connect(t)
	close(late)
	p.send(opText, []byte("x"))
	p.message()
	closed(1000)(p)
	e.end(t)
	ctx := receive(t, "the handler's end", done)
	if setLabel(ctx, "after the end") {
		t.Error("a transaction was found after the end")
	}
	if err := e.useEverything(ctx, "after the end "); err != nil && ctx.Err() == nil {
		t.Error(err)
	}
	close(stop)
	users.Wait()

	if labels := connect.Context.Tags; fmt.Sprint(labels) == "" || !strings.Contains(fmt.Sprint(labels), "early") {
		t.Errorf("labels of CONNECT %v, want the early one", labels)
	}
	for name := range e.sent().of(connect) {
		if strings.HasPrefix(name, "late") || strings.HasPrefix(name, "after") {
			t.Errorf("span %q was added to an ended transaction", name)
		}
	}
	if n := e.sent().of(connect)["early span"]; n != 1 {
		t.Errorf("%d early spans in CONNECT, want 1", n)
	}
	if log := srv.errors.String(); log != "" {
		t.Errorf("net/http logged %s", log)
	}
}

// TestOuterTransactionIsMasked: what a vendor's middleware has opened outside
// the agent does not go on collecting spans, and is found by nobody.
func TestOuterTransactionIsMasked(t *testing.T) {
	t.Parallel()
	eachLibrary(t, func(t *testing.T, l library) {
		e := newElastic(t, apmws.Options{})
		late := make(chan struct{})
		h := l.serve(upgrading{}, func(c wsConn, r *http.Request) {
			<-late
			if tx := apm.TransactionFromContext(r.Context()); tx != nil {
				t.Error("the outer transaction was found")
			}
			span, _ := apm.StartSpan(r.Context(), "late", "app")
			if !span.Dropped() {
				t.Error("a span was recorded")
			}
			span.End()
			echo(c, r)
		})
		srv := start(t, apmhttp.Wrap(e.agent.Handler(route, h), apmhttp.WithTracer(e.tracer.Tracer)), false)
		p := srv.upgrade(t)
		e.connect(t)
		close(late)
		closed(1000)(p)
		e.end(t)
		var outer int
		eventually(t, "the outer transaction", func() bool {
			outer = len(e.sent().ofType("request"))
			return outer == 1
		})
		for _, s := range e.sent().spans {
			if s.Name == "late" {
				t.Errorf("span %+v", s)
			}
		}
	})
}

// TestTransactionKeptByHandler: the handler looks the transaction up before the
// upgrade and uses it afterwards, as it could without the agent.
func TestTransactionKeptByHandler(t *testing.T) {
	t.Parallel()
	eachLibrary(t, func(t *testing.T, l library) {
		e := newElastic(t, apmws.Options{})
		returned := make(chan any, 1)
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			defer func() { returned <- recover() }()
			tx := apm.TransactionFromContext(r.Context())
			c, err := l.upgrade(w, r, upgrading{})
			if err != nil {
				t.Error(err)
				return
			}
			defer c.drop()
			tx.Context.SetLabel("kept", "x")
			tx.StartSpan("kept", "app", nil).End()
			tx.Result = "kept"
		})
		start(t, e.agent.Handler(route, h), false).upgrade(t).rest()
		if p := receive(t, "the handler's end", returned); p != nil {
			t.Errorf("the handler panicked: %v", p)
		}
		connect := e.connect(t)
		if connect.Result != "HTTP 1xx" {
			t.Errorf("result of CONNECT %q", connect.Result)
		}
		e.end(t)
	})
}
