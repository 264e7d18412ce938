package apmws

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// turmoil is a server of all kinds, under one agent.
type turmoil struct {
	agent   *Agent
	rec     *recorder
	work    sync.WaitGroup // goroutines that connections have
	handled atomic.Int64   // messages
	mu      sync.Mutex
	conns   []*Conn
}

// word is a message whose bytes are all the same, so that one that is torn shows.
func word(n int) []byte { return bytes.Repeat([]byte{'a' + byte(n%26)}, 1+n*37%300) }

// begins is the Connect hook, and is called by the other handlers.
func (x *turmoil) begins(ctx context.Context, c *Conn) (context.Context, error) {
	x.mu.Lock()
	x.conns = append(x.conns, c)
	x.mu.Unlock()
	beat := Heartbeat{Interval: 5 * time.Millisecond, Timeout: patience}
	if strings.HasPrefix(c.User(), "deaf") {
		beat.Timeout = 200 * time.Millisecond
	}
	c.Heartbeat(beat)
	x.work.Go(func() {
		for n := range 20 { // some fail, since they come at all times
			_ = c.Write(context.WithoutCancel(ctx), TextMessage, word(n))
			_ = c.Send(context.WithoutCancel(ctx), TextMessage, word(n))
		}
	})
	return ctx, nil
}

// answer does what a message asks for.
func (x *turmoil) answer(ctx context.Context, data []byte, write func([]byte) error) (err error) {
	x.handled.Add(1)
	switch string(data) {
	case "panic":
		panic("as asked")
	case "close":
		return FromContext(ctx).CloseAt(time.Now(), 4000, "as asked")
	case "flood": // as far as it gets
		for flood := make([]byte, 64<<10); err == nil; {
			err = write(flood)
		}
		return err
	default:
		return write(data)
	}
}

func (x *turmoil) message(ctx context.Context, m Message) error {
	c := FromContext(ctx)
	return x.answer(ctx, bytes.Clone(m.Data), func(data []byte) error {
		err := c.Send(ctx, TextMessage, data)
		if errors.Is(err, ErrNoSendQueue) {
			err = c.Write(ctx, TextMessage, data)
		}
		return err
	})
}

// writeInHalves writes short messages as a library may that has no buffer.
func writeInHalves(conn *websocket.Conn, typ int, data []byte) error {
	if len(data) > 125 {
		return conn.WriteMessage(typ, data)
	}
	if _, err := conn.NetConn().Write([]byte{finBit | byte(typ), byte(len(data))}); err != nil {
		return err
	}
	time.Sleep(rand.N(time.Millisecond))
	_, err := conn.NetConn().Write(data)
	return err
}

// byHand serves a connection without Serve.
func (x *turmoil) byHand(ctx context.Context, conn *websocket.Conn) error {
	for {
		typ, data, err := conn.ReadMessage()
		if err != nil {
			return err
		}
		ctx, tx := StartMessage(ctx, MessageInfo{Type: MessageType(typ), Size: len(data)})
		func() {
			defer tx.EndOnPanic()
			err = x.answer(ctx, data, func(data []byte) error { return writeInHalves(conn, typ, data) })
			tx.End(err)
		}()
		if err != nil {
			return err
		}
	}
}

func (x *turmoil) routes() http.Handler {
	who := func(ctx context.Context, r *http.Request) (context.Context, error) {
		FromContext(ctx).SetUser(r.Header.Get("X-Client"))
		return ctx, nil
	}
	upgrader := websocket.Upgrader{WriteBufferSize: 64} // what is longer is written in two parts
	mux := http.NewServeMux()
	for route, serve := range map[string]func(context.Context, *websocket.Conn) error{
		"/serve":  func(ctx context.Context, conn *websocket.Conn) error { return Serve(ctx, conn, x.message) },
		"/byhand": x.byHand,
	} {
		mux.Handle(route, x.agent.Handler(route, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			ctx, _ := who(r.Context(), r)
			if conn, err := upgrader.Upgrade(w, r, nil); err == nil {
				defer conn.Close()
				ctx, _ = x.begins(ctx, FromContext(ctx))
				_ = serve(ctx, conn)
			}
		})))
	}
	opts := EndpointOptions{
		Upgrader: upgrader, Authenticate: who, Connect: x.begins, Message: x.message,
		Close: func(_ context.Context, c *Conn, _ error) {
			time.Sleep(rand.N(time.Millisecond)) // so that an end that does not wait is ahead
			c.SetAttrs(slog.Bool("hooked", true))
		},
	}
	queue := opts
	queue.SendQueue = SendQueue{Messages: 10_000, Policy: Disconnect} // of its bytes, only a flood is too much
	mux.Handle("/queue", x.agent.Endpoint("/queue", queue))
	opts.MaxAge = 100 * time.Millisecond
	mux.Handle("/endpoint", x.agent.Endpoint("/endpoint", opts))
	return mux
}

