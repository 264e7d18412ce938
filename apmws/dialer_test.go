package apmws

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/rs/zerolog"
)

// linesOf parses a log.
func linesOf(t testing.TB, log *lockedBuffer) (all []map[string]any) {
	t.Helper()
	for line := range strings.Lines(log.String()) {
		m := map[string]any{}
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatal(err)
		}
		all = append(all, m)
	}
	return all
}

// observed is an agent with all that it tells.
type observed struct {
	agent *Agent
	rec   *recorder
	log   *lockedBuffer
}

func newObserved(messages MessageOptions) *observed {
	o := &observed{rec: newRecorder(), log: &lockedBuffer{}}
	logger := zerolog.New(o.log)
	o.agent = New(Options{Exporters: []Exporter{o.rec}, Logger: &logger, Messages: messages})
	return o
}

// told is all of it as text.
func (o *observed) told() string {
	o.rec.mu.Lock()
	defer o.rec.mu.Unlock()
	var b strings.Builder
	for _, e := range o.rec.events {
		fmt.Fprintf(&b, "%+v\n", e)
		if e.failure != nil {
			fmt.Fprintf(&b, "%+v %v\n", *e.failure, e.failure.Err)
		}
	}
	return b.String() + o.log.String()
}

// states are what a Dialer has told.
type states struct {
	mu  sync.Mutex
	all []DialState
}

func (s *states) note(state DialState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, state)
}

func (s *states) of(phase DialPhase) (found []DialState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, state := range s.all {
		if state.Phase == phase {
			found = append(found, state)
		}
	}
	return found
}

// running runs a Dialer until stop is called, which returns what Run has.
func running(t testing.TB, d *Dialer) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- d.Run(ctx) }()
	stop = sync.OnceValue(func() error {
		cancel()
		select {
		case err := <-ran:
			return err
		case <-time.After(patience):
			return errors.New("Run has not returned")
		}
	})
	t.Cleanup(func() { _ = stop() })
	return stop
}

// soon makes a Dialer try again at once.
func soon(opts DialerOptions) DialerOptions {
	opts.FirstDelay, opts.MaxDelay = time.Millisecond, 2*time.Millisecond
	if opts.Message == nil {
		opts.Message = func(context.Context, Message) error { return nil }
	}
	return opts
}

const (
	queryWord = "query-word"
	tokenWord = "token-word"
)

