package apmws_test

import (
	"slices"
	"testing"

	"github.com/apmws/go-apmws/apmws"
)

func TestMQTT(t *testing.T) {
	const text, binary = apmws.TextMessage, apmws.BinaryMessage
	testNamings(t, apmws.MQTT(), apmws.MQTTNames(), []naming{
		{"connect", binary, "\x10\x10\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x03abc", "CONNECT"},
		{"connect of 3.1.1", binary, "\x10\x0f\x00\x04MQTT\x04\x02\x00\x3c\x00\x03abc", "CONNECT"},
		{"connack", binary, "\x20\x03\x00\x00\x00", "CONNACK"},
		{"publish", binary, "\x30\x06\x00\x03a/b\x00", "PUBLISH"},
		{"publish, retained", binary, "\x31\x06\x00\x03a/b\x00", "PUBLISH"},
		{"publish, quality of service 1", binary, "\x32\x08\x00\x03a/b\x00\x0a\x00", "PUBLISH"},
		{"publish, quality of service 1, again, retained", binary, "\x3b\x08\x00\x03a/b\x00\x0a\x00", "PUBLISH"},
		{"publish, quality of service 2", binary, "\x34\x08\x00\x03a/b\x00\x0a\x00", "PUBLISH"},
		{"publish, quality of service 2, again", binary, "\x3c\x08\x00\x03a/b\x00\x0a\x00", "PUBLISH"},
		{"puback", binary, "\x40\x02\x00\x0a", "PUBACK"},
		{"pubrec", binary, "\x50\x02\x00\x0a", "PUBREC"},
		{"pubrel", binary, "\x62\x02\x00\x0a", "PUBREL"},
		{"pubcomp", binary, "\x70\x02\x00\x0a", "PUBCOMP"},
		{"subscribe", binary, "\x82\x09\x00\x0a\x00\x00\x03a/b\x01", "SUBSCRIBE"},
		{"suback", binary, "\x90\x04\x00\x0a\x00\x01", "SUBACK"},
		{"unsubscribe", binary, "\xa2\x08\x00\x0a\x00\x00\x03a/b", "UNSUBSCRIBE"},
		{"unsuback", binary, "\xb0\x04\x00\x0a\x00\x00", "UNSUBACK"},
		{"pingreq", binary, "\xc0\x00", "PINGREQ"},
		{"pingresp", binary, "\xd0\x00", "PINGRESP"},
		{"disconnect", binary, "\xe0\x00", "DISCONNECT"},
		{"disconnect with a reason", binary, "\xe0\x01\x04", "DISCONNECT"},
		{"auth", binary, "\xf0\x00", "AUTH"},

		{"two packets", binary, "\xc0\x00\x30\x06\x00\x03a/b\x00", "PINGREQ"},
		{"part of a packet", binary, "\x30\xff\x7f\x00", "PUBLISH"},
		{"first byte alone", binary, "\x10", "CONNECT"},
		{"length cut short", binary, "\x30\xff\xff\xff", "PUBLISH"},
		{"length of two bytes", binary, "\x30\x80\x01", "PUBLISH"},
		{"length of four bytes", binary, "\x30\xff\xff\xff\x7f", "PUBLISH"},
		{"length of five bytes", binary, "\x30\x80\x80\x80\x80\x01", ""},
		{"length that goes on", binary, "\x30\xff\xff\xff\xff", ""},

		{"text", text, "\x10\x0f\x00\x04MQTT", ""},
		{"empty", binary, "", ""},
		{"reserved type", binary, "\x00\x00", ""},
		{"reserved flags", binary, "\x11\x00", ""},
		{"reserved flags of a ping", binary, "\xc1\x00", ""},
		{"flags of subscribe", binary, "\x80\x02\x00\x0a", ""},
		{"flags of unsubscribe", binary, "\xa0\x02\x00\x0a", ""},
		{"flags of pubrel", binary, "\x60\x02\x00\x0a", ""},
		{"flags of puback", binary, "\x42\x02\x00\x0a", ""},
		{"quality of service 3", binary, "\x36\x08\x00\x03a/b\x00\x0a\x00", ""},
		{"quality of service 0, again", binary, "\x38\x06\x00\x03a/b\x00", ""},
		{"JSON", binary, `{"type":"CONNECT"}`, ""},
	})
}

// TestMQTTNamesAreTheCallers: append must not reach another caller's slice.
func TestMQTTNamesAreTheCallers(t *testing.T) {
	apmws.MQTTNames()[0] = "changed"
	if got := string(apmws.MQTT()(nil, apmws.BinaryMessage, []byte{0x10, 0})); got != "CONNECT" {
		t.Errorf("after a change of the names: %q", got)
	}
}

func FuzzMQTT(f *testing.F) {
	for _, seed := range []string{"\x10\x0f\x00\x04MQTT", "\x3b\x80\x01", "\x62\x02\x00\x0a", "\x36", "\xf0\xff\xff\xff\xff"} {
		f.Add([]byte(seed), true)
	}
	f.Add([]byte("\x10\x00"), false)
	names := apmws.MQTTNames()
	f.Fuzz(func(t *testing.T, payload []byte, binary bool) {
		typ := apmws.TextMessage
		if binary {
			typ = apmws.BinaryMessage
		}
		got := fuzzedName(t, apmws.MQTT(), typ, payload)
		if got == "" {
			return
		}
		if !binary || len(payload) == 0 || slices.Index(names, got) != int(payload[0]>>4)-1 {
			t.Fatalf("%q is %q", payload, got)
		}
	})
}
