package apmws

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

// faultyName is under which the second exporter of a package is known.
const faultyName = "apmws#2"

// live runs the life of one connection, with every kind of call.
func live(agent *Agent) {
	c := arriving(agent)
	end(c)
}

func arriving(agent *Agent) *Conn {
	c := agent.connect(agent.route("/ws"), upgradeRequest())
	ctx, span := StartSpan(c.scope, "authenticate", SpanOptions{})
	_, below := StartSpan(ctx, "query", SpanOptions{})
	below.End(nil)
	span.End(nil)
	c.accepted()
	return c
}

func end(c *Conn) {
	ctx, tx := StartMessage(c.scope, MessageInfo{})
	_, span := StartSpan(ctx, "load", SpanOptions{})
	span.End(nil)
	tx.End(errors.New("boom"))
	c.disconnected()
}

// chain returns a journal and n witnesses that write into it: a, b, c, …
func chain(n int) (*journal, []Exporter) {
	j := &journal{}
	exporters := make([]Exporter, n)
	for i := range exporters {
		exporters[i] = &witness{name: string(rune('a' + i)), journal: j}
	}
	return j, exporters
}

// TestExportersInTurn: any number of exporters; each starts with the context of
// the one before, and they end in reverse order.
func TestExportersInTurn(t *testing.T) {
	for n := range 6 {
		j, exporters := chain(n)
		names := make([]string, n)
		for i := range names {
			names[i] = string(rune('a' + i))
		}
		agent := New(Options{Exporters: exporters})
		live(agent)
		if err := agent.Flush(t.Context()); err != nil {
			t.Error(err)
		}
		forward := []string{"Attach", "StartConn", "Mask", "StartMessage"}
		backward := []string{"Opened", "EndMessage", "EndConn"}
		for _, method := range slices.Concat(forward, backward, []string{"StartSpan", "EndSpan"}) {
			var order []string
			for _, call := range j.of("") {
				if name, m, _ := strings.Cut(call, "."); m == method {
					order = append(order, name)
				}
			}
			want := slices.Clone(names)
			back := slices.Clone(names)
			slices.Reverse(back)
			switch {
			case slices.Contains(backward, method):
				want = back
			case method == "StartSpan":
				want = slices.Concat(names, names, names)
			case method == "EndSpan":
				want = slices.Concat(back, back, back)
			}
			if !slices.Equal(order, want) {
				t.Errorf("%d exporters: %s was called in the order %v, want %v", n, method, order, want)
			}
		}
	}
}

// TestExportersContexts: what each has put into the context is there for the
// next, and for the handler.
func TestExportersContexts(t *testing.T) {
	_, exporters := chain(5)
	agent := New(Options{Exporters: exporters})
	c := agent.connect(agent.route("/ws"), upgradeRequest())
	expect := func(ctx context.Context, want any) {
		t.Helper()
		for _, name := range []string{"a", "b", "c", "d", "e"} {
			if got := ctx.Value(witnessKey(name)); got != want {
				t.Errorf("%s has left %v, want %v", name, got, want)
			}
		}
	}
	expect(c.scope, "CONNECT")
	ctx, span := StartSpan(c.scope, "authenticate", SpanOptions{})
	expect(ctx, "span authenticate")
	span.End(nil)
	expect(ctx, "CONNECT")
	c.accepted()
	expect(c.scope, "masked")
	expect(ctx, "masked")
	ctx, tx := StartMessage(c.scope, MessageInfo{})
	expect(ctx, "message")
	tx.End(nil)
	expect(ctx, "masked")
}