// TestDialer: both ends are told the same, in one trace.
func TestDialer(t *testing.T) {
	const messages = 40
	before := runtime.NumGoroutine()
	names := MessageOptions{Name: JSONField("type"), Names: []string{"subscribe", "quote", "ack"}}
	server, client := newObserved(names), newObserved(names)
	srv := httptest.NewServer(server.agent.Endpoint("/feed", EndpointOptions{
		Upgrader: websocket.Upgrader{Subprotocols: []string{"json"}},
		Message: func(ctx context.Context, m Message) error {
			if !strings.Contains(string(m.Data), "subscribe") {
				return nil
			}
			for i := range messages {
				if err := FromContext(ctx).Write(ctx, TextMessage, fmt.Appendf(nil, `{"type":"quote","n":%d}`, i)); err != nil {
					return err
				}
			}
			return nil
		},
	}))
	defer srv.Close()

	var closedFor error
	acked := make(chan struct{}, messages)
	d := client.agent.Dialer("feed", wsURL(srv)+"/feed?access_token="+queryWord, DialerOptions{
		Dialer: websocket.Dialer{Subprotocols: []string{"json"}},
		Header: func(context.Context) (http.Header, error) { return http.Header{"X-Secret": {tokenWord}}, nil },
		Token: func(ctx context.Context) (string, time.Time, error) {
			if FromContext(ctx) == nil || vendorOf(ctx).name != "CONNECT feed" {
				t.Error("Token is not inside CONNECT")
			}
			return tokenWord, time.Time{}, nil
		},
		Connect: func(ctx context.Context, conn *Conn) (context.Context, error) {
			conn.SetUser("feeder")
			return ctx, conn.WriteJSON(ctx, map[string]string{"type": "subscribe"})
		},
		Message: func(ctx context.Context, m Message) error {
			defer func() { acked <- struct{}{} }()
			return FromContext(ctx).Write(ctx, TextMessage, []byte(`{"type":"ack"}`))
		},
		Close: func(_ context.Context, _ *Conn, err error) { closedFor = err },
	})
	stop := running(t, d)
	for range messages {
		<-acked
	}
	eventually(t, "the server has all", func() bool {
		return server.agent.Stats().Routes[0].MessagesReceived == messages+1
	})
	if infos := client.agent.Connections(); len(infos) != 1 || infos[0].Route != "feed" || infos[0].Client != "" || infos[0].Peer != srv.Listener.Addr().String() || infos[0].User != "feeder" {
		t.Errorf("connections: %+v", infos)
	}
	if err := stop(); !errors.Is(err, context.Canceled) {
		t.Errorf("Run returned %v", err)
	}
	if closedFor == nil {
		t.Error("Close was not told why")
	}
	if _, err := d.Conn(); !errors.Is(err, ErrNotConnected) {
		t.Errorf("connected after the end: %v", err)
	}
	theirs, ours := server.rec.wait(t, "disconnect", 1)[0], client.rec.wait(t, "disconnect", 1)[0]

	// The trace.
	var dialSpan event
	for _, e := range client.rec.all("span") {
		if e.name == "dial" {
			dialSpan = e
		}
	}
	if dialSpan.parent != "CONNECT feed" || dialSpan.start.Type != "websocket.dial" || dialSpan.start.Destination != srv.Listener.Addr().String() {
		t.Errorf("dial is %+v", dialSpan)
	}
	if remote := server.rec.all("connect")[0].remote; remote != dialSpan.ids || !remote.IsValid() {
		t.Errorf("the server continues %+v, want %+v", remote, dialSpan.ids)
	}

	// The transactions.
	opened := client.rec.all("opened")
	if len(opened) != 1 || opened[0].name != "CONNECT feed" || opened[0].status != 101 || opened[0].outcome != OutcomeSuccess || opened[0].user != "feeder" {
		t.Fatalf("opened: %+v", opened)
	}
	for key, want := range map[string]any{
		"websocket.role": "client", "server.address": "127.0.0.1", "websocket.subprotocol": "json",
		"http.route": "feed", "http.response.status_code": int64(101), "client.address": nil,
	} {
		if got := opened[0].attrs[key]; got != want {
			t.Errorf("CONNECT has %s %v, want %v", key, got, want)
		}
	}
	if request := client.rec.all("connect")[0].request; request != (RequestInfo{}) {
		t.Errorf("CONNECT has the request %+v", request)
	}
	for what, e := range map[string]event{"server": theirs, "client": ours} {
		if e.result != "going_away" || e.attrs["websocket.close.code"] != "1001" || e.attrs["websocket.close.initiator"] != "client" {
			t.Errorf("%s: %s %+v", what, e.result, e.attrs)
		}
		if want := map[string]any{"client": "client", "server": nil}[what]; e.attrs["websocket.role"] != want {
			t.Errorf("%s: role %v", what, e.attrs["websocket.role"])
		}
	}
	if n := len(client.rec.all("message-end")); n != messages {
		t.Errorf("%d messages", n)
	}
	sends := 0
	for _, e := range client.rec.all("span") {
		if e.name == "send ack" && e.parent == "quote" {
			sends++
		}
	}
	if sends != messages {
		t.Errorf("%d spans of sends", sends)
	}

	// The counters.
	s, c := server.agent.Stats().Routes[0], client.agent.Stats().Routes[0]
	if s.MessagesReceived != c.MessagesSent || s.MessagesSent != c.MessagesReceived || s.BytesReceived != c.BytesSent || s.BytesSent != c.BytesReceived ||
		c.MessagesSent != messages+1 || c.MessagesReceived != messages || c.ConnectionsOpened != 1 || c.ConnectionsActive != 0 {
		t.Errorf("server %+v, client %+v", s, c)
	}
	if len(c.Closed) != 1 || c.Closed[0] != (ClosedStats{CauseGoingAway, 1}) {
		t.Errorf("closed: %+v", c.Closed)
	}

	// The log.
	var lines []string
	for _, line := range linesOf(t, client.log) {
		lines = append(lines, line["message"].(string))
		if line["labels.websocket_role"] != "client" || line["server.address"] != "127.0.0.1" {
			t.Errorf("line %v", line)
		}
		if line["client.address"] != nil || line["url.path"] != nil {
			t.Errorf("line %v", line)
		}
	}
	if !slices.Equal(lines, []string{"websocket handshake", "websocket connected", "websocket disconnected"}) {
		t.Errorf("lines %v", lines)
	}
	if strings.Contains(server.log.String(), "websocket_role") {
		t.Error("the server's lines have a role")
	}
	for _, secret := range []string{queryWord, tokenWord} {
		if told := client.told() + server.told(); strings.Contains(told, secret) {
			t.Errorf("%s is told", secret)
		}
	}
	srv.Close()
	eventually(t, "no goroutine is left", func() bool { return runtime.NumGoroutine() <= before })
}

func wsURL(srv *httptest.Server) string { return "ws" + strings.TrimPrefix(srv.URL, "http") }

