package interop

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"github.com/apmws/go-apmws/apmws"
)

// earlyFrames come in the same segment as the handshake.
func earlyFrames() string {
	return string(frame{fin: true, op: opText, payload: []byte("early"), masked: true}.encode()) +
		string(frame{fin: true, op: opPing, payload: []byte("ping"), masked: true}.encode())
}

// TestEarlyBytes: frames that come with the handshake. gorilla refuses such a
// client, coder and gobwas answer it.
func TestEarlyBytes(t *testing.T) {
	t.Parallel()
	// later follows when the answer has been read, and a close frame.
	client := func(early, later string) func(p *peer) string {
		return func(p *peer) string {
			p.write([]byte(handshake() + early))
			if _, err := http.ReadResponse(p.br, nil); err != nil {
				return "no answer: " + ending(err)
			}
			goodbye := p.masked(frame{fin: true, op: opClose, payload: closePayload(1000, "")})
			p.write(append([]byte(later), goodbye.encode()...))
			return p.rest()
		}
	}
	frames := earlyFrames()
	big := string(frame{fin: true, op: opBinary, payload: make([]byte, 20000), masked: true}.encode())
	for _, l := range libraries {
		h := func(*notes) http.Handler { return l.serve(upgrading{}, echo) }
		scene{name: l.name, handler: h, client: client(frames, "")}.run(t)
		scene{name: l.name + "/half a frame", handler: h, client: client(frames[:8], frames[8:])}.run(t)
		scene{name: l.name + "/half a header", handler: h, client: client(frames[:1], frames[1:])}.run(t)
		if l.name != "gorilla" { // it closes the connection while the peer is still writing
			scene{name: l.name + "/more than a buffer", handler: h, client: client(frames+big+frames, frames)}.run(t)
		}
	}
	scene{
		name: "gobwas, read past the buffer", // as its README does; the early bytes are lost
		handler: handle(func(n *notes, w http.ResponseWriter, r *http.Request) {
			conn, _, _, err := ws.UpgradeHTTP(r, w)
			if err != nil {
				n.t.Error(err)
				return
			}
			defer conn.Close()
			for err == nil {
				var b []byte
				var op ws.OpCode
				b, op, err = wsutil.ReadClientData(conn)
				n.add("%q %v %v", b, op, err)
			}
		}),
		client: client(frames, frames),
	}.run(t)
}

// TestEarlyBytesAreCounted, once.
func TestEarlyBytesAreCounted(t *testing.T) {
	t.Parallel()
	eachLibrary(t, func(t *testing.T, l library) {
		for _, withTLS := range []bool{false, true} {
			t.Run(fmt.Sprintf("tls=%t", withTLS), func(t *testing.T) {
				t.Parallel()
				w := newWatch(apmws.Options{})
				srv := start(t, w.agent.Handler(route, l.serve(upgrading{}, echo)), withTLS)
				p := srv.connect(t)
				p.write([]byte(handshake() + earlyFrames()))
				p.request = len(handshake())
				p.answer()
				p.message()
				p.next() // the pong
				p.send(opText, []byte("later"))
				p.message()
				closed(1000)(p)
				both := tally{messages: 2, bytes: 10}
				checkEnd(t, w, both, both)
				checkClose(t, w, closeWanted{"1000", "client", "normal", good})
			})
		}
	}, "gorilla") // it refuses
}

// TestEarlyBytesRefused: gorilla closes the connection without an answer.
func TestEarlyBytesRefused(t *testing.T) {
	t.Parallel()
	w := newWatch(apmws.Options{})
	srv := start(t, w.agent.Handler(route, library{"gorilla", upgradeGorilla}.serve(upgrading{}, echo)), false)
	p := srv.connect(t)
	p.write([]byte(handshake() + earlyFrames()))
	p.rest()
	eventually(t, "a refusal", func() bool { return len(w.rec.opens()) == 1 })
	open := w.rec.opens()[0]
	if open.end.Accepted || open.end.Status != 0 || open.end.Result != "none" || open.end.Outcome != bad {
		t.Errorf("exported %+v, want a refusal without an answer", open.end)
	}
	if s := w.stats(t); s.ConnectionsOpened != 0 || s.MessagesReceived != 0 || s.BytesReceived != 0 {
		t.Errorf("counted %+v", s)
	}
	if n := len(w.rec.ends()); n != 0 {
		t.Errorf("%d ends of a connection that never was", n)
	}
}
