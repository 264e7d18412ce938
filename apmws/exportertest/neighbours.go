package exportertest

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/apmws/go-apmws/apmws"
)

// ends counts the ends that an agent tells of.
type ends struct{ closed, refused atomic.Int64 }

func newEnds() *ends { return &ends{} }

// StartConn implements apmws.Exporter.
func (e *ends) StartConn(ctx context.Context, _ apmws.ConnStart) (context.Context, apmws.ConnSpan) {
	return ctx, endsConn{e}
}

type endsConn struct{ *ends }

// Opened implements apmws.ConnSpan.
func (c endsConn) Opened(end apmws.OpenEnd) {
	if !end.Accepted {
		c.refused.Add(1)
	}
}

// StartMessage implements apmws.ConnSpan.
func (c endsConn) StartMessage(ctx context.Context, _ apmws.MessageStart) (context.Context, apmws.MessageSpan) {
	return ctx, nil
}

// End implements apmws.ConnSpan.
func (c endsConn) End(apmws.ConnEnd) { c.closed.Add(1) }

// bad is an exporter that misbehaves in a way of its own.
type bad struct {
	fault badness
	// meanwhile gets one for each Flush and Shutdown that is to return.
	meanwhile <-chan struct{}
}

type badness int

const (
	badPanics     badness = iota // in every call but those of badExplodes
	badNoContext                 // it returns nil for one
	badNoHandles                 // neither for connections nor for messages
	badForgets                   // its contexts derive from none
	badNoMessages                // it records connections only
	badFails                     // to flush and to shut down
	badExplodes                  // it panics in Flush and Shutdown
	badHangs                     // in Flush and Shutdown
)

var errBad = errors.New("exportertest: a bad neighbour")

func (b *bad) misbehave() {
	if b.fault == badPanics {
		panic("a bad neighbour panics")
	}
}

// derive returns the context of a call.
func (b *bad) derive(ctx context.Context) context.Context {
	switch b.fault {
	case badNoContext:
		return nil
	case badForgets:
		return context.Background()
	default:
		return ctx
	}
}

// StartConn implements apmws.Exporter.
func (b *bad) StartConn(ctx context.Context, _ apmws.ConnStart) (context.Context, apmws.ConnSpan) {
	b.misbehave()
	if b.fault == badNoHandles {
		return b.derive(ctx), nil
	}
	return b.derive(ctx), badConn{b}
}

// Flush implements apmws.Flusher.
func (b *bad) Flush(context.Context) error { return b.finish() }

// Shutdown implements apmws.Shutdowner.
func (b *bad) Shutdown(context.Context) error { return b.finish() }

func (b *bad) finish() error {
	switch b.fault {
	case badExplodes:
		panic("a bad neighbour panics")
	case badHangs:
		<-b.meanwhile
		return nil
	case badFails:
		return errBad
	default:
		return nil
	}
}

type badConn struct{ b *bad }

// Opened implements apmws.ConnSpan.
func (c badConn) Opened(apmws.OpenEnd) { c.b.misbehave() }

// End implements apmws.ConnSpan.
func (c badConn) End(apmws.ConnEnd) { c.b.misbehave() }

// StartMessage implements apmws.ConnSpan.
func (c badConn) StartMessage(ctx context.Context, _ apmws.MessageStart) (context.Context, apmws.MessageSpan) {
	c.b.misbehave()
	if c.b.fault == badNoMessages || c.b.fault == badNoHandles {
		return c.b.derive(ctx), nil
	}
	return c.b.derive(ctx), badSpan(c)
}

// StartSpan implements apmws.SpanStarter.
func (c badConn) StartSpan(ctx context.Context, start apmws.SpanStart) (context.Context, apmws.ChildSpan) {
	return c.b.startSpan(ctx, start)
}

func (b *bad) startSpan(ctx context.Context, _ apmws.SpanStart) (context.Context, apmws.ChildSpan) {
	b.misbehave()
	return b.derive(ctx), badChild{b}
}

type badSpan struct{ b *bad }

// End implements apmws.MessageSpan.
func (m badSpan) End(apmws.MessageEnd) { m.b.misbehave() }

// StartSpan implements apmws.SpanStarter.
func (m badSpan) StartSpan(ctx context.Context, start apmws.SpanStart) (context.Context, apmws.ChildSpan) {
	return m.b.startSpan(ctx, start)
}

type badChild struct{ b *bad }

// End implements apmws.ChildSpan.
func (s badChild) End(apmws.SpanEnd) { s.b.misbehave() }