// TestFaultyExporter: whatever an exporter does wrong, the traffic goes on and
// the exporters on both sides see what they see without it.
func TestFaultyExporter(t *testing.T) {
	run := func(t *testing.T, f *witness) (a, b []string, l logged) {
		j := &journal{}
		exporters := []Exporter{&witness{name: "a", journal: j, ids: sampled(1)}}
		if f != nil {
			f.journal = &journal{}
			exporters = append(exporters, f)
		}
		exporters = append(exporters, &witness{name: "b", journal: j})
		l = newLogged(Options{Exporters: exporters})
		live(l.Agent)
		for what, err := range map[string]error{"flush": l.Flush(t.Context()), "shutdown": l.Shutdown(t.Context())} {
			if fails := f != nil && f.faults[strings.ToUpper(what[:1])+what[1:]] == panics; (err != nil) != fails {
				t.Errorf("%s: %v", what, err)
			} else if fails && !strings.Contains(err.Error(), what+" of "+faultyName+" panicked: faulty panics in") {
				t.Errorf("%s does not say who: %v", what, err)
			}
		}
		return j.of("a"), j.of("b"), l
	}
	wantA, wantB, _ := run(t, nil)
	if len(wantA) < 15 || len(wantB) < 15 {
		t.Fatalf("the life is short: %v, %v", wantA, wantB)
	}
	cases := map[string]map[string]fault{}
	for _, method := range []string{
		"Attach", "Mask", "StartConn", "Opened", "EndConn", "StartMessage", "EndMessage", "StartSpan", "EndSpan", "SpanContext", "Flush", "Shutdown", "Dropped",
	} {
		cases[method+" panics"] = map[string]fault{method: panics}
	}
	for name, f := range map[string]fault{"nil context": nilContext, "nil handle": nilHandle, "nil both": nilBoth} {
		for _, method := range []string{"Mask", "StartConn", "StartMessage", "StartSpan"} {
			cases[method+" returns "+name] = map[string]fault{method: f}
		}
		cases["all return "+name] = map[string]fault{"StartConn": f, "StartMessage": f, "StartSpan": f, "Mask": f}
	}
	for name, faults := range cases {
		t.Run(name, func(t *testing.T) {
			f := &witness{name: "faulty", faults: faults}
			a, b, l := run(t, f)
			if !slices.Equal(a, wantA) || !slices.Equal(b, wantB) {
				t.Errorf("the others saw\n%v\n%v, want\n%v\n%v", a, b, wantA, wantB)
			}
			dropped := l.Stats().Dropped
			method, panicked := strings.CutSuffix(name, " panics")
			if !panicked || method == "Flush" || method == "Shutdown" {
				if len(dropped) != 0 {
					t.Errorf("dropped %+v", dropped)
				}
				return
			}
			calls := f.journal.count("faulty." + method)
			if method == "SpanContext" { // a has ids, so nobody asks
				if calls != 0 {
					t.Errorf("%d calls", calls)
				}
				return
			}
			if calls == 0 || len(dropped) != 1 || dropped[0] != (Dropped{faultyName, "panic", int64(calls)}) {
				t.Errorf("%d panics, counted %+v", calls, dropped)
			}
			if n := len(panicLines(t, l)); n != 1 {
				t.Errorf("%d lines about the panics", n)
			}
		})
	}
}

// panicLines returns the lines about exporters' panics.
func panicLines(t *testing.T, l logged) (lines []fields) {
	for _, line := range l.lines(t) {
		if text := line["message"].(string); strings.HasPrefix(text, "websocket exporter ") {
			lines = append(lines, line)
		}
	}
	return lines
}

