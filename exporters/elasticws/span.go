package elasticws

import (
	"context"
	"strings"
	"sync/atomic"
	"time"

	"go.elastic.co/apm/v2"

	"github.com/apmws/go-apmws/apmws"
)

// childSpan is the handle of a span and the context of what it covers.
type childSpan struct {
	carrier
	labels *connLabels
	start  time.Time
	done   atomic.Bool
}

// startSpan starts a span below what c carries, or below a span that Elastic's
// API has put into ctx since. A span of ctx belongs to the transaction that is
// found there: everything that puts a transaction into a context, carriers
// included, hides the spans of other transactions.
func (c *carrier) startSpan(ctx context.Context, labels *connLabels, start apmws.SpanStart) (context.Context, *childSpan) {
	parent := beneath(ctx, c.tx)
	if apm.TransactionFromContext(parent) != c.tx || apm.SpanFromContext(parent) == nil {
		parent = c.context()
	}
	span, _ := apm.StartSpanOptions(parent, start.Name, start.Type, apm.SpanOptions{
		Start:    start.Time,
		ExitSpan: start.Destination != "",
	})
	if start.Destination != "" {
		setDestination(span, start.Destination)
	}
	// A span that is dropped, because the transaction has too many or is not
	// sampled, is kept all the same: the agent counts what it calls.
	if !span.Dropped() {
		labels.set(&span.Context, start.Attrs, nil)
	}
	s := &childSpan{
		carrier: carrier{Context: ctx, exporter: c.exporter, tx: c.tx, span: span},
		labels:  labels,
		start:   start.Time,
	}
	return s.context(), s
}

// setDestination names the service that an exit span calls, both in the old way,
// by a resource, and in the new, by the target's type and name. The type is the
// span's subtype, such as redis in messaging.redis.publish.
func setDestination(span *apm.Span, destination string) {
	span.Context.SetDestinationService(apm.DestinationServiceSpanContext{Resource: destination})
	target := apm.ServiceTargetSpanContext{Type: span.Subtype, Name: destination}
	if target.Type == "" {
		target.Type = span.Type
	}
	if destination == target.Type {
		target.Name = ""
	} else if name, ok := strings.CutPrefix(destination, target.Type+"/"); ok {
		target.Name = name
	}
	span.Context.SetServiceTarget(target)
}

// End implements apmws.ChildSpan.
func (s *childSpan) End(end apmws.SpanEnd) {
	if !s.done.CompareAndSwap(false, true) || s.span.SpanData == nil {
		return // the latter when the application has ended it
	}
	if !s.span.Dropped() {
		s.labels.set(&s.span.Context, end.Attrs, nil)
	}
	s.span.Duration = duration(s.start, end.Time)
	s.span.Outcome = string(end.Outcome)
	s.span.End()
}

// SpanContext implements apmws.Identifier. Of a span that is dropped the agent knows
// the ids of what is above it.
func (s *childSpan) SpanContext() apmws.SpanContext {
	tc := s.span.TraceContext()
	return apmws.SpanContext{TraceID: tc.Trace, SpanID: tc.Span, Flags: byte(tc.Options), State: tc.State.String()}
}

// StartSpan implements apmws.SpanStarter.
func (s *childSpan) StartSpan(ctx context.Context, start apmws.SpanStart) (context.Context, apmws.ChildSpan) {
	return s.startSpan(ctx, s.labels, start)
}
