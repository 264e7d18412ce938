package apmws

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
)

// TestEndpointReadLimit: what is too big, and what the peer learns of it.
func TestEndpointReadLimit(t *testing.T) {
	for _, test := range []struct {
		name  string
		limit int64
		size  int
		code  int // 0: it is handled
	}{
		{"the default, reached", 0, 1 << 20, 0},
		{"the default, exceeded", 0, 1<<20 + 1, 1009},
		{"a custom one, reached", 10, 10, 0},
		{"a custom one, exceeded", 10, 11, 1009},
		{"a custom one, exceeded by megabytes", 10, 3 << 20, 1009},
		{"none", -1, 3 << 20, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			rec := newRecorder()
			handled := make(chan int, 1)
			conn := dial(t, serveWS(t, New(Options{Exporters: []Exporter{rec}}).Endpoint("/ws", EndpointOptions{
				ReadLimit: test.limit,
				Message: func(_ context.Context, m Message) error {
					handled <- len(m.Data)
					return Close(1000, "")
				},
			})), nil)
			// Sent whole, although the answer comes long before the end.
			if err := conn.WriteMessage(websocket.BinaryMessage, make([]byte, test.size)); err != nil {
				t.Error(err)
			}
			want, cause := test.code, "message_too_big"
			if test.code == 0 {
				want, cause = 1000, "normal"
				if n := receive(t, handled); n != test.size {
					t.Errorf("handled %d bytes", n)
				}
			}
			if code, text := closeCodeOf(t, conn); code != want {
				t.Errorf("the peer got %d %s", code, text)
			}
			conn.Close()
			if e := rec.wait(t, "disconnect", 1)[0]; e.result != cause {
				t.Errorf("DISCONNECT is %s", e.result)
			}
			if len(handled) > 0 {
				t.Error("the message was handled all the same")
			}
		})
	}
}