func isEndpoint(route string) bool { return route == "/endpoint" || route == "/queue" }

// turmoilEnds are the close codes that clients may get, by what they do. 1001 is that of
// MaxAge and of Shutdown.
var turmoilEnds = map[string][]int{
	"leave": {1000, 1001}, "slow": {1000, 1001}, "close": {4000, 1001}, "panic": {1011, 1001},
	"stay": {1001}, "talk": {1001}, "deaf": nil, "vanish": nil,
}

// turmoilClient is a client, and what it has seen.
type turmoilClient struct {
	acts, route                    string
	conn                           *websocket.Conn
	messagesSent, messages, length int64
	code                           int // of the close frame; 0: it has not read until there was one
}

// read reads until the end, which must be a close frame.
func (c *turmoilClient) read(t *testing.T) {
	for {
		var data []byte
		_, r, err := c.conn.NextReader()
		if err == nil {
			if data, err = io.ReadAll(r); err != nil && (c.acts != "panic" || isEndpoint(c.route)) {
				t.Errorf("%s at %s: a message that ends with %v", c.acts, c.route, err)
			}
		}
		if closed := (*websocket.CloseError)(nil); errors.As(err, &closed) && closed.Code != websocket.CloseAbnormalClosure {
			c.code = closed.Code
		} else if err != nil && (c.acts != "panic" || isEndpoint(c.route)) { // others close the socket at once
			t.Errorf("%s at %s: %v", c.acts, c.route, err)
		}
		if err != nil {
			return
		}
		if bytes.Count(data, data[:1]) != len(data) {
			t.Errorf("%s at %s: a torn message: %q", c.acts, c.route, data)
		}
		c.messages++
		c.length += int64(len(data))
		if c.acts == "slow" {
			time.Sleep(rand.N(time.Millisecond))
		}
	}
}

// say sends messages, the first of which says what is to be done, until one fails.
func (c *turmoilClient) say(first string, n int) {
	data := []byte(first)
	for i := 0; i <= n && c.conn.WriteMessage(websocket.TextMessage, data) == nil; i++ {
		c.messagesSent++
		data = word(i)
	}
}

// run does what the client does. Some are there until over.
func (c *turmoilClient) run(t *testing.T, over <-chan struct{}) {
	defer c.conn.Close()
	c.conn.SetPingHandler(func(data string) error { // gorilla's own gives up after a second
		_ = c.conn.WriteControl(websocket.PongMessage, []byte(data), time.Now().Add(patience))
		return nil
	})
	switch c.acts {
	case "deaf":
		c.say("flood", 0)
		<-over
		return
	case "vanish":
		c.say("x", 20)
		if tcp, ok := c.conn.NetConn().(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		_ = c.conn.NetConn().Close()
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.read(t)
	}()
	c.say("x", 20)
	switch c.acts {
	case "leave", "slow":
		_ = c.conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(1000, ""), time.Now().Add(patience))
	case "close", "panic":
		c.say(c.acts, 20)
	case "talk":
		c.say("x", 1000)
	}
	<-done
}

// TestTurmoil lets all of it happen at once, ends it with Shutdown, and adds up what the
// clients, the exporter and the counters have seen.
func TestTurmoil(t *testing.T) {
	before := runtime.NumGoroutine()
	x := &turmoil{rec: newRecorder()}
	x.agent = New(Options{Exporters: []Exporter{x.rec}})
	clients := map[string]*turmoilClient{} // by user
	over := make(chan struct{})
	var dialled, passing, staying sync.WaitGroup
	var servers []*httptest.Server
	routes := x.routes()
	for _, start := range []func(*httptest.Server){(*httptest.Server).Start, (*httptest.Server).StartTLS} {
		srv := httptest.NewUnstartedServer(routes)
		srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
		start(srv)
		servers = append(servers, srv)
		dialer := websocket.Dialer{TLSClientConfig: srv.Client().Transport.(*http.Transport).TLSClientConfig}
		for _, route := range []string{"/endpoint", "/queue", "/serve", "/byhand"} {
			for acts := range turmoilEnds {
				for range 3 {
					c := &turmoilClient{acts: acts, route: route}
					user := fmt.Sprintf("%s %d", acts, len(clients))
					clients[user] = c
					stage := &passing
					if acts == "stay" || acts == "talk" || acts == "deaf" {
						stage = &staying
					}
					dialled.Add(1)
					stage.Go(func() {
						var err error
						c.conn, _, err = dialer.Dial(wsURL(srv)+route, http.Header{"X-Client": {user}})
						dialled.Done()
						if err != nil {
							t.Error(err)
							return
						}
						c.run(t, over)
					})
				}
			}
		}
	}
	dialled.Wait()
	for range 3 {
		passing.Go(func() {
			for n := range 20 {
				x.mu.Lock()
				conns := slices.Clone(x.conns)
				x.mu.Unlock()
				x.agent.Broadcast(t.Context(), Message{Data: word(n)}, slices.Values(conns), BroadcastOptions{})
			}
		})
	}
	passing.Wait()
	close(over)
	if err := x.agent.Shutdown(within(t, 4*patience)); err != nil {
		t.Error(err)
	}
	if open := x.agent.Connections(); len(open) > 0 {
		t.Errorf("%d connections are open: %v", len(open), open)
	}
	staying.Wait()
	x.work.Wait()
	for _, srv := range servers {
		srv.Close()
	}
	eventually(t, "no goroutine is left", func() bool { return runtime.NumGoroutine() <= before })
	x.check(t, clients)
}

