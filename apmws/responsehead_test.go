package apmws

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/rs/zerolog"
)

// passHead sends a stream through a responseHead in pieces, as the tap does, and
// returns what reaches the peer. A piece may be empty.
func passHead(h *responseHead, stream string, cuts []byte) (out []byte, whole bool) {
	for i := 0; len(stream) > 0; i++ {
		n := len(stream)
		if len(cuts) > 0 {
			n = min(n, int(cuts[i%len(cuts)]))
			if n == 0 && i%len(cuts) == len(cuts)-1 {
				n = 1 // all cuts may be 0
			}
		}
		piece := []byte(stream[:n])
		stream = stream[n:]
		if whole {
			out = append(out, piece...)
			continue
		}
		passed, rest, done := h.pass(piece)
		out, whole = append(append(out, passed...), rest...), done
	}
	if !whole && h.held {
		out = append(out, '\r') // the connection is closed
	}
	return out, whole
}

const (
	switching = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n"
	firstByte = "\x81\x05hello\r\n\r\n" // frames may hold what ends a head
)

func TestResponseHead(t *testing.T) {
	cookie := func(values ...string) http.Header { return http.Header{"Set-Cookie": values} }
	long := "X: " + strings.Repeat("x", 3*maxHeadLine) + "\r\n"
	tests := []struct {
		name   string
		stream string
		add    http.Header
		want   string // empty: as it came
		status int
		proto  string
	}{
		{"nothing to add", switching + "\r\n" + firstByte, nil, "", 101, ""},
		{"a cookie", switching + "\r\n" + firstByte, cookie("a=1"), switching + "Set-Cookie: a=1\r\n\r\n" + firstByte, 101, ""},
		{"two cookies", switching + "\r\n", cookie("a=1", "b=2; Path=/"), switching + "Set-Cookie: a=1\r\nSet-Cookie: b=2; Path=/\r\n\r\n", 101, ""},
		{"one is there", switching + "set-cookie:  a=1 \r\n\r\n", cookie("a=1", "b=2"), switching + "set-cookie:  a=1 \r\nSet-Cookie: b=2\r\n\r\n", 101, ""},
		{"another of that name is there", switching + "Set-Cookie: a=1\r\n\r\n", cookie("a=12", "A=1"), switching + "Set-Cookie: a=1\r\nSet-Cookie: a=12\r\nSet-Cookie: A=1\r\n\r\n", 101, ""},
		{"the same value under another name", switching + "X-Cookie: a=1\r\n\r\n", cookie("a=1"), switching + "X-Cookie: a=1\r\nSet-Cookie: a=1\r\n\r\n", 101, ""},
		{"line breaks", switching + "\r\n", cookie("a=1\r\nX-Evil: 1\r\n\r\n\x82\x00", "b\n=\t\x00\x7f2"), switching + "Set-Cookie: a=1  X-Evil: 1    \x82\r\nSet-Cookie: b =   2\r\n\r\n", 101, ""},
		{"bytes above ASCII", switching + "\r\n", cookie("name=J\xf6rg; x=\u00e9"), switching + "Set-Cookie: name=J\xf6rg; x=\u00e9\r\n\r\n", 101, ""},
		{"a subprotocol", switching + "sec-websocket-PROTOCOL: \t chat.v1 \r\n\r\n", nil, "", 101, "chat.v1"},
		{"HTTP/1.0", "HTTP/1.0 101 Yes\r\n\r\n", cookie("a=1"), "HTTP/1.0 101 Yes\r\nSet-Cookie: a=1\r\n\r\n", 101, ""},
		{"long lines", switching + long + "\r\n" + firstByte, cookie("a=1"), switching + long + "Set-Cookie: a=1\r\n\r\n" + firstByte, 101, ""},
		{"no reason phrase", "HTTP/1.1 101\r\n\r\n", cookie("a=1"), "HTTP/1.1 101\r\nSet-Cookie: a=1\r\n\r\n", 101, ""},
		{"lines that end in LF", "HTTP/1.1 101 Yes\nUpgrade: websocket\n\n" + firstByte, cookie("a=1"), "HTTP/1.1 101 Yes\nUpgrade: websocket\nSet-Cookie: a=1\r\n\n" + firstByte, 101, ""},
		{"lines of both kinds", "HTTP/1.1 101 Yes\nUpgrade: websocket\n\r\n" + firstByte, cookie("a=1"), "HTTP/1.1 101 Yes\nUpgrade: websocket\nSet-Cookie: a=1\r\n\r\n" + firstByte, 101, ""},
		{"401", "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n", cookie("a=1"), "", 401, ""},
		{"503 without an end", "HTTP/1.1 503 Service Unavailable\r\nRetry", cookie("a=1"), "", 503, ""},
		{"a carriage return too much", "HTTP/1.1 101 Yes\r\n\rX: y\r\n\r\n", cookie("a=1"), "HTTP/1.1 101 Yes\r\n\rX: y\r\nSet-Cookie: a=1\r\n\r\n", 101, ""},
		{"a status of four digits", "HTTP/1.1 1011 \r\n\r\n", cookie("a=1"), "", 0, ""},
		{"a status of letters", "HTTP/1.1 4x4 No\r\n\r\n", cookie("a=1"), "", 0, ""},
		{"not HTTP", "220 mail.example ESMTP\r\n\r\n", cookie("a=1"), "", 0, ""},
		{"HTTP/2", "HTTP/2 101 No\r\n\r\n", cookie("a=1"), "", 0, ""},
		{"binary", "\x16\x03\x01\x00\xff\x00\r\n\r\n", cookie("a=1"), "", 0, ""},
		{"half a status", "HTTP/1.1 1", cookie("a=1"), "", 0, ""},
		{"half a 101", switching, cookie("a=1"), "", 101, ""},
		{"nearly a 101", switching + "\r", cookie("a=1"), "", 101, ""},
		{"line breaks alone", "\r\n\r\n\r\n", cookie("a=1"), "", 0, ""},
	}
	for _, test := range tests {
		want := test.want
		if want == "" {
			want = test.stream
		}
		for _, cuts := range [][]byte{nil, {1}, {2, 3}, {11, 1, 40}, {12}, {13, 255}, {0, 1}} {
			h := &responseHead{add: test.add}
			out, _ := passHead(h, test.stream, cuts)
			if string(out) != want {
				t.Errorf("%s, cut by %v: out came\n%q, want\n%q", test.name, cuts, out, want)
			}
			if h.status != test.status || h.subprotocol != test.proto {
				t.Errorf("%s, cut by %v: status %d, subprotocol %q, want %d, %q", test.name, cuts, h.status, h.subprotocol, test.status, test.proto)
			}
		}
	}
}

