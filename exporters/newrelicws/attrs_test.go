package newrelicws

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/netip"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/newrelic/go-agent/v3/newrelic"

	"github.com/apmws/go-apmws/apmws"
	"github.com/apmws/go-apmws/apmws/semconv"
)

type (
	named  string
	level  int
	secret struct{ text string }
)

func (secret) LogValue() slog.Value { return slog.StringValue("resolved") }

type badValuer struct{}

func (badValuer) LogValue() slog.Value { panic("no value") }

// TestAttributeValues: whatever slog can hold becomes something that the agent
// takes; it writes an error line for the rest, which fails the test.
func TestAttributeValues(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 5, time.UTC)
	attrs := []slog.Attr{
		slog.String("string", "s"), slog.String("empty", ""), slog.Int("int", -3), slog.Uint64("uint", 3),
		slog.Uint64("large", math.MaxUint64), slog.Float64("float", 0.25), slog.Bool("bool", false),
		slog.Float64("nan", math.NaN()), slog.Float64("inf", math.Inf(-1)),
		slog.Duration("duration", 1500*time.Millisecond), slog.Time("time", at),
		slog.Group("group", slog.Int("a", 1), slog.Group("", slog.Int("inlined", 2)), slog.Group("b", slog.String("c", "d"))),
		slog.Any("valuer", secret{"hidden"}), slog.Any("bad", badValuer{}),
		slog.Any("nil", nil), slog.Any("error", errors.New("oops")), slog.Any("stringer", netip.MustParseAddr("192.0.2.1")),
		slog.Any("named", named("n")), slog.Any("level", level(4)), slog.Any("unsigned", uint16(5)), slog.Any("float32", float32(0.5)),
		slog.Any("bytes", []byte("ab")), slog.Any("truth", true), slog.Any("pointer", (*time.Time)(nil)),
		slog.String("", "no key"), slog.String(strings.Repeat("k", 256), "long key"),
		slog.String("long", strings.Repeat("x", 254)+"é"), slog.String("fits", strings.Repeat("y", 253)+"é"),
	}
	want := map[string]any{
		"string": "s", "empty": "", "int": -3.0, "uint": 3.0, "large": float64(math.MaxUint64), "float": 0.25, "bool": false,
		"duration": 1.5, "time": "2026-03-01T12:00:00.000000005Z", "group.a": 1.0, "group.inlined": 2.0, "group.b.c": "d",
		"valuer": "resolved", "error": "oops", "stringer": "192.0.2.1",
		"named": "n", "level": 4.0, "unsigned": 5.0, "float32": 0.5, "bytes": "[97 98]", "truth": true, "pointer": "<nil>",
		"long": strings.Repeat("x", 254), "fits": strings.Repeat("y", 253) + "é",
		"result": "ok", semconv.EventOutcome: "success",
	}
	c := newCollector()
	app := newApp(t, c)
	e := New(app)
	conn := openConn(t, e)
	ctx, m := startMessage(t, conn, apmws.MessageStart{Name: "all", Attrs: attrs})
	_, span := m.StartSpan(ctx, apmws.SpanStart{Name: "span", Attrs: attrs})
	span.End(apmws.SpanEnd{Outcome: apmws.OutcomeSuccess})
	m.End(messageOK())
	_, m = startMessage(t, conn, apmws.MessageStart{Name: "failed"})
	m.End(apmws.MessageEnd{Result: "error", Failure: &apmws.Failure{Message: "x", Type: "y", Attrs: attrs}})
	h := c.harvest(t, app)
	tx := h.transaction(t, "Message/all").user
	if got := fmt.Sprint(tx["bad"]); !strings.HasPrefix(got, "LogValue panicked") {
		t.Errorf("bad: %v", got)
	}
	for _, key := range []string{"bad", semconv.ConnectTraceID, semconv.ConnectSpanID} {
		delete(tx, key)
	}
	wantAttributes(t, "transaction", tx, want)
	for what, got := range map[string]map[string]any{"span": h.span(t, "Custom/span").user, "error": h.error(t).user} {
		for key, value := range want {
			// The agent itself leaves empty strings out of spans.
			if key != "result" && key != semconv.EventOutcome && got[key] != value && !(what == "span" && key == "empty") {
				t.Errorf("%s: %s is %v, want %v", what, key, got[key], value)
			}
		}
	}
	if strings.Contains(c.sent(), "hidden") {
		t.Error("the value behind a LogValuer was sent")
	}
	if got := dropped(e, "attributes"); got != 2*3 {
		t.Errorf("%d attributes dropped, want 6", got)
	}
}

