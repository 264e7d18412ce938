package exportertest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/apmws/go-apmws/apmws"
	"github.com/apmws/go-apmws/apmws/semconv"
)

// tooMany is more attributes than a back end takes.
const tooMany = 64

// faults are what exporters get wrong.
func faults() []fault {
	return slices.Concat(
		timeFaults(), attributeFaults(), contextFaults(), mappingFaults(), failureFaults(), linkFaults(), samplingFaults(),
		spanFaults(), lateFaults(), sharingFaults(), identityFaults(), lifecycleFaults(), agentFaults(), togetherFaults(),
	)
}

// editEach edits the transactions of that type, or all.
func editEach(typ string, edit func(*Transaction)) func(*Telemetry) {
	return func(telemetry *Telemetry) {
		for i := range telemetry.Transactions {
			if t := &telemetry.Transactions[i]; typ == "" || t.Type == typ {
				edit(t)
			}
		}
	}
}

// editSpans edits all spans.
func editSpans(edit func(*Transaction, *Span)) func(*Telemetry) {
	return editEach("", func(t *Transaction) {
		for i := range t.Spans {
			edit(t, &t.Spans[i])
		}
	})
}

// remove keeps the transactions that do not match.
func remove(gone func(*Transaction) bool) func(*Telemetry) {
	return func(telemetry *Telemetry) {
		telemetry.Transactions = slices.DeleteFunc(telemetry.Transactions, func(t Transaction) bool { return gone(&t) })
	}
}

// always are hooks without a state.
func always(h hooks) func() hooks { return func() hooks { return h } }

func timeFaults() []fault {
	return []fault{
		{name: "its own clock", broken: []string{"times", "agent-life"}, hooks: func() hooks {
			h := ownClock()
			h.opened = func(_ *shimConn, e apmws.OpenEnd, next func(apmws.OpenEnd)) {
				e.Time = time.Now().Add(time.Second) // or it would differ by less than may be lost
				next(e)
			}
			return h
		}},
		{name: "durations in microseconds", broken: []string{"times"}, edit: editEach("", func(t *Transaction) { t.Duration /= 1000 })},
		{name: "durations in whole milliseconds", broken: []string{"times"}, edit: editEach("", func(t *Transaction) {
			t.Duration = t.Duration.Truncate(time.Millisecond)
		})},
		{name: "DISCONNECT as long as the connection", broken: []string{"times"}, edit: editEach(semconv.TypeDisconnection, func(t *Transaction) {
			t.Start, t.Duration = t.Start.Add(-time.Hour), time.Hour
		})},
		{name: "spans start with their transaction", broken: []string{"times"}, edit: editSpans(func(t *Transaction, x *Span) { x.Start = t.Start })},
		{name: "errors happen when they are sent", broken: []string{"times"}, edit: editEach("", func(t *Transaction) {
			for i := range t.Errors {
				t.Errors[i].Time = time.Now()
			}
		})},
		{name: "an own clock that stands", broken: []string{"times"}, limits: limits{Limits: Limits{OwnClock: true}}, edit: editEach("", func(t *Transaction) { t.Duration = 0 })},
		{name: "an own clock that stands for spans", broken: []string{"times"}, limits: limits{Limits: Limits{OwnClock: true}}, edit: editSpans(func(_ *Transaction, x *Span) {
			x.Duration = 0
		})},
	}
}

// withoutKind drops attributes of a kind.
func withoutKind(attrs []slog.Attr, kind slog.Kind) []slog.Attr {
	return slices.DeleteFunc(slices.Clone(attrs), func(a slog.Attr) bool { return a.Value.Kind() == kind })
}

