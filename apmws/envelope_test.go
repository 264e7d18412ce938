package apmws_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/apmws/go-apmws/apmws"
)

const envelopeParent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

func TestJSONTraceContext(t *testing.T) {
	const p = envelopeParent
	escaped := strings.Repeat("\\u0030", 2) + p[2:]
	for _, test := range []struct{ name, payload, parent, state string }{
		{"both first", `{"traceparent":"` + p + `","tracestate":"es=s:1","type":"x"}`, p, "es=s:1"},
		{"in the other order", `{"tracestate":"es=s:1","traceparent":"` + p + `"}`, p, "es=s:1"},
		{"last", `{"type":"x","a":{"b":[1,{}]},"tracestate":"es=s:1","traceparent":"` + p + `"}`, p, "es=s:1"},
		{"apart", `{"traceparent":"` + p + `","text":"hi","tracestate":"es=s:1"}`, p, "es=s:1"},
		{"white space", " {\t\"traceparent\" :\n\"" + p + "\" ,\r\"tracestate\" : \"a=b\" } ", p, "a=b"},
		{"no state", `{"traceparent":"` + p + `","type":"x"}`, p, ""},
		{"a state that is no string", `{"tracestate":{"es":"s:1"},"traceparent":"` + p + `"}`, p, ""},
		{"a state alone", `{"tracestate":"es=s:1"}`, "", ""},
		{"not checked", `{"traceparent":"malformed","tracestate":"also"}`, "malformed", "also"},
		{"escaped", `{"trace\u0070arent":"` + escaped + `","tracestate":"a=\"\\"}`, p, `a="\`},
		{"none", `{"type":"x"}`, "", ""},
		{"empty object", `{}`, "", ""},
		{"nested", `{"data":{"traceparent":"` + p + `"}}`, "", ""},
		{"nested in an array", `{"data":[{"traceparent":"` + p + `"}]}`, "", ""},
		{"nested under its own name", `{"traceparent":{"traceparent":"` + p + `"}}`, "", ""},
		{"as a value", `{"a":"traceparent","b":"` + p + `"}`, "", ""},
		{"case matters", `{"Traceparent":"` + p + `","traceParent":"` + p + `"}`, "", ""},
		{"the first counts", `{"traceparent":"` + p + `","traceparent":"second","tracestate":"a=b","tracestate":"c=d"}`, p, "a=b"},
		{"the first counts, which is null", `{"traceparent":null,"traceparent":"` + p + `"}`, "", ""},
		{"the first counts, which is a number", `{"traceparent":1,"traceparent":"` + p + `"}`, "", ""},
		{"the first counts, which is empty", `{"traceparent":"","traceparent":"` + p + `","tracestate":"a=b"}`, "", ""},
		{"an array", `["traceparent","` + p + `"]`, "", ""},
		{"a string", `"traceparent"`, "", ""},
		{"no JSON", p, "", ""},
		{"nothing", ``, "", ""},
		{"malformed before", `{"a":01,"traceparent":"` + p + `"}`, "", ""},
		{"malformed after", `{"traceparent":"` + p + `","tracestate":"a=b" oops`, p, "a=b"},
		{"malformed in between", `{"traceparent":"` + p + `" "tracestate":"a=b"}`, p, ""},
		{"cut in the value", `{"traceparent":"` + p, "", ""},
		{"cut in the state", `{"traceparent":"` + p + `","tracestate":"a=`, p, ""},
		{"a byte order mark", "\ufeff" + `{"traceparent":"` + p + `"}`, "", ""},
		{"deep before", `{"a":` + strings.Repeat("[", 9_999) + strings.Repeat("]", 9_999) + `,"traceparent":"` + p + `"}`, p, ""},
		{"too deep before", `{"a":` + strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000) + `,"traceparent":"` + p + `"}`, "", ""},
		{"deep and never closed", strings.Repeat(`{"traceparent":`, 1<<16), "", ""},
		{"crossed brackets before", `{"a":[{]},"traceparent":"` + p + `"}`, "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			payload := []byte(test.payload)
			parent, state := apmws.JSONTraceContext(apmws.TextMessage, payload)
			if parent != test.parent || state != test.state {
				t.Errorf("got %q, %q; want %q, %q", parent, state, test.parent, test.state)
			}
			if string(payload) != test.payload {
				t.Errorf("the payload was changed to %.80q", payload)
			}
			clear(payload) // which nothing may be a part of
			if parent != test.parent || state != test.state {
				t.Error("the payload is kept")
			}
		})
	}
}

// What a sender makes long is cut or left out, as ParseTraceParent would do.
func TestJSONTraceContextIsBounded(t *testing.T) {
	long := strings.Repeat("0", 1<<20)
	for _, test := range []struct{ name, parent, state string }{
		{"a long traceparent", envelopeParent + long, ""},
		{"of a later version", "cc" + envelopeParent[2:] + "-" + long, ""},
		{"long and escaped", envelopeParent + strings.Repeat("\t", 1<<10), ""},
		{"a long tracestate", envelopeParent, "a=" + long},
		{"long and escaped tracestate", envelopeParent, "a=" + strings.Repeat(`"`, 1<<20)},
		{"the longest tracestate", envelopeParent, "a=" + long[:254] + ",b=" + long[:253]},
		{"the longest tracestate, escaped", envelopeParent, "a=" + strings.Repeat(`\`, 254) + ",b=" + strings.Repeat(`"`, 253)},
	} {
		t.Run(test.name, func(t *testing.T) {
			payload, err := json.Marshal(map[string]string{"traceparent": test.parent, "tracestate": test.state})
			if err != nil {
				t.Fatal(err)
			}
			parent, state := apmws.JSONTraceContext(apmws.TextMessage, payload)
			if len(parent) > 512 || len(state) > 6*512 {
				t.Errorf("%d and %d bytes came out", len(parent), len(state))
			}
			got, err := apmws.ParseTraceParent(parent, state)
			want, wantErr := apmws.ParseTraceParent(test.parent, test.state)
			if got != want || !errors.Is(err, wantErr) {
				t.Errorf("understood as %+v, %v; want %+v, %v", got, err, want, wantErr)
			}
		})
	}
}

func TestJSONTraceContextAllocs(t *testing.T) {
	for _, test := range []struct {
		name, payload string
		want          float64
	}{
		{"none", `{"type":"x","a":[1,{"b":[[["c"]]]}],"é":"\u00e9"}`, 0},
		{"malformed", `{"a":nul`, 0},
		{"a state alone", `{"tracestate":"es=s:1"}`, 0},
		{"no string", `{"traceparent":null}`, 0},
		{"a traceparent", `{"traceparent":"` + envelopeParent + `"}`, 1},
		{"both", `{"traceparent":"` + envelopeParent + `","tracestate":"es=s:1"}`, 2},
		{"escaped", `{"trace\u0070arent":"\u0030` + envelopeParent[1:] + `","tracestate":"a=\""}`, 2},
	} {
		payload := []byte(test.payload)
		if n := testing.AllocsPerRun(100, func() { apmws.JSONTraceContext(apmws.TextMessage, payload) }); n != test.want {
			t.Errorf("%s: %v allocations, want %v", test.name, n, test.want)
		}
	}
}

func TestAppendJSONTraceContext(t *testing.T) {
	sc, err := apmws.ParseTraceParent(envelopeParent, "es=s:0.5")
	if err != nil {
		t.Fatal(err)
	}
	with := func(state string) apmws.SpanContext {
		sc := sc
		sc.State = state
		return sc
	}
	const parent = `{"traceparent":"` + envelopeParent + `"`
	for _, test := range []struct {
		name, object string
		sc           apmws.SpanContext
		want         string
		err          error
	}{
		{"both", `{"type":"x"}`, sc, parent + `,"tracestate":"es=s:0.5","type":"x"}`, nil},
		{"no state", `{"type":"x"}`, with(""), parent + `,"type":"x"}`, nil},
		{"an empty object", `{}`, sc, parent + `,"tracestate":"es=s:0.5"}`, nil},
		{"white space", " \t\r\n{ \n\"a\" : 1 } \n", with(""), parent + `,"a" : 1 }`, nil},
		{"an empty object with white space", " { } ", with(""), parent + `}`, nil},
		{"a state to be escaped", `{}`, with(`a="\`), parent + `,"tracestate":"a=\"\\"}`, nil},
		{"a malformed state", `{}`, with("a=b\n"), parent + `}`, nil},
		{"a long state", `{}`, with("a=" + strings.Repeat("x", 512)), parent + `}`, nil},
		{"a state without its white space", `{}`, with(" a=b ,, c=d"), parent + `,"tracestate":"a=b,c=d"}`, nil},
		{"reserved flags", `{}`, apmws.SpanContext{TraceID: sc.TraceID, SpanID: sc.SpanID, Flags: 0xff}, parent[:len(parent)-2] + `3"}`, nil},
		{"nothing to add", ` {"type":"x"} `, apmws.SpanContext{}, ` {"type":"x"} `, nil},
		{"half of the ids", `{}`, apmws.SpanContext{TraceID: sc.TraceID, State: "a=b"}, `{}`, nil},
		{"what is there already stays", `{"traceparent":"old"}`, with(""), parent + `,"traceparent":"old"}`, nil},

		{"an array", `[{}]`, sc, "", apmws.ErrJSONObject},
		{"null", `null`, sc, "", apmws.ErrJSONObject},
		{"a string", `"{}"`, sc, "", apmws.ErrJSONObject},
		{"nothing", ``, sc, "", apmws.ErrJSONObject},
		{"white space alone", " \n", sc, "", apmws.ErrJSONObject},
		{"an open brace", `{`, sc, "", apmws.ErrJSONObject},
		{"a closing brace", `}`, sc, "", apmws.ErrJSONObject},
		{"two values", `{} 1`, sc, "", apmws.ErrJSONObject},
		{"no object and nothing to add", `1`, apmws.SpanContext{}, "", apmws.ErrJSONObject},
	} {
		t.Run(test.name, func(t *testing.T) {
			object := []byte(test.object)
			for _, dst := range []string{"", "kept "} {
				got, err := apmws.AppendJSONTraceContext([]byte(dst), object, test.sc)
				if string(got) != dst+test.want || !errors.Is(err, test.err) {
					t.Errorf("appended to %q: %s, %v; want %s, %v", dst, got, err, dst+test.want, test.err)
				}
			}
			if string(object) != test.object {
				t.Errorf("the object was changed to %s", object)
			}
		})
	}
}

func TestAppendJSONTraceContextAllocs(t *testing.T) {
	sc, err := apmws.ParseTraceParent(envelopeParent, `es=s:1,a="`)
	if err != nil {
		t.Fatal(err)
	}
	object, dst := []byte(`{"type":"x"}`), make([]byte, 0, 512)
	if n := testing.AllocsPerRun(100, func() {
		if dst, err = apmws.AppendJSONTraceContext(dst[:0], object, sc); err != nil {
			t.Error(err)
		}
	}); n > 1 { // the traceparent's
		t.Errorf("%v allocations", n)
	}
}

// FuzzJSONTraceContext compares with a walk over the tokens of encoding/json, and
// has what was read put into the message again.
func FuzzJSONTraceContext(f *testing.F) {
	for _, seed := range []string{
		`{"traceparent":"` + envelopeParent + `","tracestate":"es=s:1","type":"x"}`,
		`{"type":"x","tracestate":"a=\"\\","trace\u0070arent":"\u0030` + envelopeParent[1:] + `"}`,
		`{"a":{"traceparent":"no"},"b":[{"traceparent":"no"}],"traceparent":"` + envelopeParent + `"}`,
		`{"traceparent":null,"traceparent":"` + envelopeParent + `"}`,
		`{"traceparent":"` + envelopeParent + `" "tracestate":"a=b"}`,
		` { } `, `[]`, `{`, `{"traceparent":`, `{"a":[{]}`, "{\"traceparent\":\"\xff\"}",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		before := bytes.Clone(payload)
		parent, state := apmws.JSONTraceContext(apmws.TextMessage, payload)
		if !bytes.Equal(payload, before) {
			t.Fatalf("the payload was changed from %q to %q", before, payload)
		}
		if len(payload) <= 512 && json.Valid(payload) {
			wantParent := referenceMember(payload, "traceparent")
			wantState := referenceMember(payload, "tracestate")
			if wantParent == "" {
				wantState = ""
			}
			if parent != wantParent || state != wantState {
				t.Fatalf("%q holds %q, %q; encoding/json says %q, %q", payload, parent, state, wantParent, wantState)
			}
		}
		sc, err := apmws.ParseTraceParent(parent, state)
		if err != nil {
			return
		}
		with, err := apmws.AppendJSONTraceContext(nil, payload, sc)
		if err != nil {
			return // it is cut short
		}
		if json.Valid(payload) && !json.Valid(with) {
			t.Fatalf("%q became %q", payload, with)
		}
		again, err := apmws.ParseTraceParent(apmws.JSONTraceContext(apmws.TextMessage, with))
		if err != nil || again.TraceID != sc.TraceID || again.SpanID != sc.SpanID || again.Flags != sc.Flags || sc.State != "" && again.State != sc.State {
			t.Fatalf("%+v became %+v, %v", sc, again, err)
		}
	})
}

// referenceMember returns the first member of that name of a valid JSON object, if
// it is a string.
func referenceMember(object []byte, name string) string {
	dec := json.NewDecoder(bytes.NewReader(object))
	if enterReference(dec, name) != nil {
		return ""
	}
	tok, err := dec.Token()
	if err != nil {
		return ""
	}
	text, _ := tok.(string)
	return text
}

func BenchmarkJSONTraceContext(b *testing.B) {
	text := strings.Repeat("lorem ipsum ", 20)
	for _, bench := range []struct{ name, payload string }{
		{"first", `{"traceparent":"` + envelopeParent + `","tracestate":"es=s:1","text":"` + text + `"}`},
		{"last", `{"text":"` + text + `","traceparent":"` + envelopeParent + `"}`},
		{"none", `{"type":"chat.say","text":"` + text + `"}`},
	} {
		b.Run(bench.name, func(b *testing.B) {
			payload := []byte(bench.payload)
			b.ReportAllocs()
			b.SetBytes(int64(len(payload)))
			for b.Loop() {
				apmws.JSONTraceContext(apmws.TextMessage, payload)
			}
		})
	}
}
