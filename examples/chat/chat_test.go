package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
)

// chatRoundTrip is what every kind of Redis and of transport must do.
func chatRoundTrip(t *testing.T, url, otherURL string) {
	t.Helper()
	ada, bob := join(t, url, "Ada", "tea"), join(t, otherURL, "Bob", "tea")
	elsewhere := join(t, url, "Eve", "coffee")
	const text = "Guten Tag, <b>全世界</b> 👋\nand more"
	ada.say("tea", text)
	ada.expect(sayings("tea", "Ada", text))
	bob.expect(sayings("tea", "Ada", text))
	bob.say("tea", "hello back")
	ada.expect(sayings("tea", "Bob", "hello back"))
	// Had the other room's messages come through, this would not be the first.
	elsewhere.say("coffee", "alone")
	elsewhere.expect(sayings("coffee", "Eve", "alone"))
	for _, p := range []*peer{ada, bob, elsewhere} {
		p.Close() // who does not read keeps a server waiting
	}
}

func TestRooms(t *testing.T) {
	n := startNode(t, nil)
	chatRoundTrip(t, n.url, n.url)
}

func TestSeveralRoomsAtOnce(t *testing.T) {
	n := startNode(t, nil)
	ada, bob := join(t, n.url, "Ada", "room 0"), join(t, n.url, "Bob", "room 1")
	for i := 1; i < maxRooms; i++ {
		room := fmt.Sprintf("room %d", i)
		ada.send(fmt.Sprintf(`{"type":"chat.join","room":%q}`, room))
		ada.expect(map[string]string{"type": "chat.joined", "room": room})
	}
	ada.send(`{"type":"chat.join","room":"room 1"}`) // again: no more than one copy
	ada.expect(map[string]string{"type": "chat.joined", "room": "room 1"})
	ada.send(`{"type":"chat.join","room":"one more"}`)
	ada.expectError("no more than 8 rooms")
	bob.say("room 1", "once")
	ada.expect(sayings("room 1", "Bob", "once"))
	ada.say("room 0", "last")
	ada.expect(sayings("room 0", "Ada", "last"))
}

func TestBillingStatus(t *testing.T) {
	n := startNode(t, nil)
	ada := join(t, n.url, "Ada", "tea")
	ada.send(`{"type":"billing.status"}`)
	ada.expect(map[string]string{"type": "billing.status", "plan": "free", "state": "active"})
}

// A billing API that fails is told to the peer, and recorded as the message's
// failure.
func TestBillingFails(t *testing.T) {
	n := startNode(t, nil)
	ada := join(t, n.url, "Ada", "tea")
	n.billing.api.Close()
	ada.send(`{"type":"billing.status"}`)
	ada.expectError("billing does not answer")
	line := n.log.wait(t, "failed message", 1, func(l logLine) bool { return l["event.outcome"] == "failure" })[0]
	if line["labels.websocket_message_name"] != "billing.status" || !strings.Contains(line.str("error.message"), "connection refused") {
		t.Errorf("the failure is logged as %v", line)
	}
	ada.say("tea", "goes on")
	ada.expect(sayings("tea", "Ada", "goes on"))
}

func TestBillingAnswers(t *testing.T) {
	for _, c := range []struct {
		name   string
		status int
		body   string
		ok     bool
	}{
		{"good", 200, `{"plan":"p","state":"s"}`, true},
		{"fails", 500, `{"plan":"p","state":"s"}`, false},
		{"unknown user", 404, `{}`, false},
		{"no JSON", 200, `<html>`, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("X-User") != "Ada" || strings.Contains(r.URL.String(), "Ada") {
					t.Errorf("asked for %s, user %q", r.URL, r.Header.Get("X-User"))
				}
				w.WriteHeader(c.status)
				fmt.Fprint(w, c.body)
			}))
			defer api.Close()
			b, err := newBilling(testLogger)
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := b.close(); err != nil {
					t.Error(err)
				}
			}()
			b.addr = api.Listener.Addr().String()
			answer, err := b.status(t.Context(), "Ada")
			if !c.ok {
				if p := new(problem); !errors.As(err, &p) || p.cause == nil {
					t.Errorf("answered %v, %v", answer, err)
				}
				return
			}
			if err != nil || answer != (billingStatus{Type: "billing.status", Plan: "p", State: "s"}) {
				t.Errorf("answered %v, %v", answer, err)
			}
		})
	}
}