func attributeFaults() []fault {
	return []fault{
		{name: "unsigned numbers are lost", broken: []string{"attributes"}, hooks: always(hooks{
			messageStart: func(_ *shimMessage, e *apmws.MessageStart) { e.Attrs = withoutKind(e.Attrs, slog.KindUint64) },
		})},
		{name: "numbers lose digits", broken: []string{"attributes"}, edit: editEach("", func(t *Transaction) {
			for key, value := range t.Attrs {
				if f, ok := value.(float64); ok {
					t.Attrs[key] = float64(float32(f))
				}
			}
		})},
		{name: "zero values are left out", broken: []string{"attributes"}, edit: editEach("", func(t *Transaction) {
			maps.DeleteFunc(t.Attrs, func(_ string, value any) bool { return value == false || value == 0.0 })
		})},
		{name: "booleans become text", broken: []string{"attributes"}, edit: editEach("", func(t *Transaction) {
			for key, value := range t.Attrs {
				if b, ok := value.(bool); ok {
					t.Attrs[key] = fmt.Sprint(b)
				}
			}
		})},
		{name: "attributes of ends are lost", broken: []string{"attributes", "attributes-last"}, hooks: always(hooks{
			messageEnd: func(_ *shimMessage, e apmws.MessageEnd, next func(apmws.MessageEnd)) {
				e.Attrs = nil
				next(e)
			},
		})},
		{name: "attributes of spans are lost", broken: []string{"attributes", "spans-details"}, edit: editSpans(func(_ *Transaction, x *Span) { clear(x.Attrs) })},
		{name: "errors have no attributes", broken: []string{"attributes", "errors", "agent-life"}, edit: editEach("", func(t *Transaction) {
			for i := range t.Errors {
				t.Errors[i].Attrs = nil
			}
		})},
		{name: "names are spelled as elsewhere", broken: []string{"attributes"}, limits: limits{
			Limits: Limits{Spelling: func(name string) string { return strings.ReplaceAll(name, ".", "_") }}, lacking: true,
		}},
		{name: "attributes of messages are kept, not copied", broken: []string{"attributes-copied"}, hooks: always(hooks{
			messageStart: func(m *shimMessage, e *apmws.MessageStart) { m.kept, e.Attrs = e.Attrs, nil },
			messageEnd: func(m *shimMessage, e apmws.MessageEnd, next func(apmws.MessageEnd)) {
				e.Attrs = slices.Concat(m.kept, e.Attrs)
				next(e)
			},
		})},
		{name: "attributes of CONNECT are kept, not copied", broken: []string{"attributes-copied"}, hooks: func() hooks {
			var kept []slog.Attr
			return hooks{
				connStart: func(_ context.Context, e *apmws.ConnStart) { kept, e.Attrs = e.Attrs, slices.Clone(e.Attrs[:3]) },
				opened: func(_ *shimConn, e apmws.OpenEnd, next func(apmws.OpenEnd)) {
					e.Attrs = slices.Concat(kept, e.Attrs)
					next(e)
				},
			}
		}},
		{name: "attributes of spans are kept, not copied", broken: []string{"attributes-copied"}, hooks: always(hooks{
			spanStart: func(s *shimSpan, e *apmws.SpanStart) { s.kept, e.Attrs = e.Attrs, nil },
			spanEnd: func(s *shimSpan, e apmws.SpanEnd, next func(apmws.SpanEnd)) {
				e.Attrs = slices.Concat(s.kept, e.Attrs)
				next(e)
			},
		})},
		{name: "it writes behind the caller's attributes", broken: []string{"attributes-copied"}, hooks: always(hooks{
			messageStart: func(_ *shimMessage, e *apmws.MessageStart) { e.Attrs = append(e.Attrs, slog.String("vendor", "x")) },
		})},
		{name: "groups make it panic", broken: []string{"attributes-odd"}, hooks: always(hooks{
			connStart: func(_ context.Context, e *apmws.ConnStart) {
				if len(withoutKind(e.Attrs, slog.KindGroup)) < len(e.Attrs) {
					panic("what is this?")
				}
			},
		})},
		{name: "what JSON cannot hold takes the others with it", broken: []string{"attributes-odd"}, hooks: always(hooks{
			spanStart: func(_ *shimSpan, e *apmws.SpanStart) {
				if slices.ContainsFunc(e.Attrs, func(a slog.Attr) bool {
					return a.Value.Kind() == slog.KindFloat64 && math.IsNaN(a.Value.Float64())
				}) {
					e.Attrs = nil
				}
			},
		})},
		{name: "LogValuers are not resolved", broken: []string{"attributes-odd"}, edit: editEach("", func(t *Transaction) {
			if _, ok := t.Attrs["kit.valuer"]; ok {
				t.Attrs["kit.valuer"] = "{}"
			}
		})},
		{name: "NaN becomes 0", broken: []string{"attributes-odd"}, edit: editEach("", func(t *Transaction) { t.Attrs["kit.nan"] = 0.0 })},
		{name: "the first value stays", broken: []string{"attributes-last"}, hooks: always(hooks{
			messageEnd: func(m *shimMessage, e apmws.MessageEnd, next func(apmws.MessageEnd)) {
				e.Attrs = append(slices.Clone(e.Attrs), m.start.Attrs...)
				next(e)
			},
		})},
		{name: "too many attributes push out the result", broken: []string{"attributes-many"}, edit: editEach("", func(t *Transaction) {
			if len(t.Attrs) > tooMany {
				t.Result, t.Outcome = "", ""
			}
		})},
		{name: "too many attributes push out the link", broken: []string{"attributes-many"}, edit: editEach("", func(t *Transaction) {
			if len(t.Attrs) > tooMany {
				t.Links = nil
			}
		})},
		{name: "an error with too many attributes is lost", broken: []string{"attributes-many"}, edit: editEach("", func(t *Transaction) {
			t.Errors = slices.DeleteFunc(t.Errors, func(e Error) bool { return len(e.Attrs) > tooMany })
		})},
		{name: "a length that is not declared", broken: []string{"attributes-long"}, edit: func(telemetry *Telemetry) {
			limits{Limits: Limits{MaxString: 128}}.edit(telemetry)
		}},
		{name: "cut in the middle of a character", broken: []string{"attributes-long"}, limits: limits{Limits: Limits{MaxString: 64}, lacking: true}},
		{name: "long strings are dropped", broken: []string{"attributes-long"}, limits: limits{Limits: Limits{MaxString: 64}}, edit: editEach("", func(t *Transaction) {
			delete(t.Attrs, "kit.long")
		})},
	}
}

