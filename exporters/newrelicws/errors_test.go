package newrelicws

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	"github.com/newrelic/go-agent/v3/newrelic"

	"github.com/apmws/go-apmws/apmws"
	"github.com/apmws/go-apmws/apmws/semconv"
)

func TestError(t *testing.T) {
	c := newCollector()
	app := newApp(t, c)
	conn := openConn(t, New(app))
	ctx, m := startMessage(t, conn, messageStart("chat.say"))
	// What is left open must not take the error with it.
	m.StartSpan(ctx, apmws.SpanStart{Name: "left open"})
	newrelic.FromContext(ctx).StartSegment("left open")
	m.End(apmws.MessageEnd{Result: "error", Outcome: apmws.OutcomeFailure, User: "u1", Failure: &apmws.Failure{
		Message: "no such room", Type: "*chat.RoomError", Err: errNoRoom,
		Attrs: append(common(semconv.EventMessage), slog.Int("room", 7)),
	}})
	h := c.harvest(t, app)
	doc := h.error(t)
	if doc.intrinsics["error.class"] != "*chat.RoomError" || doc.intrinsics["error.message"] != "no such room" ||
		doc.intrinsics["transactionName"] != "OtherTransaction/Go/Message/chat.say" || doc.agent["enduser.id"] != "u1" {
		t.Errorf("%v %v", doc.intrinsics, doc.agent)
	}
	if doc.user[semconv.ConnectionID] != connID || doc.user["room"] != 7.0 || doc.user["stack"] != nil {
		t.Errorf("%v", doc.user)
	}
	if len(h.traces) != 1 || h.traces[0].class != "*chat.RoomError" || len(h.traces[0].stack) != 0 {
		t.Errorf("traces %+v: the stack of an error without one is nobody's", h.traces)
	}
	if tx := h.transaction(t, "Message/chat.say"); tx.intrinsics["error"] != true || tx.user[semconv.EventOutcome] != "failure" {
		t.Errorf("%v %v", tx.intrinsics, tx.user)
	}
	root := h.span(t, "OtherTransaction/Go/Message/chat.say")
	if root.agent["error.class"] != "*chat.RoomError" || doc.intrinsics["spanId"] != root.intrinsics["guid"] {
		t.Errorf("span %v, error of span %v", root, doc.intrinsics["spanId"])
	}
	if h.count("Errors/OtherTransaction/Go/Message/chat.say") != 1 || h.count("Custom/left open") != 0 {
		t.Errorf("metrics %v", h.metrics)
	}
}

// explode panics in a function whose name is looked for.
func explode() { panic("the room is gone") }

func recovered(f func()) (value any, stack []byte) {
	defer func() {
		value = recover()
		stack = debug.Stack()
	}()
	f()
	return nil, nil
}

func TestPanic(t *testing.T) {
	value, stack := recovered(explode)
	c := newCollector()
	app := newApp(t, c, func(cfg *newrelic.Config) { cfg.ErrorCollector.RecordPanics = true })
	conn := openConn(t, New(app))
	_, m := startMessage(t, conn, messageStart("chat.say"))
	m.End(apmws.MessageEnd{Result: "panic", Outcome: apmws.OutcomeFailure, Failure: &apmws.Failure{
		Message: fmt.Sprint(value), Type: "panic", Panic: value, Stack: stack, Attrs: common(semconv.EventMessage),
	}})
	h := c.harvest(t, app)
	doc := h.error(t)
	if doc.intrinsics["error.class"] != newrelic.PanicErrorClass || doc.intrinsics["error.message"] != "the room is gone" {
		t.Errorf("%v", doc.intrinsics)
	}
	got := fmt.Sprint(doc.user["stack"])
	if !strings.HasPrefix(got, "newrelicws.explode (errors_test.go:") || len(got) > 255 || strings.Contains(got, "debug.Stack") {
		t.Errorf("stack %q", got)
	}
	if len(h.traces) != 1 || len(h.traces[0].stack) != 0 {
		t.Errorf("traces %+v", h.traces)
	}
}

// counters is a stack as popular error packages have it: a named slice of a named
// type.
type (
	counter      uintptr
	counters     []counter
	stackedError struct{ stack counters }
)

func (stackedError) Error() string          { return "with a stack" }
func (e stackedError) StackTrace() counters { return e.stack }

func newStackedError() error {
	var pcs [8]uintptr
	n := runtime.Callers(1, pcs[:])
	var stack counters
	for _, pc := range pcs[:n] {
		stack = append(stack, counter(pc))
	}
	return stackedError{stack}
}

func newVendorError() error {
	return newrelic.Error{Message: "the vendor's", Stack: newrelic.NewStackTrace()}
}

// otherStackError has a StackTrace that is none.
type otherStackError struct{ error }

func (otherStackError) StackTrace() string { return "" }

func TestErrorStack(t *testing.T) {
	for name, err := range map[string]error{
		"newStackedError": fmt.Errorf("wrapped: %w", newStackedError()),
		"newVendorError":  newVendorError(),
	} {
		c := newCollector()
		app := newApp(t, c)
		conn := openConn(t, New(app))
		_, m := startMessage(t, conn, messageStart("chat.say"))
		m.End(apmws.MessageEnd{Result: "error", Failure: &apmws.Failure{Message: err.Error(), Type: "x", Err: err}})
		h := c.harvest(t, app)
		if len(h.traces) != 1 || len(h.traces[0].stack) == 0 || !strings.Contains(h.traces[0].stack[0], name) {
			t.Errorf("%s: %+v", name, h.traces)
		}
	}
	for _, err := range []error{nil, errNoRoom, otherStackError{errNoRoom}, errors.Join(errNoRoom)} {
		if got := errorStack(err); got == nil || len(got) != 0 {
			t.Errorf("%v: stack %v, want an empty one", err, got)
		}
	}
}

