package apmws

import "context"

// multiConn is a connection's handles. A nil *multiConn records nothing.
type multiConn struct{ spans []memberConn }

type memberConn struct {
	member *member
	span   ConnSpan
}

func (c *multiConn) Opened(end OpenEnd) {
	if c == nil {
		return
	}
	for i := len(c.spans) - 1; i >= 0; i-- {
		x := &c.spans[i]
		if x.member.skips() {
			continue
		}
		func() {
			defer x.member.contain()
			x.span.Opened(end)
		}()
	}
}

func (c *multiConn) End(end ConnEnd) {
	if c == nil {
		return
	}
	for i := len(c.spans) - 1; i >= 0; i-- {
		x := &c.spans[i]
		if x.member.skips() {
			continue
		}
		func() {
			defer x.member.contain()
			x.span.End(end)
		}()
	}
}

func (c *multiConn) StartMessage(ctx context.Context, start MessageStart) (context.Context, *handles) {
	if c == nil {
		return ctx, nil
	}
	h := &handles{}
	for i := range c.spans {
		x := &c.spans[i]
		if x.member.skips() {
			continue
		}
		var span MessageSpan
		if ctx, span = x.startMessage(ctx, start); span != nil {
			h.add(x.member, span)
		}
	}
	if h.n == 0 {
		return ctx, nil
	}
	return ctx, h
}

func (x *memberConn) startMessage(ctx context.Context, start MessageStart) (derived context.Context, span MessageSpan) {
	derived = ctx
	defer x.member.contain()
	c, s := x.span.StartMessage(ctx, start)
	if c != nil {
		derived = c
	}
	return derived, s
}

// StartSpan starts a span below CONNECT.
func (c *multiConn) StartSpan(ctx context.Context, start SpanStart) (context.Context, *handles) {
	h := &handles{}
	for i := range c.spans {
		ctx = h.startSpan(ctx, c.spans[i].member, c.spans[i].span, start)
	}
	return ctx, h
}
