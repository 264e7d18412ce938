package apmws

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/rs/zerolog"
	"github.com/rs/zerolog/hlog"
)

// contextFields are what a context's logger adds to a line.
func (c *Conn) contextFields(event string, ids SpanContext) fields {
	f := fields{"labels.websocket_event": event, "labels.websocket_connection_id": c.id, "labels.http_route": "/rooms/{id}"}
	if ids.IsValid() {
		f["trace.id"], f["transaction.id"] = ids.TraceIDString(), ids.SpanIDString()
	}
	return f
}

// said is the line that say writes.
func say(ctx context.Context) { zerolog.Ctx(ctx).Info().Msg("said") }

var said = fields{"level": "info", "message": "said"}

// countingIDs is an exporter whose transactions have ids of their own.
type countingIDs struct {
	mu sync.Mutex
	n  byte
}

func (e *countingIDs) next() SpanContext {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.n++
	return sampled(e.n)
}

func (e *countingIDs) witness() *witness {
	return &witness{name: "w", journal: &journal{}, ids: e.next()}
}

func (e *countingIDs) StartConn(ctx context.Context, s ConnStart) (context.Context, ConnSpan) {
	ctx, span := e.witness().StartConn(ctx, s)
	return ctx, countingConn{span.(witnessConn), e}
}

type countingConn struct {
	witnessConn
	e *countingIDs
}

func (c countingConn) StartMessage(ctx context.Context, s MessageStart) (context.Context, MessageSpan) {
	return witnessConn{c.e.witness()}.StartMessage(ctx, s)
}

// TestContextLogger: zerolog.Ctx in a handler, its messages and their spans
// writes the ids of the right transaction, once each, whatever logger the
// application has put into the context on the way.
func TestContextLogger(t *testing.T) {
	derive := func(ctx context.Context) context.Context {
		return zerolog.Ctx(ctx).With().Str("tenant", "t1").Logger().WithContext(ctx)
	}
	update := func(ctx context.Context) context.Context {
		zerolog.Ctx(ctx).UpdateContext(func(c zerolog.Context) zerolog.Context { return c.Str("tenant", "t1") })
		return ctx
	}
	same := func(ctx context.Context) context.Context { return ctx }
	tenant := fields{"tenant": "t1"}
	tests := []struct {
		name            string
		conn, msg, span func(context.Context) context.Context // what the application does in each
		onConn          fields                                // more on lines of the handler
		onMsg, onSpan   fields
	}{
		{"nothing", same, same, same, fields{}, fields{}, fields{}},
		{"derived in the handler", derive, same, same, tenant, tenant, tenant},
		{"derived in the message", same, derive, same, fields{}, tenant, tenant},
		{"derived in the span", same, same, derive, fields{}, fields{}, tenant},
		{"updated in the handler", update, same, same, tenant, tenant, tenant},
		{"updated in the message", same, update, same, fields{}, tenant, tenant},
		{"updated in the span", same, same, update, fields{}, fields{}, tenant},
		{"derived in all", derive, func(ctx context.Context) context.Context {
			return zerolog.Ctx(ctx).With().Int("n", 1).Logger().WithContext(ctx)
		}, func(ctx context.Context) context.Context {
			return zerolog.Ctx(ctx).With().Bool("deep", true).Logger().WithContext(ctx)
		}, tenant, fields{"tenant": "t1", "n": json.Number("1")}, fields{"tenant": "t1", "n": json.Number("1"), "deep": true}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			l := newLogged(Options{Exporters: []Exporter{&countingIDs{}}, Messages: MessageOptions{Names: []string{"say"}}})
			c := l.arrive(upgradeRequest())
			c.accepted()
			l.lines(t)
			ctx := test.conn(c.scope)
			onConn := said.with(c.contextFields("connect", sampled(1))).with(test.onConn)
			say(ctx)
			checkLine(t, l.one(t), onConn)
			for n := byte(2); n < 5; n++ { // each message has what it has, and nothing of the one before
				msgCtx, tx := StartMessage(ctx, MessageInfo{Name: "say"})
				msgCtx = test.msg(msgCtx)
				onMsg := said.with(c.contextFields("message", sampled(n))).with(fields{"labels.websocket_message_name": "say"})
				say(msgCtx)
				checkLine(t, l.one(t), onMsg.with(test.onMsg))

				spanCtx, span := StartSpan(msgCtx, "load", SpanOptions{})
				spanCtx = test.span(spanCtx)
				c.SetUser("u1") // known from now on, to loggers that exist too
				user := fields{"user.id": "u1"}
				say(spanCtx)
				checkLine(t, l.one(t), onMsg.with(test.onSpan).with(user))
				span.End(nil)
				tx.End(nil)
				say(msgCtx) // a goroutine that outlives the message
				checkLine(t, l.one(t), onMsg.with(test.onMsg).with(user))
				c.SetUser("")
			}
			c.disconnected()
			l.lines(t)
			say(ctx) // a goroutine that outlives the connection
			checkLine(t, l.one(t), onConn)
		})
	}
}

