package apmws

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/gorilla/websocket"
	"github.com/rs/zerolog"
)

func TestSanitize(t *testing.T) {
	tests := []struct {
		in    string
		limit int
		want  string
	}{
		{"", 10, ""},
		{"plain text, é, 日本", 100, "plain text, é, 日本"},
		{"a\x00b\tc\r\nd\x7fe\u0085f", 100, "a b c  d e f"},
		{"one\u2028two\u2029three", 100, "one two three"},
		{"\x1b[31mred", 100, " [31mred"},
		{"\xff\xfeab\xc3", 100, "  ab "},
		{"a\ufffdb", 100, "a b"},
		{"abcdef", 3, "abc"},
		{"abcdef", 0, ""},
		{"aéb", 2, "a"}, // é would be cut
		{"日本", 5, "日"},
		{"日本", 2, ""},
		{strings.Repeat("x", 1000), 10, "xxxxxxxxxx"},
		{strings.Repeat("\u2028", 1000), 10, strings.Repeat(" ", 10)},
		{strings.Repeat("\xff", 1000), 10, strings.Repeat(" ", 10)},
		{strings.Repeat("😀", 1000), 10, "😀😀"},
	}
	for _, test := range tests {
		if got := sanitize(test.in, test.limit); got != test.want {
			t.Errorf("%.40q to %d: %q, want %q", test.in, test.limit, got, test.want)
		}
	}
}

// clean reports what is wrong with a string for a log or a label.
func clean(s string, limit int) error {
	switch {
	case len(s) > limit:
		return fmt.Errorf("%d bytes, more than %d", len(s), limit)
	case !utf8.ValidString(s):
		return fmt.Errorf("no UTF-8: %q", s)
	case strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' }):
		return fmt.Errorf("control characters: %q", s)
	}
	return nil
}

func FuzzSanitize(f *testing.F) {
	f.Add("a\x00\xffé\u2028", 5)
	f.Add(strings.Repeat("日", 50), 7)
	f.Fuzz(func(t *testing.T, s string, limit int) {
		limit &= 0x3ff
		got := sanitize(s, limit)
		if err := clean(got, limit); err != nil {
			t.Fatal(err)
		}
		if again := sanitize(got, limit); again != got {
			t.Fatalf("%q becomes %q", got, again)
		}
		if clean(s, limit) == nil && !strings.ContainsRune(s, utf8.RuneError) && got != s {
			t.Fatalf("harmless %q becomes %q", s, got)
		}
		if len(s) >= limit+utf8.UTFMax && len(got) <= limit-utf8.UTFMax {
			t.Fatalf("of %d bytes %d are left, with a limit of %d", len(s), len(got), limit)
		}
	})
}

// TestHostilePeer: whatever a peer puts into what is recorded, it comes out
// clean and bounded in every event and log line, and in the listings.
func TestHostilePeer(t *testing.T) {
	evil := "\r\n\x00\x1b[2J\u2028\u0085\xff\xfe\"\\</script>{}" + strings.Repeat("x", 1<<20)
	for where, set := range map[string]string{"start": evil, "end": strings.Repeat("é", 1<<19) + evil} {
		j := &journal{}
		l := newLogged(Options{
			Exporters: []Exporter{&witness{name: "w", journal: j}},
			Messages:  MessageOptions{RecordRawNames: true, LogLevel: func(string) zerolog.Level { return zerolog.InfoLevel }},
		})
		r := upgradeRequest()
		r.Method, r.Host, r.URL.Path = "GET"+set, set, "/"+set
		r.Header.Set("User-Agent", set)
		r.Header.Set("Origin", "https://"+set)
		r.Header.Set("Traceparent", set)
		r.Header.Set("Tracestate", "a="+set)
		c := l.arrive(r)
		c.SetUser(set)
		c.SetRefusalReason(set)
		c.setSubprotocol(set)
		c.accepted()
		_, tx := StartMessage(c.scope, MessageInfo{Name: set, TraceParent: set, TraceState: set})
		tx.End(Close(1008, set))
		c.peerClosed(4000, set)
		list := l.Connections()
		c.disconnected()
		l.arrive(r).refuse(refusal{status: 403})

		visit := func(what string, v any) {
			eachString(reflect.ValueOf(v), what, func(path, s string) {
				if err := clean(s, 1024); err != nil {
					t.Errorf("%s: %s has %.200v", where, path, err)
				}
			})
		}
		for _, event := range j.given() {
			visit(fmt.Sprintf("%T", event), event)
		}
		visit("Connections", list)
		visit("Stats", l.Stats())
		lines := l.lines(t)
		if len(j.given()) != 7 || len(list) != 1 || len(lines) != 6 {
			t.Errorf("%s: %d events, %d connections, %d lines", where, len(j.given()), len(list), len(lines))
		}
		for _, line := range lines {
			visit("the line "+line["message"].(string), map[string]any(line))
		}
	}
}

