package interop

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/apmws/go-apmws/apmws"
)

// closing is a way in which a connection ends.
type closing struct {
	name  string
	serve func(wsConn, *http.Request) // nil: echo
	peer  func(p *peer)
	want  closeWanted
	// but are the libraries that end it in another way.
	but map[string]closeWanted
}

type closeWanted struct {
	code, initiator, cause string
	outcome                apmws.Outcome
}

const (
	good    = apmws.OutcomeSuccess
	bad     = apmws.OutcomeFailure
	unknown = apmws.OutcomeUnknown
)

// closed is a peer that sends a close frame and reads the answer.
func closed(code int) func(p *peer) {
	return func(p *peer) {
		p.send(opClose, closePayload(code, ""))
		p.next()
		p.rest()
	}
}

// shuts is a server that closes with a code.
func shuts(code int) func(wsConn, *http.Request) {
	return func(c wsConn, _ *http.Request) { c.shut(code, "the reason") }
}

// answersClose is a peer that waits for a close frame and answers it.
func answersClose(p *peer) {
	f := p.next()
	if f.op != opClose {
		p.t.Errorf("opcode %d, want a close frame", f.op)
	}
	p.send(opClose, f.payload[:2])
	p.rest()
}

// greet makes sure that the handler reads.
func greet(p *peer) {
	p.send(opText, []byte("hello"))
	p.message()
}

func breaks(b ...byte) func(p *peer) {
	return func(p *peer) {
		p.write(b)
		p.rest()
	}
}

var closings = []closing{
	{name: "client 1000", peer: closed(1000), want: closeWanted{"1000", "client", "normal", good}},
	{name: "client 1001", peer: closed(1001), want: closeWanted{"1001", "client", "going_away", good}},
	{name: "client 4001", peer: closed(4001), want: closeWanted{"4001", "client", "normal", good}},
	{name: "client without a code", peer: closed(0), want: closeWanted{"1005", "client", "normal", good}},
	{name: "client 1009", peer: closed(1009), want: closeWanted{"1009", "client", "message_too_big", unknown}},
	{name: "client 1002", peer: closed(1002), want: closeWanted{"1002", "client", "protocol_error", unknown}},

	{name: "server 1000", serve: shuts(1000), peer: answersClose, want: closeWanted{"1000", "server", "normal", good}},
	{name: "server 1001", serve: shuts(1001), peer: answersClose, want: closeWanted{"1001", "server", "going_away", good}},
	{name: "server 1008", serve: shuts(1008), peer: answersClose, want: closeWanted{"1008", "server", "application", good}},
	{name: "server 1011", serve: shuts(1011), peer: answersClose, want: closeWanted{"1011", "server", "handler_error", bad}},
	{name: "server 4002", serve: shuts(4002), peer: answersClose, want: closeWanted{"4002", "server", "application", good}},
	{
		name:  "server without a close frame",
		serve: func(c wsConn, _ *http.Request) {},
		peer:  func(p *peer) { p.rest() },
		want:  closeWanted{"none", "server", "application", good},
	},

	{name: "end of the stream", peer: func(p *peer) { greet(p); p.vanish() }, want: closeWanted{"none", "network", "read_error", unknown}},
	{
		name: "end of the stream in a frame",
		peer: func(p *peer) { greet(p); p.write([]byte{0x81, 0x85, 1, 2}); p.vanish() },
		want: closeWanted{"none", "network", "read_error", unknown},
	},
	{name: "reset", peer: func(p *peer) { greet(p); p.reset() }, want: closeWanted{"none", "network", "read_error", unknown}},

	{
		name:  "message too big",
		serve: func(c wsConn, _ *http.Request) { c.limit(1000); _, _, _ = c.receive() },
		peer:  func(p *peer) { p.send(opText, bytes.Repeat([]byte("x"), 3000)); p.rest() },
		want:  closeWanted{"1009", "server", "message_too_big", unknown},
	},
	{name: "reserved bits", peer: breaks(0xF1, 0x80, 0, 0, 0, 0), want: closeWanted{"1002", "server", "protocol_error", unknown}},
	{name: "unknown opcode", peer: breaks(0x83, 0x80, 0, 0, 0, 0), want: closeWanted{"1002", "server", "protocol_error", unknown}},
	{name: "fragmented ping", peer: breaks(0x09, 0x80, 0, 0, 0, 0), want: closeWanted{"1002", "server", "protocol_error", unknown}},
	{
		name: "unmasked frame",
		peer: breaks(0x81, 0x01, 'x'),
		want: closeWanted{"1002", "server", "protocol_error", unknown},
		but:  map[string]closeWanted{"coder": {"none", "server", "protocol_error", unknown}}, // it just closes
	},
	{
		name: "invalid UTF-8 in a reason",
		peer: func(p *peer) { p.send(opClose, closePayload(1000, "\xff\xfe")); p.rest() },
		want: closeWanted{"1000", "client", "normal", good}, // the peer had closed, however badly
	},
	{
		name: "1005 in so many words",
		peer: func(p *peer) { p.send(opClose, closePayload(1005, "")); p.rest() },
		want: closeWanted{"1002", "server", "protocol_error", unknown},
	},

	{
		name: "handler's panic",
		serve: func(c wsConn, _ *http.Request) {
			defer c.drop() // as handlers do
			panic("the cat ate it")
		},
		peer: func(p *peer) { p.rest() },
		want: closeWanted{"none", "server", "panic", bad},
	},
	{
		name: "handler's panic in the middle of talk",
		serve: func(c wsConn, _ *http.Request) {
			if _, _, err := c.receive(); err == nil {
				panic(errors.New("the cat ate it"))
			}
		},
		peer: func(p *peer) { p.send(opText, []byte("x")); p.rest() },
		want: closeWanted{"none", "server", "panic", bad},
	},
}