// TestFaultyIdentifier: ids come from the first that has any, and a panic there
// is one like any other.
func TestFaultyIdentifier(t *testing.T) {
	j := &journal{}
	l := newLogged(Options{Exporters: []Exporter{
		&witness{name: "none", journal: j},
		&witness{name: "faulty", journal: j, faults: map[string]fault{"SpanContext": panics}},
		&witness{name: "has", journal: j, ids: sampled(3)},
		&witness{name: "late", journal: j, ids: sampled(4)},
	}})
	c := l.arrive(upgradeRequest())
	lines := l.lines(t) // one more is about the panic
	_, tx := StartMessage(c.scope, MessageInfo{})
	tx.End(errors.New("logged"))
	for _, line := range []fields{lines[len(lines)-1], l.one(t)} {
		if line["trace.id"] != sampled(3).TraceIDString() || line["transaction.id"] != sampled(3).SpanIDString() {
			t.Errorf("ids of the line are %v", line)
		}
	}
	if d := l.Stats().Dropped; len(d) != 1 || d[0] != (Dropped{faultyName, "panic", 2}) {
		t.Errorf("dropped %+v", d)
	}
	if n := j.count("late.SpanContext"); n != 0 {
		t.Errorf("the last was asked %d times", n)
	}
}

// vendored is a witness whose back end has fields of its own in log lines.
type vendored struct{ *witness }

func (v vendored) Vendor() string { return v.name }

func (v vendored) LogFields(ids SpanContext) []slog.Attr {
	if !ids.IsValid() {
		return nil
	}
	return []slog.Attr{slog.String("trace.id", ids.TraceIDString()), slog.String("entity", v.name)}
}

// TestLogFieldsOfSeveral: the first that correlates writes its fields as they
// are, each later one under its own prefix, also where the first has none.
func TestLogFieldsOfSeveral(t *testing.T) {
	first, second := sampled(1).TraceIDString(), sampled(2).TraceIDString()
	ids := func(name string, sc SpanContext) vendored {
		return vendored{&witness{name: name, journal: &journal{}, ids: sc}}
	}
	unsampled := sampled(1)
	unsampled.Flags = 0
	plain := func(sc SpanContext) Exporter { return &witness{name: "plain", journal: &journal{}, ids: sc} }
	tests := []struct {
		name      string
		exporters []Exporter
		want      map[string]any
	}{
		{"one", []Exporter{ids("a", sampled(1))}, map[string]any{"trace.id": first, "entity": "a"}},
		{"two", []Exporter{ids("a", sampled(1)), ids("b", sampled(2))}, map[string]any{
			"trace.id": first, "entity": "a", "b.trace.id": second, "b.entity": "b",
		}},
		{"the first has none", []Exporter{ids("a", SpanContext{}), ids("b", sampled(2))}, map[string]any{"b.trace.id": second, "b.entity": "b"}},
		{"the first is not sampled", []Exporter{plain(unsampled), ids("b", sampled(2))}, map[string]any{"trace.id": second, "entity": "b"}},
		{"beside the contract's own", []Exporter{plain(sampled(1)), ids("b", sampled(2))}, map[string]any{
			"trace.id": first, "transaction.id": sampled(1).SpanIDString(), "b.trace.id": second, "b.entity": "b",
		}},
		{"the second has no vendor", []Exporter{ids("a", sampled(1)), plain(sampled(2))}, map[string]any{"trace.id": first, "entity": "a"}},
		{"none", []Exporter{plain(unsampled), ids("b", SpanContext{})}, map[string]any{}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			l := newLogged(Options{Exporters: test.exporters})
			c := l.arrive(upgradeRequest())
			zerolog.Ctx(c.scope).Info().Msg("the application's own")
			lines := l.lines(t)
			if len(lines) != 2 {
				t.Fatalf("%d lines", len(lines))
			}
			for _, line := range lines {
				got := make(map[string]any)
				for key, value := range line {
					if strings.HasSuffix(key, "trace.id") || strings.HasSuffix(key, "transaction.id") || strings.HasSuffix(key, "entity") {
						got[key] = value
					}
				}
				if !maps.Equal(got, test.want) {
					t.Errorf("line %v, want %v", got, test.want)
				}
			}
		})
	}
}