// brittleError panics when it is nil.
type brittleError struct{ stack []uintptr }

func (*brittleError) Error() string           { return "brittle" }
func (e *brittleError) StackTrace() []uintptr { return e.stack }

// TestErrorThatPanics: its transaction and its document arrive all the same.
func TestErrorThatPanics(t *testing.T) {
	c := newCollector()
	app := newApp(t, c)
	_, m := startMessage(t, openConn(t, New(app)), messageStart("chat.say"))
	m.End(apmws.MessageEnd{Result: "error", Outcome: apmws.OutcomeFailure, Failure: &apmws.Failure{
		Message: "brittle", Type: "*chat.Error", Err: (*brittleError)(nil),
	}})
	h := c.harvest(t, app)
	h.transaction(t, "Message/chat.say")
	if doc := h.error(t); doc.intrinsics["error.message"] != "brittle" {
		t.Errorf("%v", doc.intrinsics)
	}
}

// TestErrorsOff: the agent would write an error line for each.
func TestErrorsOff(t *testing.T) {
	c := newCollector()
	app := newApp(t, c, func(cfg *newrelic.Config) { cfg.ErrorCollector.Enabled = false })
	conn := openConn(t, New(app))
	_, m := startMessage(t, conn, messageStart("chat.say"))
	m.End(apmws.MessageEnd{Result: "error", Outcome: apmws.OutcomeFailure, Failure: &apmws.Failure{Message: "x", Type: "y"}})
	h := c.harvest(t, app)
	if h.transaction(t, "Message/chat.say").user["result"] != "error" || len(h.errors) != 0 {
		t.Errorf("errors %v", h.errors)
	}
}

// TestEndFailures: CONNECT and DISCONNECT have errors too.
func TestEndFailures(t *testing.T) {
	c := newCollector()
	app := newApp(t, c)
	e := New(app)
	failure := &apmws.Failure{Message: "m", Type: "t", Attrs: common(semconv.EventConnect)}
	_, conn := startConn(t.Context(), t, e)
	conn.Opened(apmws.OpenEnd{Status: 500, Result: "HTTP 5xx", Outcome: apmws.OutcomeFailure, Failure: failure})
	openConn(t, e).End(apmws.ConnEnd{Name: "DISCONNECT /ws", Result: "write_error", Outcome: apmws.OutcomeFailure, Failure: failure})
	var got []string
	for _, doc := range c.harvest(t, app).errors {
		got = append(got, fmt.Sprint(doc.intrinsics["transactionName"], " ", doc.intrinsics["error.class"]))
	}
	slices.Sort(got)
	want := []string{"OtherTransaction/Go/Connection/CONNECT /ws t", "OtherTransaction/Go/Disconnection/DISCONNECT /ws t"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestPanicStack(t *testing.T) {
	frame := func(i int) string {
		return fmt.Sprintf("example.org/chat.(*room).say%d(0x1, {0x2})\n\t/src/chat/room.go:%d +0x1d\n", i, i)
	}
	deferred := "goroutine 7 [running]:\nruntime/debug.Stack()\n\t/go/debug/stack.go:26 +0x5e\n" +
		"example.org/apmws.Serve.func1()\n\t/src/serve.go:1 +0x1\n" +
		"panic({0x1?, 0x2?})\n\t/go/panic.go:787 +0x132\n"
	long := deferred
	for i := range 30 {
		long += frame(i)
	}
	tests := []struct{ stack, want string }{
		{"", ""},
		{"nonsense\n\n\t\n", ""},
		{
			deferred + "runtime.goPanicIndex(0x1)\n\t/go/panic.go:115 +0x7\n" + frame(1) + frame(2) + "created by main.main in goroutine 1\n\t/src/main.go:3 +0x1\n",
			"chat.(*room).say1 (room.go:1)\nchat.(*room).say2 (room.go:2)",
		},
		{"goroutine 7 [running]:\n" + frame(3), "chat.(*room).say3 (room.go:3)"},
	}
	for _, test := range tests {
		if got := panicStack([]byte(test.stack)); got != test.want {
			t.Errorf("%q becomes %q, want %q", test.stack, got, test.want)
		}
	}
	got := panicStack([]byte(long))
	if len(got) > 255 || len(got) < 200 || !strings.HasPrefix(got, "chat.(*room).say0 ") || !strings.HasSuffix(got, ")") {
		t.Errorf("%d bytes: %q", len(got), got)
	}
}

// TestCutList: of what happened on a connection whole events are kept.
func TestCutList(t *testing.T) {
	event := "chat.say ok (1ms), 2.1s ago"
	list := strings.Repeat(event+"; ", 20) + event
	got := cutList(list)
	if rest := strings.TrimPrefix(list, got); rest == list || !strings.HasPrefix(rest, "; ") || len(got) > 255 || len(got)+len("; "+event) <= 255 {
		t.Errorf("%d bytes are left: %s", len(got), got)
	}
	for _, whole := range []string{"", event, strings.Repeat("x", 255)} {
		if got := cutList(whole); got != whole {
			t.Errorf("%q becomes %q", whole, got)
		}
	}
	if got := cutList(strings.Repeat("x", 300)); got != strings.Repeat("x", 255) {
		t.Errorf("one long event becomes %q", got)
	}
}
