package interop

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/http"
	"testing"

	"github.com/apmws/go-apmws/apmws"
)

// TestMatrix has each library echo all kinds of messages in each setting, and
// compares every figure that the agent gives with what the peer counted.
func TestMatrix(t *testing.T) {
	for _, l := range libraries {
		for _, compress := range []bool{false, true} {
			for _, withTLS := range []bool{false, true} {
				for _, p := range placements {
					t.Run(fmt.Sprintf("%s/deflate=%t/tls=%t/%s", l.name, compress, withTLS, p.name), func(t *testing.T) {
						t.Parallel()
						testMatrix(t, l, compress, withTLS, p)
					})
				}
			}
		}
	}
}

// pingMe makes echoOrPing send a ping instead of an echo.
const pingMe = "ping me"

func echoOrPing(c wsConn, _ *http.Request) {
	c.limit(4 << 20)
	for {
		op, payload, err := c.receive()
		if err != nil {
			return
		}
		if string(payload) == pingMe {
			err = c.ping()
		} else {
			err = c.send(op, payload)
		}
		if err != nil {
			return
		}
	}
}

func testMatrix(t *testing.T, l library, compress, withTLS bool, place placement) {
	w := newWatch(apmws.Options{})
	srv := start(t, place.place(t, w, l.serve(upgrading{compress: compress}, echoOrPing)), withTLS)
	var headers []string
	if compress {
		headers = append(headers, "Sec-WebSocket-Extensions: "+deflateOffer)
	}
	p := srv.connect(t)
	answer := p.ask101(handshake(headers...))
	if got := answer.Header.Get("Sec-Websocket-Extensions") != ""; got != compress {
		t.Fatalf("deflate negotiated: %t, want %t", got, compress)
	}

	largest := 65536
	if place.name == "outermost" {
		largest = 1 << 20 // once is enough: the race detector is slow
	}
	sent := int64(talk(p, compress, largest))
	p.send(opText, []byte(pingMe))
	sent++
	ping := p.next()
	if ping.op != opPing {
		t.Fatalf("opcode %d, want a ping", ping.op)
	}
	p.send(opPong, ping.payload)
	p.send(opText, []byte("after the pong"))
	p.message()
	sent++

	wrote, read := p.framesWrote(), p.framesRead()
	if wrote.messages != sent || read.messages != sent-1 {
		t.Fatalf("the peer counts %d messages written and %d read, want %d and %d", wrote.messages, read.messages, sent, sent-1)
	}
	checkOpen(t, w, wrote, read)

	p.send(opClose, closePayload(1000, "bye"))
	if f := p.next(); f.op != opClose || !bytes.HasPrefix(f.payload, closePayload(1000, "")) {
		t.Fatalf("frame %+v, want the answer to the close frame", f)
	}
	if how := p.rest(); how != "end" {
		t.Errorf("the connection ended for the peer with %q", how)
	}
	checkEnd(t, w, wrote, read)
	end := w.end(t)
	for key, want := range map[string]any{
		"websocket.close.code": "1000", "websocket.close.reason": "bye",
		"websocket.close.initiator": "client", "websocket.close.cause": "normal",
	} {
		if end.attrs[key] != want {
			t.Errorf("%s = %v, want %v", key, end.attrs[key], want)
		}
	}
	if rtt, _ := end.attrs["websocket.ping.rtt"].(float64); rtt <= 0 {
		t.Errorf("websocket.ping.rtt = %v", end.attrs["websocket.ping.rtt"])
	}
	if n := w.stats(t).PingRTT.Count; n != 1 {
		t.Errorf("%d ping round trips, want 1", n)
	}
}