// check adds up.
func (x *turmoil) check(t *testing.T, clients map[string]*turmoilClient) {
	stats := x.agent.Stats()
	if len(stats.Dropped) > 0 {
		t.Fatalf("dropped %v", stats.Dropped)
	}
	lives := map[string][]event{}
	for _, e := range x.rec.events {
		if e.conn != "" {
			lives[e.conn] = append(lives[e.conn], e)
		}
	}
	type sums struct{ conns, messages, received, sent, bytesReceived, bytesSent int64 }
	var ended, counted sums
	causes := map[string]int64{} // the difference
	for id, life := range lives {
		kinds := map[string]int64{}
		for _, e := range life {
			kinds[e.kind]++
		}
		last := slices.IndexFunc(life, func(e event) bool { return e.kind == "disconnect" })
		if last < 0 || kinds["connect"] != 1 || kinds["opened"] != 1 || kinds["disconnect"] != 1 || kinds["message"] != kinds["message-end"] {
			t.Fatalf("connection %s: %v", id, kinds)
		}
		end := life[last]
		c := clients[end.user]
		if c == nil {
			t.Fatalf("connection %s is another one of %q", id, end.user)
		}
		delete(clients, end.user)
		// When other handlers have done with a connection, nobody knows.
		if isEndpoint(c.route) != (end.attrs["hooked"] == true) || isEndpoint(c.route) && last != len(life)-1 {
			t.Errorf("%s at %s: %d events after the end, which is %v", end.user, c.route, len(life)-1-last, end.attrs)
		}
		n := func(name string) int64 { return end.attrs["websocket."+name].(int64) }
		one := sums{1, kinds["message"], n("messages.received"), n("messages.sent"), n("bytes.received"), n("bytes.sent")}
		if c.code != 0 && (one.sent != c.messages || one.bytesSent != c.length || !slices.Contains(turmoilEnds[c.acts], c.code)) ||
			c.code == 1000 && one.received != c.messagesSent || one.received > c.messagesSent {
			t.Errorf("%s at %s: %+v, and the client %+v", end.user, c.route, one, *c)
		}
		ended = sums{ended.conns + 1, ended.messages + one.messages, ended.received + one.received, ended.sent + one.sent, ended.bytesReceived + one.bytesReceived, ended.bytesSent + one.bytesSent}
		causes[end.result]++
	}
	for _, r := range stats.Routes {
		for _, m := range r.Messages {
			counted.messages += int64(m.Duration.Count)
		}
		for _, closed := range r.Closed {
			causes[string(closed.Cause)] -= closed.Count
		}
		counted = sums{counted.conns + r.ConnectionsOpened, counted.messages, counted.received + r.MessagesReceived, counted.sent + r.MessagesSent, counted.bytesReceived + r.BytesReceived, counted.bytesSent + r.BytesSent}
		if r.ConnectionsActive != 0 || r.SendQueueMessages != 0 || len(r.Refused) > 0 {
			t.Errorf("%s: %d active, %d in queues, refused %v", r.Route, r.ConnectionsActive, r.SendQueueMessages, r.Refused)
		}
	}
	if counted != ended || counted.messages != x.handled.Load() || len(clients) > 0 {
		t.Errorf("counted: %+v, ended: %+v, %d messages handled, not seen: %v", counted, ended, x.handled.Load(), clients)
	}
	for cause, n := range causes {
		if n != 0 {
			t.Errorf("%d more ends with %s than are counted", n, cause)
		}
	}
}