func contextFaults() []fault {
	none := func(string, context.Context, any) context.Context { return context.Background() }
	return []fault{
		{name: "contexts of its own", hangs: true, broken: []string{"context-derived", "together-contexts"}, hooks: always(hooks{returns: none})},
		{name: "contexts of spans of its own", hangs: true, broken: []string{"context-derived", "together-contexts"}, hooks: always(hooks{
			returns: func(of string, ctx context.Context, _ any) context.Context {
				if of == ofSpan {
					return context.Background()
				}
				return ctx
			},
		})},
		{name: "contexts that are never cancelled", hangs: true, broken: []string{"context-derived"}, hooks: always(hooks{
			returns: func(_ string, ctx context.Context, _ any) context.Context { return context.WithoutCancel(ctx) },
		})},
		{name: "contexts that end with their transaction", broken: []string{"context-derived"}, hooks: func() hooks {
			var cancels []context.CancelFunc
			return hooks{
				returns: func(_ string, ctx context.Context, _ any) context.Context {
					ctx, cancel := context.WithCancel(ctx)
					cancels = append(cancels, cancel)
					return ctx
				},
				messageEnd: func(_ *shimMessage, e apmws.MessageEnd, next func(apmws.MessageEnd)) {
					for _, cancel := range cancels {
						cancel()
					}
					next(e)
				},
			}
		}},
		{name: "nil contexts", broken: []string{"context-derived"}, hooks: always(hooks{
			returns: func(string, context.Context, any) context.Context { return nil },
		})},
		{name: "no connections under a cancelled context", broken: []string{"context-cancelled"}, hooks: always(hooks{
			noConn: func(ctx context.Context) bool { return ctx.Err() != nil },
		})},
		{name: "no spans under a cancelled context", broken: []string{"context-cancelled"}, hooks: always(hooks{
			parent: func(ctx context.Context, own *shimParent) *shimParent {
				if ctx.Err() != nil {
					return nil
				}
				return own
			},
		})},
		{name: "Mask forgets the context", hangs: true, broken: []string{"context-mask"}, hooks: always(hooks{
			mask: func(context.Context) context.Context { return context.Background() },
		})},
		{name: "Mask returns nil", broken: []string{"context-mask"}, hooks: always(hooks{
			mask: func(context.Context) context.Context { return nil },
		})},
		{name: "what is masked has no spans", broken: []string{"context-mask"}, hooks: always(hooks{
			mask: func(ctx context.Context) context.Context { return context.WithValue(ctx, userKey{}, "masked") },
			parent: func(ctx context.Context, own *shimParent) *shimParent {
				if ctx.Value(userKey{}) == "masked" {
					return nil
				}
				return own
			},
		})},
	}
}

