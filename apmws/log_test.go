package apmws

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
	"github.com/rs/zerolog"
)

// fields are what a log line has: strings, and numbers as they are spelled.
type fields map[string]any

// parseLines reads log lines token by token. It fails on a key that comes twice,
// which a map would hide, and on values that are no strings, numbers or booleans.
func parseLines(t testing.TB, log string) (lines []fields) {
	t.Helper()
	for text := range strings.SplitSeq(strings.TrimSuffix(log, "\n"), "\n") {
		if text == "" {
			continue
		}
		line := fields{}
		dec := json.NewDecoder(strings.NewReader(text))
		dec.UseNumber()
		token := func() json.Token {
			tok, err := dec.Token()
			if err != nil {
				t.Fatalf("%v in line %s", err, text)
			}
			return tok
		}
		if token() != json.Delim('{') {
			t.Fatalf("no object: %s", text)
		}
		for dec.More() {
			key := token().(string)
			if _, twice := line[key]; twice {
				t.Errorf("the key %q comes twice: %s", key, text)
			}
			line[key] = token()
			if _, nested := line[key].(json.Delim); nested {
				t.Fatalf("%q is no plain value: %s", key, text)
			}
		}
		token()
		if _, err := dec.Token(); !errors.Is(err, io.EOF) {
			t.Errorf("there is more in the line: %s", text)
		}
		lines = append(lines, line)
	}
	return lines
}

// Values that differ with each run.
type pattern struct{ *regexp.Regexp }

func (p pattern) String() string { return "~" + p.Regexp.String() }

var (
	anyInteger = json.Number("any integer")
	anyPast    = pattern{regexp.MustCompile(`handshake \d\S* ago$`)}
	anyStack   = pattern{regexp.MustCompile(`^goroutine \d+ \[(?s:.*)apmws\.`)}
	integer    = regexp.MustCompile(`^(0|[1-9]\d*)$`)
)

// checkLine compares all fields of a line, their types included.
func checkLine(t testing.TB, got, want fields) {
	t.Helper()
	for _, key := range slices.Sorted(maps.Keys(want)) {
		value, ok := got[key]
		switch w := want[key].(type) {
		case pattern:
			s, _ := value.(string)
			ok = ok && w.MatchString(s)
		case json.Number:
			n, isNumber := value.(json.Number)
			ok = ok && isNumber && integer.MatchString(n.String()) && (w == anyInteger || n == w)
		default:
			ok = ok && value == w
		}
		if !ok {
			t.Errorf("%s is %T %#v, want %#v", key, value, value, want[key])
		}
	}
	for key, value := range got {
		if _, ok := want[key]; !ok {
			t.Errorf("%s = %v should not be there", key, value)
		}
	}
}

// with returns the fields with others added.
func (f fields) with(more fields) fields {
	all := maps.Clone(f)
	maps.Copy(all, more)
	return all
}

// without returns the fields without some.
func (f fields) without(keys ...string) fields {
	rest := maps.Clone(f)
	for _, key := range keys {
		delete(rest, key)
	}
	return rest
}

// What lines have in common, and what the lines about the request have.
func (c *Conn) commonFields(level, action, event string) fields {
	return fields{
		"level": level, "message": strings.ReplaceAll(action, "-", " "), "event.action": action,
		"labels.websocket_event": event, "labels.websocket_connection_id": c.id, "labels.http_route": "/rooms/{id}",
	}
}

var (
	requestFields = fields{
		"http.request.method": "GET", "url.path": "/rooms/7", "client.address": "2001:db8::1",
		"user_agent.original": "Browser/1.0",
	}
	idFields = fields{"trace.id": "00000000000000000000000000000001", "transaction.id": "0000000000000001"}
)

