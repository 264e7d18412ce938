package apmws_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/apmws/go-apmws/apmws"
)

func TestGraphQLWS(t *testing.T) {
	registered := apmws.GraphQLWSNames("GetUser", "onComment")
	const text = apmws.TextMessage
	testNamings(t, apmws.GraphQLWS(), registered, []naming{
		// Each type of the specification's section Message types.
		{"connection init", text, `{"type":"connection_init"}`, "connection_init"},
		{"connection init with a payload", text, `{"type":"connection_init","payload":{"token":"secret"}}`, "connection_init"},
		{"connection ack", text, `{"type":"connection_ack","payload":{}}`, "connection_ack"},
		{"ping", text, `{"type":"ping"}`, "ping"},
		{"pong", text, `{"type":"pong","payload":null}`, "pong"},
		{"named operation", text, `{"id":"1","type":"subscribe","payload":{"operationName":"GetUser","query":"query GetUser { user { id } }","variables":{"operationName":"no"}}}`, "subscribe GetUser"},
		{"operation name last", text, `{"payload":{"query":"subscription onComment { comment }","extensions":{"a":[{}]},"operationName":"onComment"},"type":"subscribe","id":"2"}`, "subscribe onComment"},
		{"anonymous", text, `{"id":"1","type":"subscribe","payload":{"query":"{ user { id } }"}}`, "subscribe"},
		{"anonymous by null", text, `{"id":"1","type":"subscribe","payload":{"operationName":null,"query":"{ a }"}}`, "subscribe"},
		{"anonymous by an empty string", text, `{"id":"1","type":"subscribe","payload":{"operationName":"","query":"{ a }"}}`, "subscribe"},
		{"named in the query alone", text, `{"id":"1","type":"subscribe","payload":{"query":"query GetUser { a }"}}`, "subscribe"},
		{"next", text, `{"id":"1","type":"next","payload":{"data":{"type":"ping"}}}`, "next"},
		{"error", text, `{"id":"1","type":"error","payload":[{"message":"no"}]}`, "error"},
		{"complete", text, `{"id":"1","type":"complete"}`, "complete"},

		{"binary", apmws.BinaryMessage, `{"type":"ping"}`, "ping"},
		{"type last", text, " {\n\"payload\" : {\"type\":\"ping\"} , \"id\":\"1\" , \"type\" : \"next\" } ", "next"},
		{"escapes", text, `{"ty\u0070e":"sub\u0073cribe","payload":{"operationName":"Get\u0055ser"}}`, "subscribe GetUser"},
		{"operation name of another type", text, `{"type":"next","payload":{"operationName":"GetUser"}}`, "next"},
		{"operation name outside the payload", text, `{"type":"subscribe","operationName":"GetUser"}`, "subscribe"},
		{"operation name is a number", text, `{"type":"subscribe","payload":{"operationName":1}}`, "subscribe"},
		{"payload is a string", text, `{"type":"subscribe","payload":"operationName"}`, "subscribe"},

		{"unknown type", text, `{"type":"start","payload":{"operationName":"GetUser"}}`, ""},
		{"a type that begins alike", text, `{"type":"subscribed"}`, ""},
		{"case matters", text, `{"type":"Ping"}`, ""},
		{"no type", text, `{"id":"1","payload":{"type":"ping"}}`, ""},
		{"type is null", text, `{"type":null}`, ""},
		{"type is an object", text, `{"type":{"type":"ping"}}`, ""},
		{"array", text, `[{"type":"ping"}]`, ""},
		{"empty", text, ``, ""},
		{"cut after the type", text, `{"type":"ping"`, ""},
		{"malformed before the type", text, `{"payload":{]},"type":"next"}`, ""},
		{"malformed after the type", text, `{"type":"ping" "id":1}`, ""},
	})
}

// FuzzGraphQLWS compares types and operations with what encoding/json finds.
func FuzzGraphQLWS(f *testing.F) {
	for _, seed := range []string{
		`{"id":"1","type":"subscribe","payload":{"operationName":"GetUser","query":"{a}"}}`,
		`{"payload":{"a":[{}],"operationN\u0061me":"\ud83d\ude00"},"type":"subscribe"}`,
		`{"type":"subscribe","payload":{"operationName":7}}`,
		`{"type":"connection_init"}`,
		`{"type":"next","payload":{}}`,
	} {
		f.Add([]byte(seed))
	}
	types := apmws.GraphQLWSNames()
	f.Fuzz(func(t *testing.T, payload []byte) {
		got := fuzzedName(t, apmws.GraphQLWS(), apmws.TextMessage, payload)
		typ, operation, _ := strings.Cut(got, " ")
		if got == "" {
			return
		}
		if want, _ := referenceField(payload, "type"); typ != want || !slices.Contains(types, typ) {
			t.Fatalf("%q is %q, its type is %q", payload, got, want)
		}
		if want, _ := referenceField(payload, "payload.operationName"); operation != "" && (operation != want || typ != "subscribe") {
			t.Fatalf("%q is %q, its operation is %q", payload, got, want)
		}
	})
}