func mappingFaults() []fault {
	return []fault{
		{name: "statuses are lost", broken: []string{"connect", "attributes"}, edit: editEach(semconv.TypeConnection, func(t *Transaction) { delete(t.Attrs, semconv.StatusCode) })},
		{name: "refusals are failures", broken: []string{"connect"}, edit: editEach(semconv.TypeConnection, func(t *Transaction) {
			if t.Result == "HTTP 4xx" {
				t.Outcome = apmws.OutcomeFailure
			}
		})},
		{name: "the outcome is derived from the status", broken: []string{"connect"}, edit: editEach(semconv.TypeConnection, func(t *Transaction) {
			if t.Result == "HTTP 1xx" {
				t.Outcome = apmws.OutcomeSuccess
			}
		})},
		{name: "CONNECT is recorded with DISCONNECT", broken: []string{"connect"}, hooks: func() hooks {
			later := make(map[*shimConn]func())
			return hooks{
				opened: func(c *shimConn, e apmws.OpenEnd, next func(apmws.OpenEnd)) { later[c] = func() { next(e) } },
				connEnd: func(c *shimConn, e apmws.ConnEnd, next func(apmws.ConnEnd)) {
					later[c]()
					next(e)
				},
			}
		}},
		{name: "no answer is the status 0 of HTTP", broken: []string{"connect"}, edit: editEach(semconv.TypeConnection, func(t *Transaction) {
			if t.Result == semconv.None {
				t.Result = "HTTP 0xx"
			}
		})},
		{name: "reasons of refusals are lost", broken: []string{"connect"}, edit: editEach("", func(t *Transaction) { delete(t.Attrs, semconv.RefusalReason) })},
		{name: "a timeout is an error", broken: []string{"message", "late", "agent-life"}, edit: editEach(semconv.TypeMessage, func(t *Transaction) {
			if t.Result == "timeout" {
				t.Result = "error"
			}
		})},
		{name: "outcomes of messages are unknown", broken: []string{"message"}, edit: editEach(semconv.TypeMessage, func(t *Transaction) { t.Outcome = apmws.OutcomeUnknown })},
		{name: "names have the type before them", broken: []string{"message"}, edit: editEach(semconv.TypeMessage, func(t *Transaction) { t.Name = "Message/" + t.Name })},
		{name: "nobody's fault is a success", broken: []string{"disconnect"}, edit: editEach(semconv.TypeDisconnection, func(t *Transaction) {
			if t.Outcome == apmws.OutcomeUnknown {
				t.Outcome = apmws.OutcomeSuccess
			}
		})},
		{name: "an outcome by the errors", broken: []string{"disconnect"}, edit: editEach(semconv.TypeDisconnection, func(t *Transaction) {
			t.Outcome = apmws.OutcomeSuccess
			if len(t.Errors) > 0 {
				t.Outcome = apmws.OutcomeFailure
			}
		})},
		{name: "every end is normal", broken: []string{"disconnect"}, edit: editEach(semconv.TypeDisconnection, func(t *Transaction) { t.Result = "normal" })},
		{name: "bad ends are not recorded", broken: []string{"disconnect"}, edit: remove(func(t *Transaction) bool { return t.Result == string(apmws.CausePanic) })},
		{name: "users that are set late are lost", broken: []string{"user"}, hooks: always(hooks{
			messageEnd: func(m *shimMessage, e apmws.MessageEnd, next func(apmws.MessageEnd)) {
				e.User = m.start.User
				next(e)
			},
		})},
		{name: "DISCONNECT has no user", broken: []string{"user"}, edit: editEach(semconv.TypeDisconnection, func(t *Transaction) { t.User = "" })},
		{name: "the last user stays", broken: []string{"user"}, edit: editEach("", func(t *Transaction) {
			if t.User == "" {
				t.User = "ada"
			}
		})},
	}
}

func failureFaults() []fault {
	eachError := func(edit func(*Error)) func(*Telemetry) {
		return editEach("", func(t *Transaction) {
			for i := range t.Errors {
				edit(&t.Errors[i])
			}
		})
	}
	return []fault{
		{name: "an error for each failed outcome", broken: []string{"errors"}, edit: editEach("", func(t *Transaction) {
			if t.Outcome == apmws.OutcomeFailure && len(t.Errors) == 0 {
				t.Errors = append(t.Errors, Error{Message: t.Result})
			}
		})},
		{name: "errors twice", broken: []string{"errors", "agent-life"}, edit: editEach("", func(t *Transaction) { t.Errors = append(t.Errors, t.Errors...) })},
		{name: "handshakes have no errors", broken: []string{"errors"}, edit: editEach(semconv.TypeConnection, func(t *Transaction) { t.Errors = nil })},
		{name: "ends have no errors", broken: []string{"errors"}, edit: editEach(semconv.TypeDisconnection, func(t *Transaction) { t.Errors = nil })},
		{name: "the type of an error is that of its value", broken: []string{"errors"}, hooks: always(hooks{
			messageEnd: func(_ *shimMessage, e apmws.MessageEnd, next func(apmws.MessageEnd)) {
				if e.Failure != nil {
					e.Failure.Type = fmt.Sprintf("%T", e.Failure.Err)
				}
				next(e)
			},
		})},
		{name: "the text of an error is asked for", broken: []string{"errors"}, hooks: always(hooks{
			messageEnd: func(_ *shimMessage, e apmws.MessageEnd, next func(apmws.MessageEnd)) {
				if e.Failure != nil && e.Failure.Panic == nil {
					e.Failure.Message = e.Failure.Err.Error()
				}
				next(e)
			},
		})},
		{name: "the texts of causes are asked for", broken: []string{"errors-odd"}, hooks: always(hooks{
			messageEnd: func(_ *shimMessage, e apmws.MessageEnd, next func(apmws.MessageEnd)) {
				if e.Failure != nil {
					for err := errors.Unwrap(e.Failure.Err); err != nil; err = errors.Unwrap(err) {
						_ = err.Error()
					}
				}
				next(e)
			},
		})},
		{name: "errors without a message", broken: []string{"errors"}, edit: eachError(func(e *Error) { e.Message = "" })},
		{name: "bare errors without a type", broken: []string{"errors"}, limits: limits{Limits: Limits{BareErrors: true}, lacking: true}},
		{name: "panics have no stack", broken: []string{"errors-panic", "agent-life"}, edit: eachError(func(e *Error) { e.Stack = "" })},
		{name: "a panic's stack is the exporter's", broken: []string{"errors-panic"}, edit: eachError(func(e *Error) {
			e.Stack = "goroutine 1 [running]:\nmain.main()"
		})},
		{name: "panics are taken for errors", broken: []string{"errors-panic"}, hooks: always(hooks{
			messageEnd: func(_ *shimMessage, e apmws.MessageEnd, next func(apmws.MessageEnd)) {
				if e.Failure != nil && e.Failure.Panic != nil {
					e.Failure.Message = e.Failure.Panic.(error).Error()
				}
				next(e)
			},
		})},
	}
}

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
		{name: "a span's transaction is that of its context", broken: []string{"spans-foreign"}, hooks: func() hooks { return parentInContext(userKey{}) }},
	}
}