// TestAttributeLimits: the agent writes an error line for the 65th attribute of a
// transaction, and loses the error that has 33.
func TestAttributeLimits(t *testing.T) {
	attrs := common(semconv.EventMessage)
	for i := range 80 {
		attrs = append(attrs, slog.Int(fmt.Sprintf("k%02d", i), i))
	}
	c := newCollector()
	app := newApp(t, c)
	e := New(app)
	conn := openConn(t, e)
	_, m := startMessage(t, conn, apmws.MessageStart{Name: "many", Attrs: attrs[:50]})
	m.End(apmws.MessageEnd{Result: "error", Outcome: apmws.OutcomeFailure, User: "u1", Failure: &apmws.Failure{Message: "x", Type: "y", Attrs: attrs}})
	from := apmws.SpanContext{TraceID: [16]byte{1}, SpanID: [8]byte{2}, Flags: 1}
	_, m = startMessage(t, conn, apmws.MessageStart{Name: "too many", Attrs: attrs, Remote: from, Sampled: true, Late: true})
	m.End(apmws.MessageEnd{Result: "timeout", Outcome: apmws.OutcomeFailure, User: "u1", Attrs: attrs})
	_, refused := e.StartConn(t.Context(), apmws.ConnStart{
		ID: connID, Route: "/ws", Name: "too many", Attrs: attrs,
		Request: apmws.RequestInfo{Method: "GET", Path: "/ws", Host: "h", UserAgent: "ua", Peer: "192.0.2.1:1"},
	})
	refused.Opened(apmws.OpenEnd{Status: 403, Result: "HTTP 4xx", Outcome: apmws.OutcomeSuccess, User: "u1", Attrs: attrs})
	h := c.harvest(t, app)
	if got := h.transaction(t, "Message/many").user; got["result"] != "error" || got[semconv.ConnectTraceID] == nil {
		t.Errorf("%v", got)
	}
	// What the exporter itself sets is there, however many there are.
	for name, own := range map[string][]string{
		"MessageKept/too many": {
			semconv.ConnectTraceID, semconv.ConnectSpanID, semconv.MessageTraceID, semconv.MessageSpanID,
			semconv.SamplingWeight, semconv.MessageElapsed, "result", semconv.EventOutcome, semconv.UserID,
		},
		"Connection/too many": {
			"request.method", "request.uri", "request.headers.host", "request.headers.userAgent", semconv.ClientAddress,
			"http.statusCode", "result", semconv.EventOutcome, semconv.UserID,
		},
	} {
		got := h.transaction(t, name).user
		if len(got) != 64 {
			t.Errorf("%s: %d attributes, want 64", name, len(got))
		}
		for _, key := range own {
			if got[key] == nil {
				t.Errorf("%s: no %s", name, key)
			}
		}
	}
	if got := h.error(t).user[semconv.ConnectionID]; got != connID {
		t.Errorf("error without its first attributes: %v", got)
	}
	if dropped(e, "attributes") == 0 {
		t.Error("nothing is counted as dropped")
	}
}

// TestHighSecurity: no attributes, and no error line for each.
func TestHighSecurity(t *testing.T) {
	c := newCollector()
	app := newApp(t, c, func(cfg *newrelic.Config) { cfg.HighSecurity = true })
	conn := openConn(t, New(app))
	ctx, m := startMessage(t, conn, messageStart("chat.say"))
	_, span := m.StartSpan(ctx, apmws.SpanStart{Name: "span", Attrs: common(semconv.EventMessage)})
	span.End(apmws.SpanEnd{Outcome: apmws.OutcomeSuccess})
	m.End(apmws.MessageEnd{Result: "error", User: "u1", Failure: &apmws.Failure{Message: "secret", Type: "y", Attrs: common(semconv.EventMessage)}})
	h := c.harvest(t, app)
	if tx := h.transaction(t, "Message/chat.say"); len(tx.user) != 0 || tx.agent["enduser.id"] != "u1" {
		t.Errorf("%v %v", tx.user, tx.agent)
	}
	if got := h.error(t); len(got.user) != 0 || got.intrinsics["error.class"] != "y" {
		t.Errorf("%v", got)
	}
}

func TestCut(t *testing.T) {
	for n := range 5 {
		s := strings.Repeat("x", 253+n) + "日本"
		got := cut(s)
		if !utf8.ValidString(got) || len(got) > 255 || !strings.HasPrefix(s, got) || len(s) > 255 && len(got) < 252 {
			t.Errorf("%d bytes became %d, %q", len(s), len(got), got[250:])
		}
	}
	if got := cutAt(strings.Repeat("\x80", 10), 4); got != "" {
		t.Errorf("no characters: %q", got)
	}
}