// TestDialerConn: other goroutines write to what is open.
func TestDialerConn(t *testing.T) {
	server, client := newObserved(MessageOptions{}), newObserved(MessageOptions{})
	srv := httptest.NewServer(server.agent.Endpoint("/feed", EndpointOptions{
		Message: func(ctx context.Context, m Message) error { return FromContext(ctx).Write(ctx, m.Type, m.Data) },
	}))
	defer srv.Close()
	back := make(chan string, 1)
	d := client.agent.Dialer("feed", wsURL(srv), soon(DialerOptions{
		Message: func(_ context.Context, m Message) error { back <- string(m.Data); return nil },
	}))
	if _, err := d.Conn(); !errors.Is(err, ErrNotConnected) {
		t.Errorf("before Run: %v", err)
	}
	stop := running(t, d)
	var conn *Conn
	eventually(t, "it is connected", func() bool { conn, _ = d.Conn(); return conn != nil })
	if err := d.Run(t.Context()); !errors.Is(err, ErrRunning) {
		t.Errorf("a second Run: %v", err)
	}
	if err := conn.Write(t.Context(), TextMessage, []byte("hello")); err != nil || <-back != "hello" {
		t.Errorf("write: %v", err)
	}
	// A peer that vanishes: the next connection is another.
	conn.WebSocket().NetConn().Close()
	eventually(t, "it is connected again", func() bool { next, _ := d.Conn(); return next != nil && next != conn })
	conn, _ = d.Conn()
	if err := conn.Write(t.Context(), TextMessage, []byte("again")); err != nil || <-back != "again" {
		t.Errorf("write: %v", err)
	}
	if err := stop(); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if err := conn.Write(t.Context(), TextMessage, nil); !errors.Is(err, ErrNotServing) {
		t.Errorf("write after the end: %v", err)
	}
	// A Dialer can run again.
	stop = running(t, d)
	eventually(t, "it is connected", func() bool { _, err := d.Conn(); return err == nil })
	if err := stop(); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	server.rec.wait(t, "disconnect", 3)
	if n := len(client.rec.wait(t, "disconnect", 3)); n != 3 || len(client.agent.Connections()) != 0 {
		t.Errorf("%d ended, %d open", n, len(client.agent.Connections()))
	}
}

func TestDialerMisuse(t *testing.T) {
	agent := New(Options{})
	func() {
		defer func() {
			if recover() == nil {
				t.Error("no panic without Message")
			}
		}()
		agent.Dialer("feed", "ws://feed.example", DialerOptions{})
	}()
	for _, url := range []string{"http://feed.example/" + queryWord, "ws://", "://" + queryWord, "", "ws://user:" + queryWord + "@feed.example"} {
		states := &states{}
		err := agent.Dialer("feed", url, soon(DialerOptions{State: states.note})).Run(t.Context())
		var gaveUp *GaveUpError
		if !errors.As(err, &gaveUp) || strings.Contains(err.Error(), queryWord) {
			t.Errorf("%q: %v", url, err)
		}
		if told := states.of(DialGaveUp); len(told) != 1 || !errors.Is(told[0].Err, err) {
			t.Errorf("%q: told %v", url, told)
		}
	}
	for phase, want := range map[DialPhase]string{DialConnecting: "connecting", DialOpen: "open", DialWaiting: "waiting", DialGaveUp: "gave up", 9: "DialPhase(9)"} {
		if got := phase.String(); got != want {
			t.Errorf("phase %d is %q", phase, got)
		}
	}
}

