package exportertest

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/apmws/go-apmws/apmws"
	"github.com/apmws/go-apmws/apmws/semconv"
)

// hooks change what an exporter does. Each may be nil. Those that are given an
// event may change it, and may call what comes next never, once or twice.
type hooks struct {
	connStart    func(ctx context.Context, e *apmws.ConnStart)
	noConn       func(ctx context.Context) bool // no handle
	opened       func(c *shimConn, e apmws.OpenEnd, next func(apmws.OpenEnd))
	connEnd      func(c *shimConn, e apmws.ConnEnd, next func(apmws.ConnEnd))
	messageStart func(m *shimMessage, e *apmws.MessageStart)
	messageEnd   func(m *shimMessage, e apmws.MessageEnd, next func(apmws.MessageEnd))
	broadcast    func(b *shimBroadcast, parent any, e *apmws.MessageStart) any // the parent to take
	spread       func(b *shimBroadcast, e apmws.MessageEnd, next func(apmws.MessageEnd))
	takeMessage  func() *shimMessage                                    // nil: a new one
	parent       func(ctx context.Context, own *shimParent) *shimParent // nil: no span
	spanStart    func(s *shimSpan, e *apmws.SpanStart)
	spanEnd      func(s *shimSpan, e apmws.SpanEnd, next func(apmws.SpanEnd))
	returns      func(of string, given context.Context, handle any) context.Context
	ids          func(p *shimParent, ids apmws.SpanContext) apmws.SpanContext
	spanIDs      func(x *shimSpan, ids apmws.SpanContext) apmws.SpanContext // nil: as ids

	attach          func()
	mask            func(ctx context.Context) context.Context
	flush, shutdown func(ctx context.Context) error
	dropped         func() []apmws.Dropped
	vendor          string
	fields          func(ids apmws.SpanContext) []slog.Attr
}

// shim is a Recorder behind hooks, with all the optional interfaces.
type shim struct {
	hooks
	recorder *Recorder

	mu      sync.Mutex
	stop    chan struct{} // of what Attach has started
	stopped sync.WaitGroup
}

// shimKey is where a shim keeps its transaction in a context, as vendors do.
type shimKey struct{ of *shim }

// shimParent is what spans are below: CONNECT, a message or a span.
type shimParent struct {
	s     *shim
	inner apmws.SpanStarter
	mu    sync.Mutex
	ended bool
	stack []*shimSpan // spans that are open
	root  *shimParent // of a span: the transaction; else nil
}

func (p *shimParent) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = true
}

func (p *shimParent) hasEnded() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ended
}

func (s *shim) derive(ctx context.Context, of string, p *shimParent) context.Context {
	if s.returns != nil {
		return s.returns(of, ctx, p)
	}
	return context.WithValue(ctx, shimKey{s}, p)
}

func (s *shim) StartConn(ctx context.Context, e apmws.ConnStart) (context.Context, apmws.ConnSpan) {
	if s.connStart != nil {
		s.connStart(ctx, &e)
	}
	if s.noConn != nil && s.noConn(ctx) {
		return ctx, nil
	}
	_, inner := s.recorder.StartConn(ctx, e)
	c := &shimConn{inner: inner.(*recorderConn), start: e}
	c.s, c.shimParent.inner = s, c.inner
	c.start.Attrs = slices.Clone(e.Attrs)
	return s.derive(ctx, ofConnect, &c.shimParent), c
}

type shimConn struct {
	shimParent
	inner  *recorderConn
	start  apmws.ConnStart
	closed bool
	open   int // messages in hand
}

func (c *shimConn) SpanContext() apmws.SpanContext { return c.identify(c.inner.SpanContext()) }

func (p *shimParent) identify(ids apmws.SpanContext) apmws.SpanContext {
	if p.s.ids != nil {
		return p.s.ids(p, ids)
	}
	return ids
}

func (c *shimConn) Opened(e apmws.OpenEnd) {
	next := func(e apmws.OpenEnd) { c.inner.Opened(e) }
	if c.s.opened != nil {
		c.s.opened(c, e, next)
	} else {
		next(e)
	}
	c.end()
}