// TestExporterSwitchedOff: after ten panics an exporter is left alone, on
// connections that it knows too; the first panic and the last are logged.
func TestExporterSwitchedOff(t *testing.T) {
	const lives, limit = 25, 10
	for _, method := range []string{"Mask", "StartConn", "SpanContext", "StartSpan", "EndSpan", "Opened", "StartMessage", "EndMessage", "EndConn"} {
		t.Run(method, func(t *testing.T) {
			f := &witness{name: "faulty", journal: &journal{}, faults: map[string]fault{method: panics}}
			j := &journal{}
			l := newLogged(Options{Exporters: []Exporter{&witness{name: "a", journal: j}, f, &witness{name: "b", journal: j}}})
			conns := make([]*Conn, lives)
			for i := range conns {
				conns[i] = arriving(l.Agent)
			}
			ctx, tx := StartMessage(conns[0].scope, MessageInfo{}) // in hand all the while
			_, span := StartSpan(ctx, "in hand", SpanOptions{})
			for _, c := range conns[1:] {
				end(c)
			}
			span.End(nil)
			tx.End(nil)
			end(conns[0])
			if n := f.journal.count("faulty." + method); n != limit {
				t.Errorf("it panicked %d times", n)
			}
			calls := f.journal.of("faulty")
			if last := calls[len(calls)-1]; last != "faulty."+method {
				t.Errorf("it was called after the last panic: %s", last)
			}
			live(l.Agent) // one more connection, of which it hears nothing
			dropped := l.Stats().Dropped
			if len(dropped) != 2 || dropped[0] != (Dropped{faultyName, "panic", limit}) || dropped[1].Exporter != faultyName || dropped[1].Reason != "switched_off" {
				t.Fatalf("dropped %+v", dropped)
			}
			live(l.Agent)
			if n := l.Stats().Dropped[1].Count; n != dropped[1].Count+1 {
				t.Errorf("a connection of which it hears nothing counts %d", n-dropped[1].Count)
			}
			for _, name := range []string{"a", "b"} {
				for _, call := range []string{"StartConn", "Opened", "StartMessage", "EndMessage", "EndConn"} {
					want := lives + 2
					if strings.Contains(call, "Message") {
						want++ // the one in hand
					}
					if n := j.count(name + "." + call); n != want {
						t.Errorf("%s.%s was called %d times", name, call, n)
					}
				}
			}
			lines := panicLines(t, l)
			if len(lines) != 2 {
				t.Fatalf("%d lines: %v", len(lines), lines)
			}
			common := fields{"level": "error", "error.message": "faulty panics in " + method, "error.stack_trace": anyStack}
			checkLine(t, lines[0], common.with(fields{"message": "websocket exporter " + faultyName + " panicked"}))
			checkLine(t, lines[1], common.with(fields{"message": fmt.Sprintf("websocket exporter %s switched off after %d panics", faultyName, limit)}))
			// It may still release what it holds.
			if err := errors.Join(l.Flush(t.Context()), l.Shutdown(t.Context())); err != nil || f.journal.count("faulty.Shutdown") != 1 || f.journal.count("faulty.Flush") != 1 {
				t.Errorf("flush and shutdown: %v", err)
			}
		})
	}
}

// TestPanicsFarBetween: panics count in a row only when each comes within a
// minute of the one before.
func TestPanicsFarBetween(t *testing.T) {
	tests := []struct {
		name  string
		after func(i int) time.Duration // of the panic before
		off   int                       // after how many of 40; 0: never
	}{
		{"at once", func(int) time.Duration { return 0 }, 10},
		{"each minute", func(int) time.Duration { return time.Minute }, 10},
		{"less often", func(int) time.Duration { return time.Minute + 1 }, 0},
		{"nine in a row, and a pause", func(i int) time.Duration { return time.Duration(i%9/8) * time.Hour }, 0},
		{"a pause, and ten in a row", func(i int) time.Duration { return time.Duration(max(0, 10-i)*(i%5/4)) * time.Hour }, 18},
	}
	for _, test := range tests {
		var m member
		now := 100 * time.Hour // since the program's start
		off := 0
		for i := 1; i <= 40; i++ {
			now += test.after(i)
			if m.fault(now) {
				if off != 0 {
					t.Errorf("%s: switched off twice", test.name)
				}
				off = i
			}
			if m.off() != (off != 0) {
				t.Errorf("%s: off is %v after %d", test.name, m.off(), i)
			}
		}
		if off != test.off {
			t.Errorf("%s: off after %d, want %d", test.name, off, test.off)
		}
	}
}