// TestContextLoggerParents: where the context's logger comes from.
func TestContextLoggerParents(t *testing.T) {
	own, outside, inside := zerolog.New(nil), fields{"from": "outside"}, fields{"from": "inside"}
	around := func(from string, out *lockedBuffer) func(http.Handler) http.Handler {
		return hlog.NewHandler(zerolog.New(out).With().Str("from", from).Logger())
	}
	tests := []struct {
		name         string
		outer, inner bool // hlog.NewHandler around the agent, or between it and the handler
		logger       bool // the agent has one
		onConn       fields
		onMsg        fields
		ids          bool // on the handler's lines
	}{
		{"the agent's", false, false, true, fields{}, fields{}, true},
		{"hlog outside", true, false, true, outside, outside, true},
		{"hlog outside alone", true, false, false, outside, outside, true},
		{"hlog inside", false, true, true, inside, inside, false}, // a logger that the agent does not know; a message adds the ids
		{"hlog on both sides", true, true, true, inside, inside, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			out := &lockedBuffer{}
			l := logged{out: out}
			opts := Options{Exporters: []Exporter{&countingIDs{}}}
			if test.logger {
				own = zerolog.New(out)
				opts.Logger = &own
			}
			l.Agent = New(opts)
			h := http.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				c := FromContext(r.Context())
				c.accepted()
				l.lines(t)
				say(r.Context())
				want := said.with(test.onConn)
				if test.ids {
					want = want.with(c.contextFields("connect", sampled(1)))
				}
				checkLine(t, l.one(t), want)
				ctx, tx := StartMessage(r.Context(), MessageInfo{Name: "say"})
				say(ctx)
				checkLine(t, l.one(t), said.with(test.onMsg).with(c.contextFields("message", sampled(2))).with(fields{"labels.websocket_message_name": "_OTHER"}))
				tx.End(nil)
			}))
			if test.inner {
				h = around("inside", out)(h)
			}
			h = l.Handler("/rooms/{id}", h)
			if test.outer {
				h = around("outside", out)(h)
			}
			h.ServeHTTP(httptest.NewRecorder(), upgradeRequest())
		})
	}
}

// TestContextLoggerConcurrently: many goroutines may ask for the logger first;
// they get the same.
func TestContextLoggerConcurrently(t *testing.T) {
	l := newLogged(Options{})
	for range 500 {
		c := l.arrive(upgradeRequest())
		l.lines(t)
		loggers := make([]*zerolog.Logger, 8)
		start := make(chan struct{})
		var wg sync.WaitGroup
		for i := range loggers {
			wg.Go(func() {
				<-start
				loggers[i] = zerolog.Ctx(c.scope)
				loggers[i].Info().Msg("said")
			})
		}
		close(start)
		wg.Wait()
		for _, logger := range loggers {
			if logger != loggers[0] {
				t.Fatal("there are several loggers")
			}
		}
		lines := l.lines(t)
		if len(lines) != len(loggers) {
			t.Fatalf("%d lines", len(lines))
		}
		for _, line := range lines {
			checkLine(t, line, said.with(c.contextFields("connect", SpanContext{})))
		}
	}
}