func lateFaults() []fault {
	return []fault{
		{name: "a second end of a message is a second message", broken: []string{"ends-twice", "crowd"}, hooks: func() hooks {
			var mu sync.Mutex
			ended := make(map[*shimMessage]bool)
			return hooks{messageEnd: func(m *shimMessage, e apmws.MessageEnd, next func(apmws.MessageEnd)) {
				mu.Lock()
				second := ended[m]
				ended[m] = true
				mu.Unlock()
				if second {
					_, inner := m.c.inner.StartMessage(context.Background(), m.start)
					next = inner.End
				}
				next(e)
			}}
		}},
		{name: "a second end of a connection is a second DISCONNECT", broken: []string{"ends-twice"}, hooks: func() hooks {
			ended := make(map[*shimConn]bool)
			return hooks{connEnd: func(c *shimConn, e apmws.ConnEnd, next func(apmws.ConnEnd)) {
				if ended[c] {
					_, inner := c.s.recorder.StartConn(context.Background(), c.start)
					next = inner.End
				}
				ended[c] = true
				next(e)
			}}
		}},
		{name: "a second end of a handshake counts", broken: []string{"ends-twice"}, edit: editEach(semconv.TypeConnection, func(t *Transaction) { t.User = again })},
		{name: "a second end of a span counts", broken: []string{"ends-twice"}, edit: editSpans(func(_ *Transaction, x *Span) { x.Outcome = apmws.OutcomeFailure })},
		{name: "a second end panics", broken: []string{"ends-twice"}, hooks: always(hooks{
			messageEnd: func(m *shimMessage, e apmws.MessageEnd, next func(apmws.MessageEnd)) {
				if e.User == again {
					panic("the transaction has ended")
				}
				next(e)
			},
		})},
		{name: "messages end with their connection", broken: []string{"ends-late"}, hooks: always(hooks{
			messageEnd: func(m *shimMessage, e apmws.MessageEnd, next func(apmws.MessageEnd)) {
				m.c.mu.Lock()
				closed := m.c.closed
				m.c.mu.Unlock()
				if !closed {
					next(e)
				}
			},
		})},
		{name: "spans of what has ended panic", broken: []string{"starts-late"}, hooks: always(hooks{
			parent: func(_ context.Context, own *shimParent) *shimParent {
				if own.hasEnded() {
					panic("the transaction has ended")
				}
				return own
			},
		})},
		{name: "spans of what has ended go to what is open", broken: []string{"starts-late"}, hooks: func() hooks {
			var last *shimParent
			return hooks{
				returns: func(_ string, ctx context.Context, handle any) context.Context {
					last = handle.(*shimParent)
					return ctx
				},
				parent: func(_ context.Context, own *shimParent) *shimParent {
					if own.hasEnded() {
						return last
					}
					return own
				},
			}
		}},
		{name: "a span's late end panics", broken: []string{"spans-late"}, hooks: always(hooks{
			spanEnd: func(s *shimSpan, e apmws.SpanEnd, next func(apmws.SpanEnd)) {
				if s.root.hasEnded() {
					panic("the transaction has ended")
				}
				next(e)
			},
		})},
		{name: "a transaction has its spans' outcome", broken: []string{"spans-late"}, edit: editEach("", func(t *Transaction) {
			for _, x := range t.Spans {
				t.Outcome = x.Outcome
			}
		})},
		{name: "DISCONNECT waits for all messages", broken: []string{"never-ended", "ends-late"}, hooks: always(hooks{
			connEnd: func(c *shimConn, e apmws.ConnEnd, next func(apmws.ConnEnd)) {
				c.mu.Lock()
				open := c.open
				c.mu.Unlock()
				if open == 0 {
					next(e)
				}
			},
		})},
		{name: "messages wait for their spans", broken: []string{"never-ended"}, hooks: always(hooks{
			messageEnd: func(m *shimMessage, e apmws.MessageEnd, next func(apmws.MessageEnd)) {
				m.mu.Lock()
				defer m.mu.Unlock()
				if !slices.ContainsFunc(m.stack, func(s *shimSpan) bool { return !s.hasEnded() }) {
					next(e)
				}
			},
		})},
		{name: "handles are used again", broken: []string{"crowd"}, hooks: func() hooks {
			var mu sync.Mutex
			var free []*shimMessage
			return hooks{
				takeMessage: func() *shimMessage {
					mu.Lock()
					defer mu.Unlock()
					if len(free) == 0 {
						return nil
					}
					m := free[len(free)-1]
					free = free[:len(free)-1]
					return m
				},
				messageEnd: func(m *shimMessage, e apmws.MessageEnd, next func(apmws.MessageEnd)) {
					next(e)
					mu.Lock()
					defer mu.Unlock()
					free = append(free, m)
				},
			}
		}},
	}
}

