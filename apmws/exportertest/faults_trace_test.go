package exportertest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/apmws/go-apmws/apmws"
	"github.com/apmws/go-apmws/apmws/semconv"
)

// connectOf returns the CONNECT that a transaction is linked to.
func connectOf(telemetry *Telemetry, t *Transaction) *Transaction {
	for i := range telemetry.Transactions {
		c := &telemetry.Transactions[i]
		if c.Type == semconv.TypeConnection && c.Attrs[semconv.ConnectionID] == t.Attrs[semconv.ConnectionID] {
			return c
		}
	}
	return &Transaction{}
}

func linkFaults() []fault {
	childrenOfConnect := func(typ string, trace bool) func(*Telemetry) {
		return func(telemetry *Telemetry) {
			editEach(typ, func(t *Transaction) {
				c := connectOf(telemetry, t)
				t.TraceID = c.TraceID
				if !trace {
					t.ParentID = c.SpanID
				}
			})(telemetry)
		}
	}
	return []fault{
		{name: "messages are children of CONNECT", broken: []string{"roots"}, edit: childrenOfConnect(semconv.TypeMessage, false)},
		{name: "DISCONNECT is in CONNECT's trace", broken: []string{"roots"}, edit: childrenOfConnect(semconv.TypeDisconnection, true)},
		{name: "one id for all", broken: []string{"roots"}, edit: editEach("", func(t *Transaction) { t.SpanID = "0123456789abcdef" })},
		{name: "DISCONNECT has no link", broken: []string{"links", "together-each"}, edit: editEach(semconv.TypeDisconnection, func(t *Transaction) { t.Links = nil })},
		{name: "messages have no links", broken: []string{"links", "links-remote"}, edit: editEach(semconv.TypeMessage, func(t *Transaction) { t.Links = nil })},
		{name: "links are only to the trace", broken: []string{"links"}, edit: editEach("", func(t *Transaction) {
			for i := range t.Links {
				t.Links[i].SpanID = "0123456789abcdef"
			}
		})},
		{name: "messages that continue have no link", broken: []string{"links"}, edit: editEach(semconv.TypeMessage, func(t *Transaction) {
			if t.ParentID != "" {
				t.Links = nil
			}
		})},
		{name: "no links and no substitute", broken: []string{"links", "links-remote", "late", "connections"}, limits: limits{Limits: Limits{NoLinks: true}, lacking: true}},
		{name: "no links and no substitute for the remote one", broken: []string{"links-remote", "late"}, limits: limits{Limits: Limits{NoLinks: true}}, edit: editEach("", func(t *Transaction) {
			delete(t.Attrs, semconv.MessageTraceID)
		})},
		{name: "no link to the remote context", broken: []string{"links-remote", "late"}, hooks: always(hooks{
			messageStart: func(_ *shimMessage, e *apmws.MessageStart) {
				if !e.Continue {
					e.Remote = apmws.SpanContext{}
				}
			},
		})},
		{name: "each remote context is continued", broken: []string{"links-remote"}, hooks: always(hooks{
			messageStart: func(_ *shimMessage, e *apmws.MessageStart) { e.Continue = e.Remote.IsValid() },
		})},
		{name: "empty ids of a remote context", broken: []string{"links-remote"}, edit: editEach(semconv.TypeMessage, func(t *Transaction) {
			if len(t.Links) == 1 && t.ParentID == "" {
				t.Links = append(t.Links, Link{strings.Repeat("0", 32), strings.Repeat("0", 16)})
			}
		})},
		{name: "no message continues", broken: []string{"continue"}, hooks: always(hooks{
			messageStart: func(_ *shimMessage, e *apmws.MessageStart) { e.Continue = false },
		})},
		{name: "sampled messages do not continue", broken: []string{"continue"}, hooks: always(hooks{
			messageStart: func(_ *shimMessage, e *apmws.MessageStart) { e.Continue = e.Continue && !e.Sampled },
		})},
		{name: "CONNECT does not continue", broken: []string{"continue"}, hooks: always(hooks{
			connStart: func(_ context.Context, e *apmws.ConnStart) { e.Remote = apmws.SpanContext{} },
		})},
		{name: "in the trace without the parent", broken: []string{"continue"}, edit: editEach("", func(t *Transaction) { t.ParentID = "" })},
	}
}