// TestEndpointReadLimitTLS: the close frame gets through TLS as well.
func TestEndpointReadLimitTLS(t *testing.T) {
	srv := httptest.NewTLSServer(New(Options{}).Endpoint("/ws", EndpointOptions{ReadLimit: 10, Message: neverMessage(t)}))
	t.Cleanup(srv.Close)
	dialer := websocket.Dialer{TLSClientConfig: srv.Client().Transport.(*http.Transport).TLSClientConfig}
	conn, _, err := dialer.Dial("wss"+strings.TrimPrefix(srv.URL, "https"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.WriteMessage(websocket.BinaryMessage, make([]byte, 3<<20)); err != nil {
		t.Error(err)
	}
	if code, text := closeCodeOf(t, conn); code != websocket.CloseMessageTooBig {
		t.Errorf("the peer got %d %s", code, text)
	}
}

// TestEndpointFlood: a peer that goes on sending after it was refused is read
// for a while only.
func TestEndpointFlood(t *testing.T) {
	rec := newRecorder()
	conn, br := rawUpgrade(t, serveWS(t, New(Options{Exporters: []Exporter{rec}}).Endpoint("/ws", EndpointOptions{
		ReadLimit: 10, Message: neverMessage(t),
	})))
	header := binary.BigEndian.AppendUint64([]byte{0x82, 0x80 | 127}, 1<<40)
	if _, err := conn.Write(append(header, 1, 2, 3, 4)); err != nil {
		t.Fatal(err)
	}
	if closing, err := io.ReadAll(br); err != nil || !bytes.Equal(closing, []byte{0x88, 2, 1009 >> 8, 1009 & 0xff}) {
		t.Errorf("the peer got % x, %v", closing, err)
	}
	sent, chunk := 0, make([]byte, 64<<10)
	var err error
	for err == nil && sent < 1<<30 {
		var n int
		n, err = conn.Write(chunk)
		sent += n
	}
	if err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%d bytes were taken, %v", sent, err)
	}
	if e := rec.wait(t, "disconnect", 1)[0]; e.result != "message_too_big" {
		t.Errorf("DISCONNECT is %s", e.result)
	}
}

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

// inBubble runs an endpoint with a clock of its own, connects to it, and leaves
// the peer's side to talk. It returns how long the connection lived after that.
func inBubble(t *testing.T, opts EndpointOptions, talk func(t *testing.T, conn net.Conn, br *bufio.Reader)) (lived time.Duration, end event) {
	synctest.Test(t, func(t *testing.T) {
		rec := newRecorder()
		listener := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
		srv := &http.Server{Handler: New(Options{Exporters: []Exporter{rec}}).Endpoint("/ws", opts), ReadHeaderTimeout: time.Hour}
		go func() { _ = srv.Serve(listener) }()
		defer srv.Close()
		conn, theirs := net.Pipe()
		defer conn.Close()
		listener.conns <- theirs
		if err := upgradeRequest().Write(conn); err != nil {
			t.Fatal(err)
		}
		br := bufio.NewReader(conn)
		if resp, err := http.ReadResponse(br, nil); err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
			t.Fatalf("%+v, %v", resp, err)
		}
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
		{"a read deadline", EndpointOptions{Message: refuse, Connect: func(ctx context.Context, conn *Conn) (context.Context, error) {
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
			cmd := exec.Command(os.Args[0], "-test.run=^TestEndpointRepanic$", "-test.timeout=30s")
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
	case <-time.After(10 * time.Second):
		t.Error("the process lives on")
	}
}

// countingPool is a gorilla BufferPool that counts.
type countingPool struct {
	sync.Pool
	got, put atomic.Int64
}

func (p *countingPool) Get() any {
	p.got.Add(1)
	return p.Pool.Get()
}

func (p *countingPool) Put(buffer any) {
	p.put.Add(1)
	p.Pool.Put(buffer)
}

// TestEndpointBuffers: a connection holds a write buffer only while it writes.
func TestEndpointBuffers(t *testing.T) {
	pool := &countingPool{}
	opts := EndpointOptions{Message: func(ctx context.Context, m Message) error {
		return FromContext(ctx).Write(ctx, m.Type, m.Data)
	}}
	opts.Upgrader.WriteBufferPool = pool
	conn := dial(t, serveWS(t, New(Options{}).Endpoint("/ws", opts)), nil)
	if got := pool.got.Load(); got != 0 {
		t.Errorf("the handshake took %d buffers", got)
	}
	for range 3 {
		send(t, conn, "x")
		if _, _, err := conn.ReadMessage(); err != nil {
			t.Fatal(err)
		}
	}
	leave(t, conn)
	eventually(t, "all buffers are back", func() bool { return pool.put.Load() == 3 })
	if got := pool.got.Load(); got != 3 {
		t.Errorf("3 messages took %d buffers", got)
	}
}

// TestEndpointReads: an idle connection holds no buffer but a reader of 512
// bytes, or of the size asked for; net/http's is not kept.
func TestEndpointReads(t *testing.T) {
	for asked, want := range map[int]int{0: 512, 2048: 2048} {
		server, client := net.Pipe()
		w := &pipeWriter{header: http.Header{}, conn: &sizing{Conn: server, reads: make(chan int, 10)}}
		opts := EndpointOptions{Message: neverMessage(t)}
		opts.Upgrader.ReadBufferSize = asked
		handshakes := New(Options{}).Endpoint("/ws", opts)
		upgrader := handshakes.(*handler).next.(*endpoint).upgrader
		if upgrader.WriteBufferPool == nil || upgrader.HandshakeTimeout != 10*time.Second {
			t.Errorf("write buffers come from %v, the handshake may take %v", upgrader.WriteBufferPool, upgrader.HandshakeTimeout)
		}
		go func() { handshakes.ServeHTTP(w, upgradeRequest()) }()
		if resp, err := http.ReadResponse(bufio.NewReader(client), nil); err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
			t.Fatalf("%+v, %v", resp, err)
		}
		if got := receive(t, w.conn.reads); got != want {
			t.Errorf("asked for %d: an idle connection reads into %d bytes", asked, got)
		}
		client.Close()
	}
}

// sizing notes how much is read at once.
type sizing struct {
	net.Conn
	reads chan int
}

func (s *sizing) Read(b []byte) (int, error) {
	select {
	case s.reads <- len(b):
	default: // the first ones are enough
	}
	return s.Conn.Read(b)
}

// pipeWriter is a ResponseWriter of a connection in memory.
type pipeWriter struct {
	header http.Header
	conn   *sizing
}

func (w *pipeWriter) Header() http.Header         { return w.header }
func (w *pipeWriter) Write(b []byte) (int, error) { return w.conn.Write(b) }
func (w *pipeWriter) WriteHeader(int)             {}

func (w *pipeWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return w.conn, bufio.NewReadWriter(bufio.NewReader(w.conn), bufio.NewWriter(w.conn)), nil
}

// TestEndpointLoad: many connections at once that end in all ways; everything
// adds up, and nothing is left.
func TestEndpointLoad(t *testing.T) {
	const conns, messages = 200, 50
	rec := newRecorder()
	agent := New(Options{Exporters: []Exporter{rec}})
	before := runtime.NumGoroutine()
	var handled, hooksClosed atomic.Int64
	srv := httptest.NewServer(agent.Endpoint("/ws", EndpointOptions{
		Authenticate: func(ctx context.Context, r *http.Request) (context.Context, error) {
			if r.Header.Get("X-User") == "" {
				return ctx, errors.New("who is it?")
			}
			FromContext(ctx).SetUser(r.Header.Get("X-User"))
			return ctx, nil
		},
		Connect: func(ctx context.Context, conn *Conn) (context.Context, error) {
			if conn.User() == "refused" {
				return ctx, Close(4403, "")
			}
			return ctx, nil
		},
		Message: func(ctx context.Context, m Message) error {
			conn := FromContext(ctx)
			switch text := string(m.Data); text {
			case "close":
				return Close(4000, "")
			case "panic":
				panic(text)
			case "goexit":
				runtime.Goexit()
			case "kill":
				ws := conn.WebSocket()
				go ws.Close()
			default:
				handled.Add(1)
				return conn.Write(ctx, m.Type, m.Data)
			}
			return nil
		},
		Close: func(context.Context, *Conn, error) { hooksClosed.Add(1) },
	}))
	url := "ws" + strings.TrimPrefix(srv.URL, "http")
	ends := []struct {
		end   string
		cause CloseCause
		ask   int64 // messages
	}{
		{"leave", CauseNormal, 0},
		{"vanish", CauseReadError, 0},
		{"close", CauseApplication, 1},
		{"kill", CauseApplication, 1},
		{"panic", CausePanic, 1},
		{"goexit", CauseHandlerError, 1},
		{"refused", CauseApplication, 0},
		{"unauthenticated", "", 0},
	}
	want := map[CloseCause]int64{}
	var opened, refused, received, echoed int64
	var clients sync.WaitGroup
	for i := range conns {
		end := ends[i%len(ends)]
		switch end.end {
		case "unauthenticated":
			refused++
		case "refused":
			opened++
			want[end.cause]++
		default:
			opened++
			echoed += messages
			received += messages + end.ask
			want[end.cause]++
		}
		clients.Go(func() {
			header := http.Header{"X-User": {end.end}}
			if end.end == "unauthenticated" {
				header = nil
			}
			conn, resp, err := websocket.DefaultDialer.Dial(url, header)
			if err != nil {
				if resp == nil || resp.StatusCode != http.StatusUnauthorized || header != nil {
					t.Error(err)
				}
				return
			}
			defer conn.Close()
			if end.end == "refused" {
				if code, _ := closeCodeOf(t, conn); code != 4403 {
					t.Errorf("refused with %d", code)
				}
				return
			}
			for m := range messages {
				text := fmt.Append(nil, m)
				if err := conn.WriteMessage(websocket.TextMessage, text); err != nil {
					t.Error(err)
					return
				}
				if _, data, err := conn.ReadMessage(); err != nil || !bytes.Equal(data, text) {
					t.Errorf("%s, %v", data, err)
					return
				}
			}
			switch end.end {
			case "vanish":
				return
			case "leave":
				_ = conn.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(1000, ""))
			default:
				_ = conn.WriteMessage(websocket.TextMessage, []byte(end.end))
			}
			closeCodeOf(t, conn)
		})
	}
	clients.Wait()
	rec.wait(t, "disconnect", int(opened))
	srv.Close()
	eventually(t, "no goroutine is left", func() bool { return runtime.NumGoroutine() <= before })

	life := map[string]string{}
	for _, kind := range []string{"connect", "opened", "disconnect"} {
		for _, e := range rec.all(kind) {
			life[e.conn] += strings.TrimSpace(kind+" "+e.user) + ";"
		}
	}
	lives := map[string]int{}
	for _, calls := range life {
		lives[calls]++
	}
	wantLives := map[string]int{}
	for i := range conns {
		if end := ends[i%len(ends)].end; end == "unauthenticated" {
			wantLives["connect;opened;"]++
		} else {
			wantLives["connect;opened "+end+";disconnect "+end+";"]++
		}
	}
	if !maps.Equal(lives, wantLives) {
		t.Errorf("connections were recorded as %v, want %v", lives, wantLives)
	}
	stats := agent.Stats().Routes[0]
	eventually(t, "no connection is registered after the end", func() bool { return len(agent.Connections()) == 0 })
	if stats.ConnectionsActive != 0 || stats.ConnectionsOpened != opened {
		t.Errorf("%d opened, %d active", stats.ConnectionsOpened, stats.ConnectionsActive)
	}
	got := map[CloseCause]int64{}
	for _, closed := range stats.Closed {
		if closed.Count > 0 {
			got[closed.Cause] = closed.Count
		}
	}
	if !maps.Equal(got, want) {
		t.Errorf("closed %v, want %v", got, want)
	}
	if len(stats.Refused) != 1 || stats.Refused[0].Count != refused {
		t.Errorf("refused %+v, want %d", stats.Refused, refused)
	}
	if stats.MessagesReceived != received || stats.MessagesSent != echoed || handled.Load() != echoed {
		t.Errorf("%d messages received, want %d; %d sent, %d handled, want %d", stats.MessagesReceived, received, stats.MessagesSent, handled.Load(), echoed)
	}
	if n := hooksClosed.Load(); n != opened-int64(wantLives["connect;opened refused;disconnect refused;"]) {
		t.Errorf("Close was called %d times", n)
	}
	if starts, done := len(rec.all("message")), len(rec.all("message-end")); starts != done || int64(starts) != received {
		t.Errorf("%d messages started, %d ended, want %d", starts, done, received)
	}
}
