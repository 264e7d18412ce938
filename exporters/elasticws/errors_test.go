package elasticws

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"go.elastic.co/apm/v2/model"
	"go.elastic.co/apm/v2/stacktrace"

	"github.com/apmws/go-apmws/apmws"
	"github.com/apmws/go-apmws/apmws/semconv"
)

// failedMessage records a message that failed.
func failedMessage(t *testing.T, rec *recorder, f *apmws.Failure) (model.Transaction, model.Error) {
	t.Helper()
	_, m := startMessage(t, openConn(t, New(rec.Tracer)), messageStart("chat.say", 0))
	f.Attrs = append(messageStart("", 0).Attrs, slog.Int("room.members", 3), slog.Duration("took", time.Second))
	m.End(apmws.MessageEnd{Time: after(time.Second), Result: "error", Outcome: apmws.OutcomeFailure, User: "u1", Failure: f})
	docs := rec.collect(t)
	return docs.transaction(t, "chat.say"), docs.error(t)
}

func TestError(t *testing.T) {
	rec := newRecorder(t)
	cause := errors.New("connection refused")
	err := fmt.Errorf("publish: %w", cause)
	tx, doc := failedMessage(t, rec, &apmws.Failure{Message: err.Error(), Type: "*errors.errorString", Err: err})
	if tx.Outcome != "failure" || tx.Result != "error" {
		t.Errorf("outcome %q, result %q", tx.Outcome, tx.Result)
	}
	if doc.TransactionID != tx.ID || doc.ParentID != tx.ID || doc.TraceID != tx.TraceID {
		t.Errorf("of transaction %x, want %x", doc.TransactionID, tx.ID)
	}
	if doc.Transaction.Name != "chat.say" || doc.Transaction.Type != "Message" || !*doc.Transaction.Sampled {
		t.Errorf("transaction %+v", doc.Transaction)
	}
	if !time.Time(doc.Timestamp).Equal(after(time.Second)) {
		t.Errorf("at %v", time.Time(doc.Timestamp))
	}
	x := doc.Exception
	if x.Message != "publish: connection refused" || x.Type != "*errors.errorString" || x.Module != "" || !x.Handled {
		t.Errorf("exception %q, type %q, module %q, handled %v", x.Message, x.Type, x.Module, x.Handled)
	}
	if len(x.Cause) != 1 || x.Cause[0].Message != "connection refused" {
		t.Errorf("causes %+v", x.Cause)
	}
	if len(x.Stacktrace) != 0 || doc.Culprit != "chat.say" {
		t.Errorf("culprit %q, stack %v: an error without a stack has none", doc.Culprit, x.Stacktrace)
	}
	want := map[string]any{
		"websocket_event": "message", "websocket_connection_id": connID, "http_route": "/ws",
		"websocket_message_type": "text", "websocket_message_length": 321.0, "websocket_message_direction": "inbound",
		"room_members": 3.0, "took": 1.0,
	}
	if got := labelMap(doc.Context.Tags); !equal(got, want) {
		t.Errorf("labels\n%v, want\n%v", got, want)
	}
	if doc.Context.User == nil || doc.Context.User.ID != "u1" {
		t.Errorf("user %+v", doc.Context.User)
	}
}

// tracedError knows where it was made.
type tracedError struct{ error }

// StackTrace is looked for by Elastic's agent.
func (tracedError) StackTrace() []stacktrace.Frame {
	return []stacktrace.Frame{{Function: "example.org/chat.say", File: "/src/chat/say.go", Line: 42}}
}

func TestErrorWithStack(t *testing.T) {
	err := tracedError{errors.New("with a stack")}
	_, doc := failedMessage(t, newRecorder(t), &apmws.Failure{Message: err.Error(), Type: "chat.tracedError", Err: err})
	if s := doc.Exception.Stacktrace; len(s) != 1 || s[0].Function != "say" || s[0].Line != 42 {
		t.Errorf("stack %+v", s)
	}
	if doc.Culprit != "say" {
		t.Errorf("culprit %q", doc.Culprit)
	}
}

func TestJoinedErrors(t *testing.T) {
	err := errors.Join(errors.New("one"), errors.New("two"))
	_, doc := failedMessage(t, newRecorder(t), &apmws.Failure{Message: err.Error(), Type: "*errors.joinError", Err: err})
	if c := doc.Exception.Cause; len(c) != 2 || c[0].Message != "one" || c[1].Message != "two" {
		t.Errorf("causes %+v", c)
	}
}

// lookupError is an error of which there may be a nil pointer.
type lookupError struct {
	key   string
	cause error
	stack []stacktrace.Frame
}

func (e *lookupError) Error() string                  { return "no " + e.key }
func (e *lookupError) Unwrap() error                  { return e.cause }
func (e *lookupError) StackTrace() []stacktrace.Frame { return e.stack }