// TestLogLines: each line of the contract, with the fields that it has and no
// others.
func TestLogLines(t *testing.T) {
	w := &witness{name: "w", journal: &journal{}, ids: sampled(1)}
	l := newLogged(Options{
		Exporters: []Exporter{w}, Subprotocols: []string{"chat.v1"},
		Messages: MessageOptions{Names: []string{"say"}, LogLevel: func(string) zerolog.Level { return zerolog.DebugLevel }},
	})
	r := upgradeRequest()
	r.Header.Set("Origin", "https://app.example:8443/page?query")
	c := l.arrive(r)
	requestFields := requestFields.with(fields{"labels.websocket_origin": "https://app.example:8443"})
	checkLine(t, l.one(t), c.commonFields("info", "websocket-handshake", "connect").with(requestFields).with(idFields))

	c.setSubprotocol("chat.v1")
	c.SetUser("u1")
	c.accepted()
	connected := c.commonFields("info", "websocket-connected", "connect").with(requestFields).with(idFields).with(fields{
		"http.response.status_code": json.Number("101"), "event.outcome": "success", "event.duration": anyInteger,
		"labels.websocket_subprotocol": "chat.v1", "user.id": "u1",
	})
	checkLine(t, l.one(t), connected)

	message := c.commonFields("debug", "websocket-message", "message").with(idFields).with(fields{
		"labels.websocket_message_name": "say", "labels.websocket_message_type": "text",
		"websocket.message.length": json.Number("12"), "event.outcome": "success", "event.duration": anyInteger, "user.id": "u1",
	})
	say := func(err error) {
		_, tx := StartMessage(c.scope, MessageInfo{Name: "say", Size: 12})
		tx.End(err)
	}
	say(nil)
	checkLine(t, l.one(t), message)
	say(fmt.Errorf("handling: %w", io.ErrUnexpectedEOF))
	checkLine(t, l.one(t), message.with(fields{
		"level": "error", "event.outcome": "failure", "error.message": "handling: unexpected EOF", "error.type": "*errors.errorString",
	}))
	func() {
		defer func() { _ = recover() }()
		_, tx := StartMessage(c.scope, MessageInfo{Name: "made up", Type: BinaryMessage, Size: 0})
		defer tx.EndOnPanic()
		panic(errors.New("boom"))
	}()
	checkLine(t, l.one(t), message.with(fields{
		"level": "error", "event.outcome": "failure", "error.message": "boom", "error.type": "panic", "error.stack_trace": anyStack,
		"labels.websocket_message_name": "_OTHER", "labels.websocket_message_type": "binary", "websocket.message.length": json.Number("0"),
	}))

	c.received(frameCount{messages: 2, bytes: 5_000_000_000})
	c.sent(frameCount{messages: 1, bytes: 7})
	c.peerClosed(1001, "bye")
	c.disconnected()
	checkLine(t, l.one(t), c.commonFields("info", "websocket-disconnected", "disconnect").with(idFields).with(fields{
		"user.id": "u1", "client.address": "2001:db8::1", "event.outcome": "success", "event.duration": anyInteger,
		"event.reason": "going_away", "labels.websocket_close_cause": "going_away", "labels.websocket_close_code": "1001",
		"labels.websocket_close_initiator": "client", "labels.websocket_close_reason": "bye",
		"websocket.messages.received": json.Number("2"), "websocket.messages.sent": json.Number("1"),
		"websocket.bytes.received": json.Number("5000000000"), "websocket.bytes.sent": json.Number("7"),
	}))
}

// TestLogRequest: what the client did not send is not there.
func TestLogRequest(t *testing.T) {
	for _, test := range []struct {
		header, value string
		want          fields
	}{
		{"User-Agent", "", requestFields.without("user_agent.original")},
		{"Origin", "", requestFields},
		{"Origin", "null", requestFields.with(fields{"labels.websocket_origin": "_OTHER"})},
		{"Origin", "app.example", requestFields.with(fields{"labels.websocket_origin": "_OTHER"})},
		{"Origin", "https://app.example", requestFields.with(fields{"labels.websocket_origin": "https://app.example"})},
	} {
		l := newLogged(Options{})
		r := upgradeRequest()
		r.Header.Set(test.header, test.value)
		c := l.arrive(r)
		checkLine(t, l.one(t), c.commonFields("info", "websocket-handshake", "connect").with(test.want))
	}
}