func samplingFaults() []fault {
	return []fault{
		{name: "weights are ignored", broken: []string{"weight", "late"}, edit: editEach("", func(t *Transaction) { t.Weight = 1 })},
		{name: "no weight is one", broken: []string{"weight", "late"}, edit: editEach("", func(t *Transaction) {
			if t.Weight == 0 {
				t.Weight = 1
			}
		})},
		{name: "only messages count", broken: []string{"weight"}, edit: editEach("", func(t *Transaction) {
			if t.Type != semconv.TypeMessage {
				t.Weight = 0
			}
		})},
		{name: "rates instead of weights", broken: []string{"weight"}, edit: editEach("", func(t *Transaction) {
			if t.Weight > 0 {
				t.Weight = 1 / t.Weight
			}
		})},
		{name: "no weights and no substitute", broken: []string{"weight", "late"}, limits: limits{Limits: Limits{NoWeights: true}, lacking: true}},
		{name: "a weight of 0 is left out", broken: []string{"weight"}, limits: limits{Limits: Limits{NoWeights: true}}, edit: editEach("", func(t *Transaction) {
			if t.Attrs[semconv.SamplingWeight] == 0.0 {
				delete(t.Attrs, semconv.SamplingWeight)
			}
		})},
		{name: "late messages start now", broken: []string{"late"}, hooks: always(hooks{
			messageStart: func(m *shimMessage, e *apmws.MessageStart) {
				if e.Late {
					e.Time = time.Now()
				}
			},
		})},
		{name: "late messages take no time", broken: []string{"late"}, hooks: always(hooks{
			messageEnd: func(m *shimMessage, e apmws.MessageEnd, next func(apmws.MessageEnd)) {
				if m.start.Late {
					e.Time = m.start.Time
				}
				next(e)
			},
		})},
		{name: "no late start and no substitute", broken: []string{"late"}, limits: limits{Limits: Limits{NoLateStart: true}, lacking: true}},
		{name: "no late start and milliseconds", broken: []string{"late"}, limits: limits{Limits: Limits{NoLateStart: true}}, edit: editEach("", func(t *Transaction) {
			if took, ok := t.Attrs[semconv.MessageElapsed].(float64); ok {
				t.Attrs[semconv.MessageElapsed] = took * 1000
			}
		})},
		{name: "late messages have no errors", broken: []string{"late", "ends-late"}, hooks: always(hooks{
			messageEnd: func(m *shimMessage, e apmws.MessageEnd, next func(apmws.MessageEnd)) {
				if m.start.Late {
					e.Failure = nil
				}
				next(e)
			},
		})},
	}
}

// parentInContext takes the parent of a span from its context, where the last
// exporter of the kind has put its own.
func parentInContext(key any) hooks {
	return hooks{
		returns: func(_ string, ctx context.Context, handle any) context.Context {
			return context.WithValue(ctx, key, handle)
		},
		parent: func(ctx context.Context, _ *shimParent) *shimParent {
			found, _ := ctx.Value(key).(*shimParent)
			return found
		},
	}
}

