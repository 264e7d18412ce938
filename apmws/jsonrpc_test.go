package apmws_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/apmws/go-apmws/apmws"
)

func TestJSONRPC(t *testing.T) {
	registered := apmws.JSONRPCNames("subtract", "update", "foobar", "get_data", "textDocument/didOpen", "größe")
	const text = apmws.TextMessage
	nested := strings.Repeat("[", 10_001) + strings.Repeat("]", 10_001)
	testNamings(t, apmws.JSONRPC(), registered, []naming{
		// Of the kinds in section 7 of the specification.
		{"positional parameters", text, `{"jsonrpc": "2.0", "method": "subtract", "params": [42, 23], "id": 1}`, "subtract"},
		{"named parameters", text, `{"jsonrpc": "2.0", "method": "subtract", "params": {"subtrahend": 23, "minuend": 42}, "id": 3}`, "subtract"},
		{"notification", text, `{"jsonrpc": "2.0", "method": "update", "params": [1,2,3,4,5]}`, "update"},
		{"notification without parameters", text, `{"jsonrpc": "2.0", "method": "foobar"}`, "foobar"},
		{"response", text, `{"jsonrpc": "2.0", "result": 19, "id": 1}`, "response"},
		{"response, result last", text, `{"jsonrpc": "2.0", "id": 1, "result": {"method": "update", "error": {}}}`, "response"},
		{"response, null", text, `{"jsonrpc": "2.0", "result": null, "id": 1}`, "response"},
		{"error response", text, `{"jsonrpc": "2.0", "error": {"code": -32601, "message": "Method not found"}, "id": "1"}`, "error response"},
		{"error response, error last", text, `{"jsonrpc": "2.0", "id": null, "error": {"code": -32700, "message": "Parse error"}}`, "error response"},
		{"batch", text, `[{"jsonrpc": "2.0", "method": "sum", "params": [1,2,4], "id": "1"}, {"jsonrpc": "2.0", "method": "notify_hello", "params": [7]}]`, "batch"},
		{"batch of responses", text, ` [ {"jsonrpc": "2.0", "result": 7, "id": "1"} ] `, "batch"},
		{"invalid batch, not empty", text, `[1,2,3]`, "batch"},
		{"empty batch", text, `[ ]`, ""},
		{"batch of invalid JSON", text, `[{"jsonrpc": "2.0", "method": "sum"},{"jsonrpc": "2.0", "method" ]`, ""},
		{"invalid JSON", text, `{"jsonrpc": "2.0", "method": "foobar, "params": "bar", "baz]`, ""},
		{"invalid request", text, `{"jsonrpc": "2.0", "method": 1, "params": "bar"}`, ""},
		{"no request at all", text, `{"foo": "boo"}`, ""},

		{"binary", apmws.BinaryMessage, `{"jsonrpc":"2.0","method":"update"}`, "update"},
		{"method after large parameters", text, `{"params":{"method":"update","a":[{"b":[1.5e3,"\u00e9"]}]},"method":"subtract","id":2}`, "subtract"},
		{"method with a slash", text, `{"jsonrpc":"2.0","method":"textDocument/didOpen","params":{}}`, "textDocument/didOpen"},
		{"escapes", text, `{"\u006dethod":"gr\u00f6\u00dfe"}`, "größe"},
		{"version is not looked at", text, `{"method":"get_data","id":"9"}`, "get_data"},
		{"no error but a result", text, `{"error":null,"result":19,"id":1}`, "response"},
		{"error is no object", text, `{"jsonrpc":"2.0","error":"no","id":1}`, ""},
		{"method is null", text, `{"jsonrpc":"2.0","method":null,"id":1}`, ""},
		{"method is empty", text, `{"jsonrpc":"2.0","method":"","id":1}`, ""},
		{"first method counts", text, `{"method":"update","method":"subtract"}`, "update"},
		{"malformed further on", text, `{"jsonrpc":"2.0","method":"update","params":nothing`, "update"},

		{"empty", text, ``, ""},
		{"empty object", text, `{}`, ""},
		{"string", text, `"method"`, ""},
		{"cut after the method", text, `{"method":"update"`, ""},
		{"cut in the result", text, `{"result":[1`, ""},
		{"cut after the result", text, `{"result":[1]`, ""},
		{"result without a value", text, `{"result":}`, ""},
		{"cut batch", text, `[{"method":"update"}`, ""},
		{"text after a batch", text, `[{"method":"update"}]x`, ""},
		{"array closed as an object", text, `[1}`, ""},
		{"too deep", text, nested, ""},
		{"parameters too deep", text, `{"params":` + nested + `,"method":"update"}`, ""},
	})
}

// FuzzJSONRPC compares methods with what encoding/json finds.
func FuzzJSONRPC(f *testing.F) {
	for _, seed := range []string{
		`{"jsonrpc":"2.0","method":"subtract","params":[42,23],"id":1}`,
		`{"params":{"method":"x"},"m\u0065thod":"caf\u00e9 \ud83d\ude00"}`,
		`{"jsonrpc":"2.0","result":{"a":[1,{}]},"id":1}`,
		`{"error":{"code":-32600},"id":null}`,
		`[{"method":"a"},1]`,
		`[]`,
	} {
		f.Add([]byte(seed))
	}
	kinds := apmws.JSONRPCNames()
	f.Fuzz(func(t *testing.T, payload []byte) {
		got := fuzzedName(t, apmws.JSONRPC(), apmws.TextMessage, payload)
		method, _ := referenceField(payload, "method")
		trimmed := strings.TrimLeft(string(payload), " \t\r\n")
		switch {
		case got == "batch" && strings.HasPrefix(trimmed, "["):
			if !json.Valid(payload) {
				t.Fatalf("%q is a batch, but malformed", payload)
			}
		case got == "":
			var object map[string]json.RawMessage
			if json.Unmarshal(payload, &object) == nil && object["method"] == nil && object["result"] != nil {
				t.Fatalf("the response %q has no name", payload)
			}
		case got != method && !slices.Contains(kinds, got):
			t.Fatalf("%q is %q, its method is %q", payload, got, method)
		}
	})
}