// TestLogRefused: a warning, an error from 500 on and for a panic.
func TestLogRefused(t *testing.T) {
	status := func(n int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(n) }
	}
	tests := []struct {
		name    string
		handler http.HandlerFunc
		want    fields
	}{
		{"401", status(401), fields{"level": "warn", "http.response.status_code": json.Number("401"), "labels.websocket_refusal_reason": "unauthenticated", "event.outcome": "success"}},
		{"403 for a reason", func(w http.ResponseWriter, r *http.Request) {
			FromContext(r.Context()).SetUser("u1")
			FromContext(r.Context()).SetRefusalReason("quota")
			w.WriteHeader(http.StatusForbidden)
		}, fields{"level": "warn", "http.response.status_code": json.Number("403"), "labels.websocket_refusal_reason": "quota", "event.outcome": "success", "user.id": "u1"}},
		{"503", status(503), fields{"level": "error", "http.response.status_code": json.Number("503"), "labels.websocket_refusal_reason": "_OTHER", "event.outcome": "failure"}},
		{"no hijacker", echoLoop(&websocket.Upgrader{}).ServeHTTP, fields{"level": "error", "http.response.status_code": json.Number("500"), "labels.websocket_refusal_reason": "upgrade_failed", "event.outcome": "failure"}},
		{"no answer", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, fields{"level": "warn", "labels.websocket_refusal_reason": "upgrade_failed", "event.outcome": "failure"}},
		{"panic", func(http.ResponseWriter, *http.Request) { panic(errors.New("boom")) }, fields{
			"level": "error", "labels.websocket_refusal_reason": "upgrade_failed", "event.outcome": "failure",
			"error.message": "boom", "error.type": "panic", "error.stack_trace": anyStack,
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			l := newLogged(Options{RefusalReasons: []string{"quota"}})
			var c *Conn
			h := l.Handler("/rooms/{id}", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				c = FromContext(r.Context())
				test.handler(w, r)
			}))
			func() {
				defer func() { _ = recover() }()
				h.ServeHTTP(httptest.NewRecorder(), upgradeRequest())
			}()
			lines := l.lines(t)
			if len(lines) != 2 {
				t.Fatalf("%d lines: %v", len(lines), lines)
			}
			checkLine(t, lines[0], c.commonFields("info", "websocket-handshake", "connect").with(requestFields))
			checkLine(t, lines[1], c.commonFields("", "websocket-refused", "connect").with(requestFields).with(fields{
				"event.duration": anyInteger, "event.reason": test.want["labels.websocket_refusal_reason"],
			}).with(test.want))
		})
	}
}

// TestLogDisconnected: info, but a warning with the error for a bad cause.
func TestLogDisconnected(t *testing.T) {
	broken := &net.OpError{Op: "write", Net: "tcp", Err: errors.New("broken pipe")}
	tests := []struct {
		name string
		end  func(c *Conn)
		want fields
	}{
		{"closed by the handler", func(*Conn) {}, fields{
			"level": "info", "event.outcome": "success", "event.reason": "application", "labels.websocket_close_code": "none", "labels.websocket_close_initiator": "server",
		}},
		{"peer vanished", func(c *Conn) { c.readFailed(io.EOF) }, fields{
			"level": "info", "event.outcome": "unknown", "event.reason": "read_error", "labels.websocket_close_code": "none", "labels.websocket_close_initiator": "network",
		}},
		{"write failed", func(c *Conn) { c.writeFailed(broken) }, fields{
			"level": "warn", "event.outcome": "failure", "event.reason": "write_error", "labels.websocket_close_code": "none", "labels.websocket_close_initiator": "network",
			"error.message": "write tcp: broken pipe", "error.type": "*net.OpError",
		}},
		{"handler gave up", func(c *Conn) { c.ownClosed(1011, "sorry") }, fields{
			"level": "warn", "event.outcome": "failure", "event.reason": "handler_error", "labels.websocket_close_code": "1011", "labels.websocket_close_initiator": "server",
			"labels.websocket_close_reason": "sorry", "error.message": "websocket closed by the server with code 1011", "error.type": "handler_error",
		}},
		{"panic", func(c *Conn) { c.failed(CausePanic, panicFailure("boom", []byte("goroutine 1 [running]: apmws."))) }, fields{
			"level": "warn", "event.outcome": "failure", "event.reason": "panic", "labels.websocket_close_code": "none", "labels.websocket_close_initiator": "server",
			"error.message": "boom", "error.type": "panic", "error.stack_trace": anyStack,
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			l := newLogged(Options{})
			c := l.arrive(upgradeRequest())
			c.accepted()
			l.lines(t)
			test.end(c)
			c.disconnected()
			c.disconnected() // does nothing
			want := c.commonFields("", "websocket-disconnected", "disconnect").with(fields{
				"client.address": "2001:db8::1", "event.duration": anyInteger, "labels.websocket_close_cause": test.want["event.reason"],
				"websocket.messages.received": json.Number("0"), "websocket.messages.sent": json.Number("0"),
				"websocket.bytes.received": json.Number("0"), "websocket.bytes.sent": json.Number("0"),
			})
			if test.want["event.outcome"] != "success" {
				want["labels.websocket_connection_recent"] = anyPast
			}
			checkLine(t, l.one(t), want.with(test.want))
		})
	}
}

