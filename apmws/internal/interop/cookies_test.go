package interop

import (
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/apmws/go-apmws/apmws"
)

// headLines performs a handshake that must succeed and returns the lines of
// the answer's head as they were on the wire, the status first.
func (s *server) headLines(t *testing.T) []string {
	t.Helper()
	p := s.upgrade(t)
	head, rest, _ := strings.Cut(p.read.String()[:p.head], "\r\n\r\n")
	if rest != "" {
		t.Fatalf("the head goes on after its end: %q", rest)
	}
	closed(1000)(p)
	return strings.Split(head, "\r\n")
}

// values returns the values of a header, in order.
func values(lines []string, name string) (values []string) {
	for _, line := range lines[1:] {
		if key, value, _ := strings.Cut(line, ":"); strings.EqualFold(key, name) {
			values = append(values, strings.TrimSpace(value))
		}
	}
	return values
}

// setting is a middleware that adds headers.
func setting(name string, values ...string) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			for _, v := range values {
				w.Header().Add(name, v)
			}
			next.ServeHTTP(w, r)
		})
	}
}

// eachPlace runs f with the agent outside and inside the middleware.
func eachPlace(t *testing.T, f func(t *testing.T, place func(w *watch, middleware func(http.Handler) http.Handler, h http.Handler) http.Handler)) {
	t.Run("outermost", func(t *testing.T) {
		t.Parallel()
		f(t, func(w *watch, middleware func(http.Handler) http.Handler, h http.Handler) http.Handler {
			return w.agent.Handler(route, middleware(h))
		})
	})
	t.Run("innermost", func(t *testing.T) {
		t.Parallel()
		f(t, func(w *watch, middleware func(http.Handler) http.Handler, h http.Handler) http.Handler {
			return middleware(w.agent.Handler(route, h))
		})
	})
}

// TestCookies: what middleware left in w.Header() reaches the client in the
// 101, once and in order.
func TestCookies(t *testing.T) {
	t.Parallel()
	long := "long=" + strings.Repeat("x", 4000)
	many := make([]string, 30)
	for i := range many {
		many[i] = "n" + strings.Repeat("i", i) + "=1; Path=/; HttpOnly; SameSite=Lax"
	}
	for _, tc := range []struct {
		name       string
		middleware []string
		handler    http.Header // passed to the library
		want       []string
	}{
		{name: "one", middleware: []string{"a=1"}, want: []string{"a=1"}},
		{name: "several", middleware: []string{"z=1; Path=/", "a=2", "m=3"}, want: []string{"z=1; Path=/", "a=2", "m=3"}},
		{name: "many", middleware: many, want: many},
		{name: "long", middleware: []string{long, long + "y", "c=1"}, want: []string{long, long + "y", "c=1"}},
		{
			name: "also from the handler", middleware: []string{"a=1", "b=2"},
			handler: http.Header{"Set-Cookie": {"a=1", "b=2"}}, want: []string{"a=1", "b=2"},
		},
		{
			name: "one also from the handler, which has its own", middleware: []string{"a=1", "b=2"},
			handler: http.Header{"Set-Cookie": {"own=0", "b=2"}}, want: []string{"own=0", "b=2", "a=1"},
		},
		{
			name: "the same name with another value", middleware: []string{"a=1"},
			handler: http.Header{"Set-Cookie": {"a=2"}}, want: []string{"a=2", "a=1"},
		},
		{
			name: "odd white space", middleware: []string{" a=\t1 "},
			handler: http.Header{"Set-Cookie": {" a=\t1 "}}, want: []string{"a= 1"},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			eachLibrary(t, func(t *testing.T, l library) {
				want := tc.want
				switch {
				case l.name == "coder" && tc.handler != nil:
					return // it takes no headers; the handler replaces those of the middleware
				case l.name == "gobwas" && tc.name == "odd white space":
					want = []string{"a=\t1"} // as net/http writes it
				}
				eachPlace(t, func(t *testing.T, place func(*watch, func(http.Handler) http.Handler, http.Handler) http.Handler) {
					w := newWatch(apmws.Options{})
					h := l.serve(upgrading{header: tc.handler}, echo)
					lines := start(t, place(w, setting("Set-Cookie", tc.middleware...), h), false).headLines(t)
					if got := values(lines, "Set-Cookie"); !slices.Equal(got, want) {
						t.Errorf("cookies %q, want %q", got, want)
					}
					checkUpgradeHead(t, lines)
				})
			})
		})
	}
}