// eachString visits every string that v reaches, map keys, byte slices and the
// texts of errors included.
func eachString(v reflect.Value, path string, visit func(path, s string)) {
	if !v.IsValid() {
		return
	}
	if v.CanInterface() {
		switch x := v.Interface().(type) {
		case slog.Attr:
			visit(path+"."+x.Key, x.Key)
			visit(path+"."+x.Key, x.Value.String())
			return
		case error:
			if v.Kind() != reflect.Interface {
				visit(path+".Error()", x.Error())
			}
		}
	}
	switch v.Kind() {
	case reflect.String:
		visit(path, v.String())
	case reflect.Pointer, reflect.Interface:
		eachString(v.Elem(), path, visit)
	case reflect.Struct:
		for i := range v.NumField() {
			eachString(v.Field(i), path+"."+v.Type().Field(i).Name, visit)
		}
	case reflect.Slice, reflect.Array:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			b := make([]byte, v.Len())
			for i := range b {
				b[i] = byte(v.Index(i).Uint())
			}
			if v.Kind() == reflect.Slice {
				visit(path, string(b))
			}
			return
		}
		for i := range v.Len() {
			eachString(v.Index(i), fmt.Sprintf("%s[%d]", path, i), visit)
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			eachString(key, path+" key", visit)
			eachString(v.MapIndex(key), fmt.Sprintf("%s[%v]", path, key), visit)
		}
	default: // numbers, booleans, functions, channels
	}
}

// checkSecret fails where v holds the secret.
func checkSecret(t testing.TB, secret, what string, v any) {
	t.Helper()
	eachString(reflect.ValueOf(v), what, func(path, s string) {
		if strings.Contains(s, secret) {
			t.Errorf("%s is %.200q", path, s)
		}
	})
}

// TestSecrets: a connection full of secrets, with everything that a handler may
// do with it; none comes out.
func TestSecrets(t *testing.T) {
	const secret = "s3cr3t"
	j := &journal{}
	out := &lockedBuffer{}
	logger := zerolog.New(out).Level(zerolog.TraceLevel)
	agent := New(Options{
		Logger: &logger, Exporters: []Exporter{&witness{name: "w", journal: j, ids: sampled(1)}},
		Messages: MessageOptions{
			Name: JSONField("type"), Names: []string{"say"},
			LogLevel:     func(string) zerolog.Level { return zerolog.TraceLevel },
			TraceContext: func(_ MessageType, b []byte) (string, string) { return string(b), string(b) },
		},
	})
	up := &websocket.Upgrader{Subprotocols: []string{"bearer", "token." + secret}, CheckOrigin: func(*http.Request) bool { return true }}
	handler := agent.Handler("/ws", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "session", Value: secret})
		say(r.Context())
		_, span := StartSpan(r.Context(), "authenticate", SpanOptions{})
		span.End(fmt.Errorf("token %s", secret)) // a span's error is not recorded
		if r.URL.Path == "/refused" {
			http.Error(w, secret, http.StatusUnauthorized)
			return
		}
		conn, err := up.Upgrade(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		_ = Serve(r.Context(), conn, func(ctx context.Context, m Message) error { // until the peer closes
			say(ctx)
			return FromContext(ctx).Write(ctx, m.Type, m.Data)
		})
	}))
	returned := make(chan struct{}, 3)
	url := serveWS(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handler.ServeHTTP(w, r)
		returned <- struct{}{}
	}))
	header := http.Header{
		"Cookie": {"session=" + secret}, "Authorization": {"Bearer " + secret}, "Proxy-Authorization": {secret},
		"Referer": {"https://app.example/?t=" + secret}, "X-Forwarded-For": {secret}, "Forwarded": {"for=" + secret}, "X-Real-Ip": {secret},
		"Origin": {"https://user:" + secret + "@app.example/" + secret + "?" + secret}, "X-Api-Key": {secret},
		"Traceparent": {secret}, "Baggage": {"k=" + secret},
	}
	for _, protocols := range [][]string{{"bearer", secret}, {"token." + secret}} {
		header["Sec-Websocket-Protocol"] = []string{strings.Join(protocols, ", ")}
		conn := dial(t, url+"/ws?access_token="+secret+"#"+secret, header)
		if conn.Subprotocol() != protocols[0] {
			t.Errorf("agreed on %q", conn.Subprotocol())
		}
		send(t, conn, `{"type":"say","text":"`+secret+`"}`, `{"type":"`+secret+`"}`, secret)
		for range 3 {
			if _, _, err := conn.ReadMessage(); err != nil {
				t.Fatal(err)
			}
		}
		checkSecret(t, secret, "Connections", agent.Connections())
		closing := websocket.FormatCloseMessage(1000, "bye")
		if err := conn.WriteControl(websocket.CloseMessage, closing, time.Now().Add(10*time.Second)); err != nil {
			t.Fatal(err)
		}
		<-returned
	}
	if _, resp, err := websocket.DefaultDialer.Dial(url+"/refused?"+secret, header); err == nil || resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("not refused: %v", err)
	}
	<-returned
	events := j.given()
	if len(events) < 30 {
		t.Errorf("only %d events", len(events))
	}
	for _, event := range events {
		checkSecret(t, secret, fmt.Sprintf("%T", event), event)
	}
	checkSecret(t, secret, "Stats", agent.Stats())
	log := out.String()
	if n := len(parseLines(t, log)); n != 23 || strings.Contains(log, secret) {
		t.Errorf("%d lines: %s", n, log)
	}
}