// TestLogLatePanic: a handler that panics when its connection is long closed.
func TestLogLatePanic(t *testing.T) {
	l := newLogged(Options{})
	c := l.arrive(upgradeRequest())
	c.accepted()
	c.disconnected()
	l.lines(t)
	c.handlerReturned(&responseRecorder{conn: c, hijacked: true}, true, panicFailure("boom", []byte("goroutine 1 [running]: apmws.")))
	checkLine(t, l.one(t), c.commonFields("error", "websocket-disconnected", "disconnect").with(fields{
		"message": "websocket handler panicked after the connection was closed", "error.message": "boom", "error.type": "panic", "error.stack_trace": anyStack,
	}))
}

// TestLogMessageLevels: a message is logged when asked for, a failure always,
// and with Serve as with StartMessage, exporters or not.
func TestLogMessageLevels(t *testing.T) {
	levels := map[string]zerolog.Level{
		"traced": zerolog.TraceLevel, "asked": zerolog.InfoLevel, "quiet": zerolog.Disabled, "fatal": zerolog.FatalLevel,
	}
	tests := []struct {
		name  string
		err   error
		level string // empty: no line
	}{
		{"traced", nil, "trace"},
		{"asked", nil, "info"},
		{"quiet", nil, ""},
		{"fatal", nil, "fatal"}, // the line alone: the process lives on
		{"unasked", nil, ""},
		{"faulty", nil, ""}, // the application's function panics
		{"quiet", io.EOF, "error"},
		{"faulty", io.EOF, "error"},
		{"asked", fmt.Errorf("query: %w", context.DeadlineExceeded), "error"},
		{"asked", Close(4000, "ordinary"), "info"},
		{"asked", Close(1011, "bad"), "error"},
	}
	for _, exporters := range [][]Exporter{nil, {&witness{name: "w", journal: &journal{}}}} {
		l := newLogged(Options{Exporters: exporters, Messages: MessageOptions{
			Names: append(slices.Collect(maps.Keys(levels)), "faulty"), Name: func(dst []byte, _ MessageType, b []byte) []byte { return append(dst, b...) },
			LogLevel: func(name string) zerolog.Level {
				if level, ok := levels[name]; ok {
					return level
				}
				if name == "_OTHER" {
					return zerolog.Disabled
				}
				panic("faulty")
			},
		}})
		c := l.arrive(upgradeRequest())
		c.accepted()
		l.lines(t)
		for _, test := range tests {
			loop := &loop{ctx: c.scope, observed: c, handle: func(context.Context, Message) error { return test.err }}
			started := func() {
				_, tx := StartMessage(c.scope, MessageInfo{Name: test.name})
				tx.End(test.err)
			}
			served := func() { _ = loop.observe(new(buffer), Message{Type: TextMessage, Data: []byte(test.name)}) }
			for how, run := range map[string]func(){"StartMessage": started, "Serve": served} {
				run()
				var got []string
				for _, line := range l.lines(t) {
					got = append(got, fmt.Sprint(line["level"]))
				}
				if strings.Join(got, " ") != test.level {
					t.Errorf("%s, %d exporters: message %s with %v is logged at %q, want %q", how, len(exporters), test.name, test.err, got, test.level)
				}
			}
		}
	}
}