// TestDialerEnds: who has ended a connection is told as it was.
func TestDialerEnds(t *testing.T) {
	tests := []struct {
		name      string
		server    func(*websocket.Conn) // what the server does when it has read a message
		client    error                 // what the client's handler returns for the answer
		cause     CloseCause
		code      string
		initiator string
	}{
		{"the server is done", closeWith(1000), nil, CauseNormal, "1000", "server"},
		{"the server restarts", closeWith(1012), nil, CauseGoingAway, "1012", "server"},
		{"the server has a code", closeWith(4000), nil, CauseNormal, "4000", "server"},
		{"the server vanishes", func(c *websocket.Conn) { c.Close() }, nil, CauseReadError, "none", "network"},
		{"a masked frame", func(c *websocket.Conn) { _, _ = c.NetConn().Write([]byte{0x81, 0x80, 0, 0, 0, 0}) }, nil, CauseProtocolError, "1002", "client"},
		{"too big a message", func(c *websocket.Conn) { _ = c.WriteMessage(websocket.BinaryMessage, make([]byte, 2048)) }, nil, CauseMessageTooBig, "1009", "client"},
		{"the client is done", answer, Close(1000, "enough"), CauseNormal, "1000", "client"},
		{"the client has a code", answer, Close(4001, ""), CauseApplication, "4001", "client"},
		{"the client fails", answer, Close(1011, ""), CauseHandlerError, "1011", "client"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				c, err := new(websocket.Upgrader).Upgrade(w, r, nil)
				if err != nil {
					t.Error(err)
					return
				}
				defer c.Close()
				if _, _, err := c.ReadMessage(); err == nil {
					test.server(c)
					_, _, _ = c.ReadMessage() // until the client has answered, or has closed it
				}
			}))
			defer srv.Close()
			client := newObserved(MessageOptions{})
			reported := make(chan error, 100)
			d := client.agent.Dialer("feed", wsURL(srv), soon(DialerOptions{
				Connect: func(ctx context.Context, conn *Conn) (context.Context, error) {
					return ctx, conn.Write(ctx, TextMessage, []byte("go"))
				},
				Message:   func(context.Context, Message) error { return test.client },
				Close:     func(_ context.Context, _ *Conn, err error) { reported <- err },
				ReadLimit: 1024,
			}))
			stop := running(t, d)
			e := client.rec.wait(t, "disconnect", 1)[0]
			if err := stop(); !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
			if e.result != string(test.cause) || e.attrs["websocket.close.code"] != test.code || e.attrs["websocket.close.initiator"] != test.initiator {
				t.Errorf("%s, %v, %v", e.result, e.attrs["websocket.close.code"], e.attrs["websocket.close.initiator"])
			}
			if err := <-reported; err == nil || test.client != nil && !errors.Is(err, test.client) {
				t.Errorf("Close was told %v", err)
			}
		})
	}
}

func closeWith(code int) func(*websocket.Conn) {
	return func(c *websocket.Conn) {
		_ = c.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, "so"), time.Now().Add(time.Second))
	}
}

func answer(c *websocket.Conn) { _ = c.WriteMessage(websocket.TextMessage, []byte("answer")) }

// TestDialerAnswersLast: what a message's handler has in hand when the context of Run
// ends is answered before the connection is closed.
func TestDialerAnswersLast(t *testing.T) {
	server, client := newObserved(MessageOptions{}), newObserved(MessageOptions{})
	answers := make(chan string, 1)
	srv := httptest.NewServer(server.agent.Endpoint("/feed", EndpointOptions{
		Connect: func(ctx context.Context, conn *Conn) (context.Context, error) {
			return ctx, conn.Write(ctx, TextMessage, []byte("question"))
		},
		Message: func(_ context.Context, m Message) error { answers <- string(m.Data); return nil },
	}))
	defer srv.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	err := client.agent.Dialer("feed", wsURL(srv), soon(DialerOptions{
		Message: func(ctx context.Context, _ Message) error {
			cancel()
			eventually(t, "it is about to be closed", func() bool { return FromContext(ctx).retiring.Load() != nil })
			return FromContext(ctx).Write(ctx, TextMessage, []byte("answer"))
		},
	})).Run(ctx)
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	server.rec.wait(t, "disconnect", 1)
	select {
	case got := <-answers:
		if got != "answer" {
			t.Errorf("the server got %q", got)
		}
	default:
		t.Error("the server got no answer")
	}
	for _, side := range []*observed{client, server} {
		if e := side.rec.wait(t, "disconnect", 1)[0]; e.result != "going_away" || e.attrs["websocket.close.code"] != "1001" || e.attrs["websocket.close.initiator"] != "client" {
			t.Errorf("%s %+v", e.result, e.attrs)
		}
	}
	if e := client.rec.wait(t, "message-end", 1)[0]; e.outcome != OutcomeSuccess {
		t.Errorf("%+v", e)
	}
}

// TestDialerSendQueue: a Dialer's connections can have a queue, too.
func TestDialerSendQueue(t *testing.T) {
	server, client := newObserved(MessageOptions{}), newObserved(MessageOptions{})
	got := make(chan string, 1)
	srv := httptest.NewServer(server.agent.Endpoint("/feed", EndpointOptions{
		Message: func(_ context.Context, m Message) error { got <- string(m.Data); return nil },
	}))
	defer srv.Close()
	stop := running(t, client.agent.Dialer("feed", wsURL(srv), soon(DialerOptions{
		SendQueue: SendQueue{Policy: DropOldest},
		Connect: func(ctx context.Context, conn *Conn) (context.Context, error) {
			return ctx, conn.Send(ctx, TextMessage, []byte("queued"))
		},
	})))
	if message := <-got; message != "queued" {
		t.Errorf("the server got %q", message)
	}
	if err := stop(); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
