package apmws_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"github.com/apmws/go-apmws/apmws"
)

func ExampleJSONField() {
	name := apmws.JSONField("data.event")

	message := []byte(`{"id": 7, "data": {"event": "chat.say", "text": "hello"}}`)
	fmt.Printf("%s\n", name(nil, apmws.TextMessage, message))
	// Output: chat.say
}

func TestJSONField(t *testing.T) {
	nested := func(n int) string { return strings.Repeat(`[`, n) + strings.Repeat(`]`, n) }
	nestedObjects := func(n int) string { return strings.Repeat(`{"a":`, n) + `0` + strings.Repeat(`}`, n) }
	for _, test := range []struct{ name, path, payload, want string }{
		{"first member", "type", `{"type":"chat.say","text":"hi"}`, "chat.say"},
		{"last member", "type", `{"a":1,"b":[1,{"type":"no"}],"c":{"type":"no"},"type":"yes"}`, "yes"},
		{"white space", "type", " \t\r\n{ \n\"a\" : 1 ,\t\"type\"\r:  \"x\" }", "x"},
		{"byte order mark", "type", "\ufeff" + `{"type":"x"}`, ""},
		{"other white space", "type", "\f" + `{"type":"x"}`, ""},
		{"path", "data.event", `{"event":"no","data":{"x":{"event":"no"},"event":"yes"}}`, "yes"},
		{"long path", "a.b.c.d", `{"a":{"b":{"c":{"d":"deep"}}}}`, "deep"},
		{"path through a string", "a.b", `{"a":"b"}`, ""},
		{"path through an array", "a.b", `{"a":[{"b":"x"}]}`, ""},
		{"index as a key", "a.0", `{"a":["x"]}`, ""},
		{"numeric key", "a.0", `{"a":{"0":"x"}}`, "x"},
		{"path missing its end", "a.b", `{"a":{},"a":{"b":"second"}}`, ""},
		{"dotted key is out of reach", "a.b", `{"a.b":"x"}`, ""},
		{"case matters", "type", `{"Type":"x"}`, ""},
		{"prefix of a key", "type", `{"typ":"x","types":"y"}`, ""},

		{"duplicate key", "type", `{"type":"first","type":"second"}`, "first"},
		{"duplicate key, null first", "type", `{"type":null,"type":"second"}`, ""},
		{"escaped key", "type", `{"ty\u0070e":"x"}`, "x"},
		{"escaped key, another", "type", `{"ty\u0071e":"x"}`, ""},
		{"escaped key, shorter", "type", `{"\u0074yp":"x"}`, ""},
		{"escaped key, longer", "type", `{"\u0074ypes":"x"}`, ""},
		{"escaped key, longer by a replacement", "type", `{"type\ud800":"x"}`, ""},
		{"key beyond ASCII", "größe", `{"größe":"x"}`, "x"},
		{"key beyond ASCII, escaped", "größe", `{"gr\u00f6\u00DFe":"x"}`, "x"},
		{"key outside the first plane", "😀", `{"\ud83d\uDE00":"x"}`, "x"},
		{"invalid key equals its replacement", "\ufffd", "{\"\xff\":\"x\"}", "x"},
		{"key with an escaped quote", `a"b`, `{"a\"b":"x"}`, "x"},

		{"escapes", "t", `{"t":"\"\\\/\b\f\n\r\t"}`, "\"\\/\b\f\n\r\t"},
		{"unicode escapes", "t", `{"t":"\u0041\u00e9\u20AC\ud83d\ude00"}`, "Aé€😀"},
		{"beyond ASCII as it is", "t", `{"t":"é€😀"}`, "é€😀"},
		{"nul and delete", "t", "{\"t\":\"\\u0000\x7f\"}", "\x00\x7f"},
		{"lone high surrogate", "t", `{"t":"a\ud83db"}`, "a\ufffdb"},
		{"lone low surrogate", "t", `{"t":"a\ude00b"}`, "a\ufffdb"},
		{"high surrogate at the end", "t", `{"t":"\ud83d"}`, "\ufffd"},
		{"high surrogate before another escape", "t", `{"t":"\ud83d\n"}`, "\ufffd\n"},
		{"high surrogate before a letter", "t", `{"t":"\ud83d\u0041"}`, "\ufffdA"},
		{"two high surrogates and a low one", "t", `{"t":"\ud83d\ud83d\ude00"}`, "\ufffd😀"},
		{"surrogates in the wrong order", "t", `{"t":"\ude00\ud83d"}`, "\ufffd\ufffd"},
		{"invalid UTF-8", "t", "{\"t\":\"a\xff\xc3b\"}", "a\ufffd\ufffdb"},
		{"surrogate in UTF-8", "t", "{\"t\":\"\xed\xa0\x80\"}", "\ufffd\ufffd\ufffd"},
		{"empty string", "t", `{"t":""}`, ""},
		{"bad escape", "t", `{"t":"\x"}`, ""},
		{"escaped apostrophe", "t", `{"t":"\'"}`, ""},
		{"short unicode escape", "t", `{"t":"\u12"}`, ""},
		{"cut unicode escape", "t", `{"t":"\u12`, ""},
		{"cut escape", "t", `{"t":"\`, ""},
		{"bad unicode escape", "t", `{"t":"\u12g4"}`, ""},
		{"line break in a string", "t", "{\"t\":\"a\nb\"}", ""},
		{"unterminated string", "t", `{"t":"abc`, ""},

		{"integer", "t", `{"t":42}`, "42"},
		{"number", "t", `{"t":-0.50e+07 ,"u":1}`, "-0.50e+07"},
		{"large number", "t", `{"t":123456789012345678901234567890}`, "123456789012345678901234567890"},
		{"zero", "t", `{"t":0}`, "0"},
		{"true", "t", `{"t":true}`, "true"},
		{"false", "t", `{"t": false, "u":1}`, "false"},
		{"null", "t", `{"t":null}`, ""},
		{"object", "t", `{"t":{"t":"x"}}`, ""},
		{"array", "t", `{"t":["x"]}`, ""},
		{"leading zero", "t", `{"t":01}`, ""},
		{"plus", "t", `{"t":+1}`, ""},
		{"minus alone", "t", `{"t":-}`, ""},
		{"no digit before the point", "t", `{"t":.5}`, ""},
		{"no digit after the point", "t", `{"t":1.}`, ""},
		{"no exponent", "t", `{"t":1e}`, ""},
		{"no exponent after its sign", "t", `{"t":1e-}`, ""},
		{"number with a tail", "t", `{"t":1x}`, ""},
		{"hexadecimal", "t", `{"t":0x10}`, ""},
		{"not a number", "t", `{"t":NaN}`, ""},
		{"cut number", "t", `{"t":12`, ""},
		{"cut number in a bracket", "t", `{"t":12]`, ""},
		{"cut word", "t", `{"t":tru`, ""},
		{"word with a tail", "t", `{"t":trues}`, ""},
		{"word in capitals", "t", `{"t":True}`, ""},
		{"no value", "t", `{"t":}`, ""},
		{"no value, end", "t", `{"t":`, ""},

		{"empty payload", "t", ``, ""},
		{"blank payload", "t", ` `, ""},
		{"no JSON", "t", `hello`, ""},
		{"top-level string", "t", `"t"`, ""},
		{"top-level array", "t", `[{"t":"x"}]`, ""},
		{"empty object", "t", `{}`, ""},
		{"open brace", "t", `{`, ""},
		{"missing", "t", `{"a":1}`, ""},
		{"unquoted key", "t", `{t:"x"}`, ""},
		{"number as a key", "t", `{1:"x","t":"y"}`, ""},
		{"no colon", "t", `{"t" "x"}`, ""},
		{"no comma", "t", `{"a":1 "t":"x"}`, ""},
		{"two commas", "t", `{"a":1,,"t":"x"}`, ""},
		{"comma first", "t", `{,"t":"x"}`, ""},
		{"nul byte", "t", "{\x00\"t\":\"x\"}", ""},
		{"nul byte for a comma", "t", "{\"a\":1\x00\"t\":\"x\"}", ""},

		{"malformed after the value", "t", `{"t":"x" oops`, "x"},
		{"cut after the value", "t", `{"t":"x"`, "x"},
		{"malformed number before", "t", `{"a":01,"t":"x"}`, ""},
		{"malformed word before", "t", `{"a":nul,"t":"x"}`, ""},
		{"malformed string before", "t", `{"a":"\q","t":"x"}`, ""},
		{"malformed key before", "t", "{\"a\tb\":1,\"t\":\"x\"}", ""},
		{"crossed brackets before", "t", `{"a":[{]},"t":"x"}`, ""},
		{"array closed as an object", "t", `{"a":[1},"t":"x"}`, ""},
		{"object closed as an array", "t", `{"a":{"b":1],"t":"x"}`, ""},
		{"comma last in an array", "t", `{"a":[1,],"t":"x"}`, ""},
		{"comma last in an object", "t", `{"a":{"b":1,},"t":"x"}`, ""},
		{"comma only", "t", `{"a":[,],"t":"x"}`, ""},
		{"member without a value", "t", `{"a":{"b":},"t":"x"}`, ""},
		{"key in an array", "t", `{"a":["b":1],"t":"x"}`, ""},
		{"value in an object", "t", `{"a":{1},"t":"x"}`, ""},
		{"array never closed", "t", `{"a":[[[`, ""},
		{"object never closed", "t", `{"a":{"b":{`, ""},
		{"skipped of every kind", "t", `{"a":[ ],"b":{ },"c":[{},[],[[ ]],{"x":[]}],"d":"\"}","e":[null,true,false,-1e9,"]"],"t":"x"}`, "x"},

		{"arrays at the depth limit", "t", `{"a":` + nested(9_999) + `,"t":"x"}`, "x"},
		{"arrays beyond the depth limit", "t", `{"a":` + nested(10_000) + `,"t":"x"}`, ""},
		{"objects at the depth limit", "t", `{"a":` + nestedObjects(9_999) + `,"t":"x"}`, "x"},
		{"objects beyond the depth limit", "t", `{"a":` + nestedObjects(10_000) + `,"t":"x"}`, ""},
		{"depth counts the path", "p.t", `{"p":{"a":` + nested(9_999) + `,"t":"x"}}`, ""},
		{"mixed levels", "t", `{"a":` + strings.Repeat(`[{"b":`, 100) + `1` + strings.Repeat(`}]`, 100) + `,"t":"x"}`, "x"},
		{"mixed levels, crossed", "t", `{"a":` + strings.Repeat(`[{"b":`, 100) + `1` + strings.Repeat(`]}`, 100) + `,"t":"x"}`, ""},
		{"path at the depth limit", strings.Repeat("a.", 9_999) + "a", strings.Repeat(`{"a":`, 10_000) + `"x"`, "x"},
		{"path beyond the depth limit", strings.Repeat("a.", 10_000) + "a", strings.Repeat(`{"a":`, 10_001) + `"x"`, ""},

		{"empty path", "", `{"":"x"}`, ""},
		{"empty first segment", ".a", `{"":{"a":"x"},".a":"y"}`, ""},
		{"empty last segment", "a.", `{"a":{"":"x"},"a.":"y"}`, ""},
		{"empty segment", "a..b", `{"a":{"":{"b":"x"}}}`, ""},
		{"path of invalid UTF-8", "\xff", "{\"\xff\":\"x\",\"\ufffd\":\"y\"}", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			payload := []byte(test.payload)
			name := apmws.JSONField(test.path)
			if got := string(name(nil, apmws.TextMessage, payload)); got != test.want {
				t.Errorf("JSONField(%.40q) of %.80q = %q, want %q", test.path, test.payload, got, test.want)
			}
			if got := string(name([]byte("kept "), apmws.TextMessage, payload)); got != "kept "+test.want {
				t.Errorf("appended to %q: got %q, want %q", "kept ", got, "kept "+test.want)
			}
			if string(payload) != test.payload {
				t.Errorf("the payload was changed to %.80q", payload)
			}
			if got, ok := referenceField(payload, test.path); test.want != "" && (!ok || got != test.want) {
				t.Errorf("encoding/json finds %q, %t, the table says %q", got, ok, test.want)
			}
		})
	}
}

// A message that is cut anywhere is named by its whole value or not at all.
func TestJSONFieldCut(t *testing.T) {
	const message = `{"id":-1.5e3,"a":["\u00e9",{"b":null}],"data":{"n":12345,"event":"caf\u00e9"}}`
	for _, test := range []struct{ path, want string }{
		{"id", "-1.5e3"},
		{"data.n", "12345"},
		{"data.event", "café"},
	} {
		name := apmws.JSONField(test.path)
		named := false
		for end := range len(message) + 1 {
			switch got := string(name(nil, apmws.TextMessage, []byte(message[:end]))); {
			case got == test.want:
				named = true
			case got != "" || named:
				t.Errorf("%s in %s = %q, want %q or nothing, and no name lost", test.path, message[:end], got, test.want)
			}
		}
		if !named {
			t.Errorf("%s was never found", test.path)
		}
	}
}

func TestJSONFieldConcurrent(t *testing.T) {
	name := apmws.JSONField("data.event")
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			want := fmt.Sprintf("event-%d", g)
			payload := fmt.Appendf(nil, `{"skip":[{}],"data":{"event":%q}}`, want)
			for range 1000 {
				if got := string(name(nil, apmws.TextMessage, payload)); got != want {
					t.Errorf("got %q, want %q", got, want)
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestJSONFieldAllocs(t *testing.T) {
	for _, test := range []struct{ name, path, payload string }{
		{"first", "type", `{"type":"chat.say","text":"hi"}`},
		{"after nested values", "type", `{"a":[1,{"b":[[["c"]]]}],"é":"\u00e9","type":"chat.say"}`},
		{"path", "data.event", `{"data":{"event":"chat.say"}}`},
		{"escaped", "type", `{"ty\u0070e":"\ud83d\ude00 caf\u00e9"}`},
		{"number", "type", `{"type":42}`},
		{"missing", "type", `{"a":1}`},
		{"malformed escape", "type", `{"type":"\u12g4"}`},
		{"malformed", "type", `{"a":nul`},
		{"deep", "type", `{"a":` + strings.Repeat("[", 500) + strings.Repeat("]", 500) + `,"type":"x"}`},
	} {
		name := apmws.JSONField(test.path)
		payload := []byte(test.payload)
		dst := make([]byte, 0, 64)
		if n := testing.AllocsPerRun(100, func() { dst = name(dst[:0], apmws.TextMessage, payload) }); n != 0 {
			t.Errorf("%s: %v allocations per call, want 0", test.name, n)
		}
	}
}

// FuzzJSONField compares with a walk over the tokens of encoding/json.
func FuzzJSONField(f *testing.F) {
	for _, seed := range []struct{ payload, path string }{
		{`{"type":"chat.say","text":"hi"}`, "type"},
		{`{"a":[1,{"b":null}],"data":{"x":true,"event":"caf\u00e9 \ud83d\ude00"}}`, "data.event"},
		{`{"ty\u0070e":-1.5e+3}`, "type"},
		{`{"a":{"b":{}},"a":{"b":"second"}}`, "a.b"},
		{` { "a" : [ [ ] , { } ] , "t" : false } `, "t"},
		{"{\"\xff\":\"\xed\xa0\x80\"}", "\ufffd"},
		{`{"a":[}`, "b"},
		{`{"t":1x}`, "t"},
		{`["t"]`, "t"},
		{`{"":1}`, ""},
	} {
		f.Add([]byte(seed.payload), seed.path)
	}
	f.Fuzz(func(t *testing.T, payload []byte, path string) {
		before := bytes.Clone(payload)
		out := apmws.JSONField(path)([]byte("dst"), apmws.TextMessage, payload)
		if !bytes.Equal(payload, before) {
			t.Fatalf("the payload was changed from %q to %q", before, payload)
		}
		got, ok := bytes.CutPrefix(out, []byte("dst"))
		if !ok {
			t.Fatalf("dst was not kept: %q", out)
		}
		want, found := referenceField(payload, path)
		switch {
		case json.Valid(payload) && string(got) != want:
			t.Fatalf("JSONField(%q) of %q = %q, encoding/json says %q", path, payload, got, want)
		case len(got) > 0 && (!found || string(got) != want):
			t.Fatalf("JSONField(%q) of the malformed %q = %q, encoding/json reaches %q, %t", path, payload, got, want, found)
		}
	})
}

var errNoField = errors.New("no such field")

// referenceField finds the first value at path by walking over the tokens of
// encoding/json. It reports whether the walk came to a scalar with a text.
func referenceField(payload []byte, path string) (string, bool) {
	if !utf8.ValidString(path) {
		return "", false
	}
	dec := json.NewDecoder(bytes.NewReader(payload))
	dec.UseNumber()
	for key := range strings.SplitSeq(path, ".") {
		if key == "" || enterReference(dec, key) != nil {
			return "", false
		}
	}
	tok, err := dec.Token()
	if err != nil {
		return "", false
	}
	switch v := tok.(type) {
	case string:
		return v, true
	case json.Number:
		return v.String(), true
	case bool:
		return fmt.Sprint(v), true
	}
	return "", false
}

// enterReference reads the object that is due up to the value of key.
func enterReference(dec *json.Decoder, key string) error {
	if tok, err := dec.Token(); err != nil || tok != json.Delim('{') {
		return errors.Join(err, errNoField)
	}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return err
		}
		if name == key {
			return nil
		}
		for depth := 0; ; {
			tok, err := dec.Token()
			if err != nil {
				return err
			}
			switch tok {
			case json.Delim('{'), json.Delim('['):
				depth++
			case json.Delim('}'), json.Delim(']'):
				depth--
			}
			if depth == 0 {
				break
			}
		}
	}
	return errNoField
}

func BenchmarkJSONField(b *testing.B) {
	text := strings.Repeat("lorem ipsum ", 20)
	for _, bench := range []struct{ name, path, payload string }{
		{"first", "type", `{"type":"chat.say","text":"` + text + `"}`},
		{"last", "type", `{"id":17,"text":"` + text + `","type":"chat.say"}`},
		{"path", "data.event", `{"id":17,"data":{"event":"chat.say","text":"` + text + `"}}`},
		{"nested", "type", `{"tags":["a","b",{"c":[1,2,3]}],"user":{"id":7,"name":"u"},"type":"chat.say"}`},
		{"escaped", "type", `{"ty\u0070e":"caf\u00e9 \ud83d\ude00"}`},
	} {
		b.Run(bench.name, func(b *testing.B) {
			name := apmws.JSONField(bench.path)
			payload := []byte(bench.payload)
			dst := make([]byte, 0, 64)
			b.ReportAllocs()
			b.SetBytes(int64(len(payload)))
			for b.Loop() {
				dst = name(dst[:0], apmws.TextMessage, payload)
			}
			if len(dst) == 0 {
				b.Fatal("the message was not named")
			}
		})
	}
}
