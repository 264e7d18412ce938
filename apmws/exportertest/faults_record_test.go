package exportertest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/apmws/go-apmws/apmws"
	"github.com/apmws/go-apmws/apmws/semconv"
)

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