func TestClose(t *testing.T) {
	t.Parallel()
	eachLibrary(t, func(t *testing.T, l library) {
		for _, x := range closings {
			for _, withTLS := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/tls=%t", x.name, withTLS), func(t *testing.T) {
					t.Parallel()
					w := newWatch(apmws.Options{})
					serve := x.serve
					if serve == nil {
						serve = echo
					}
					srv := start(t, w.agent.Handler(route, l.serve(upgrading{}, serve)), withTLS)
					p := srv.upgrade(t)
					x.peer(p)
					want := x.want
					if other, ok := x.but[l.name]; ok {
						want = other
					}
					checkClose(t, w, want)
				})
			}
		}
	})
}

// checkClose compares how the end is reported on all channels.
func checkClose(t *testing.T, w *watch, want closeWanted) {
	t.Helper()
	end := w.end(t)
	line := w.log.lines("websocket-disconnected")[0]
	for _, x := range []struct{ name, label, want string }{
		{"websocket.close.code", "labels.websocket_close_code", want.code},
		{"websocket.close.initiator", "labels.websocket_close_initiator", want.initiator},
		{"websocket.close.cause", "labels.websocket_close_cause", want.cause},
	} {
		if end.attrs[x.name] != x.want {
			t.Errorf("exported %s = %v, want %s", x.name, end.attrs[x.name], x.want)
		}
		if line[x.label] != x.want {
			t.Errorf("logged %s = %v, want %s", x.label, line[x.label], x.want)
		}
	}
	if end.end.Result != want.cause || end.end.Outcome != want.outcome {
		t.Errorf("result %s, outcome %s, want %s, %s", end.end.Result, end.end.Outcome, want.cause, want.outcome)
	}
	if failed := end.end.Failure != nil; failed != (want.outcome == bad) {
		t.Errorf("failure %+v at outcome %s", end.end.Failure, end.end.Outcome)
	}
	if level := line["level"]; (level == "warn") != (want.outcome == bad) {
		t.Errorf("logged at level %v", level)
	}
	w.idle(t)
	if closed := w.stats(t).Closed; len(closed) != 1 || string(closed[0].Cause) != want.cause || closed[0].Count != 1 {
		t.Errorf("counters %+v, want one %s", closed, want.cause)
	}
	if strings.Contains(w.log.String(), "s3cret") {
		t.Error("the query string was logged")
	}
}

// TestInvalidText: only gobwas looks at the text of messages.
func TestInvalidText(t *testing.T) {
	t.Parallel()
	w := newWatch(apmws.Options{})
	srv := start(t, w.agent.Handler(route, library{"gobwas", upgradeGobwas}.serve(upgrading{}, echo)), false)
	p := srv.upgrade(t)
	p.send(opText, []byte("\xff\xfe"))
	p.rest()
	checkClose(t, w, closeWanted{"1007", "server", "protocol_error", unknown})
}

// TestWriteError: the peer has gone and the server only writes.
func TestWriteError(t *testing.T) {
	t.Parallel()
	eachLibrary(t, func(t *testing.T, l library) {
		w := newWatch(apmws.Options{})
		gone := make(chan struct{})
		srv := start(t, w.agent.Handler(route, l.serve(upgrading{}, func(c wsConn, _ *http.Request) {
			if _, _, err := c.receive(); err != nil { // a peer that resets sooner is none that net/http hands over
				t.Error(err)
			}
			<-gone
			for c.send(opBinary, make([]byte, 64<<10)) == nil {
			}
		})), false)
		p := srv.upgrade(t)
		p.send(opText, []byte("hello"))
		eventually(t, "the message", func() bool { return w.stats(t).MessagesReceived == 1 })
		p.reset()
		close(gone)
		checkClose(t, w, closeWanted{"none", "network", "write_error", bad})
	})
}

// TestCloseFrameNotWritten: a close frame that did not get out closes nothing.
func TestCloseFrameNotWritten(t *testing.T) {
	t.Parallel()
	w := newWatch(apmws.Options{})
	srv := start(t, w.agent.Handler(route, library{"gobwas", upgradeGobwas}.serve(upgrading{}, func(c wsConn, _ *http.Request) {
		conn := c.(*gobwasConn).Conn
		_ = conn.SetWriteDeadline(time.Unix(1, 0))
		if _, err := conn.Write(ws.MustCompileFrame(ws.NewCloseFrame(ws.NewCloseFrameBody(1000, "")))); err == nil {
			t.Error("written")
		}
	})), false)
	p := srv.upgrade(t)
	p.rest()
	if p.framesRead().closes != 0 {
		t.Error("the peer read a close frame")
	}
	checkClose(t, w, closeWanted{"none", "network", "write_error", bad})
}