// checkUpgradeHead checks that what a 101 must have is there once.
func checkUpgradeHead(t *testing.T, lines []string) {
	t.Helper()
	for name, want := range map[string]string{
		"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Accept": "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
	} {
		if got := values(lines, name); len(got) != 1 || got[0] != want {
			t.Errorf("%s: %q, want it once: %q", name, got, want)
		}
	}
}

// TestWholeHeaderPassedOn: the handler passes w.Header() to the library.
func TestWholeHeaderPassedOn(t *testing.T) {
	t.Parallel()
	eachLibrary(t, func(t *testing.T, l library) {
		eachPlace(t, func(t *testing.T, place func(*watch, func(http.Handler) http.Handler, http.Handler) http.Handler) {
			w := newWatch(apmws.Options{UpgradeHeaders: []string{"X-Request-Id"}})
			h := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				rw.Header().Set("X-Request-Id", "7")
				c, err := l.upgrade(rw, r, upgrading{header: rw.Header()})
				if err != nil {
					t.Error(err)
					return
				}
				defer c.drop()
				echo(c, r)
			})
			lines := start(t, place(w, setting("Set-Cookie", "a=1", "b=2"), h), false).headLines(t)
			if got := values(lines, "Set-Cookie"); !slices.Equal(got, []string{"a=1", "b=2"}) {
				t.Errorf("cookies %q", got)
			}
			if got := values(lines, "X-Request-Id"); !slices.Equal(got, []string{"7"}) {
				t.Errorf("X-Request-Id %q", got)
			}
		})
	})
}

// TestUpgradeHeaders: further headers by allow-list, never those that are the
// library's.
func TestUpgradeHeaders(t *testing.T) {
	t.Parallel()
	eachLibrary(t, func(t *testing.T, l library) {
		eachPlace(t, func(t *testing.T, place func(*watch, func(http.Handler) http.Handler, http.Handler) http.Handler) {
			forbidden := []string{
				"Content-Type", "content-length", "Content-Encoding", "Transfer-Encoding", "connection", "Upgrade",
				"Sec-WebSocket-Accept", "Sec-Websocket-Extensions", "sec-websocket-protocol", "Sec-WebSocket-Version",
			}
			w := newWatch(apmws.Options{UpgradeHeaders: append([]string{"x-request-id", "Server", "Set-Cookie"}, forbidden...)})
			middleware := func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
					header := rw.Header()
					header.Set("X-Request-Id", "7")
					header.Set("Server", "test")
					header.Set("X-Other", "no")
					header.Set("Set-Cookie", "a=1")
					for _, name := range forbidden {
						header.Set(name, "evil")
					}
					next.ServeHTTP(rw, r)
				})
			}
			lines := start(t, place(w, middleware, l.serve(upgrading{}, echo)), false).headLines(t)
			for name, want := range map[string][]string{"X-Request-Id": {"7"}, "Server": {"test"}, "Set-Cookie": {"a=1"}, "X-Other": nil} {
				if got := values(lines, name); !slices.Equal(got, want) {
					t.Errorf("%s: %q, want %q", name, got, want)
				}
			}
			for _, name := range forbidden {
				for _, value := range values(lines, name) {
					if value == "evil" {
						t.Errorf("%s was added", name)
					}
				}
			}
			checkUpgradeHead(t, lines)
		})
	}, "coder") // net/http writes its answer, with every header
}