// underLoad mixes up two failed messages of different connections when there are
// many.
func underLoad(mix func(t, u *Transaction)) func(*Telemetry) {
	return func(telemetry *Telemetry) {
		const load = 100
		if len(telemetry.Transactions) < load {
			return
		}
		var first *Transaction
		for i := range telemetry.Transactions {
			switch t := &telemetry.Transactions[i]; {
			case t.Name != nameFails:
			case first == nil:
				first = t
			case first.User != t.User:
				mix(first, t)
				return
			}
		}
	}
}

func sharingFaults() []fault {
	return []fault{
		{name: "the last user is everybody's", broken: []string{"connections"}, edit: func(telemetry *Telemetry) {
			user := ""
			for _, t := range telemetry.Transactions {
				if t.User != "" {
					user = t.User
				}
			}
			editEach("", func(t *Transaction) { t.User = user })(telemetry)
		}},
		{name: "links to the last connection", broken: []string{"connections", "links"}, edit: func(telemetry *Telemetry) {
			var last Link
			editEach(semconv.TypeConnection, func(t *Transaction) { last = Link{t.TraceID, t.SpanID} })(telemetry)
			editEach("", func(t *Transaction) {
				if len(t.Links) > 0 {
					t.Links[0] = last
				}
			})(telemetry)
		}},
		{name: "the route of the first connection", broken: []string{"connections"}, edit: func(telemetry *Telemetry) {
			route := telemetry.Transactions[0].Attrs[semconv.Route]
			editEach("", func(t *Transaction) { t.Attrs[semconv.Route] = route })(telemetry)
		}},
		{name: "no more than 300 fit in", broken: []string{"concurrent"}, edit: func(telemetry *Telemetry) {
			telemetry.Transactions = telemetry.Transactions[:min(300, len(telemetry.Transactions))]
		}},
		{name: "some are sent twice", broken: []string{"concurrent"}, edit: func(telemetry *Telemetry) {
			telemetry.Transactions = append(telemetry.Transactions, telemetry.Transactions[0])
		}},
		{name: "under load, the link of another connection", broken: []string{"concurrent"}, edit: underLoad(func(t, u *Transaction) { t.Links, u.Links = u.Links, t.Links })},
		{name: "under load, the user of another connection", broken: []string{"concurrent"}, edit: underLoad(func(t, u *Transaction) { t.User, u.User = u.User, t.User })},
		{name: "under load, the error of another message", broken: []string{"concurrent"}, edit: underLoad(func(t, u *Transaction) { t.Errors, u.Errors = u.Errors, t.Errors })},
		{name: "attributes of another message", broken: []string{"concurrent", "crowd"}, edit: func(telemetry *Telemetry) {
			for i := 1; i < len(telemetry.Transactions); i++ {
				a, b := telemetry.Transactions[i-1].Attrs, telemetry.Transactions[i].Attrs
				a["kit.same"], b["kit.same"] = b["kit.same"], a["kit.same"]
			}
		}},
	}
}

func identityFaults() []fault {
	return []fault{
		{name: "no ids after the end", broken: []string{"identifier"}, hooks: always(hooks{
			ids: func(p *shimParent, ids apmws.SpanContext) apmws.SpanContext {
				if p.hasEnded() {
					return apmws.SpanContext{}
				}
				return ids
			},
		})},
		{name: "new ids each time", broken: []string{"identifier"}, hooks: always(hooks{
			ids: func(*shimParent, apmws.SpanContext) apmws.SpanContext { return remote() },
		})},
		{name: "ids that the back end does not show", broken: []string{"identifier", "together-logs"}, hooks: always(hooks{
			ids: func(_ *shimParent, ids apmws.SpanContext) apmws.SpanContext {
				ids.SpanID[0]++
				return ids
			},
		})},
		{name: "ids where the back end shows none", broken: []string{"identifier"}, limits: limits{Limits: Limits{NoIDs: true}}, hooks: always(hooks{})},
		{name: "no connection's id where there is no other", broken: []string{"attributes"}, limits: limits{Limits: Limits{NoIDs: true}, lacking: true}},
		{name: "fields of no transaction", broken: []string{"log-fields"}, hooks: always(hooks{
			fields: func(ids apmws.SpanContext) []slog.Attr {
				return []slog.Attr{slog.String("trace.id", ids.TraceIDString())}
			},
		})},
		{name: "fields with other ids", broken: []string{"log-fields", "together-logs"}, hooks: always(hooks{
			fields: func(ids apmws.SpanContext) []slog.Attr {
				if !ids.IsValid() {
					return nil
				}
				return []slog.Attr{slog.String("trace.id", ids.TraceIDString()), slog.String("span.id", remote().SpanIDString())}
			},
		})},
		{name: "fields without ids", broken: []string{"log-fields", "together-logs"}, hooks: always(hooks{
			fields: func(apmws.SpanContext) []slog.Attr { return []slog.Attr{slog.String("entity.name", "chat")} },
		})},
		{name: "fields that are no strings", broken: []string{"log-fields"}, hooks: always(hooks{
			fields: func(ids apmws.SpanContext) []slog.Attr { return []slog.Attr{slog.Any("trace.id", ids.TraceID)} },
		})},
		{name: "a prefix with a dot", broken: []string{"log-fields"}, hooks: always(hooks{vendor: "shim."})},
	}
}

