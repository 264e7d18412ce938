package apmws

import (
	"context"
	"sync/atomic"
)

// handles are the exporters' handles of one message or span, mostly one or two.
type handles struct {
	first [2]handle
	more  []handle
	n     int
	shard int // of the members' gates
}

// handle is a MessageSpan or a ChildSpan.
type handle struct {
	member *member
	span   any
}

func (h *handles) add(m *member, span any) {
	if h.n < len(h.first) {
		h.first[h.n] = handle{m, span}
	} else {
		h.more = append(h.more, handle{m, span})
	}
	h.n++
}

func (h *handles) at(i int) *handle {
	if i < len(h.first) {
		return &h.first[i]
	}
	return &h.more[i-len(h.first)]
}

func (h *handles) endMessage(end MessageEnd) {
	if h == nil {
		return
	}
	for i := h.n - 1; i >= 0; i-- {
		x := h.at(i)
		if call := x.member.enter(h.shard); call != nil {
			x.endMessage(call, end)
		}
	}
}

func (x *handle) endMessage(call *atomic.Int64, end MessageEnd) {
	defer x.member.leave(call)
	x.span.(MessageSpan).End(end)
}

func (h *handles) endSpan(end SpanEnd) {
	for i := h.n - 1; i >= 0; i-- {
		x := h.at(i)
		if call := x.member.enter(h.shard); call != nil {
			x.endSpan(call, end)
		}
	}
}

func (x *handle) endSpan(call *atomic.Int64, end SpanEnd) {
	defer x.member.leave(call)
	x.span.(ChildSpan).End(end)
}

// spanContext returns the trace context of a span, that of the first exporter that
// has one.
func (h *handles) spanContext() SpanContext {
	for i := range h.n {
		if ids := h.at(i).spanContext(h.shard); ids.IsValid() {
			return ids
		}
	}
	return SpanContext{}
}

func (x *handle) spanContext(shard int) (ids SpanContext) {
	id, ok := x.span.(Identifier)
	if !ok || x.member.off() {
		return ids
	}
	call := x.member.gate.enter(shard)
	if call == nil {
		return ids
	}
	defer x.member.leave(call)
	return id.SpanContext()
}

// handleOf returns the exporter's handle, or nil.
func (h *handles) handleOf(m *member) any {
	for i := range h.n {
		if x := h.at(i); x.member == m {
			return x.span
		}
	}
	return nil
}

// StartSpan starts a span below each handle.
func (h *handles) StartSpan(ctx context.Context, start SpanStart) (context.Context, *handles) {
	below := &handles{shard: h.shard}
	for i := range h.n {
		ctx = below.startSpan(ctx, h.at(i).member, h.at(i).span, start)
	}
	return ctx, below
}

func (h *handles) startSpan(ctx context.Context, m *member, parent any, start SpanStart) (derived context.Context) {
	derived = ctx
	starter, ok := parent.(SpanStarter)
	if !ok {
		return derived
	}
	call := m.enter(h.shard)
	if call == nil {
		return derived
	}
	defer m.leave(call)
	c, span := starter.StartSpan(ctx, start)
	if c != nil {
		derived = c
	}
	if span != nil {
		h.add(m, span)
	}
	return derived
}

// spanParent is what a span can be started below: *multiConn or *handles.
type spanParent interface {
	StartSpan(ctx context.Context, start SpanStart) (context.Context, *handles)
	spanContext() SpanContext
	handleOf(m *member) any
}
