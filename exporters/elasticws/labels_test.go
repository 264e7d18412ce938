package elasticws

import (
	"errors"
	"log/slog"
	"maps"
	"math"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.elastic.co/apm/v2"

	"github.com/apmws/go-apmws/apmws"
	"github.com/apmws/go-apmws/apmws/semconv"
)

func equal(a, b map[string]any) bool { return maps.EqualFunc(a, b, reflect.DeepEqual) }

type (
	level     int
	weight    float32
	count     uint16
	flag      bool
	secretive struct{}
)

// LogValue implements slog.LogValuer.
func (secretive) LogValue() slog.Value { return slog.StringValue("redacted") }

func TestLabelKinds(t *testing.T) {
	rec := newRecorder(t)
	_, m := startMessage(t, openConn(t, New(rec.Tracer)), apmws.MessageStart{Time: begin, Name: "chat.say", Attrs: []slog.Attr{
		slog.String("a.string", "x"),
		slog.Int("an.int", -7),
		slog.Uint64("a.uint", 7),
		slog.Float64("a.float", 1.5),
		slog.Bool("a.bool", true),
		slog.Duration("a.duration", 1500*time.Millisecond),
		slog.Time("a.time", begin),
		slog.Group("a.group", slog.Int("n", 1), slog.Group("deeper", slog.String("s", "y"))),
		slog.Any("an.error", errors.New("oops")),
		slog.Any("a.stringer", time.March),
		slog.Any("a.valuer", secretive{}),
		slog.Any("a.named.int", level(3)),
		slog.Any("a.named.uint", count(4)),
		slog.Any("a.named.float", weight(0.5)),
		slog.Any("a.named.bool", flag(true)),
		slog.Any("a.slice", []string{"p", "q"}),
		slog.Any("nothing", nil),
		slog.Float64("not.a.number", math.NaN()),
		slog.Float64("infinite", math.Inf(1)),
		slog.Any("named.infinite", weight(math.Inf(-1))),
		slog.String("", "no key"),
		slog.String(`a*odd"key`, strings.Repeat("ü", 2000)),
		slog.String(semconv.UserID, "u7"),
		slog.Int(semconv.StatusCode, 418),
	}})
	m.End(messageOK(0))
	docs := rec.collect(t)
	tx := docs.transaction(t, "chat.say")
	want := map[string]any{
		"a_string": "x", "an_int": -7.0, "a_uint": 7.0, "a_float": 1.5, "a_bool": true, "a_duration": 1.5,
		"a_time": "2026-01-02T03:04:05Z", "a_group_n": 1.0, "a_group_deeper_s": "y", "an_error": "oops",
		"a_stringer": "March", "a_valuer": "redacted", "a_named_int": 3.0, "a_named_uint": 4.0, "a_named_float": 0.5,
		"a_named_bool": true, "a_slice": "[p q]", "a_odd_key": strings.Repeat("ü", 1024),
	}
	if got := labelMap(tx.Context.Tags); !equal(got, want) {
		t.Errorf("labels\n%v, want\n%v", got, want)
	}
	if tx.Context.Response == nil || tx.Context.Response.StatusCode != http.StatusTeapot {
		t.Errorf("response %+v", tx.Context.Response)
	}
}

// TestLabelKeys: the keys that are spelled here are what the agent would make of
// them.
func TestLabelKeys(t *testing.T) {
	for _, key := range []string{
		semconv.Event, semconv.ConnectionID, semconv.Route, semconv.MessageType, semconv.MessageLength,
		semconv.MessageDirection, semconv.CloseCause, "application.own",
	} {
		if got, want := strings.ReplaceAll(labelKey(key), ".", "_"), strings.ReplaceAll(key, ".", "_"); got != want {
			t.Errorf("%s is spelled %s, want %s", key, got, want)
		}
	}
}

// TestAttributesAreCopied: their memory is the caller's again after the call.
func TestAttributesAreCopied(t *testing.T) {
	rec := newRecorder(t)
	start := messageStart("chat.say", 0)
	_, m := startMessage(t, openConn(t, New(rec.Tracer)), start)
	for i := range start.Attrs {
		start.Attrs[i] = slog.String("overwritten", "x")
	}
	m.End(messageOK(0))
	docs := rec.collect(t)
	labels := labelMap(docs.transaction(t, "chat.say").Context.Tags)
	if labels["overwritten"] != nil || labels["websocket_connection_id"] != connID {
		t.Errorf("labels %v", labels)
	}
}

// TestSpanLabels: spans have no user, so there it is a label.
func TestSpanLabels(t *testing.T) {
	rec := newRecorder(t)
	ctx, m := startMessage(t, openConn(t, New(rec.Tracer)), messageStart("chat.say", 0))
	_, s := m.StartSpan(ctx, apmws.SpanStart{
		Time: begin, Name: "load", Type: "db.postgresql.query",
		Attrs: append(common(semconv.EventMessage), slog.String(semconv.UserID, "u1"), slog.Int("rows", 3)),
	})
	s.End(apmws.SpanEnd{Time: after(time.Millisecond), Outcome: apmws.OutcomeUnknown, Attrs: []slog.Attr{slog.Bool("cached", false)}})
	m.End(messageOK(time.Second))
	docs := rec.collect(t)
	want := map[string]any{
		"websocket_event": "message", "websocket_connection_id": connID, "http_route": "/ws",
		"user_id": "u1", "rows": 3.0, "cached": false,
	}
	if got := labelMap(docs.span(t, "load").Context.Tags); !equal(got, want) {
		t.Errorf("labels\n%v, want\n%v", got, want)
	}
}

var _ labelled = (*apm.Context)(nil)

// TestUsualLabels: the short way to the labels of messages is there, and gives
// what SetLabel does.
func TestUsualLabels(t *testing.T) {
	if findTags() < 0 {
		t.Error("an apm.Context is not what it was")
	}
	tests := []struct {
		name  string
		route string
		tags  tagsField
		short bool
	}{
		{"short way", "/ws", findTags(), true},
		{"not known to the agent", "/ws", -1, false},
		{"too long a route", strings.Repeat("ü", 1025), findTags(), false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			attrs := messageStart("chat.say", 0).Attrs
			attrs[2] = slog.String(semconv.Route, test.route)
			attrs = append(attrs,
				slog.String(semconv.MessageRawName, `an "odd" name`),
				slog.Bool(semconv.MessageType, true),
				slog.String(semconv.MessageDirection, strings.Repeat("ä", 1025)),
				slog.String(semconv.UserID, "u7"))
			l := newConnLabels(connID, test.route, test.tags)
			var got, want apm.Context
			if short := l.tags.of(&got) != nil; short != test.short {
				t.Errorf("short way: %v", short)
			}
			l.setMessage(&got, attrs)
			for _, attr := range attrs[:len(attrs)-1] {
				want.SetLabel(attr.Key, attr.Value.Any())
			}
			want.SetUserID("u7")
			if !reflect.DeepEqual(got, want) {
				t.Errorf("context\n%+v, want\n%+v", got, want)
			}
		})
	}
}