func lifecycleFaults() []fault {
	hang := func(context.Context) error { select {} }
	failing := func(context.Context) error { return errors.New("it fails") }
	return []fault{
		{name: "a full buffer blocks", hangs: true, broken: []string{"never-blocks"}, hooks: func() hooks {
			buffer := make(chan struct{}, 1000)
			return hooks{messageEnd: func(_ *shimMessage, e apmws.MessageEnd, next func(apmws.MessageEnd)) {
				buffer <- struct{}{} // nobody reads it
				next(e)
			}}
		}},
		{name: "a call waits for the answer", hangs: true, waits: true, broken: []string{"never-blocks"}},
		{name: "a call never returns", hangs: true, broken: []string{"times", "concurrent", "agent-life"}, hooks: always(hooks{
			messageEnd: func(*shimMessage, apmws.MessageEnd, func(apmws.MessageEnd)) { select {} },
		})},
		{name: "a call ends its goroutine", broken: []string{"times"}, hooks: always(hooks{
			opened: func(*shimConn, apmws.OpenEnd, func(apmws.OpenEnd)) { runtime.Goexit() },
		})},
		{name: "a goroutine for each connection", hangs: true, broken: []string{"goroutines"}, hooks: func() hooks {
			ends := make(map[*shimConn]chan struct{})
			return hooks{
				opened: func(c *shimConn, e apmws.OpenEnd, next func(apmws.OpenEnd)) {
					end := make(chan struct{})
					ends[c] = end
					go func() { <-end }()
					next(e)
				},
				connEnd: func(c *shimConn, e apmws.ConnEnd, next func(apmws.ConnEnd)) {
					close(ends[c])
					next(e)
				},
			}
		}},
		{name: "Flush fails", broken: []string{"flush", "together-flush"}, hooks: always(hooks{flush: failing})},
		{name: "Flush never returns", hangs: true, broken: []string{"flush", "together-flush"}, hooks: always(hooks{flush: hang})},
		{name: "Flush waits for what never comes", hangs: true, broken: []string{"flush"}, hooks: func() hooks {
			return hooks{flush: func(ctx context.Context) error {
				if ctx.Err() != nil {
					select {}
				}
				return nil
			}}
		}},
		{name: "Flush invents an error", broken: []string{"flush"}, hooks: always(hooks{flush: func(ctx context.Context) error {
			if ctx.Err() != nil {
				return errors.New("no time")
			}
			return nil
		}})},
		{name: "Flush is the end", broken: []string{"flush"}, hooks: func() hooks {
			flushed := false
			return hooks{
				flush: func(context.Context) error {
					flushed = true
					return nil
				},
				messageEnd: func(_ *shimMessage, e apmws.MessageEnd, next func(apmws.MessageEnd)) {
					if !flushed {
						next(e)
					}
				},
			}
		}},
		{name: "Shutdown discards", broken: []string{"shutdown"}, hooks: func() hooks {
			shut := false
			h := hooks{shutdown: func(context.Context) error {
				shut = true
				return nil
			}}
			later := make(map[*shimMessage]func())
			h.messageEnd = func(m *shimMessage, e apmws.MessageEnd, next func(apmws.MessageEnd)) { later[m] = func() { next(e) } }
			h.connEnd = func(_ *shimConn, e apmws.ConnEnd, next func(apmws.ConnEnd)) {
				for _, end := range later {
					if !shut {
						end()
					}
				}
				next(e)
			}
			return h
		}},
		{name: "calls after Shutdown panic", broken: []string{"shutdown"}, hooks: func() hooks {
			shut := false
			return hooks{
				shutdown: func(context.Context) error {
					shut = true
					return nil
				},
				connStart: func(context.Context, *apmws.ConnStart) {
					if shut {
						panic("it is over")
					}
				},
			}
		}},
		{name: "a second Shutdown panics", broken: []string{"shutdown"}, hooks: func() hooks {
			done := make(chan struct{})
			return hooks{shutdown: func(context.Context) error {
				close(done)
				return nil
			}}
		}},
		{name: "Shutdown never returns", hangs: true, broken: []string{"shutdown-expired", "shutdown"}, hooks: always(hooks{shutdown: hang})},
		{name: "Shutdown fails", broken: []string{"shutdown-expired", "together-flush"}, hooks: always(hooks{shutdown: failing})},
		{name: "what Attach starts goes on", hangs: true, broken: []string{"attach"}, hooks: func() hooks {
			return hooks{attach: func() { go func() { select {} }() }}
		}},
		{name: "drops are counted anew", broken: []string{"dropped"}, hooks: func() hooks {
			count := int64(3)
			return hooks{dropped: func() []apmws.Dropped {
				defer func() { count = 0 }()
				return []apmws.Dropped{{Reason: "queue_full", Count: count}}
			}}
		}},
		{name: "drops without a reason", broken: []string{"dropped"}, hooks: always(hooks{
			dropped: func() []apmws.Dropped { return []apmws.Dropped{{Count: 1}} },
		})},
		{name: "drops with a name", broken: []string{"dropped"}, hooks: always(hooks{
			dropped: func() []apmws.Dropped { return []apmws.Dropped{{Exporter: "shim", Reason: "queue_full"}} },
		})},
		{name: "drops of one reason twice", broken: []string{"dropped"}, hooks: always(hooks{
			dropped: func() []apmws.Dropped { return []apmws.Dropped{{Reason: "queue_full"}, {Reason: "queue_full"}} },
		})},
		{name: "drops that are forgotten", broken: []string{"dropped"}, hooks: func() hooks {
			calls := 0
			return hooks{dropped: func() []apmws.Dropped {
				if calls++; calls > 2 {
					return nil
				}
				return []apmws.Dropped{{Reason: "queue_full", Count: 1}}
			}}
		}},
	}
}