func spanFaults() []fault {
	return []fault{
		{name: "spans are all below the transaction", broken: []string{"spans", "agent-life"}, edit: editSpans(func(t *Transaction, x *Span) { x.ParentID = t.SpanID })},
		{name: "spans are below the span before", broken: []string{"spans"}, edit: editEach("", func(t *Transaction) {
			for i := 1; i < len(t.Spans); i++ {
				t.Spans[i].ParentID = t.Spans[i-1].SpanID
			}
		})},
		{name: "CONNECT has no spans", broken: []string{"spans", "agent-life"}, edit: editEach(semconv.TypeConnection, func(t *Transaction) { t.Spans = nil })},
		{name: "spans of spans are lost", broken: []string{"spans"}, edit: editEach("", func(t *Transaction) {
			t.Spans = slices.DeleteFunc(t.Spans, func(x Span) bool { return x.ParentID != t.SpanID })
		})},
		{name: "destinations are lost", broken: []string{"spans-details", "agent-life"}, edit: editSpans(func(_ *Transaction, x *Span) { x.Destination = "" })},
		{name: "short calls are left out", broken: []string{"spans-details"}, edit: editEach("", func(t *Transaction) {
			t.Spans = slices.DeleteFunc(t.Spans, func(x Span) bool { return x.Destination != "" && x.Duration < time.Millisecond })
		})},
		{name: "every span is a call", broken: []string{"spans-details"}, edit: editSpans(func(_ *Transaction, x *Span) { x.Destination = "app" })},
		{name: "spans succeed", broken: []string{"spans-details", "agent-life"}, edit: editSpans(func(_ *Transaction, x *Span) { x.Outcome = apmws.OutcomeSuccess })},
		{name: "spans without an outcome succeed", broken: []string{"spans-details"}, edit: editSpans(func(_ *Transaction, x *Span) {
			if x.Outcome == apmws.OutcomeUnknown {
				x.Outcome = apmws.OutcomeSuccess
			}
		})},
		{name: "calls have the name of what they call", broken: []string{"spans-details"}, edit: editSpans(func(_ *Transaction, x *Span) {
			if x.Destination != "" {
				x.Name = x.Destination
			}
		})},
		{name: "attributes of a span's end are lost", broken: []string{"spans-details"}, hooks: always(hooks{
			spanEnd: func(_ *shimSpan, e apmws.SpanEnd, next func(apmws.SpanEnd)) {
				e.Attrs = nil
				next(e)
			},
		})},
		{name: "spans twice", broken: []string{"spans-details", "agent-life"}, edit: editEach("", func(t *Transaction) { t.Spans = append(t.Spans, t.Spans...) })},
		{name: "only the innermost span can end", broken: []string{"spans-overlapping", "spans-outlived"}, hooks: always(hooks{
			spanEnd: func(s *shimSpan, e apmws.SpanEnd, next func(apmws.SpanEnd)) {
				s.root.mu.Lock()
				defer s.root.mu.Unlock()
				i := slices.Index(s.root.stack, s)
				if i < 0 {
					return
				}
				s.root.stack = s.root.stack[:i] // and those above it are lost
				next(e)
			},
		})},
		{name: "overlapping spans are below each other", broken: []string{"spans-overlapping"}, hooks: always(hooks{
			parent: func(_ context.Context, own *shimParent) *shimParent {
				own.mu.Lock()
				defer own.mu.Unlock()
				for _, open := range slices.Backward(own.stack) {
					if !open.hasEnded() {
						return &open.shimParent
					}
				}
				return own
			},
		})},
		{name: "a span tells its transaction's ids", broken: []string{"spans-identified"}, hooks: always(hooks{
			spanIDs: func(x *shimSpan, _ apmws.SpanContext) apmws.SpanContext {
				return x.root.inner.(apmws.Identifier).SpanContext()
			},
		})},
		{name: "a span's ids change", broken: []string{"spans-identified"}, hooks: func() hooks {
			var n atomic.Int32
			return hooks{spanIDs: func(_ *shimSpan, ids apmws.SpanContext) apmws.SpanContext {
				ids.State = fmt.Sprintf("kit=%d", n.Add(1))
				return ids
			}}
		}},
		{name: "a span that is recorded is not sampled", broken: []string{"spans-identified"}, hooks: always(hooks{
			spanIDs: func(_ *shimSpan, ids apmws.SpanContext) apmws.SpanContext {
				ids.Flags = 0
				return ids
			},
		})},
		{name: "spans have ids where nothing else has", broken: []string{"spans-identified"}, limits: limits{Limits: Limits{NoIDs: true}}, hooks: func() hooks {
			h := limits{Limits: Limits{NoIDs: true}}.hooks()
			h.spanIDs = func(_ *shimSpan, ids apmws.SpanContext) apmws.SpanContext { return ids }
			return h
		}},
		{name: "a span's transaction is that of its context", broken: []string{"spans-foreign"}, hooks: func() hooks { return parentInContext(userKey{}) }},
	}
}