// What a peer gets wrong is answered, is no failure, and ends nothing.
func TestMistakes(t *testing.T) {
	n := startNode(t, nil)
	ada := join(t, n.url, "Ada", "tea")
	for i, c := range []struct{ send, want, name string }{
		{`{"type":"chat.dance"}`, "unknown type", "_OTHER"},
		{`{"type":"chat.said","room":"tea","user":"Bob","text":"forged"}`, "unknown type", "_OTHER"},
		{`{"type":7}`, "unknown type", "_OTHER"},
		{`{"type":null}`, "JSON object with a type", "_OTHER"},
		{`{}`, "JSON object with a type", "_OTHER"},
		{`[]`, "JSON object with a type", "_OTHER"},
		{``, "JSON object with a type", "_OTHER"},
		{`{"type":"chat.say","room":"tea","text":"cut off`, "JSON object with a type", "_OTHER"},
		{`{"type":"chat.say","room":"tea","text":"hello"} trailing`, "JSON object with a type", "_OTHER"},
		{"{\"type\":\"chat.say\",\"room\":\"tea\",\"text\":\"\xff\"}", "JSON object with a type", "_OTHER"},
		{`{"type":"chat.join"}`, "no good name", "chat.join"},
		{`{"type":"chat.join","room":7}`, "no good name", "chat.join"},
		{`{"type":"chat.join","room":"<script>"}`, "no good name", "chat.join"},
		{`{"type":"chat.join","room":"` + strings.Repeat("r", 33) + `"}`, "1 to 32", "chat.join"},
		{`{"type":"chat.say","room":"elsewhere","text":"hello"}`, "join the room first", "chat.say"},
		{`{"type":"chat.say","room":"tea"}`, "say something", "chat.say"},
		{`{"type":"chat.say","room":"tea","text":" \n "}`, "say something", "chat.say"},
		{`{"type":"chat.say","room":"tea","text":"bell \u0007"}`, "say something", "chat.say"},
		{`{"type":"chat.say","room":"tea","text":"` + strings.Repeat("x", 2001) + `"}`, "up to 2000", "chat.say"},
	} {
		ada.send(c.send)
		ada.expectError(c.want)
		// The first line is that of joining.
		line := n.log.wait(t, "of the message "+c.send, i+2, action("websocket-message"))[i+1]
		if line["labels.websocket_message_name"] != c.name || line["event.outcome"] != "success" || line["log.level"] != "debug" {
			t.Errorf("%.60s is logged as %v, want the name %s and no failure", c.send, line, c.name)
		}
	}
	if err := ada.WriteMessage(websocket.BinaryMessage, []byte(`{"type":"billing.status"}`)); err != nil {
		t.Fatal(err)
	}
	ada.expectError("JSON object with a type")
	ada.say("tea", "still here")
	ada.expect(sayings("tea", "Ada", "still here"))
}

// The name of the transaction and what is done are the same thing, also where
// decoders differ in which of two keys counts.
func TestNameIsWhatIsDone(t *testing.T) {
	n := startNode(t, nil)
	ada := join(t, n.url, "Ada", "tea")
	ada.send(`{"type":"billing.status","type":"chat.join","Type":"chat.say","room":"den"}`)
	ada.expect(map[string]string{"type": "billing.status", "plan": "free", "state": "active"})
	line := n.log.wait(t, "message", 2, action("websocket-message"))[1]
	if line["labels.websocket_message_name"] != "billing.status" {
		t.Errorf("named %v", line["labels.websocket_message_name"])
	}
}

func TestMessageTooBig(t *testing.T) {
	n := startNode(t, nil)
	for _, size := range []int{maxMessage + 1, 1 << 20} {
		ada := join(t, n.url, "Ada", "tea")
		// The server may have closed before all of it was written.
		_ = ada.WriteMessage(websocket.TextMessage, []byte(strings.Repeat("x", size)))
		ada.expectClose(websocket.CloseMessageTooBig)
		ada.Close() // which the server waits for
	}
	for _, line := range n.log.wait(t, "disconnected", 2, action("websocket-disconnected")) {
		if line["labels.websocket_close_code"] != "1009" || line["event.reason"] != "message_too_big" {
			t.Errorf("the end is logged as %v", line)
		}
	}
	ada := join(t, n.url, "Ada", "tea")
	ada.send(`{"type":"x","pad":"` + strings.Repeat("x", maxMessage-21) + `"}`)
	ada.expectError("unknown type")
}

// A peer that is still sending its large message when it is refused is not cut
// off: on a connection that is reset it might never read the close frame.
func TestMessageTooBigLingers(t *testing.T) {
	n := startNode(t, nil)
	raw := connect(t, n.url, signIn(t, n.url, "Ada")).NetConn()
	rest := make([]byte, 1<<20)
	header := append([]byte{0x82, 0x80 | 127}, binary.BigEndian.AppendUint64(nil, uint64(len(rest)))...)
	header = append(header, 0, 0, 0, 0) // the mask
	if _, err := raw.Write(header); err != nil {
		t.Fatal(err)
	}
	var frames []byte
	buf := make([]byte, 512)
	for !bytes.Contains(frames, []byte{0x88, 2, 0x03, 0xf1}) { // the close frame, 1009
		read, err := raw.Read(buf)
		if err != nil {
			t.Fatalf("after %x: %v", frames, err)
		}
		frames = append(frames, buf[:read]...)
	}
	if _, err := raw.Write(rest); err != nil {
		t.Errorf("the rest is not taken: %v", err)
	}
	if _, err := io.ReadAll(raw); err != nil {
		t.Errorf("the connection ends with %v", err)
	}
}

func TestTLS(t *testing.T) {
	n := startNode(t, func(cfg *config) { cfg.tls = true })
	if !strings.HasPrefix(n.url, "https://127.0.0.1:") {
		t.Fatalf("the URL is %s", n.url)
	}
	chatRoundTrip(t, n.url, n.url)
	// Who speaks no TLS is in the log, in a line as all others.
	request(t, http.MethodGet, strings.Replace(n.url, "https", "http", 1), "", nil)
	n.log.wait(t, "TLS error", 1, func(l logLine) bool {
		return l["event.action"] == "http-server" && strings.Contains(l.str("message"), "TLS handshake error")
	})
	if res, _ := request(t, http.MethodGet, n.url, "", nil); res.StatusCode != http.StatusOK || res.TLS == nil {
		t.Errorf("the page over TLS: %v", res.Status)
	}
}