func agentFaults() []fault {
	return []fault{
		{name: "messages of one name are merged", broken: []string{"agent-life"}, edit: func(telemetry *Telemetry) {
			seen := make(map[string]bool)
			remove(func(t *Transaction) bool {
				key := fmt.Sprint(t.Attrs[semconv.ConnectionID], t.Name)
				gone := seen[key]
				seen[key] = true
				return gone
			})(telemetry)
		}},
		{name: "contexts of connections are dumped", broken: []string{"agent-secrets"}, hooks: always(hooks{
			connStart: func(ctx context.Context, e *apmws.ConnStart) {
				e.Attrs = append(slices.Clone(e.Attrs), slog.String("context", fmt.Sprint(ctx.Value(userKey{}))))
			},
		})},
		{name: "contexts of messages are dumped", broken: []string{"agent-secrets"}, hooks: func() hooks {
			var last context.Context
			return hooks{
				returns: func(_ string, ctx context.Context, _ any) context.Context {
					last = ctx
					return ctx
				},
				messageEnd: func(_ *shimMessage, e apmws.MessageEnd, next func(apmws.MessageEnd)) {
					text, _ := last.Value(userKey{}).(string)
					e.Attrs = append(slices.Clone(e.Attrs), slog.String("context", hex.EncodeToString([]byte(text))))
					next(e)
				},
			}
		}},
		{name: "what was sent is not shown", broken: []string{"agent-secrets"}, edit: func(telemetry *Telemetry) {
			telemetry.Raw = ""
			editEach("", func(t *Transaction) { t.Errors = nil })(telemetry)
		}},
	}
}

// derivedTrace makes a trace id of a connection's.
func derivedTrace(t *Transaction) string {
	sum := sha256.Sum256(fmt.Append(nil, t.Attrs[semconv.ConnectionID], t.Type, t.Attrs[semconv.MessageLength]))
	return hex.EncodeToString(sum[:16])
}

func togetherFaults() []fault {
	shared := parentInContext(userKey{})
	return []fault{
		{name: "trace ids are made of the connection's id", broken: []string{"together-each"}, edit: func(telemetry *Telemetry) {
			traces := make(map[string]string)
			editEach("", func(t *Transaction) {
				traces[t.TraceID] = derivedTrace(t)
				t.TraceID = traces[t.TraceID]
			})(telemetry)
			editEach("", func(t *Transaction) {
				for i := range t.Links {
					if trace, ok := traces[t.Links[i].TraceID]; ok {
						t.Links[i].TraceID = trace
					}
				}
			})(telemetry)
		}},
		{name: "exporters of a kind share what is in the context", broken: []string{"together-each"}, hooks: always(hooks{returns: shared.returns, parent: shared.parent})},
		{name: "spans only where the context has its own", broken: []string{"together-neighbours"}, hooks: func() hooks {
			return parentInContext(new(int))
		}},
		{name: "Attach panics", broken: []string{"together-optional"}, hooks: always(hooks{attach: func() { panic("no agent") }})},
		{name: "Mask panics", broken: []string{"together-optional"}, hooks: always(hooks{mask: func(context.Context) context.Context { panic("no context") }})},
		{name: "Dropped panics", broken: []string{"together-optional"}, hooks: always(hooks{dropped: func() []apmws.Dropped { panic("no counts") }})},
	}
}