func (c *shimConn) End(e apmws.ConnEnd) {
	next := func(e apmws.ConnEnd) { c.inner.End(e) }
	if c.s.connEnd != nil {
		c.s.connEnd(c, e, next)
	} else {
		next(e)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
}

func (c *shimConn) StartMessage(ctx context.Context, e apmws.MessageStart) (context.Context, apmws.MessageSpan) {
	var m *shimMessage
	if c.s.takeMessage != nil {
		m = c.s.takeMessage()
	}
	if m == nil {
		m = &shimMessage{}
	}
	m.c, m.s, m.start = c, c.s, e
	m.start.Attrs = slices.Clone(e.Attrs)
	if c.s.messageStart != nil {
		c.s.messageStart(m, &e)
	}
	_, inner := c.inner.StartMessage(ctx, e)
	m.inner = inner.(*recorderMessage)
	m.shimParent.inner = m.inner
	c.mu.Lock()
	c.open++
	c.mu.Unlock()
	return c.s.derive(ctx, ofMessage, &m.shimParent), m
}

func (c *shimConn) StartSpan(ctx context.Context, e apmws.SpanStart) (context.Context, apmws.ChildSpan) {
	return c.startSpan(ctx, e)
}

type shimMessage struct {
	shimParent
	c     *shimConn
	inner *recorderMessage
	start apmws.MessageStart
	kept  []slog.Attr
}

func (m *shimMessage) SpanContext() apmws.SpanContext { return m.identify(m.inner.SpanContext()) }

func (m *shimMessage) End(e apmws.MessageEnd) {
	inner := m.inner
	next := func(e apmws.MessageEnd) { inner.End(e) }
	m.end()
	if m.s.messageEnd != nil {
		m.s.messageEnd(m, e, next)
	} else {
		next(e)
	}
	m.c.mu.Lock()
	defer m.c.mu.Unlock()
	m.c.open--
}

func (m *shimMessage) StartSpan(ctx context.Context, e apmws.SpanStart) (context.Context, apmws.ChildSpan) {
	return m.startSpan(ctx, e)
}

// shimBroadcast is a broadcast of a shim.
type shimBroadcast struct {
	s     *shim
	inner apmws.MessageSpan
	start apmws.MessageStart
}

func (s *shim) StartBroadcast(ctx context.Context, parent any, e apmws.MessageStart) apmws.MessageSpan {
	b := &shimBroadcast{s: s, start: e}
	b.start.Attrs = slices.Clone(e.Attrs)
	if s.broadcast != nil {
		parent = s.broadcast(b, parent, &e)
	}
	switch p := parent.(type) {
	case *shimConn:
		parent = p.inner
	case *shimMessage:
		parent = p.inner
	case *shimSpan:
		parent = p.inner
	}
	b.inner = s.recorder.StartBroadcast(ctx, parent, e)
	return b
}

func (b *shimBroadcast) End(e apmws.MessageEnd) {
	if b.s.spread != nil {
		b.s.spread(b, e, b.inner.End)
		return
	}
	b.inner.End(e)
}

type shimSpan struct {
	shimParent
	above *shimParent
	inner apmws.ChildSpan
	kept  []slog.Attr
}

func (x *shimSpan) SpanContext() apmws.SpanContext {
	if x.s.spanIDs != nil {
		return x.s.spanIDs(x, x.inner.(apmws.Identifier).SpanContext())
	}
	return x.identify(x.inner.(apmws.Identifier).SpanContext())
}

func (p *shimParent) startSpan(ctx context.Context, e apmws.SpanStart) (context.Context, apmws.ChildSpan) {
	above := p
	if p.s.parent != nil {
		if above = p.s.parent(ctx, p); above == nil {
			return ctx, nil
		}
	}
	x := &shimSpan{above: above}
	x.s = p.s
	if x.root = above.root; x.root == nil {
		x.root = above
	}
	if p.s.spanStart != nil {
		p.s.spanStart(x, &e)
	}
	_, inner := above.inner.StartSpan(ctx, e)
	x.inner, x.shimParent.inner = inner, inner.(apmws.SpanStarter)
	x.root.mu.Lock()
	x.root.stack = append(x.root.stack, x)
	x.root.mu.Unlock()
	return p.s.derive(ctx, ofSpan, &x.shimParent), x
}

func (x *shimSpan) End(e apmws.SpanEnd) {
	next := func(e apmws.SpanEnd) { x.inner.End(e) }
	if x.s.spanEnd != nil {
		x.s.spanEnd(x, e, next)
	} else {
		next(e)
	}
	x.end()
}

func (x *shimSpan) StartSpan(ctx context.Context, e apmws.SpanStart) (context.Context, apmws.ChildSpan) {
	return x.startSpan(ctx, e)
}

// Attach starts a goroutine, as exporters that report counters do.
func (s *shim) Attach(*apmws.Agent) {
	if s.attach != nil {
		s.attach()
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stop == nil {
		stop := make(chan struct{})
		s.stop = stop
		s.stopped.Go(func() { <-stop })
	}
}

func (s *shim) Mask(ctx context.Context) context.Context {
	if s.mask != nil {
		return s.mask(ctx)
	}
	return context.WithValue(ctx, shimKey{s}, (*shimParent)(nil))
}

func (s *shim) Flush(ctx context.Context) error {
	if s.flush != nil {
		return s.flush(ctx)
	}
	return nil
}

func (s *shim) Shutdown(ctx context.Context) error {
	if s.shutdown != nil {
		return s.shutdown(ctx)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stop != nil {
		close(s.stop)
		s.stopped.Wait()
		s.stop = nil
	}
	return ctx.Err()
}

func (s *shim) Dropped() []apmws.Dropped {
	if s.dropped != nil {
		return s.dropped()
	}
	return []apmws.Dropped{{Reason: "queue_full"}, {Reason: "attributes", Count: 3}}
}

func (s *shim) Vendor() string {
	if s.vendor != "" {
		return s.vendor
	}
	return "shim"
}

func (s *shim) LogFields(ids apmws.SpanContext) []slog.Attr {
	if s.fields != nil {
		return s.fields(ids)
	}
	if !ids.IsValid() {
		return nil
	}
	return []slog.Attr{
		slog.String("trace.id", ids.TraceIDString()), slog.String("span.id", ids.SpanIDString()), slog.String("entity.name", "chat"),
	}
}

// limits is a back end that lacks something. A substitute of which lacking is true
// is missing.
type limits struct {
	Limits
	lacking bool
}

// hooks of a back end with these limits.
func (l limits) hooks() (h hooks) {
	var start []func(m *shimMessage, e *apmws.MessageStart)
	var end []func(m *shimMessage, e *apmws.MessageEnd)
	if l.OwnClock {
		h = ownClock()
		start = append(start, h.messageStart)
		end = append(end, nowUnlessLate)
	}
	if l.NoLateStart {
		start = append(start, func(m *shimMessage, e *apmws.MessageStart) {
			if e.Late {
				e.Time = time.Now()
			}
		})
		end = append(end, func(m *shimMessage, e *apmws.MessageEnd) {
			if !m.start.Late {
				return
			}
			if took := e.Time.Sub(m.start.Time); !l.lacking {
				e.Attrs = append(slices.Clone(e.Attrs), slog.Float64(semconv.MessageElapsed, took.Seconds()))
			}
			e.Time = time.Now()
		})
	}
	if l.NoWeights {
		start = append(start, func(_ *shimMessage, e *apmws.MessageStart) {
			if e.Sampled && e.Weight != 1 && !l.lacking {
				e.Attrs = append(slices.Clone(e.Attrs), slog.Float64(semconv.SamplingWeight, e.Weight))
			}
			e.Sampled = false
		})
	}
	if l.NoIDs {
		h.ids = func(*shimParent, apmws.SpanContext) (none apmws.SpanContext) { return none }
	}
	h.messageStart = func(m *shimMessage, e *apmws.MessageStart) {
		for _, f := range start {
			f(m, e)
		}
	}
	h.messageEnd = func(m *shimMessage, e apmws.MessageEnd, next func(apmws.MessageEnd)) {
		for _, f := range end {
			f(m, &e)
		}
		next(e)
	}
	// A broadcast is one more message.
	h.broadcast = func(b *shimBroadcast, parent any, e *apmws.MessageStart) any {
		h.messageStart(&shimMessage{start: b.start}, e)
		return parent
	}
	h.spread = func(b *shimBroadcast, e apmws.MessageEnd, next func(apmws.MessageEnd)) {
		h.messageEnd(&shimMessage{start: b.start}, e, next)
	}
	return h
}

func nowUnlessLate(m *shimMessage, e *apmws.MessageEnd) {
	if !m.start.Late {
		e.Time = time.Now()
	}
}

// ownClock are the hooks of a vendor's library that takes the time itself.
func ownClock() hooks {
	return hooks{
		connStart: func(_ context.Context, e *apmws.ConnStart) { e.Time = time.Now() },
		opened: func(_ *shimConn, e apmws.OpenEnd, next func(apmws.OpenEnd)) {
			e.Time = time.Now()
			next(e)
		},
		connEnd: func(_ *shimConn, e apmws.ConnEnd, next func(apmws.ConnEnd)) {
			e.Time = time.Now()
			next(e)
		},
		messageStart: func(_ *shimMessage, e *apmws.MessageStart) {
			if !e.Late {
				e.Time = time.Now()
			}
		},
		messageEnd: func(m *shimMessage, e apmws.MessageEnd, next func(apmws.MessageEnd)) {
			nowUnlessLate(m, &e)
			next(e)
		},
		spanStart: func(_ *shimSpan, e *apmws.SpanStart) { e.Time = time.Now() },
		spanEnd: func(_ *shimSpan, e apmws.SpanEnd, next func(apmws.SpanEnd)) {
			e.Time = time.Now()
			next(e)
		},
	}
}

// edit makes of a Recorder's telemetry what a back end with these limits has got.
func (l limits) edit(telemetry *Telemetry) {
	for i := range telemetry.Transactions {
		t := &telemetry.Transactions[i]
		if l.NoLinks {
			for j, link := range t.Links {
				trace, span := semconv.ConnectTraceID, semconv.ConnectSpanID
				if j > 0 {
					trace, span = semconv.MessageTraceID, semconv.MessageSpanID
				}
				if !l.lacking {
					t.Attrs[trace], t.Attrs[span] = link.TraceID, link.SpanID
				}
			}
			t.Links = nil
		}
		if l.NoIDs {
			t.TraceID, t.ParentID, t.Links, t.Weight = "", "", nil, 0
			if l.lacking {
				delete(t.Attrs, semconv.ConnectionID)
			}
		}
		if l.BareErrors {
			for j := range t.Errors {
				t.Errors[j].Attrs, t.Errors[j].Stack = nil, ""
				if l.lacking {
					t.Errors[j].Type = ""
				}
			}
		}
		l.editAttrs(t.Attrs)
		for j := range t.Spans {
			l.editAttrs(t.Spans[j].Attrs)
		}
		for j := range t.Errors {
			l.editAttrs(t.Errors[j].Attrs)
		}
	}
}

func (l limits) editAttrs(attrs map[string]any) {
	for key, value := range attrs {
		if text, ok := value.(string); ok && l.MaxString > 0 && len(text) > l.MaxString {
			limit := l.MaxString
			for !l.lacking && limit > 0 && text[limit]&0xc0 == 0x80 {
				limit--
			}
			attrs[key] = text[:limit]
		}
	}
	if l.Spelling == nil || l.lacking {
		return
	}
	for key, value := range attrs {
		if spelled := l.Spelling(key); spelled != key {
			delete(attrs, key)
			attrs[spelled] = value
		}
	}
}