// TestErrorsThatPanic: the methods of an error, or of what it wraps, may panic. The
// failure is recorded all the same, and so is the stack of a panic.
func TestErrorsThatPanic(t *testing.T) {
	var none *lookupError
	_, stack := panicked(func() { new(room).join("u1") })
	for name, f := range map[string]*apmws.Failure{
		"itself":  {Err: none},
		"wrapped": {Err: fmt.Errorf("publish: %w", none)},
		"joined":  {Err: errors.Join(errors.New("one"), none)},
		"panic":   {Err: &apmws.PanicError{Value: none, Stack: stack}, Panic: none, Stack: stack},
	} {
		t.Run(name, func(t *testing.T) {
			f.Message, f.Type = "(error without a text)", "*elasticws.lookupError"
			tx, doc := failedMessage(t, newRecorder(t), f)
			if x := doc.Exception; doc.TransactionID != tx.ID || x.Message != "(error without a text)" || x.Type != "*elasticws.lookupError" || len(x.Cause) != 0 {
				t.Errorf("of transaction %x, want %x: %+v", doc.TransactionID, tx.ID, x)
			}
			want := "chat.say"
			if f.Stack != nil {
				want = "(*room).join"
			}
			if doc.Culprit != want || doc.Exception.Handled != (f.Stack == nil) {
				t.Errorf("culprit %q, want %q; handled: %v", doc.Culprit, want, doc.Exception.Handled)
			}
		})
	}
}

// TestErrorOfUnsampledMessage: the failure of a message that was not sampled is
// sent, with its labels.
func TestErrorOfUnsampledMessage(t *testing.T) {
	rec := newRecorder(t, "ELASTIC_APM_TRANSACTION_SAMPLE_RATE", "0")
	_, doc := failedMessage(t, rec, &apmws.Failure{Message: "no", Type: "*errors.errorString", Err: errors.New("no")})
	if *doc.Transaction.Sampled {
		t.Error("said to be sampled")
	}
	if got := labelMap(doc.Context.Tags)["websocket_connection_id"]; got != connID {
		t.Errorf("connection %v", got)
	}
}

type room struct{ members map[string]int }

//go:noinline
func (r *room) join(user string) { r.members[user]++ }

// panicked runs f and returns what a panic of it printed.
func panicked(f func()) (value any, stack []byte) {
	defer func() {
		value, stack = recover(), debug.Stack()
	}()
	f()
	return nil, nil
}

func TestPanic(t *testing.T) {
	value, stack := panicked(func() { new(room).join("u1") })
	tx, doc := failedMessage(t, newRecorder(t), &apmws.Failure{
		Message: fmt.Sprint(value), Type: "panic", Err: &apmws.PanicError{Value: value, Stack: stack}, Panic: value, Stack: stack,
	})
	if tx.Outcome != "failure" {
		t.Errorf("outcome %q", tx.Outcome)
	}
	x := doc.Exception
	if x.Message != "assignment to entry in nil map" || x.Type != "panic" || x.Handled {
		t.Errorf("exception %q, type %q, handled %v", x.Message, x.Type, x.Handled)
	}
	if doc.Culprit != "(*room).join" {
		t.Errorf("culprit %q", doc.Culprit)
	}
	var functions []string
	for _, f := range x.Stacktrace {
		functions = append(functions, f.Function)
		if f.Function == "(*room).join" && (f.File != "errors_test.go" || f.Line == 0 || f.Module != "github.com/apmws/go-apmws/exporters/elasticws") {
			t.Errorf("frame %+v", f)
		}
	}
	if all := strings.Join(functions, " "); strings.Contains(all, "Stack") || !strings.Contains(all, "TestPanic") {
		t.Errorf("frames %v, want those from the panic on", functions)
	}
}

func TestPanicFrames(t *testing.T) {
	tests := []struct{ name, stack, want string }{
		{"usual", `goroutine 36 [running]:
runtime/debug.Stack()
	/go/src/runtime/debug/stack.go:26 +0x64
example.org/x.protect.func1()
	/src/x/serve.go:189 +0x30
panic({0x1000, 0x2000?})
	/go/src/runtime/panic.go:783 +0x132
example.org/x.(*T[...]).say(0xc000010000, {0x1, 0x2})
	/src/x y/room.go:42 +0x1d
main.main.func1(...)
	/src/main.go:7
created by main.main in goroutine 1
	/src/main.go:5 +0x485
`, "example.org/x.(*T[...]).say /src/x y/room.go:42|main.main.func1 /src/main.go:7|"},
		{"raised again", `goroutine 1 [running]:
a.deferred()
	/a.go:1 +0x1
panic({0x1, 0x2})
	/panic.go:1 +0x1
a.again()
	/a.go:2 +0x1
panic({0x1, 0x2})
	/panic.go:1 +0x1
a.first()
	/a.go:3 +0x1
`, "a.again /a.go:2|panic /panic.go:1|a.first /a.go:3|"},
		{"no panic", "goroutine 1 [running]:\na.b()\n\t/a.go:1 +0x1\n", "a.b /a.go:1|"},
		{"elided", "goroutine 1 [running]:\na.b()\n\t/a.go:1 +0x1\n...100 frames elided...\nc.d()\n\t/c.go:2\n", "a.b /a.go:1|c.d /c.go:2|"},
		{"no position", "a.b()\n\tsomewhere\nc.d()\n\tx:y\n", "a.b somewhere:0|c.d x:y:0|"},
		{"not a stack", "hello\nworld\n", ""},
		{"empty", "", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var got strings.Builder
			for _, f := range panicFrames([]byte(test.stack)) {
				fmt.Fprintf(&got, "%s %s:%d|", f.Function, f.File, f.Line)
			}
			if got.String() != test.want {
				t.Errorf("%s, want %s", got.String(), test.want)
			}
		})
	}
}

