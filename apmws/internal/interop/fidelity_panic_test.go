package interop

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/apmws/go-apmws/apmws"
)

// TestPanics: the client and net/http see a handler's panic as without the agent.
func TestPanics(t *testing.T) {
	t.Parallel()
	client := asks(handshake())
	logged := func(value any) int {
		if value == http.ErrAbortHandler {
			return 0
		}
		return 1
	}
	for name, value := range map[string]any{
		"string": "the cat ate it", "error": fmt.Errorf("the cat ate it"), "abort": http.ErrAbortHandler,
	} {
		scene{
			name:    name + "/before the upgrade",
			handler: handle(func(*notes, http.ResponseWriter, *http.Request) { panic(value) }),
			client:  client,
			logs:    logged(value),
		}.run(t)
		scene{
			name: name + "/in an answer",
			handler: handle(func(_ *notes, w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(http.StatusForbidden)
				put(w, "go a")
				w.(http.Flusher).Flush()
				panic(value)
			}),
			client: client,
			logs:   logged(value),
		}.run(t)
		scene{
			name: name + "/after the hijack",
			handler: hijacked(func(*notes, net.Conn, *bufio.ReadWriter) {
				panic(value)
			}),
			client: client,
			logs:   logged(value),
		}.run(t)
		for _, l := range libraries {
			scene{
				name: name + "/after the upgrade/" + l.name,
				handler: func(*notes) http.Handler {
					return l.serve(upgrading{}, func(c wsConn, _ *http.Request) {
						_ = c.send(opText, []byte("hi"))
						panic(value)
					})
				},
				client: client,
				logs:   logged(value),
			}.run(t)
		}
	}
	for name, h := range map[string]http.Handler{
		"before the upgrade": http.HandlerFunc(panicsHere),
		"after the upgrade":  library{"gorilla", upgradeGorilla}.serve(upgrading{}, func(wsConn, *http.Request) { panic("x") }),
	} {
		scene{
			name:    "recovered by the vendor outside/" + name,
			handler: func(*notes) http.Handler { return h },
			outer:   vendorHTTP(t),
			client: func(p *peer) string {
				p.write([]byte(handshake()))
				_ = p.tcp.CloseWrite()
				return p.rest()
			},
		}.run(t)
	}
	scene{
		name: "recovered by a middleware inside",
		handler: func(n *notes) http.Handler {
			return recovers(n, library{"gobwas", upgradeGobwas}.serve(upgrading{}, func(wsConn, *http.Request) { panic("x") }))
		},
		client: client,
	}.run(t)
	scene{
		name: "recovered by a middleware outside",
		handler: func(*notes) http.Handler {
			return library{"gobwas", upgradeGobwas}.serve(upgrading{}, func(wsConn, *http.Request) { panic("x") })
		},
		outer:  func(h http.Handler) http.Handler { return recovers(&notes{}, h) },
		client: client,
	}.run(t)
}

func recovers(n *notes, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if p := recover(); p != nil {
				n.add("recovered %v", p)
			}
		}()
		next.ServeHTTP(w, r)
	})
}

// TestPanicStack: net/http's log shows where the panic came from.
func TestPanicStack(t *testing.T) {
	t.Parallel()
	w := newWatch(apmws.Options{})
	srv := start(t, w.agent.Handler(route, http.HandlerFunc(panicsHere)), false)
	p := srv.connect(t)
	p.write([]byte(handshake()))
	p.rest()
	eventually(t, "net/http's line", func() bool { return strings.Contains(srv.errors.String(), "goroutine ") })
	if log := srv.errors.String(); !strings.Contains(log, "interop.panicsHere") {
		t.Errorf("the log does not show the panicking function:\n%s", log)
	}
	open := w.rec.opens()[0].end
	if open.Failure == nil || open.Failure.Panic != "here" || !strings.Contains(string(open.Failure.Stack), "interop.panicsHere") {
		t.Errorf("exported failure %+v", open.Failure)
	}
	if line := w.log.lines("websocket-refused")[0]; !strings.Contains(fmt.Sprint(line["error.stack_trace"]), "interop.panicsHere") {
		t.Errorf("logged %v", line)
	}
}

func panicsHere(http.ResponseWriter, *http.Request) { panic("here") }