// TestFaultyExporterConcurrently is for the race detector.
func TestFaultyExporterConcurrently(t *testing.T) {
	j := &journal{}
	agent := New(Options{Exporters: []Exporter{
		&witness{name: "faulty", journal: &journal{}, faults: map[string]fault{"EndMessage": panics}}, &witness{name: "a", journal: j},
	}})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 10 {
				live(agent)
				_ = agent.Stats()
			}
		})
	}
	wg.Wait()
	if n := j.count("a.EndConn"); n != 80 {
		t.Errorf("%d ends", n)
	}
}

var (
	errA = errors.New("a is full")
	errB = errors.New("b is away")
)

// closer is an exporter whose flush and shutdown do as they are told.
type closer struct {
	silent
	do func(context.Context) error
}

func (c closer) Flush(ctx context.Context) error    { return c.do(ctx) }
func (c closer) Shutdown(ctx context.Context) error { return c.do(ctx) }

// TestFlushAndShutdownErrors: errors are joined and say whose they are.
func TestFlushAndShutdownErrors(t *testing.T) {
	returning := func(err error) Exporter { return closer{do: func(context.Context) error { return err }} }
	agent := New(Options{Exporters: []Exporter{returning(errA), silent{}, returning(nil), returning(errB)}})
	for what, call := range map[string]func(context.Context) error{"flush": agent.Flush, "shutdown": agent.Shutdown} {
		err := call(t.Context())
		if !errors.Is(err, errA) || !errors.Is(err, errB) {
			t.Errorf("%s: %v", what, err)
		}
		for _, text := range []string{"apmws: " + what + " of apmws: a is full", "apmws: " + what + " of apmws#4: b is away"} {
			if !strings.Contains(fmt.Sprint(err), text) {
				t.Errorf("%s: %v lacks %q", what, err, text)
			}
		}
	}
	agent = New(Options{Exporters: []Exporter{returning(nil), nil, silent{}}})
	if err := errors.Join(agent.Flush(t.Context()), agent.Shutdown(t.Context())); err != nil {
		t.Error(err)
	}
}

// TestShutdownOfHangingExporter: one whose back end is away leaves the others
// their time, and does not hold up the program when it forgets its deadline.
func TestShutdownOfHangingExporter(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	for name, hang := range map[string]func(context.Context) error{
		"until the deadline": func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
		"for ever":           func(context.Context) error { <-release; return nil },
	} {
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup // the healthy ones; when both have had their time it is up
		wg.Add(2)
		healthy := closer{do: func(ctx context.Context) error { defer wg.Done(); return ctx.Err() }}
		go func() { wg.Wait(); cancel() }()
		agent := New(Options{Exporters: []Exporter{healthy, closer{do: hang}, healthy}})
		err := agent.Shutdown(ctx)
		if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "shutdown of apmws#2: context canceled") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// counted is an exporter that has given something up, for one of its reasons.
type counted struct{ *recorder }

func (counted) Dropped() []Dropped {
	return []Dropped{{Reason: "spans"}, {Reason: "requests", Count: 3}, {Reason: "errors"}}
}

// TestDroppedOfExporter: reasons for which nothing was given up are not listed.
func TestDroppedOfExporter(t *testing.T) {
	agent := New(Options{Exporters: []Exporter{counted{newRecorder()}}})
	want := []Dropped{{Exporter: "apmws", Reason: "requests", Count: 3}}
	if got := agent.Stats().Dropped; !slices.Equal(got, want) {
		t.Errorf("given up: %v, want %v", got, want)
	}
}
