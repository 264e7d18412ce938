package exportertest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strings"

	"github.com/apmws/go-apmws/apmws"
	"github.com/apmws/go-apmws/apmws/semconv"
)

// failureRules are those about error documents.
func failureRules() []rule {
	return []rule{
		{
			"errors",
			"there is one error for each Failure and none without, whatever result and outcome say; it has the Failure's message, type and attributes",
			checkErrors,
		},
		{
			"errors-odd",
			"an error whose methods panic, or those of an error in it, is recorded by the Failure's message and type",
			checkErrorsOdd,
		},
		{
			"errors-panic",
			"the error of a panic has a stack that names the function which panicked, and the panic's value may be of any type",
			checkErrorsPanic,
		},
	}
}

// failing is a transaction of a rule, and what its error has to be.
type failing struct {
	what    string
	of      func(g *sent) *Transaction
	failure *apmws.Failure // nil: none
}

func checkErrors(k *kit) {
	s := k.session()
	failure := func(start *apmws.ConnStart, event, what string) *apmws.Failure {
		return &apmws.Failure{
			Message: "failure of " + what, Type: "kit." + event, Err: applicationError("failure of " + what),
			Attrs: append(common(event, start), slog.String("kit.error", what), slog.Int("kit.attempt", 3)),
		}
	}
	refused := s.connect(context.Background(), apmws.ConnStart{})
	refusedWith := failure(&refused.start, semconv.EventConnect, "a handshake")
	refused.opened(apmws.OpenEnd{Status: 500, Result: "HTTP 5xx", Outcome: apmws.OutcomeFailure, Failure: refusedWith})

	c := s.openConn()
	good := c.message(apmws.MessageStart{})
	good.end(apmws.MessageEnd{})
	bad := c.message(apmws.MessageStart{})
	badWith := failure(&c.start, semconv.EventMessage, "a message")
	bad.end(apmws.MessageEnd{Result: "error", Outcome: apmws.OutcomeFailure, Failure: badWith})
	bare := c.message(apmws.MessageStart{})
	bareWith := &apmws.Failure{Message: "(error without a text)", Type: failureType, Attrs: bare.start.Attrs}
	bare.end(apmws.MessageEnd{Result: "error", Outcome: apmws.OutcomeFailure, Failure: bareWith})
	silent := c.message(apmws.MessageStart{})
	silent.end(apmws.MessageEnd{Result: "error", Outcome: apmws.OutcomeFailure})
	closedWith := failure(&c.start, semconv.EventDisconnect, "a connection")
	c.closed(apmws.ConnEnd{Result: string(apmws.CauseWriteError), Failure: closedWith})
	left := s.openConn()
	left.closed(apmws.ConnEnd{Result: string(apmws.CauseReadError)})

	g := s.sent()
	for _, x := range []failing{
		{"a refused CONNECT", func(g *sent) *Transaction { return g.connect(refused) }, refusedWith},
		{"an accepted CONNECT", func(g *sent) *Transaction { return g.connect(c) }, nil},
		{"a message that went well", func(g *sent) *Transaction { return g.message(good) }, nil},
		{"a message that failed", func(g *sent) *Transaction { return g.message(bad) }, badWith},
		{"a message whose Failure has no Err", func(g *sent) *Transaction { return g.message(bare) }, bareWith},
		{"a message that failed without a Failure", func(g *sent) *Transaction { return g.message(silent) }, nil},
		{"a DISCONNECT with a Failure", func(g *sent) *Transaction { return g.disconnect(c) }, closedWith},
		{"a DISCONNECT without", func(g *sent) *Transaction { return g.disconnect(left) }, nil},
	} {
		g.wantError(x.what, x.of(g), x.failure)
	}
}

// oddError is an error whose methods panic, but for the one that all have.
type oddError struct{}

// Error implements error.
func (oddError) Error() string { return "an odd error" }

// Unwrap is what errors.Unwrap looks for.
func (oddError) Unwrap() error { panic("Unwrap panics") }