// TestResponseSplitting: a value with line breaks stays one line.
func TestResponseSplitting(t *testing.T) {
	t.Parallel()
	for name, value := range map[string]string{
		"a header": "a=1\r\nX-Injected: yes", "line feed": "a=1\nX-Injected: yes", "carriage return": "a=1\rX-Injected: yes",
		"the end": "a=1\r\n\r\njunk", "at the end": "a=1\r\n", "alone": "\r\n", "folded": "a=1\r\n X-Injected: yes",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachLibrary(t, func(t *testing.T, l library) {
				eachPlace(t, func(t *testing.T, place func(*watch, func(http.Handler) http.Handler, http.Handler) http.Handler) {
					w := newWatch(apmws.Options{})
					srv := start(t, place(w, setting("Set-Cookie", value, "b=2"), l.serve(upgrading{}, echo)), false)
					p := srv.upgrade(t)
					head := p.read.String()[:p.head]
					if strings.Count(head, "\r\n") != strings.Count(head, "\n") || strings.Count(head, "\r\n") != strings.Count(head, "\r") {
						t.Errorf("bare line breaks in %q", head)
					}
					lines := strings.Split(strings.TrimSuffix(head, "\r\n\r\n"), "\r\n")
					if got := values(lines, "X-Injected"); got != nil {
						t.Errorf("injected: %q", head)
					}
					if got := values(lines, "Set-Cookie"); len(got) != 2 || got[1] != "b=2" {
						t.Errorf("cookies %q", got)
					}
					p.send(opText, []byte("still in step"))
					if _, b := p.message(); string(b) != "still in step" {
						t.Errorf("echo %q", b)
					}
					closed(1000)(p)
				})
			})
		})
	}
}

// TestCookiesOfARefusal are net/http's business.
func TestCookiesOfARefusal(t *testing.T) {
	t.Parallel()
	for _, l := range libraries {
		scene{
			name: l.name,
			handler: func(*notes) http.Handler {
				return setsCookies(l.serve(upgrading{}, echo))
			},
			client: func(p *peer) string {
				p.write([]byte(strings.Replace(handshake(), "13", "12", 1)))
				_ = p.tcp.CloseWrite()
				return p.rest()
			},
		}.run(t)
	}
}

// TestCookiesInPieces: a library may write the head of the 101 as it likes, and
// frames right behind it.
func TestCookiesInPieces(t *testing.T) {
	t.Parallel()
	const frames = "\x81\x02hi\x89\x00"
	whole := switching + frames
	want := strings.TrimSuffix(switching, "\r\n") + "Set-Cookie: a=1\r\nSet-Cookie: b=2\r\n\r\n" + frames
	w := newWatch(apmws.Options{})
	h := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		at, err := strconv.Atoi(r.Header.Get("X-At"))
		if err != nil {
			t.Error(err)
		}
		conn, _, err := http.NewResponseController(rw).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		pieces := split(whole)
		if at >= 0 {
			pieces = []string{whole[:at], whole[at:]}
		}
		for _, s := range pieces {
			if n, err := io.WriteString(conn, s); n != len(s) || err != nil {
				t.Errorf("write of %q: %d, %v", s, n, err)
			}
		}
	})
	srv := start(t, setting("Set-Cookie", "a=1", "b=2")(w.agent.Handler(route, h)), false)
	for at := -1; at <= len(whole); at++ {
		p := srv.connect(t)
		p.write([]byte(handshake("X-At: " + strconv.Itoa(at))))
		if how := p.rest(); how != "end" || p.read.String() != want {
			t.Errorf("cut at %d: the client reads %q, %s, want %q", at, p.read.String(), how, want)
		}
	}
	w.idle(t)
	if s := w.stats(t); s.ConnectionsOpened != int64(len(whole)+2) || s.MessagesSent != s.ConnectionsOpened || s.BytesSent != 2*s.ConnectionsOpened {
		t.Errorf("counted %+v", s)
	}
}
