package livews

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/apmws/go-apmws/apmws"
	"github.com/apmws/go-apmws/apmws/semconv"
)

// connection is the handle of one connection. It lives as long as that, so it
// holds next to nothing. A nil handle records nothing.
type connection struct {
	view      *View
	id, route string
	// connect is CONNECT until that has ended.
	connect atomic.Pointer[transaction]
	ended   atomic.Bool
}

// transaction makes a transaction of the connection.
func (c *connection) transaction(typ, name string, start time.Time) *transaction {
	t := &transaction{
		view: c.view, typ: typ, name: cut(name, maxText), connection: c.id, route: c.route, start: start,
	}
	t.attrs.list = t.inline[:0]
	return t
}

// Opened implements apmws.ConnSpan.
func (c *connection) Opened(end apmws.OpenEnd) {
	if c == nil {
		return
	}
	if t := c.connect.Swap(nil); t != nil {
		t.end(ending{end.Time, end.Result, end.Outcome, end.User, end.Failure, end.Attrs})
	}
}

// StartSpan implements apmws.SpanStarter: a span of CONNECT.
func (c *connection) StartSpan(ctx context.Context, start apmws.SpanStart) (context.Context, apmws.ChildSpan) {
	if c == nil {
		return ctx, nil
	}
	return c.connect.Load().StartSpan(ctx, start)
}

// StartMessage implements apmws.ConnSpan.
func (c *connection) StartMessage(ctx context.Context, start apmws.MessageStart) (context.Context, apmws.MessageSpan) {
	if c == nil {
		return ctx, nil
	}
	t := c.transaction(semconv.TypeMessage, start.Name, start.Time)
	t.user = cut(start.User, maxText)
	t.attrs.set(start.Attrs)
	c.view.history.begin(t)
	return ctx, t
}

// End implements apmws.ConnSpan.
func (c *connection) End(end apmws.ConnEnd) {
	if c == nil || !c.ended.CompareAndSwap(false, true) {
		return
	}
	t := c.transaction(semconv.TypeDisconnection, end.Name, end.Time)
	t.end(ending{end.Time, end.Result, end.Outcome, end.User, end.Failure, end.Attrs})
}
