package apmws

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
)

// TestEndpointReadLimit: what is too big, and what the peer learns of it.
// TestEndpointReadLimitTLS: the close frame gets through TLS as well.
// TestEndpointFlood: a peer that goes on sending after it was refused is read
// for a while only.
// pipes is a listener for connections in memory, whose deadlines follow the
// clock of a synctest bubble.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.conns:
		return conn, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Net: "unix", Name: "pipe"} }

// servePipes serves a handler inside of a synctest bubble. dial returns the peer's
// side of a new connection.
func servePipes(t *testing.T, h http.Handler) (dial func() net.Conn) {
	t.Helper()
	listener := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
	srv := &http.Server{Handler: h, ReadHeaderTimeout: time.Hour}
	go func() { _ = srv.Serve(listener) }()
	t.Cleanup(func() { _ = srv.Close() })
	return func() net.Conn {
		conn, theirs := net.Pipe()
		t.Cleanup(func() { _ = conn.Close() })
		listener.conns <- theirs
		return conn
	}
}

// upgradePipe makes a handshake.
func upgradePipe(t *testing.T, conn net.Conn) *bufio.Reader {
	t.Helper()
	if err := upgradeRequest().Write(conn); err != nil {
		t.Fatal(err)
	}
	br := bufio.NewReader(conn)
	if resp, err := http.ReadResponse(br, nil); err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("%+v, %v", resp, err)
	}
	return br
}

