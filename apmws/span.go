package apmws

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/apmws/go-apmws/apmws/semconv"
)

// SpanOptions describe a span. The zero value is a span of type "app".
type SpanOptions struct {
	// Type is dotted: type, subtype, action, such as "db.postgresql.query". The
	// default is "app".
	Type string
	// Destination names the service that the span calls, such as "redis" or
	// "billing.example:443". It makes the span an exit span: back ends draw the
	// service into their maps. It must be bounded: no ids, no channels.
	Destination string
	// Attrs are further attributes: strings, numbers and booleans that are not
	// secret.
	Attrs []slog.Attr
}

// Span is a part of a Connection or Message transaction. It ends once; a second
// End does nothing. It is safe for concurrent use.
type Span struct {
	scope scope // the context of what the span covers
	inner liveScope
	span  *handles
	done  atomic.Bool
}

// StartSpan starts a span in every exporter's transaction of ctx. Pass the
// returned context to what the span covers, then end it:
//
//	ctx, span := apmws.StartSpan(ctx, "load history", apmws.SpanOptions{Type: "db.postgresql.query"})
//	rows, err := load(ctx)
//	span.End(err)
//
// Where ctx carries no transaction, or one that has ended, the span does
// nothing; where it carries a span that has ended, the new one is beside that. The
// name must be bounded: it is an aggregation key.
func StartSpan(ctx context.Context, name string, opts SpanOptions) (context.Context, *Span) {
	above := scopeOf(ctx).open()
	if above == nil {
		return ctx, nil
	}
	return above.startSpan(ctx, above.conn, name, opts)
}

// startSpan starts a span below s. The attributes are those of the connection
// that the span is about, which for a write may be another than s belongs to.
func (s *scope) startSpan(ctx context.Context, about *Conn, name string, opts SpanOptions) (context.Context, *Span) {
	live := s.current()
	if live == nil || live.parent == nil {
		return ctx, nil
	}
	if opts.Type == "" {
		opts.Type = "app"
	}
	scratch := getScratch()
	attrs := append(about.appendCommon(scratch.attrs, s.event), opts.Attrs...)
	derived, handles := live.parent.StartSpan(ctx, SpanStart{
		Time: time.Now(), Name: name, Type: opts.Type, Destination: opts.Destination, Attrs: attrs,
	})
	scratch.put(attrs)
	if handles.n == 0 {
		return ctx, nil
	}
	span := &Span{span: handles, inner: liveScope{ctx: derived, parent: handles, weight: live.weight}}
	span.scope.Context, span.scope.conn, span.scope.event = ctx, s.conn, s.event
	span.scope.ids, span.scope.message, span.scope.root = s.ids, s.message, s
	if s.root != nil {
		span.scope.root = s.root
	}
	span.scope.live.Store(&span.inner)
	return &span.scope, span
}

// End ends the span: a failure when err is not nil. The error is not recorded
// as an error of its own; what matters of it ends the message. End of a nil
// Span does nothing.
func (s *Span) End(err error) {
	outcome := OutcomeSuccess
	if err != nil {
		outcome = OutcomeFailure
	}
	s.finish(outcome, nil)
}

// finish ends the span with what has become known of it.
func (s *Span) finish(outcome Outcome, attrs []slog.Attr) {
	if s == nil || !s.done.CompareAndSwap(false, true) {
		return
	}
	s.scope.live.Store(nil)
	s.span.endSpan(SpanEnd{Time: time.Now(), Outcome: outcome, Attrs: attrs})
}

// sendType is the type of spans of writes to a peer.
const sendType = "websocket.send"

// startSend starts the span of a write to c under the transaction of ctx.
func (c *Conn) startSend(ctx context.Context, m Message) *Span {
	s := scopeOf(ctx).open()
	if s == nil || s.current() == nil {
		return nil
	}
	name := c.nameOf(m, &c.route.sends)
	_, span := s.startSpan(ctx, c, "send "+name.name, SpanOptions{Type: sendType, Attrs: []slog.Attr{
		slog.String(semconv.MessageType, m.Type.String()),
		slog.Int(semconv.MessageLength, len(m.Data)),
	}})
	return span
}
