package apmws

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"

	"github.com/rs/zerolog"
)

// witness is an exporter that notes each call in a journal, which several may
// share, keeps the events as they came, and misbehaves where it is told to.
type witness struct {
	name    string
	journal *journal
	ids     SpanContext      // of its transactions; zero: none
	faults  map[string]fault // by method
}

type fault uint8

const (
	panics     fault = iota + 1
	nilContext       // with a handle
	nilHandle        // with a context
	nilBoth
)

// journal holds the calls of witnesses, in order.
type journal struct {
	mu     sync.Mutex
	calls  []string // "<name>.<method>"
	events []any    // what the calls were given
}

// of returns the calls of one witness, or of all.
func (j *journal) of(name string) (calls []string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, call := range j.calls {
		if name == "" || len(call) > len(name) && call[:len(name)+1] == name+"." {
			calls = append(calls, call)
		}
	}
	return calls
}

// count returns how often a witness's method was called.
func (j *journal) count(call string) (n int) {
	for _, c := range j.of("") {
		if c == call {
			n++
		}
	}
	return n
}

// given returns copies of all events.
func (j *journal) given() []any {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.events)
}

func (w *witness) call(method string, event any) fault {
	w.journal.mu.Lock()
	w.journal.calls = append(w.journal.calls, w.name+"."+method)
	if event != nil {
		w.journal.events = append(w.journal.events, event)
	}
	w.journal.mu.Unlock()
	if w.faults[method] == panics {
		panic(w.name + " panics in " + method)
	}
	return w.faults[method]
}

// witnessKey is where a witness of that name keeps its transaction in a context.
type witnessKey string

func (w *witness) derive(ctx context.Context, what string, f fault) context.Context {
	if f == nilContext || f == nilBoth {
		return nil
	}
	return context.WithValue(ctx, witnessKey(w.name), what)
}

func (f fault) noHandle() bool { return f == nilHandle || f == nilBoth }

func (w *witness) Attach(*Agent) { w.call("Attach", nil) }

func (w *witness) Mask(ctx context.Context) context.Context {
	return w.derive(ctx, "masked", w.call("Mask", nil))
}

func (w *witness) Dropped() []Dropped {
	w.call("Dropped", nil)
	return nil
}

func (w *witness) Flush(context.Context) error {
	w.call("Flush", nil)
	return nil
}

func (w *witness) Shutdown(context.Context) error {
	w.call("Shutdown", nil)
	return nil
}

func (w *witness) StartConn(ctx context.Context, s ConnStart) (context.Context, ConnSpan) {
	s.Attrs = slices.Clone(s.Attrs)
	f := w.call("StartConn", s)
	ctx = w.derive(ctx, "CONNECT", f)
	if f.noHandle() {
		return ctx, nil
	}
	return ctx, witnessConn{w}
}

// witnessConn, witnessMessage and witnessSpan are the handles.
type (
	witnessConn    struct{ w *witness }
	witnessMessage struct{ w *witness }
	witnessSpan    struct{ w *witness }
)

func (c witnessConn) Opened(e OpenEnd) {
	e.Attrs = slices.Clone(e.Attrs)
	c.w.call("Opened", e)
}

func (c witnessConn) End(e ConnEnd) {
	e.Attrs = slices.Clone(e.Attrs)
	c.w.call("EndConn", e)
}

func (c witnessConn) StartMessage(ctx context.Context, s MessageStart) (context.Context, MessageSpan) {
	s.Attrs = slices.Clone(s.Attrs)
	f := c.w.call("StartMessage", s)
	ctx = c.w.derive(ctx, "message", f)
	if f.noHandle() {
		return ctx, nil
	}
	return ctx, witnessMessage(c)
}

func (c witnessConn) SpanContext() SpanContext    { return c.w.identify() }
func (m witnessMessage) SpanContext() SpanContext { return m.w.identify() }

func (w *witness) identify() SpanContext {
	w.call("SpanContext", nil)
	return w.ids
}

func (m witnessMessage) End(e MessageEnd) {
	e.Attrs = slices.Clone(e.Attrs)
	m.w.call("EndMessage", e)
}

func (s witnessSpan) End(e SpanEnd) {
	e.Attrs = slices.Clone(e.Attrs)
	s.w.call("EndSpan", e)
}

func (c witnessConn) StartSpan(ctx context.Context, s SpanStart) (context.Context, ChildSpan) {
	return c.w.startSpan(ctx, s)
}

func (m witnessMessage) StartSpan(ctx context.Context, s SpanStart) (context.Context, ChildSpan) {
	return m.w.startSpan(ctx, s)
}

func (s witnessSpan) StartSpan(ctx context.Context, start SpanStart) (context.Context, ChildSpan) {
	return s.w.startSpan(ctx, start)
}

func (w *witness) startSpan(ctx context.Context, s SpanStart) (context.Context, ChildSpan) {
	s.Attrs = slices.Clone(s.Attrs)
	f := w.call("StartSpan", s)
	ctx = w.derive(ctx, "span "+s.Name, f)
	if f.noHandle() {
		return ctx, nil
	}
	return ctx, witnessSpan{w}
}

// sampled returns ids that log lines carry.
func sampled(n byte) SpanContext {
	return SpanContext{TraceID: [16]byte{15: n}, SpanID: [8]byte{7: n}, Flags: 1}
}

// silent is an exporter that records nothing.
type silent struct{}

func (silent) StartConn(ctx context.Context, _ ConnStart) (context.Context, ConnSpan) {
	return ctx, nil
}

// upgradeRequest is a handshake as a client sends it.
func upgradeRequest() *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/rooms/7?token=query", nil)
	r.RemoteAddr = "[2001:db8::1]:49152"
	for name, value := range map[string]string{
		"Connection": "Upgrade", "Upgrade": "websocket", "Sec-Websocket-Version": "13",
		"Sec-Websocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "User-Agent": "Browser/1.0",
	} {
		r.Header.Set(name, value)
	}
	return r
}

// logged is an agent with a log in memory.
type logged struct {
	*Agent
	out *lockedBuffer
}

func newLogged(opts Options) logged {
	l := logged{out: &lockedBuffer{}}
	if opts.Logger == nil {
		logger := zerolog.New(l.out)
		opts.Logger = &logger
	}
	l.Agent = New(opts)
	return l
}

// lines returns what was logged since the last call.
func (l logged) lines(t testing.TB) []fields {
	t.Helper()
	l.out.mu.Lock()
	defer l.out.mu.Unlock()
	text := l.out.b.String()
	l.out.b.Reset()
	return parseLines(t, text)
}

// one returns the only line since the last call.
func (l logged) one(t testing.TB) fields {
	t.Helper()
	lines := l.lines(t)
	if len(lines) != 1 {
		t.Fatalf("%d lines: %v", len(lines), lines)
	}
	return lines[0]
}

// arrive makes a connection of a handshake that has arrived.
func (l logged) arrive(r *http.Request) *Conn { return l.connect(l.route("/rooms/{id}"), r) }