// TestHeadIsNotHeldBack: every byte goes out as it comes in, so that nobody waits
// for what the library has written. Only a carriage return that may begin the
// end of the head, where something is to be added, waits for what follows it.
func TestHeadIsNotHeldBack(t *testing.T) {
	for _, stream := range []string{
		switching + "\r\n" + firstByte, "HTTP/1.1 403 Forbidden\r\nContent-Length: 3\r\n\r\nno!", "220 ready\r\n\r\n", "\r\n\r\n\r\n\r\n", switching + strings.Repeat("x", 3*maxHeadLine),
	} {
		for _, add := range []http.Header{nil, {"X-Id": {"id"}}} {
			h := &responseHead{add: add}
			out, whole := 0, false
			for i := 0; i < len(stream) && !whole; i++ {
				passed, _, done := h.pass([]byte{stream[i]})
				out, whole = out+len(passed), done
				if back := i + 1 - out; back > 0 && (add == nil || back > 1 || stream[i] != '\r') {
					t.Errorf("%q: %d bytes are held back", stream[:i+1], back)
				}
			}
		}
	}
}

func TestUpgradeHeaders(t *testing.T) {
	allowed := []string{"X-Request-Id", "traceresponse", "Server-Timing", "Date", "Set-Cookie"} // the last is there already
	refused := []string{
		"Content-Type", "content-length", "CONTENT-ENCODING", "Transfer-Encoding", "connection", "Upgrade", "Sec-WebSocket-Accept",
		"sec-websocket-extensions", "", "X Y", "X:Y", "X\r\nY", "X\x00", "X\u00e9", "(X)", "Upgrade ",
	}
	for i, name := range slices.Concat(allowed, refused) {
		isAllowed, key := i < len(allowed), http.CanonicalHeaderKey(name)
		out := &lockedBuffer{}
		logger := zerolog.New(out)
		agent := New(Options{Logger: &logger, UpgradeHeaders: []string{name, name}})
		set := http.Header{"Set-Cookie": {"a=1"}, "Other": {"x"}, key: {"1", "2"}}
		h := &responseHead{add: agent.headersToAdd(set)}
		passed, _ := passHead(h, switching+"\r\n", nil)
		added := strings.Count(string(passed), "\r\n"+key+": ")
		want := 0
		if isAllowed {
			want = len(set[key])
		}
		if strings.Contains(switching, "\r\n"+key+": ") {
			want++
		}
		if added != want || !bytes.Contains(passed, []byte("Set-Cookie: a=1\r\n")) == (name != "Set-Cookie") || bytes.Contains(passed, []byte("Other")) {
			t.Errorf("%q: passed %q", name, passed)
		}
		lines := parseLines(t, out.String())
		if (len(lines) == 0) != isAllowed {
			t.Errorf("%q: logged %v", name, lines)
		}
		for _, line := range lines {
			checkLine(t, line, fields{
				"level": "warn", "http.response.header.name": key,
				"message": "websocket upgrade header refused: it is the WebSocket library's to write",
			})
		}
	}
}

