package exportertest

import (
	"context"
	"errors"
	"time"

	"github.com/apmws/go-apmws/apmws"
)

// contextRules are those about the contexts that go in and come out.
func contextRules() []rule {
	return []rule{
		{
			"context-derived",
			"the context that StartConn, StartMessage and StartSpan return is derived from the one given: values, deadline, cancellation and its cause, also after the end",
			checkContextDerived,
		},
		{
			"context-cancelled",
			"what happens is recorded although the context is cancelled or has expired",
			checkContextCancelled,
		},
		{
			"context-mask",
			"the context that Mask returns is derived from the one given, and what starts under it is recorded as ever",
			checkMask,
		},
	}
}

// userKey is the key of a value of the application's.
type userKey struct{}

var errCause = errors.New("the cause")

// application is a context of the application's, of which contexts are derived.
type application struct {
	ctx      context.Context
	cancel   context.CancelCauseFunc
	deadline time.Time
	// late is when all that was to be cancelled with it should have been.
	late   context.Context
	giveUp context.CancelFunc
}

func newApplication() *application {
	a := &application{deadline: time.Now().Add(time.Hour)}
	ctx, release := context.WithDeadline(context.WithValue(context.Background(), userKey{}, "ada"), a.deadline)
	a.ctx, a.cancel = context.WithCancelCause(ctx)
	context.AfterFunc(a.ctx, release)
	return a
}

// wantDerived checks a context before the application's is cancelled, wantCancelled
// afterwards.
func (a *application) wantDerived(ctx context.Context, k *kit, what string) {
	if ctx == nil {
		k.errorf("the context of %s is nil", what)
		return
	}
	if ctx.Value(userKey{}) != "ada" {
		k.errorf("the context of %s has lost the application's value", what)
	}
	if deadline, ok := ctx.Deadline(); !ok || !deadline.Equal(a.deadline) {
		k.errorf("the context of %s has lost the deadline", what)
	}
	if err := ctx.Err(); err != nil {
		k.errorf("the context of %s is over: %v", what, err)
	}
}

// stop cancels the application's context.
func (a *application) stop(k *kit) {
	a.cancel(errCause)
	a.late, a.giveUp = context.WithTimeout(context.Background(), k.patience)
}

func (a *application) wantCancelled(ctx context.Context, k *kit, what string) {
	if ctx == nil {
		return
	}
	select {
	case <-ctx.Done():
	case <-a.late.Done():
		k.errorf("the context of %s is not cancelled with the one it was made from", what)
		return
	}
	if err := ctx.Err(); !errors.Is(err, context.Canceled) {
		k.errorf("the context of %s has the error %v, want %v", what, err, context.Canceled)
	}
	if cause := context.Cause(ctx); !errors.Is(cause, errCause) {
		k.errorf("the context of %s was cancelled because of %v, want %v", what, cause, errCause)
	}
}

func checkContextDerived(k *kit) {
	s := k.session()
	a := newApplication()
	defer a.cancel(nil)
	derived := make(map[string]context.Context)
	c := s.connect(a.ctx, apmws.ConnStart{})
	derived["a connection"] = c.ctx
	if canSpan(c.span) {
		x := s.child(c.ctx, c.span, apmws.SpanStart{Name: "authenticate"})
		derived["a span of CONNECT"] = x.ctx
		x.end(apmws.SpanEnd{})
	}
	c.opened(apmws.OpenEnd{Accepted: true})
	m := c.message(apmws.MessageStart{})
	derived["a message"] = m.ctx
	if canSpan(m.span) {
		x := s.child(m.ctx, m.span, apmws.SpanStart{Name: "load"})
		derived["a span"] = x.ctx
		if canSpan(x.span) {
			y := s.child(x.ctx, x.span, apmws.SpanStart{Name: "query"})
			derived["a span of a span"] = y.ctx
			y.end(apmws.SpanEnd{})
		}
		x.end(apmws.SpanEnd{})
	}
	for what, ctx := range derived {
		a.wantDerived(ctx, k, what)
	}
	m.end(apmws.MessageEnd{})
	c.closed(apmws.ConnEnd{})
	for what, ctx := range derived {
		a.wantDerived(ctx, k, what+", after the end,")
	}
	a.stop(k)
	defer a.giveUp()
	for what, ctx := range derived {
		a.wantCancelled(ctx, k, what)
	}
}

func checkContextCancelled(k *kit) {
	s := k.session()
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	expired, release := context.WithDeadline(context.Background(), time.Now().Add(-time.Hour))
	defer release()
	var conns []*conn
	var messages []*message
	for _, ctx := range []context.Context{cancelled, expired} {
		c := s.connect(ctx, apmws.ConnStart{})
		c.opened(apmws.OpenEnd{Accepted: true})
		m := c.message(apmws.MessageStart{})
		if canSpan(m.span) {
			s.child(m.ctx, m.span, apmws.SpanStart{Name: "load"}).end(apmws.SpanEnd{})
		}
		m.failed("gave up")
		c.closed(apmws.ConnEnd{})
		conns, messages = append(conns, c), append(messages, m)
	}
	g := s.sent()
	for i, c := range conns {
		g.connect(c)
		g.disconnect(c)
		told := g.message(messages[i])
		if canSpan(messages[i].span) {
			g.span(told, "load")
		}
		if len(told.Errors) != 1 {
			g.errorf("the failed message has %d errors, want 1", len(told.Errors))
		}
	}
}

func checkMask(k *kit) {
	s := k.session()
	masker, ok := s.Exporter.(apmws.Masker)
	if !ok {
		return
	}
	a := newApplication()
	defer a.cancel(nil)
	masked := masker.Mask(a.ctx)
	a.wantDerived(masked, k, "Mask")
	c := s.connect(a.ctx, apmws.ConnStart{})
	c.opened(apmws.OpenEnd{Accepted: true})
	again := masker.Mask(c.ctx)
	a.wantDerived(again, k, "Mask of a connection's context")
	if again == nil {
		return
	}
	m := c.tryMessage(again, apmws.MessageStart{})
	if m.ctx == nil || m.span == nil {
		s.fatalf("StartMessage returned no context or no handle under a masked context")
	}
	if canSpan(m.span) {
		s.child(m.ctx, m.span, apmws.SpanStart{Name: "load"}).end(apmws.SpanEnd{})
	}
	m.end(apmws.MessageEnd{})
	a.stop(k)
	defer a.giveUp()
	a.wantCancelled(masked, k, "Mask")
	a.wantCancelled(again, k, "Mask of a connection's context")
	g := s.sent()
	g.connect(c)
	if told := g.message(m); canSpan(m.span) {
		g.wantBelow(told, "load", told.SpanID)
	}
}
