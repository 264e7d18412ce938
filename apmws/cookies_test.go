package apmws

import (
	"bufio"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
)

func TestLostCookieNames(t *testing.T) {
	many := make([]string, 20)
	for i := range many {
		many[i] = strings.Repeat("n", i+1) + "=1"
	}
	for _, test := range []struct {
		name      string
		set, sent []string
		want      []string
	}{
		{"none", nil, nil, nil},
		{"sent", []string{"a=1; Path=/; Max-Age=9"}, []string{"a=1"}, nil},
		{"sent with other attributes", []string{"a=1; Max-Age=10", "a=1; Max-Age=9"}, []string{"a=1"}, nil},
		{"not sent", []string{"a=1", "b=2; Path=/"}, []string{"a=1"}, []string{"b"}},
		{"another value", []string{"a=2"}, []string{"a=1"}, []string{"a"}},
		{"deleted", []string{"a=; Max-Age=0"}, []string{"a=1"}, []string{"a"}},
		{"twice", []string{"a=2", "a=3"}, nil, []string{"a"}},
		{"a value without a name", []string{"secret", "=secret", " = secret", "a secret=1", "\x00=1", ""}, nil, []string{"_OTHER"}},
		{"a long name", []string{strings.Repeat("x", 65) + "=1"}, nil, []string{"_OTHER"}},
		{"many", many, nil, []string{"n", "nn", "nnn", "nnnn", "nnnnn", "nnnnnn", "nnnnnnn", "nnnnnnnn"}},
	} {
		if got := lostCookies(test.set, test.sent); !slices.Equal(got, test.want) {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}

// TestLostCookieLine: what is set after the 101, and only that, is warned of,
// once, by name.
func TestLostCookieLine(t *testing.T) {
	upgrade := func(w http.ResponseWriter, r *http.Request, header http.Header) {
		conn, err := (&websocket.Upgrader{}).Upgrade(w, r, header)
		if err != nil {
			t.Error(err)
			return
		}
		conn.Close()
	}
	inPieces := func(w http.ResponseWriter, _ *http.Request) {
		conn, brw, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		put := func(s string) {
			_, err := brw.WriteString(s)
			if err = errors.Join(err, brw.Flush()); err != nil {
				t.Error(err)
			}
		}
		put("HTTP/1.1 101 Switching Protocols\r\nset-coo")
		put("kie:own=1; Path=/\r\nUpgrade: websocket\r\n\r")
		put("\n")
	}
	late := func(w http.ResponseWriter, cookies ...string) {
		for _, c := range cookies {
			w.Header().Add("Set-Cookie", c)
		}
	}
	for _, test := range []struct {
		name   string
		handle func(http.ResponseWriter, *http.Request)
		want   string // empty: no line
	}{
		{"before", func(w http.ResponseWriter, r *http.Request) { late(w, "a=1"); upgrade(w, r, nil) }, ""},
		{"before, by the library", func(w http.ResponseWriter, r *http.Request) {
			upgrade(w, r, http.Header{"Set-Cookie": {"a=1; Max-Age=9"}})
			late(w, "a=1; Max-Age=8")
		}, ""},
		{"the same again", func(w http.ResponseWriter, r *http.Request) {
			late(w, "a=1; Max-Age=9")
			upgrade(w, r, nil)
			late(w, "a=1; Max-Age=8")
		}, ""},
		{"after", func(w http.ResponseWriter, r *http.Request) {
			upgrade(w, r, nil)
			late(w, "a=secret; Path=/secret", "b=secret")
		}, "a b"},
		{"changed", func(w http.ResponseWriter, r *http.Request) {
			late(w, "a=1")
			upgrade(w, r, nil)
			w.Header().Set("Set-Cookie", "a=secret")
		}, "a"},
		{"in pieces", func(w http.ResponseWriter, r *http.Request) { inPieces(w, r); late(w, "own=1", "b=2") }, "b"},
		{"the answer is net/http's", func(w http.ResponseWriter, r *http.Request) {
			late(w, "a=1")
			w.WriteHeader(http.StatusSwitchingProtocols)
			conn, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			conn.Close()
			late(w, "a=1; Max-Age=8", "b=2")
		}, "b"},
		{"refused", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Connection", "close") // what comes is read to its end
			http.Error(w, "no", http.StatusUnauthorized)
			late(w, "a=1")
		}, ""},
		{"no answer", func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			conn.Close()
			late(w, "a=1")
		}, ""},
		{"a panic", func(w http.ResponseWriter, r *http.Request) {
			upgrade(w, r, nil)
			late(w, "a=1")
			panic(http.ErrAbortHandler)
		}, "a"},
	} {
		t.Run(test.name, func(t *testing.T) {
			rec := newRecorder()
			l := newLogged(Options{Exporters: []Exporter{rec}})
			over := make(chan struct{})
			watched := l.Handler("/rooms/{id}", http.HandlerFunc(test.handle))
			url := serveWS(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				defer close(over)
				watched.ServeHTTP(w, r)
			}))
			conn := rawHandshake(t, url)
			_, _ = bufio.NewReader(conn).WriteTo(new(strings.Builder)) // to its end
			receive(t, over)
			lines := l.lines(t)
			id := rec.all("connect")[0].conn
			lines = slices.DeleteFunc(lines, func(line fields) bool { return line["event.action"] != "websocket-cookie-lost" })
			if test.want == "" {
				if len(lines) > 0 {
					t.Errorf("a line: %v", lines)
				}
				return
			}
			if len(lines) != 1 {
				t.Fatalf("%d lines", len(lines))
			}
			checkLine(t, lines[0], fields{
				"level": "warn", "message": "websocket cookie lost", "event.action": "websocket-cookie-lost",
				"labels.websocket_event": "connect", "labels.websocket_connection_id": id, "labels.http_route": "/rooms/{id}",
				"trace.id": "01000000000000000000000000000000", "transaction.id": "0100000000000000",
				"labels.websocket_cookie_names": test.want,
				"error.message":                 "set when the 101 had been written: cookies must be set before the upgrade, with Endpoint in BeforeUpgrade",
			})
		})
	}
}
