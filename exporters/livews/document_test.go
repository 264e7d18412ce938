package livews

import (
	"encoding/json"
	"log/slog"
	"math"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/apmws/go-apmws/apmws"
)

// hostile is what a peer might send to break out of the page, turn its text
// round, or make the JSON invalid.
const hostile = "<script>alert(1)</script><img src=x onerror=\"x\">'&\\ \u202eevil\u2066\u200f\U000e0041"

func TestWhatAPeerChoseIsEscaped(t *testing.T) {
	server := newServer(t, New(Options{}))
	header := http.Header{"User-Agent": {hostile}, "Origin": {server.URL}}
	conn := dial(t, server, "user="+url.QueryEscape(hostile), header)
	raw, _ := json.Marshal(hostile[:40])
	say(t, conn, `{"type":`+string(raw)+`}`)
	open, body := get(t, server.URL, 0)
	checkEscaped(t, body)
	if open.Connections[0].User != hostile {
		t.Errorf("user %q; want %q", open.Connections[0].User, hostile)
	}
	hangUp(t, conn, 4001, hostile)
	d := until(t, server.URL, "the end", func(d Document) bool { return d.FinishedTotal == 3 })
	_, body = get(t, server.URL, 0)
	checkEscaped(t, body)
	for i, want := range []struct{ attr, value string }{
		{"user_agent.original", hostile}, {"websocket.message.raw_name", hostile[:40]}, {"websocket.close.reason", hostile},
	} {
		x := d.Transactions[i]
		if got := attr(x.Attrs, want.attr); got != want.value || x.User != hostile {
			t.Errorf("%s of %s is %q; want %q", want.attr, x.Name, got, want.value)
		}
	}
}

func checkEscaped(t *testing.T, body string) {
	t.Helper()
	if !json.Valid([]byte(body)) {
		t.Errorf("invalid JSON: %s", body)
	}
	for _, bad := range []string{"<", ">", "&", "\u202e", "\u2066", "\u200f", "\U000e0041"} {
		if strings.Contains(body, bad) {
			t.Errorf("%+q is not escaped in %s", bad, body)
		}
	}
}

func TestHostileStringsMakeValidJSON(t *testing.T) {
	for _, text := range []string{
		hostile, "\xff\xfe\xc3", "\x00\x1f\x7f\u0085", "\u2028\u2029\ufeff", `"}],"x":[{"`, "\ud7ff\ue000\U0010ffff", "日本語 🙂 é", "",
	} {
		v := New(Options{})
		_, c := v.StartConn(t.Context(), apmws.ConnStart{Time: t0, ID: text, Route: text, Name: text, Request: apmws.RequestInfo{UserAgent: text}})
		c.Opened(apmws.OpenEnd{Time: t0, Result: text, User: text, Failure: &apmws.Failure{Message: text, Type: text}, Attrs: []slog.Attr{slog.String(text, text)}})
		data, err := v.document(0).encode()
		if err != nil {
			t.Fatal(err)
		}
		var d Document
		if err := json.Unmarshal(data, &d); err != nil {
			t.Errorf("%q: %v in %s", text, err, data)
			continue
		}
		want := strings.ToValidUTF8(text, "\ufffd")
		if !sameText(d.Transactions[0].Error.Message, want) {
			t.Errorf("%q arrives as %q", text, d.Transactions[0].Error.Message)
		}
	}
}

// sameText compares, invalid bytes aside: encoding/json replaces
// each, strings.ToValidUTF8 a run of them.
func sameText(got, want string) bool {
	const bad = "\ufffd"
	for strings.Contains(got, bad+bad) {
		got = strings.ReplaceAll(got, bad+bad, bad)
	}
	return got == want
}

func TestValues(t *testing.T) {
	v := New(Options{})
	c := startConn(t, v, "1")
	_, m := c.StartMessage(t.Context(), apmws.MessageStart{Time: t0, Attrs: []slog.Attr{
		slog.Int("int", -5), slog.Uint64("uint", 5), slog.Float64("float", 0.25), slog.Bool("bool", true), slog.String("string", "s"),
		slog.Int64("exact", maxExact), slog.Int64("big", math.MaxInt64), slog.Uint64("huge", math.MaxUint64),
		slog.Float64("nan", math.NaN()), slog.Float64("inf", math.Inf(-1)),
		slog.Duration("duration", 1500*time.Millisecond), slog.Any("any", []int{1, 2}), slog.Any("valuer", valuer{}), slog.Any("nil", nil),
	}})
	m.End(apmws.MessageEnd{Time: t0})
	data, err := v.document(0).encode()
	if err != nil {
		t.Fatal(err)
	}
	var d Document
	if err := json.Unmarshal(data, &d); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]any{
		"int": -5.0, "uint": 5.0, "float": 0.25, "bool": true, "string": "s",
		"exact": float64(maxExact), "big": "9223372036854775807", "huge": "18446744073709551615",
		"nan": "NaN", "inf": "-Inf", "duration": "1.5s", "any": "[1 2]", "valuer": "resolved", "nil": "<nil>",
	} {
		if got := attr(d.Transactions[0].Attrs, name); got != want {
			t.Errorf("%s is %v; want %v", name, got, want)
		}
	}
}

type valuer struct{}

func (valuer) LogValue() slog.Value { return slog.StringValue("resolved") }

func TestEmptyListsAreNotNull(t *testing.T) {
	data, err := New(Options{}).document(0).encode()
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(data), "null") {
		t.Errorf("null in %s", data)
	}
}