// FuzzResponseHead: whatever a library writes, in whatever pieces, passes; and
// an answer with headers added is read by a client as the answer with those
// headers.
func FuzzResponseHead(f *testing.F) {
	f.Add([]byte(switching+"\r\n"+firstByte), []byte{7}, "a=1", "id")
	f.Add([]byte(switching+"Set-Cookie: a=1\r\n\r\n"), []byte{1}, "a=1", "\r\n\r\nHTTP/1.1 200 OK\r\n\r\n")
	f.Add([]byte("HTTP/1.1 101 \nA: b\n\n\x88\x00"), []byte{3, 50}, " a=\xff\x00", "\n")
	f.Add([]byte("HTTP/1.1 401 No\r\n\r\n"), []byte{9}, "a", "")
	f.Add([]byte("HTTP/1.1 101"), []byte{}, "\t", ":")
	f.Add([]byte("HTTP/1.1 101 X\r\nSec-WebSocket-Protocol: a\r\nX-Id: id\r\n\r\n"), []byte{200}, "", "id ")
	f.Fuzz(func(t *testing.T, stream, cuts []byte, cookie, id string) {
		cookie += "." // no other is the same
		if out, _ := passHead(&responseHead{}, string(stream), cuts); !bytes.Equal(out, stream) {
			t.Fatalf("%q has become %q", stream, out)
		}
		h := &responseHead{add: http.Header{"Set-Cookie": {cookie, "fixed=1"}, "X-Id": {id}}}
		out, whole := passHead(h, string(stream), cuts)
		if !whole || h.status != http.StatusSwitchingProtocols {
			if !bytes.Equal(out, stream) {
				t.Fatalf("the refusal %q has become %q", stream, out)
			}
			return
		}
		body, before, err := readAnswer(stream)
		if head := stream[:len(stream)-len(body)]; err != nil || bytes.Contains(head, []byte("\n ")) || bytes.Contains(head, []byte("\n\t")) {
			return // no answer, or one with folded lines
		}
		newBody, after, err := readAnswer(out)
		if err != nil {
			t.Fatalf("%q has become %q: %v", stream, out, err)
		}
		if after.StatusCode != before.StatusCode || after.Status != before.Status || !bytes.Equal(newBody, body) {
			t.Fatalf("%q has become %q", stream, out)
		}
		for name, values := range h.add {
			for _, value := range values {
				value = harmless(value)
				if !slices.Contains(before.Header[name], value) {
					before.Header[name] = append(before.Header[name], value)
				} else if n := count(before.Header[name], value); n != count(after.Header[name], value) {
					t.Fatalf("%s: %q is there %d times, and then %d times", name, value, n, count(after.Header[name], value))
				}
			}
		}
		if len(before.Header) != len(after.Header) {
			t.Fatalf("headers %q, want %q", after.Header, before.Header)
		}
		for name, values := range before.Header {
			if !slices.Equal(values, after.Header[name]) {
				t.Fatalf("%s: %q, want %q", name, after.Header[name], values)
			}
		}
	})
}

func count(values []string, value string) (n int) {
	for _, v := range values {
		if v == value {
			n++
		}
	}
	return n
}

// harmless is the value that a header may have: spaces for control characters,
// and none around it.
func harmless(value string) string {
	b := []byte(value)
	for i, c := range b {
		if c < 0x20 || c == 0x7f {
			b[i] = ' '
		}
	}
	return strings.Trim(string(b), " ")
}

// readAnswer reads an answer as a client does, and what follows it.
func readAnswer(stream []byte) (rest []byte, resp *http.Response, err error) {
	br := bufio.NewReader(bytes.NewReader(stream))
	resp, err = http.ReadResponse(br, nil)
	if err != nil {
		return nil, nil, err
	}
	rest, err = io.ReadAll(br)
	return rest, resp, err
}