// talk has messages of all kinds echoed and returns how many.
func talk(p *peer, compress bool, largest int) (n int) {
	random := rand.New(rand.NewPCG(1, 2))
	echoed := func(op byte, want []byte) {
		p.t.Helper()
		n++
		if gotOp, got := p.message(); gotOp != op || !bytes.Equal(got, want) {
			p.t.Fatalf("message %d: echo of opcode %d and %d bytes, want %d and %d", n, gotOp, len(got), op, len(want))
		}
	}
	for i, size := range []int{0, 1, 125, 126, 127, 4096, 65535, largest} {
		for _, op := range []byte{opText, opBinary} {
			payload := words(random, size)
			f := frame{fin: true, op: op, payload: payload}
			if compress && (i%3 != 0 || size > 1000) {
				f.rsv1, f.payload = true, deflate(payload)
			}
			p.frame(f)
			echoed(op, payload)
		}
	}

	// Fragments, one of them empty, with pings and a pong nobody asked for.
	payload := words(random, 10000)
	wire := payload
	if compress {
		wire = deflate(payload)
	}
	p.frame(frame{op: opText, rsv1: compress, payload: wire[:10]})
	p.send(opPing, []byte("between"))
	if f := p.next(); f.op != opPong || string(f.payload) != "between" {
		p.t.Fatalf("frame %+v, want the pong", f)
	}
	p.frame(frame{op: opContinuation, payload: wire[10:700]})
	p.send(opPong, []byte("unasked"))
	p.frame(frame{op: opContinuation})
	p.send(opPing, nil)
	if f := p.next(); f.op != opPong || len(f.payload) != 0 {
		p.t.Fatalf("frame %+v, want the pong", f)
	}
	p.frame(frame{fin: true, op: opContinuation, payload: wire[700:]})
	echoed(opText, payload)

	// Byte by byte.
	payload = words(random, 200)
	for _, b := range p.masked(frame{fin: true, op: opBinary, payload: payload}).encode() {
		p.write([]byte{b})
	}
	echoed(opBinary, payload)

	// Several frames at once, cut at an odd place.
	first, second := words(random, 300), words(random, 70000)
	all := p.masked(frame{fin: true, op: opText, payload: first}).encode()
	all = append(all, p.masked(frame{fin: true, op: opPing, payload: []byte("x")}).encode()...)
	all = append(all, p.masked(frame{fin: true, op: opBinary, payload: second}).encode()...)
	p.write(all[:len(first)+9])
	p.write(all[len(first)+9:])
	echoed(opText, first)
	echoed(opBinary, second)
	return n
}

// words is text of that size that compresses well, but not to nothing.
func words(random *rand.Rand, size int) []byte {
	b := make([]byte, 0, size+8)
	for len(b) < size {
		b = append(b, "room said hello all of you today "[random.IntN(8)*4:]...)
	}
	return b[:size]
}

// checkOpen compares the figures of the open connection with the peer's.
func checkOpen(t *testing.T, w *watch, wrote, read tally) {
	t.Helper()
	var info apmws.ConnInfo
	// What the peer has read is counted when the server's write returns.
	eventually(t, "the peer's counts", func() bool {
		conns := w.agent.Connections()
		if len(conns) != 1 {
			t.Fatalf("%d connections", len(conns))
		}
		info = conns[0]
		return info.MessagesSent >= read.messages && info.BytesSent >= read.bytes && info.PingRTT > 0
	})
	for _, x := range []struct {
		what      string
		got, want int64
	}{
		{"messages received", info.MessagesReceived, wrote.messages},
		{"bytes received", info.BytesReceived, wrote.bytes},
		{"messages sent", info.MessagesSent, read.messages},
		{"bytes sent", info.BytesSent, read.bytes},
	} {
		if x.got != x.want {
			t.Errorf("open connection: %s %d, the peer counted %d", x.what, x.got, x.want)
		}
	}
	if s := w.stats(t); s.ConnectionsActive != 1 || s.ConnectionsOpened != 1 {
		t.Errorf("%d connections active of %d, want 1 of 1", s.ConnectionsActive, s.ConnectionsOpened)
	}
}

// checkEnd compares the figures of the ended connection with the peer's: the
// counters, the exported event and the log line.
func checkEnd(t *testing.T, w *watch, wrote, read tally) {
	t.Helper()
	end := w.end(t)
	w.idle(t)
	s := w.stats(t)
	line := w.log.lines("websocket-disconnected")[0]
	for _, x := range []struct {
		name       string
		stat, want int64
	}{
		{"websocket.messages.received", s.MessagesReceived, wrote.messages},
		{"websocket.bytes.received", s.BytesReceived, wrote.bytes},
		{"websocket.messages.sent", s.MessagesSent, read.messages},
		{"websocket.bytes.sent", s.BytesSent, read.bytes},
	} {
		if x.stat != x.want {
			t.Errorf("counter of %s: %d, the peer counted %d", x.name, x.stat, x.want)
		}
		if end.attrs[x.name] != x.want {
			t.Errorf("exported %s: %v, the peer counted %d", x.name, end.attrs[x.name], x.want)
		}
		if line[x.name] != float64(x.want) {
			t.Errorf("logged %s: %v, the peer counted %d", x.name, line[x.name], x.want)
		}
	}
}
