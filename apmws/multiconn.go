package apmws

import (
	"context"
	"sync/atomic"
)

// multiConn is a connection's handles. A nil *multiConn records nothing.
type multiConn struct {
	spans []memberConn
	shard int // of the members' gates
}

// memberConn has no span when the exporter was blocked when the connection began:
// what it misses of it is still counted.
type memberConn struct {
	member *member
	span   ConnSpan
}

// enter begins a call for an event.
func (x *memberConn) enter(shard int) (call *atomic.Int64) {
	if x.span == nil {
		x.member.missed.Add(1)
		return nil
	}
	return x.member.enter(shard)
}

func (c *multiConn) Opened(end *OpenEnd) {
	if c == nil {
		return
	}
	for i := len(c.spans) - 1; i >= 0; i-- {
		x := &c.spans[i]
		if call := x.enter(c.shard); call != nil {
			x.opened(call, end)
		}
	}
}

func (x *memberConn) opened(call *atomic.Int64, end *OpenEnd) {
	defer x.member.leave(call)
	x.span.Opened(*end)
}

func (c *multiConn) End(end ConnEnd) {
	if c == nil {
		return
	}
	for i := len(c.spans) - 1; i >= 0; i-- {
		x := &c.spans[i]
		if call := x.enter(c.shard); call != nil {
			x.end(call, end)
		}
	}
}

func (x *memberConn) end(call *atomic.Int64, end ConnEnd) {
	defer x.member.leave(call)
	x.span.End(end)
}

func (c *multiConn) StartMessage(ctx context.Context, start *MessageStart, h *handles) context.Context {
	h.shard = c.shard
	for i := range c.spans {
		x := &c.spans[i]
		call := x.enter(c.shard)
		if call == nil {
			continue
		}
		var span MessageSpan
		if ctx, span = x.startMessage(ctx, call, start); span != nil {
			h.add(x.member, span)
		}
	}
	return ctx
}

func (x *memberConn) startMessage(ctx context.Context, call *atomic.Int64, start *MessageStart) (derived context.Context, span MessageSpan) {
	derived = ctx
	defer x.member.leave(call)
	c, s := x.span.StartMessage(ctx, *start)
	if c != nil {
		derived = c
	}
	return derived, s
}

// handleOf returns the exporter's handle of the connection, or nil.
func (c *multiConn) handleOf(m *member) any {
	for i := range c.spans {
		if x := &c.spans[i]; x.member == m && x.span != nil {
			return x.span
		}
	}
	return nil
}

// StartSpan starts a span below CONNECT.
func (c *multiConn) StartSpan(ctx context.Context, start SpanStart) (context.Context, *handles) {
	h := &handles{shard: c.shard}
	for i := range c.spans {
		ctx = h.startSpan(ctx, c.spans[i].member, c.spans[i].span, start)
	}
	return ctx, h
}