// TestMessagesWithoutExporters: what one message adds to its logger stays with
// it, also where no exporter makes each message a transaction.
func TestMessagesWithoutExporters(t *testing.T) {
	l := newLogged(Options{Messages: MessageOptions{Names: []string{"say"}, Name: func(dst []byte, _ MessageType, b []byte) []byte { return append(dst, b...) }}})
	c := l.arrive(upgradeRequest())
	c.accepted()
	l.lines(t)
	loop := &loop{ctx: c.scope, observed: c, handle: func(ctx context.Context, m Message) error {
		zerolog.Ctx(ctx).UpdateContext(func(c zerolog.Context) zerolog.Context { return c.Str("data", string(m.Data)) })
		say(ctx)
		return nil
	}}
	for data, name := range map[string]string{"say": "say", "sa": "_OTHER", "other": "_OTHER"} {
		if err := loop.observe(new(buffer), Message{Type: TextMessage, Data: []byte(data)}); err != nil {
			t.Fatal(err)
		}
		checkLine(t, l.one(t), said.with(c.contextFields("message", SpanContext{})).with(fields{"data": data, "labels.websocket_message_name": name}))
	}
}

// TestLoggerAsItIs: the agent's lines and the context's logger keep what the
// application has given its logger.
func TestLoggerAsItIs(t *testing.T) {
	run := func(t *testing.T, configure func(zerolog.Logger) zerolog.Logger) (lines []fields) {
		l := logged{out: &lockedBuffer{}}
		logger := configure(zerolog.New(l.out))
		l.Agent = New(Options{Logger: &logger})
		c := l.arrive(upgradeRequest())
		c.accepted()
		say(c.scope)
		c.writeFailed(errors.New("broken pipe"))
		c.disconnected()
		return l.lines(t)
	}
	messages := func(lines []fields) (m []string) {
		for _, line := range lines {
			m = append(m, strings.TrimPrefix(line["message"].(string), "websocket "))
		}
		return m
	}
	for _, test := range []struct {
		name      string
		configure func(zerolog.Logger) zerolog.Logger
		want      string // messages
		has       fields // on each line
	}{
		{"plain", func(l zerolog.Logger) zerolog.Logger { return l }, "handshake connected said disconnected", nil},
		{"fields", func(l zerolog.Logger) zerolog.Logger {
			return l.With().Str("service.name", "chat").Logger()
		}, "handshake connected said disconnected", fields{"service.name": "chat"}},
		{"level", func(l zerolog.Logger) zerolog.Logger { return l.Level(zerolog.WarnLevel) }, "disconnected", nil},
		{"disabled", func(l zerolog.Logger) zerolog.Logger { return l.Level(zerolog.Disabled) }, "", nil},
		{"sampler", func(l zerolog.Logger) zerolog.Logger { return l.Sample(&zerolog.BasicSampler{N: 2}) }, "handshake said", nil},
		{"hook", func(l zerolog.Logger) zerolog.Logger {
			return l.Hook(zerolog.HookFunc(func(e *zerolog.Event, level zerolog.Level, _ string) { e.Str("hooked", level.String()+"!") }))
		}, "handshake connected said disconnected", nil},
		{"caller", func(l zerolog.Logger) zerolog.Logger { return l.With().Caller().Logger() }, "handshake connected said disconnected", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			lines := run(t, test.configure)
			if got := strings.Join(messages(lines), " "); got != test.want {
				t.Fatalf("lines: %s, want %s", got, test.want)
			}
			for _, line := range lines {
				for key, value := range test.has {
					if line[key] != value {
						t.Errorf("%s is %v in %v", key, line[key], line)
					}
				}
				caller, _ := line["caller"].(string)
				if test.name == "caller" && !strings.Contains(caller, ".go:") || line["message"] == "said" && caller != "" && !strings.Contains(caller, "scope_test.go:") {
					t.Errorf("the caller is %q", caller)
				}
				if hooked := line["hooked"]; test.name == "hook" && hooked != line["level"].(string)+"!" {
					t.Errorf("the hook wrote %v on a line of level %v", hooked, line["level"])
				}
			}
		})
	}
}