// dialPipe connects a client to what servePipes serves.
func dialPipe(t *testing.T, dial func() net.Conn) *websocket.Conn {
	t.Helper()
	dialer := websocket.Dialer{NetDial: func(string, string) (net.Conn, error) { return dial(), nil }}
	conn, _, err := dialer.Dial("ws://pipe.example/", nil)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// inBubble runs an endpoint with a clock of its own, connects to it, and leaves
// the peer's side to talk. It returns how long the connection lived after that.
func inBubble(t *testing.T, opts EndpointOptions, talk func(t *testing.T, conn net.Conn, br *bufio.Reader)) (lived time.Duration, end event) {
	synctest.Test(t, func(t *testing.T) {
		rec := newRecorder()
		conn := servePipes(t, New(Options{Exporters: []Exporter{rec}}).Endpoint("/ws", opts))()
		br := upgradePipe(t, conn)
		start := time.Now()
		talk(t, conn, br)
		end = rec.wait(t, "disconnect", 1)[0]
		lived = end.at.Sub(start)
	})
	return lived, end
}

var anyMask = []byte{1, 2, 3, 4}

// TestEndpointCloses: how long a peer has to answer a close frame.
func TestEndpointCloses(t *testing.T) {
	const closeFrame = "\x88\x03\x11\x33x" // 4403 x
	ask := func(t *testing.T, conn net.Conn) {
		if _, err := conn.Write(frame(true, 1, anyMask, []byte("x"))); err != nil {
			t.Error(err)
		}
	}
	expect := func(t *testing.T, br *bufio.Reader) {
		got := make([]byte, len(closeFrame))
		if _, err := io.ReadFull(br, got); err != nil || string(got) != closeFrame {
			t.Errorf("the peer got % x, %v", got, err)
		}
	}
	refuse := func(context.Context, Message) error { return Close(4403, "x") }
	closes := func(ctx context.Context, _ Message) error { return FromContext(ctx).Close(4403, "x") }
	keepAlive := func(ctx context.Context, conn *Conn) (context.Context, error) {
		ws := conn.WebSocket()
		ws.SetPongHandler(func(string) error { return ws.SetReadDeadline(time.Now().Add(time.Hour)) })
		return ctx, nil
	}
	answer := func(t *testing.T, conn net.Conn, br *bufio.Reader) {
		ask(t, conn)
		expect(t, br)
		if _, err := conn.Write(frame(true, 8, anyMask, []byte{0x11, 0x33})); err != nil {
			t.Error(err)
		}
		if _, err := br.ReadByte(); err != io.EOF {
			t.Errorf("the connection ended with %v", err)
		}
	}
	silent := func(t *testing.T, conn net.Conn, br *bufio.Reader) {
		ask(t, conn)
		expect(t, br)
		if _, err := br.ReadByte(); err != io.EOF {
			t.Errorf("the connection ended with %v", err)
		}
	}
	pongs := func(t *testing.T, conn net.Conn, br *bufio.Reader) {
		ask(t, conn)
		expect(t, br)
		for {
			if _, err := conn.Write(frame(true, 10, anyMask, nil)); err != nil {
				return // cut
			}
			time.Sleep(300 * time.Millisecond)
		}
	}
	talks := func(t *testing.T, conn net.Conn, br *bufio.Reader) {
		ask(t, conn)
		expect(t, br)
		for {
			if _, err := conn.Write(frame(true, 1, anyMask, []byte("one more"))); err != nil {
				return
			}
			time.Sleep(300 * time.Millisecond)
		}
	}
	for _, test := range []struct {
		name  string
		opts  EndpointOptions
		talk  func(t *testing.T, conn net.Conn, br *bufio.Reader)
		lived time.Duration
		cause string
	}{
		{"answered", EndpointOptions{Message: refuse}, answer, 0, "application"},
		{"not answered", EndpointOptions{Message: refuse}, silent, 5 * time.Second, "application"},
		{"pongs for an answer", EndpointOptions{Message: refuse, Connect: keepAlive}, pongs, 5 * time.Second, "application"},
		{"messages for an answer", EndpointOptions{Message: refuse}, talks, 5 * time.Second, "application"},
		{"not read", EndpointOptions{Message: refuse}, func(t *testing.T, conn net.Conn, _ *bufio.Reader) { ask(t, conn) }, 5 * time.Second, "write_error"},
		{"Conn.Close, answered", EndpointOptions{Message: closes}, answer, 0, "application"},
		{"Conn.Close, not answered", EndpointOptions{Message: closes}, silent, 5 * time.Second, "application"},
		{"a fault, not answered", EndpointOptions{Message: refuse}, func(t *testing.T, conn net.Conn, br *bufio.Reader) {
			_, _ = conn.Write(frame(true, 1, nil, nil)[:2]) // not masked
			_, _ = io.Copy(io.Discard, br)
		}, 5 * time.Second, "protocol_error"},
		{"goes", EndpointOptions{Message: refuse}, func(_ *testing.T, conn net.Conn, _ *bufio.Reader) { conn.Close() }, 0, "read_error"},
		{"closed while it panics", EndpointOptions{Message: func(ctx context.Context, _ Message) error {
			defer FromContext(ctx).WebSocket().Close()
			panic("boom")
		}}, func(t *testing.T, conn net.Conn, _ *bufio.Reader) { ask(t, conn) }, 0, "panic"},
		{"a read deadline", EndpointOptions{Message: refuse, Heartbeat: Heartbeat{Interval: -1}, Connect: func(ctx context.Context, conn *Conn) (context.Context, error) {
			return ctx, conn.WebSocket().SetReadDeadline(time.Now().Add(time.Minute))
		}}, func(*testing.T, net.Conn, *bufio.Reader) { time.Sleep(2 * time.Minute) }, time.Minute, "read_error"},
	} {
		t.Run(test.name, func(t *testing.T) {
			lived, end := inBubble(t, test.opts, test.talk)
			if lived != test.lived || end.result != test.cause {
				t.Errorf("it lived for %v, and DISCONNECT is %s; want %v, %s", lived, end.result, test.lived, test.cause)
			}
		})
	}
}

// TestEndpointHalfOpen: a peer that ends its side is gone.
func TestEndpointHalfOpen(t *testing.T) {
	rec := newRecorder()
	closed := make(chan error, 1)
	conn, br := rawUpgrade(t, serveWS(t, New(Options{Exporters: []Exporter{rec}}).Endpoint("/ws", EndpointOptions{
		Message: neverMessage(t),
		Close:   func(_ context.Context, _ *Conn, err error) { closed <- err },
	})))
	if err := conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(br); err != nil || len(rest) > 0 {
		t.Errorf("the peer got % x, %v", rest, err)
	}
	if err := receive(t, closed); !websocket.IsCloseError(err, websocket.CloseAbnormalClosure) {
		t.Errorf("Close was told of %v", err)
	}
	if e := rec.wait(t, "disconnect", 1)[0]; e.result != "read_error" || e.attrs["websocket.close.initiator"] != "network" {
		t.Errorf("DISCONNECT is %+v", e)
	}
}

// TestEndpointClosedByApplication: a goroutine of the application's closes the
// connection underneath, while Connect runs or later.
func TestEndpointClosedByApplication(t *testing.T) {
	for _, during := range []string{"Connect", "Message"} {
		t.Run(during, func(t *testing.T) {
			rec := newRecorder()
			closed := make(chan struct{})
			conn := dial(t, serveWS(t, New(Options{Exporters: []Exporter{rec}}).Endpoint("/ws", EndpointOptions{
				Connect: func(ctx context.Context, conn *Conn) (context.Context, error) {
					ws := conn.WebSocket()
					go func() {
						if during == "Message" {
							rec.wait(t, "opened", 1)
						}
						ws.Close()
						close(closed)
					}()
					if during == "Connect" {
						receive(t, closed)
						if ends := rec.all("disconnect"); len(ends) > 0 {
							t.Errorf("DISCONNECT inside of CONNECT: %+v", ends)
						}
					}
					return ctx, nil
				},
				Message: neverMessage(t),
				Close: func(_ context.Context, _ *Conn, err error) {
					if !errors.Is(err, net.ErrClosed) {
						t.Errorf("Close was told of %v", err)
					}
					rec.noted("closing")
				},
			})), nil)
			if code, _ := closeCodeOf(t, conn); code != 0 {
				t.Errorf("the peer got %d", code)
			}
			rec.wait(t, "closing", 1)
			if e := rec.wait(t, "disconnect", 1)[0]; e.result != "application" || e.attrs["websocket.close.code"] != "none" {
				t.Errorf("DISCONNECT is %+v", e)
			}
			kinds := rec.kinds()
			opened, ended := slices.Index(kinds, "opened CONNECT /ws"), slices.Index(kinds, "disconnect DISCONNECT /ws")
			if opened < 0 || ended < opened || len(rec.all("disconnect")) != 1 || len(rec.all("opened")) != 1 {
				t.Errorf("recorded %v", kinds)
			}
		})
	}
}

// TestEndpointRepanic: after the upgrade a panic that is raised again ends the
// process, and not before it is recorded. It runs itself as another process.
func TestEndpointRepanic(t *testing.T) {
	const variable = "APMWS_TEST_REPANIC"
	if hook := os.Getenv(variable); hook != "" {
		dieIn(t, hook)
		return
	}
	for _, hook := range []string{"Connect", "Message", "Close", "pong handler"} {
		t.Run(hook, func(t *testing.T) {
			cmd := exec.Command(os.Args[0], "-test.run=^TestEndpointRepanic$", "-test.timeout=2m")
			cmd.Env = append(os.Environ(), variable+"="+hook)
			out, err := cmd.CombinedOutput()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != 2 || !strings.Contains(string(out), "panic: boom") {
				t.Errorf("%v\n%s", err, out)
			}
			if !strings.Contains(string(out), `"event.reason":"panic"`) {
				t.Errorf("DISCONNECT was not logged:\n%s", out)
			}
		})
	}
}

// dieIn serves a connection whose hook panics.
func dieIn(t *testing.T, hook string) {
	l := newLogged(Options{Messages: MessageOptions{Repanic: true}})
	logger := l.logger.Output(os.Stderr)
	l.logger = &logger
	act := func(in string) {
		if in == hook {
			panic("boom")
		}
	}
	conn := dial(t, serveWS(t, l.Endpoint("/ws", EndpointOptions{
		Connect: func(ctx context.Context, conn *Conn) (context.Context, error) {
			conn.WebSocket().SetPongHandler(func(string) error {
				act("pong handler")
				return Close(1000, "")
			})
			act("Connect")
			return ctx, nil
		},
		Message: func(context.Context, Message) error {
			act("Message")
			return nil
		},
		Close: func(context.Context, *Conn, error) { act("Close") },
	})), nil)
	_ = conn.WriteMessage(websocket.TextMessage, nil)
	_ = conn.WriteMessage(websocket.PongMessage, nil)
	closeCodeOf(t, conn)
	conn.Close()
	select {
	case <-t.Context().Done():
	case <-time.After(patience):
		t.Error("the process lives on")
	}
}

// countingPool is a gorilla BufferPool that counts.
// TestEndpointBuffers: a connection holds a write buffer only while it writes.
// TestEndpointReads: an idle connection holds no buffer but a reader of 512
// bytes, or of the size asked for; net/http's is not kept.
// sizing notes how much is read at once.
// pipeWriter is a ResponseWriter of a connection in memory.
// TestEndpointLoad: many connections at once that end in all ways; everything
// adds up, and nothing is left.