// TestErrorOfConnect: the request is there, the secrets of it are not.
func TestErrorOfConnect(t *testing.T) {
	rec := newRecorder(t)
	_, c := startConn(t.Context(), t, New(rec.Tracer))
	value, stack := panicked(func() { panic("no key") })
	c.Opened(apmws.OpenEnd{
		Time: after(time.Second), Status: 500, Result: "HTTP 5xx", Outcome: apmws.OutcomeFailure, User: "u1",
		Attrs: []slog.Attr{slog.Int(semconv.StatusCode, 500), slog.String(semconv.RefusalReason, "upgrade_failed")},
		Failure: &apmws.Failure{
			Message: "no key", Type: "panic", Panic: value, Stack: stack,
			Attrs: append(common(semconv.EventConnect), slog.Int(semconv.StatusCode, 500), slog.String(semconv.ClientAddress, "198.51.100.9")),
		},
	})
	docs := rec.collect(t)
	doc := docs.error(t)
	if doc.TransactionID != docs.transaction(t, "CONNECT /ws").ID || doc.Transaction.Type != "Connection" {
		t.Errorf("of transaction %x, %+v", doc.TransactionID, doc.Transaction)
	}
	want := map[string]any{"websocket_event": "connect", "websocket_connection_id": connID, "http_route": "/ws"}
	if got := labelMap(doc.Context.Tags); !equal(got, want) {
		t.Errorf("labels %v, want %v", got, want)
	}
	if r := doc.Context.Request; r.URL.Path != "/ws" || r.Socket.RemoteAddress != "198.51.100.9" {
		t.Errorf("request %+v, socket %+v", r, r.Socket)
	}
	if doc.Context.Response.StatusCode != http.StatusInternalServerError || doc.Context.User.ID != "u1" {
		t.Errorf("status %d, user %+v", doc.Context.Response.StatusCode, doc.Context.User)
	}
}

// TestErrorOfDisconnect: a bad end need not have an error.
func TestErrorOfDisconnect(t *testing.T) {
	rec := newRecorder(t)
	c := openConn(t, New(rec.Tracer))
	attrs := append(common(semconv.EventDisconnect), slog.String(semconv.CloseCause, "write_error"))
	c.End(apmws.ConnEnd{
		Time: after(time.Hour), Name: "DISCONNECT /ws", Result: "write_error", Outcome: apmws.OutcomeFailure, User: "u1", Attrs: attrs,
		Failure: &apmws.Failure{Message: "websocket closed by the server with code 1011", Type: "write_error", Attrs: attrs},
	})
	docs := rec.collect(t)
	doc, tx := docs.error(t), docs.transaction(t, "DISCONNECT /ws")
	if doc.TransactionID != tx.ID || doc.Transaction.Name != "DISCONNECT /ws" || doc.Culprit != "DISCONNECT /ws" {
		t.Errorf("of transaction %x, %+v, culprit %q", doc.TransactionID, doc.Transaction, doc.Culprit)
	}
	if doc.Exception.Type != "write_error" || labelMap(doc.Context.Tags)["websocket_close_cause"] != "write_error" {
		t.Errorf("type %q, labels %v", doc.Exception.Type, doc.Context.Tags)
	}
}

// TestErrorWithTracerSwitchedOff: nothing is sent, nothing breaks.
func TestErrorWithTracerSwitchedOff(t *testing.T) {
	rec := newRecorder(t)
	c := openConn(t, New(rec.Tracer))
	_, m := startMessage(t, c, messageStart("chat.say", 0))
	rec.SetRecording(false)
	m.End(apmws.MessageEnd{
		Time: after(time.Second), Result: "error", Outcome: apmws.OutcomeFailure,
		Failure: &apmws.Failure{Message: "no", Type: "*errors.errorString", Err: errors.New("no")},
	})
	rec.SetRecording(true)
	if docs := rec.collect(t); len(docs.errors) != 0 {
		t.Errorf("%d errors", len(docs.errors))
	}
}
