package apmws_test

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/apmws/go-apmws/apmws"
)

func TestSocketIO(t *testing.T) {
	registered := apmws.SocketIONames("foo", "bar", "baz", "chat message", "a,b", "größe")
	const text, binary = apmws.TextMessage, apmws.BinaryMessage
	testNamings(t, apmws.SocketIO(), registered, []naming{
		// Engine.IO's packets.
		{"open", text, `0{"sid":"lv_VI97HAXpY6yYWAAAC","upgrades":[],"pingInterval":25000,"pingTimeout":5000}`, "open"},
		{"close", text, `1`, "close"},
		{"ping", text, `2`, "ping"},
		{"pong", text, `3`, "pong"},
		{"ping probe", text, `2probe`, "ping"},
		{"pong probe", text, `3probe`, "pong"},
		{"upgrade", text, `5`, "upgrade"},
		{"noop", text, `6`, "noop"},

		// The packets that Socket.IO's section Packet encoding lists.
		{"connect", text, `40`, "connect"},
		{"connect with a payload", text, `40{"sid":"wZX3oN0bSVIhsaknAAAI"}`, "connect"},
		{"connect to a namespace", text, `40/admin,`, "connect"},
		{"connect to a namespace with a payload", text, `40/admin,{"token":"123"}`, "connect"},
		{"connect to a namespace, comma left out", text, `40/admin`, "connect"},
		{"connect error", text, `44{"message":"Not authorized"}`, "connect_error"},
		{"connect error of a namespace", text, `44/admin,{"message":"Not authorized"}`, "connect_error"},
		{"event", text, `42["foo"]`, "foo"},
		{"event in a namespace", text, `42/admin,["bar"]`, "bar"},
		{"event with a number", text, `4212["foo"]`, "foo"},
		{"event with a number in a namespace", text, `42/admin,13["foo"]`, "foo"},
		{"event with arguments", text, `42["chat message",{"text":"hi"},[1]]`, "chat message"},
		{"binary event", text, `451-["baz",{"_placeholder":true,"num":0}]`, "baz"},
		{"binary event in a namespace", text, `452-/admin,["baz",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]`, "baz"},
		{"binary event with a number", text, `451-14["foo",{"_placeholder":true,"num":0}]`, "foo"},
		{"binary event of many", text, `4512-["foo"]`, "foo"},
		{"attachment", binary, "\x01\x02\x03\x04", "binary"},
		{"attachment like an event", binary, `42["foo"]`, "binary"},
		{"empty attachment", binary, ``, "binary"},
		{"ack", text, `4312[]`, "ack"},
		{"ack in a namespace", text, `43/admin,13["bar"]`, "ack"},
		{"binary ack", text, `461-15["bar",{"_placeholder":true,"num":0}]`, "ack"},
		{"disconnect", text, `41`, "disconnect"},
		{"disconnect from a namespace", text, `41/admin,`, "disconnect"},

		{"event with a comma", text, `42["a,b"]`, "a,b"},
		{"event with escapes", text, `42["gr\u00f6\u00dfe"]`, "größe"},
		{"white space", text, `42 [ "foo" , 1 ] `, "foo"},
		{"malformed further on", text, `42["foo",nothing`, "foo"},

		{"empty", text, ``, ""},
		{"unknown packet", text, `7`, ""},
		{"base64, which is for polling", text, `bAQIDBA==`, ""},
		{"Engine.IO message without a packet", text, `4`, ""},
		{"Engine.IO message of another kind", text, `4HelloWorld`, ""},
		{"unknown Socket.IO packet", text, `47["foo"]`, ""},
		{"open without a handshake", text, `0`, ""},
		{"open with nonsense", text, `0{"sid":}`, ""},
		{"close with data", text, `100 bottles`, ""},
		{"ping with data", text, `2024`, ""},
		{"pong with data", text, `3x`, ""},
		{"upgrade with data", text, `5x`, ""},
		{"noop with data", text, `6x`, ""},
		{"event without a payload", text, `42`, ""},
		{"event of an empty array", text, `42[]`, ""},
		{"event of an object", text, `42{"foo":1}`, ""},
		{"event that is a number", text, `42[1]`, ""},
		{"event that is empty", text, `42[""]`, ""},
		{"event closed as an object", text, `42["foo"}`, ""},
		{"event cut short", text, `42["foo`, ""},
		{"event cut after its name", text, `42["foo"`, ""},
		{"event in a namespace that does not end", text, `42/admin["foo"]`, ""},
		{"event with attachments that has none", text, `421-["foo"]`, ""},
		{"binary event without a number", text, `45["foo"]`, ""},
		{"binary event without a hyphen", text, `451["foo"]`, ""},
		{"binary event without digits", text, `45-["foo"]`, ""},
		{"binary event of a number alone", text, `451`, ""},
		{"connect with an array", text, `40[]`, ""},
		{"connect with a number", text, `4012`, ""},
		{"connect with more", text, `40{}x`, ""},
		{"disconnect with data", text, `41{}`, ""},
		{"disconnect with a number", text, `4112`, ""},
		{"connect with a number and a payload", text, `4012{}`, ""},
		{"connect error with a number", text, `4412{"message":"no"}`, ""},
		{"ack without a number", text, `43["bar"]`, ""},
		{"ack of an object", text, `4312{}`, ""},
		{"ack cut short", text, `4312["bar"`, ""},
		{"ack without a payload", text, `4312`, ""},
		{"connect error without a payload", text, `44`, ""},
		{"polling payload of two packets", text, "40\x1e42[\"foo\"]", ""},
	})
}

// eventPacket is an event by a grammar of its own.
var eventPacket = regexp.MustCompile(`(?s)^4(?:2|5[0-9]+-)(?:/[^,]*,)?[0-9]*([ \t\r\n]*\[.*)$`)

// FuzzSocketIO compares events with what encoding/json finds where a regular
// expression says that they are.
func FuzzSocketIO(f *testing.F) {
	for _, seed := range []string{
		`0{"sid":"a"}`, `2probe`, `40/admin,{"token":"123"}`, `42["foo",{"a":[1]}]`, `42/a,13["caf\u00e9 \ud83d\ude00"]`,
		`452-/admin,7["baz",{"_placeholder":true,"num":0}]`, `4312["bar"]`, `41`, `44{"message":"no"}`, `42[[]]`,
	} {
		f.Add([]byte(seed), false)
	}
	f.Add([]byte("\x00\x01"), true)
	packets := apmws.SocketIONames()
	f.Fuzz(func(t *testing.T, payload []byte, binary bool) {
		if binary {
			if got := fuzzedName(t, apmws.SocketIO(), apmws.BinaryMessage, payload); got != "binary" {
				t.Fatalf("%q is %q", payload, got)
			}
			return
		}
		got := fuzzedName(t, apmws.SocketIO(), apmws.TextMessage, payload)
		event := ""
		found := eventPacket.FindSubmatch(payload)
		if found != nil {
			event = firstString(string(found[1]))
		}
		switch {
		case found == nil && got != "" && !slices.Contains(packets, got):
			t.Fatalf("%q is %q, but no event", payload, got)
		case found != nil && got != event && (got != "" || json.Valid(found[1])):
			t.Fatalf("%q is %q, its event is %q", payload, got, event)
		}
	})
}

// firstString returns the first element of a JSON array if it is a string.
func firstString(array string) string {
	dec := json.NewDecoder(strings.NewReader(array))
	if tok, err := dec.Token(); err != nil || tok != json.Delim('[') {
		return ""
	}
	tok, err := dec.Token()
	if err != nil {
		return ""
	}
	s, _ := tok.(string)
	return s
}