// StackTrace is what vendors' libraries look for.
func (oddError) StackTrace() []uintptr { panic("StackTrace panics") }

func checkErrorsOdd(k *kit) {
	s := k.session()
	c := s.openConn()
	var none *panicError // as functions return by mistake
	var told []*message
	var failures []*apmws.Failure
	for _, err := range []error{none, fmt.Errorf("wrapped: %w", none), errors.Join(applicationError("joined"), none), oddError{}} {
		m := c.message(apmws.MessageStart{})
		f := &apmws.Failure{Message: "an odd error", Type: "kit.odd", Err: err, Attrs: m.start.Attrs}
		m.end(apmws.MessageEnd{Result: "error", Outcome: apmws.OutcomeFailure, Failure: f})
		told, failures = append(told, m), append(failures, f)
	}
	g := s.sent()
	for i, m := range told {
		t := g.message(m)
		g.want(t, "chat.say", "error", apmws.OutcomeFailure)
		g.wantError(fmt.Sprintf("a message that failed with a %T", failures[i].Err), t, failures[i])
	}
}

// wantError checks a transaction's errors. A panic's type is the back end's to name.
func (g *sent) wantError(what string, t *Transaction, f *apmws.Failure) {
	want := 0
	if f != nil {
		want = 1
	}
	if len(t.Errors) != want {
		g.errorf("%s has %d errors, want %d", what, len(t.Errors), want)
		return
	}
	if f == nil {
		return
	}
	e := t.Errors[0]
	if e.Message != f.Message {
		g.errorf("the error of %s has the message %q, want %q", what, e.Message, f.Message)
	}
	if e.Type != f.Type {
		g.errorf("the error of %s has the type %q, want %q", what, e.Type, f.Type)
	}
	if !g.Limits.BareErrors {
		g.wantAttrs("the error of "+what, e.Attrs, f.Attrs)
	}
}

// oddPanic is what somebody panics with.
type oddPanic struct{ f func() }

func checkErrorsPanic(k *kit) {
	s := k.session()
	refused := s.connect(context.Background(), apmws.ConnStart{})
	refusedWith := panicked("a string")
	refusedWith.Attrs = common(semconv.EventConnect, &refused.start)
	refused.opened(apmws.OpenEnd{Result: semconv.None, Outcome: apmws.OutcomeFailure, Failure: refusedWith})
	c := s.openConn()
	var told []*message
	var failures []*apmws.Failure
	for _, value := range []any{"a string", applicationError("an error"), oddPanic{func() {}}, &panicError{}} {
		m := c.message(apmws.MessageStart{})
		f := panicked(value)
		f.Attrs = m.start.Attrs
		m.end(apmws.MessageEnd{Result: "panic", Outcome: apmws.OutcomeFailure, Failure: f})
		told, failures = append(told, m), append(failures, f)
	}
	g := s.sent()
	wantPanic := func(what string, t *Transaction, f *apmws.Failure) {
		g.wantError(what, t, f)
		if len(t.Errors) == 1 && !g.Limits.BareErrors && !hasFunction(t.Errors[0].Stack, "thatPanics") {
			g.errorf("the stack of %s does not name the function that panicked: %q", what, t.Errors[0].Stack)
		}
	}
	wantPanic("a panic in a handshake", g.connect(refused), refusedWith)
	for i, m := range told {
		wantPanic("a panic in a message", g.message(m), failures[i])
	}
}

// panicked returns the failure of a panic with that value.
func panicked(value any) (f *apmws.Failure) {
	defer func() {
		p := recover()
		f = &apmws.Failure{Message: "it panicked", Type: "panic", Panic: p, Stack: debug.Stack()}
	}()
	thatPanics(value)
	return nil
}

//go:noinline
func thatPanics(value any) { panic(value) }

// hasFunction reports whether a stack names a function.
func hasFunction(stack, name string) bool { return strings.Contains(stack, name) }
