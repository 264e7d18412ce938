package apmws_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/apmws/go-apmws/apmws"
)

func TestSTOMP(t *testing.T) {
	templates := []string{
		"/queue/a", "/topic/rooms/{room}", "/topic/rooms/{room}/say", "/topic/rooms/lobby/say",
		"{tenant}/a", "/app/a:b\\c\r\n", "/q/{", "plain",
	}
	const text, binary = apmws.TextMessage, apmws.BinaryMessage
	namings := []naming{
		// Of the specification's own frames.
		{"connect", text, "CONNECT\naccept-version:1.2\nhost:stomp.github.org\n\n\x00", "CONNECT"},
		{"stomp", text, "STOMP\naccept-version:1.2\nhost:stomp.github.org\npasscode:secret\n\n\x00", "STOMP"},
		{"connected", text, "CONNECTED\nversion:1.2\n\n\x00", "CONNECTED"},
		{"send", text, "SEND\ndestination:/queue/a\ncontent-type:text/plain\n\nhello queue a\n\x00", "SEND /queue/a"},
		{"subscribe", text, "SUBSCRIBE\nid:0\ndestination:/queue/a\nack:client\n\n\x00", "SUBSCRIBE /queue/a"},
		{"unsubscribe", text, "UNSUBSCRIBE\nid:0\n\n\x00", "UNSUBSCRIBE"},
		{"ack", text, "ACK\nid:12345\ntransaction:tx1\n\n\x00", "ACK"},
		{"nack", text, "NACK\nid:12345\n\n\x00", "NACK"},
		{"begin", text, "BEGIN\ntransaction:tx1\n\n\x00", "BEGIN"},
		{"commit", text, "COMMIT\ntransaction:tx1\n\n\x00", "COMMIT"},
		{"abort", text, "ABORT\ntransaction:tx1\n\n\x00", "ABORT"},
		{"disconnect", text, "DISCONNECT\nreceipt:77\n\x00", "DISCONNECT"},
		{"message", text, "MESSAGE\nsubscription:0\nmessage-id:007\ndestination:/queue/a\ncontent-type:text/plain\n\nhello queue a\x00", "MESSAGE /queue/a"},
		{"receipt", text, "RECEIPT\nreceipt-id:message-12345\n\n\x00", "RECEIPT"},
		{"error", text, "ERROR\nmessage: malformed frame received\n\nThe message:\n-----\nSEND\ndestination:/queue/a\n\x00", "ERROR"},
		{"heartbeat", text, "\n", "heartbeat"},
		{"heartbeat of CR LF", binary, "\r\n", "heartbeat"},
		{"several heartbeats", text, "\n\r\n\n", "heartbeat"},
		{"repeated header", text, "SEND\ndestination:/queue/a\ndestination:/topic/rooms/1\n\n\x00", "SEND /queue/a"},

		{"binary", binary, "SEND\ndestination:/queue/a\n\n\xff\x00\x00", "SEND /queue/a"},
		{"CR LF", text, "SEND\r\ncontent-length:0\r\ndestination:/topic/rooms/7\r\n\r\n\x00", "SEND /topic/rooms/{room}"},
		{"after ends of lines", text, "\n\r\n\nSEND\ndestination:/queue/a\n\n\x00", "SEND /queue/a"},
		{"two frames", text, "ACK\nid:1\n\n\x00\nSEND\ndestination:/queue/a\n\n\x00", "ACK"},
		{"colon that is not escaped", text, "SEND\nx:http://x\ndestination:/topic/rooms/a:b\n\n\x00", "SEND /topic/rooms/{room}"},
		{"header that begins alike", text, "SEND\ndestination-type:/queue/b\ndestination:/queue/a\n\n\x00", "SEND /queue/a"},
		{"no body, no end", text, "SUBSCRIBE\ndestination:/queue/a\n", "SUBSCRIBE /queue/a"},

		{"template, middle", text, "SEND\ndestination:/topic/rooms/7/say\n\n\x00", "SEND /topic/rooms/{room}/say"},
		{"first template that matches", text, "SEND\ndestination:/topic/rooms/lobby/say\n\n\x00", "SEND /topic/rooms/{room}/say"},
		{"template, first segment", text, "SEND\ndestination:acme/a\n\n\x00", "SEND {tenant}/a"},
		{"template without a slash", text, "SEND\ndestination:plain\n\n\x00", "SEND plain"},
		{"empty segment", text, "SEND\ndestination:/topic/rooms/\n\n\x00", "SEND _OTHER"},
		{"empty segment, middle", text, "SEND\ndestination:/topic/rooms//say\n\n\x00", "SEND _OTHER"},
		{"segment more", text, "SEND\ndestination:/topic/rooms/7/say/more\n\n\x00", "SEND _OTHER"},
		{"slash more", text, "SEND\ndestination:/queue/a/\n\n\x00", "SEND _OTHER"},
		{"segment less", text, "MESSAGE\ndestination:/topic\n\n\x00", "MESSAGE _OTHER"},
		{"longer segment", text, "SUBSCRIBE\ndestination:/queue/ab\n\n\x00", "SUBSCRIBE _OTHER"},
		{"shorter segment", text, "SEND\ndestination:/queue/\n\n\x00", "SEND _OTHER"},
		{"spaces are never trimmed", text, "SEND\ndestination: /queue/a\n\n\x00", "SEND _OTHER"},
		{"empty destination", text, "SEND\ndestination:\n\n\x00", "SEND _OTHER"},
		{"brace alone is itself", text, "SEND\ndestination:/q/{\n\n\x00", "SEND /q/{"},
		{"the template itself", text, "SEND\ndestination:/topic/rooms/{room}\n\n\x00", "SEND /topic/rooms/{room}"},

		{"escapes", text, `SEND` + "\n" + `destination:/app/a\cb\\c\r\n` + "\n\n\x00", "SEND /app/a:b\\c\r\n"},
		{"escapes in a wildcard", text, `SEND` + "\n" + `destination:/topic/rooms/\c\n` + "\n\n\x00", "SEND /topic/rooms/{room}"},
		{"undefined escape", text, `SEND` + "\n" + `destination:/topic/rooms/\t` + "\n\n\x00", ""},
		{"undefined escape, other destination", text, `SEND` + "\n" + `destination:/x/\/` + "\n\n\x00", ""},
		{"escape cut short", text, `SEND` + "\n" + `destination:/topic/rooms/7\` + "\n\n\x00", ""},

		{"empty", text, "", ""},
		{"unknown command", text, "PUBLISH\ndestination:/queue/a\n\n\x00", ""},
		{"case matters", text, "send\ndestination:/queue/a\n\n\x00", ""},
		{"space after the command", text, "SEND \ndestination:/queue/a\n\n\x00", ""},
		{"command alone", text, "BEGIN", ""},
		{"CR alone ends no line", text, "\rBEGIN\n\n\x00", ""},
		{"CR alone is no heartbeat", text, "\r", ""},
		{"no destination", text, "SEND\ncontent-type:text/plain\n\ndestination:/queue/a\n\x00", ""},
		{"no headers", text, "SEND\n\n\x00", ""},
		{"destination without an end", text, "SEND\ndestination:/queue/a", ""},
		{"header without a colon", text, "SEND\nnonsense\ndestination:/queue/a\n\n\x00", ""},
		{"header without a name", text, "SEND\n:x\ndestination:/queue/a\n\n\x00", ""},
		{"JSON", text, `{"type":"SEND"}`, ""},
		{"the rest of a frame", text, "of a long body\x00", ""},
	}
	testNamings(t, apmws.STOMP(templates...), apmws.STOMPNames(templates...), namings)
}

func TestSTOMPKeepsItsTemplates(t *testing.T) {
	templates := []string{"/a"}
	name := apmws.STOMP(templates...)
	templates[0] = "/b"
	if got := string(name(nil, apmws.TextMessage, []byte("SEND\ndestination:/a\n\n\x00"))); got != "SEND /a" {
		t.Errorf("after a change of the caller's slice: %q", got)
	}
	if got := string(apmws.STOMP()(nil, apmws.TextMessage, []byte("SEND\ndestination:/a\n\n\x00"))); got != "SEND _OTHER" {
		t.Errorf("without templates: %q", got)
	}
}

// FuzzSTOMP checks that no name but those to be registered comes out, and that
// a template that has no wildcard names its destination alone.
func FuzzSTOMP(f *testing.F) {
	for _, seed := range []struct{ payload, template string }{
		{"SEND\ndestination:/topic/rooms/7\n\nhello\x00", "/topic/rooms/{room}"},
		{"\r\n\nMESSAGE\r\na:b\r\ndestination:/a\\cb\\\\\r\n\r\n\x00", "/a:b\\"},
		{"SUBSCRIBE\nid:0\ndestination:/a/\\n\n\n\x00", "{x}/{y}/{z}"},
		{"\n\n", ""},
		{"CONNECT\n\n\x00", "{}"},
	} {
		f.Add([]byte(seed.payload), seed.template)
	}
	unescape := strings.NewReplacer(`\\`, `\`, `\c`, ":", `\n`, "\n", `\r`, "\r")
	f.Fuzz(func(t *testing.T, payload []byte, template string) {
		name := apmws.STOMP("/fixed", template)
		// A name may be as long as the template, which is no part of the payload.
		got := fuzzedName(t, name, apmws.TextMessage, slices.Concat(payload, make([]byte, len(template))))
		if got != "" && !slices.Contains(apmws.STOMPNames("/fixed", template), got) {
			t.Fatalf("%q is %q, which is not to be registered", payload, got)
		}
		if _, matched, _ := strings.Cut(got, " "); matched == "/fixed" && template != "/fixed" {
			_, value, _ := strings.Cut(string(payload), "destination:")
			line, _, _ := strings.Cut(value, "\n")
			if destination := unescape.Replace(strings.TrimSuffix(line, "\r")); !strings.HasSuffix(destination, "/fixed") {
				t.Fatalf("%q is %q, its destination is %q", payload, got, destination)
			}
		}
	})
}