// TestGlobalNames: zerolog's names for time, level, message and caller are the
// application's, before and after.
func TestGlobalNames(t *testing.T) {
	const variable = "APMWS_TEST_GLOBAL_NAMES"
	if os.Getenv(variable) == "" { // as another process: connections of other tests may be logging their ends
		cmd := exec.Command(os.Args[0], "-test.run=^TestGlobalNames$", "-test.timeout=2m", "-test.v")
		cmd.Env = append(os.Environ(), variable+"=1")
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: TestGlobalNames") {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	names := []*string{&zerolog.TimestampFieldName, &zerolog.LevelFieldName, &zerolog.MessageFieldName, &zerolog.CallerFieldName, &zerolog.ErrorFieldName, &zerolog.ErrorStackFieldName}
	ours := []string{"@timestamp", "log.level", "msg", "log.origin", "err", "trace"}
	for i, name := range names {
		old := *name
		t.Cleanup(func() { *name = old })
		*name = ours[i]
	}
	l := logged{out: &lockedBuffer{}}
	logger := zerolog.New(l.out).With().Timestamp().Caller().Logger()
	l.Agent = New(Options{Logger: &logger, Exporters: []Exporter{&witness{name: "w", journal: &journal{}, faults: map[string]fault{"Opened": panics}}}})
	c := l.arrive(upgradeRequest())
	c.accepted()
	say(c.scope)
	ctx, tx := StartMessage(c.scope, MessageInfo{})
	say(ctx)
	tx.End(errors.New("boom"))
	c.disconnected()
	lines := l.lines(t)
	if len(lines) != 7 { // arrival, the exporter's panic, connected, two said, message, disconnected
		t.Errorf("%d lines: %v", len(lines), lines)
	}
	for _, line := range lines {
		for _, name := range ours[:4] {
			if line[name] == nil {
				t.Errorf("no %s in %v", name, line)
			}
		}
		for _, name := range []string{"time", "level", "message", "caller", "error", "err"} {
			if line[name] != nil {
				t.Errorf("%s in %v", name, line)
			}
		}
	}
	for i, name := range names {
		if *name != ours[i] {
			t.Errorf("a name has become %s", *name)
		}
	}
}

// TestLogUnsampledIDs: ids that lead nowhere are not written.
func TestLogUnsampledIDs(t *testing.T) {
	unsampled := sampled(1)
	unsampled.Flags = 0
	half := sampled(1)
	half.SpanID = [8]byte{}
	for name, ids := range map[string]SpanContext{"unsampled": unsampled, "no span": half, "none": {}} {
		l := newLogged(Options{Exporters: []Exporter{&witness{name: "w", journal: &journal{}, ids: ids}}})
		c := l.arrive(upgradeRequest())
		c.accepted()
		_, tx := StartMessage(c.scope, MessageInfo{})
		tx.End(io.EOF)
		c.disconnected()
		lines := l.lines(t)
		if len(lines) != 4 {
			t.Errorf("%s: %d lines", name, len(lines))
		}
		for _, line := range lines {
			if line["trace.id"] != nil || line["transaction.id"] != nil {
				t.Errorf("%s: %v", name, line)
			}
		}
	}
}

// TestNoLogger: without a logger nothing is written and nothing breaks.
func TestNoLogger(t *testing.T) {
	agent := New(Options{Messages: MessageOptions{LogLevel: func(string) zerolog.Level { return zerolog.InfoLevel }}, UpgradeHeaders: []string{"Upgrade"}})
	c := agent.connect(agent.route("/ws"), upgradeRequest())
	c.accepted()
	ctx, tx := StartMessage(c.scope, MessageInfo{})
	if l := zerolog.Ctx(ctx); l.GetLevel() != zerolog.Disabled {
		t.Errorf("the context has a logger: %v", l)
	}
	tx.End(io.EOF)
	c.writeFailed(io.EOF)
	c.disconnected()
	if n := agent.Stats().Routes[0].Closed; len(n) != 1 {
		t.Errorf("closed %v", n)
	}
}
