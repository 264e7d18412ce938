package apmws

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// patience is how long tests wait for what needs no waiting for: long for a machine
// that is busy, and less than what the agent grants peers and programs that linger.
const patience = 25 * time.Second

// receive waits for a value.
func receive[T any](t testing.TB, from <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-from:
	case <-time.After(patience):
		t.Fatalf("waited for a %T", v)
	}
	return v
}

// eventually waits until what is true.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited for: %s", what)
		}
	}
}

// closeCodeOf reads until the connection ends, and returns the close frame's
// code and text; 0 when there was none.
func closeCodeOf(t testing.TB, conn *websocket.Conn) (code int, text string) {
	t.Helper()
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	for {
		_, _, err := conn.ReadMessage()
		var closed *websocket.CloseError
		switch {
		case err == nil:
		case errors.As(err, &closed) && closed.Code != websocket.CloseAbnormalClosure:
			return closed.Code, closed.Text
		default:
			return 0, err.Error()
		}
	}
}

// leave closes a connection as a client does.
func leave(t testing.TB, conn *websocket.Conn) {
	t.Helper()
	if err := conn.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")); err != nil {
		t.Fatal(err)
	}
	if code, text := closeCodeOf(t, conn); code != websocket.CloseNormalClosure {
		t.Errorf("the close frame was answered with %d %s", code, text)
	}
}

// rawHandshake sends a handshake and returns the socket.
func rawHandshake(t testing.TB, url string) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "ws://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	_, err = fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: server.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
	if err != nil {
		t.Fatal(err)
	}
	return conn.(*net.TCPConn)
}

// rawUpgrade sends a handshake and reads the 101.
func rawUpgrade(t testing.TB, url string) (*net.TCPConn, *bufio.Reader) {
	t.Helper()
	conn := rawHandshake(t, url)
	br := bufio.NewReader(conn)
	resp, err := http.ReadResponse(br, nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("the handshake was answered with %+v, %v", resp, err)
	}
	return conn, br
}

// kinds lists what was recorded, in order.
func (r *recorder) kinds() (kinds []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.events {
		kinds = append(kinds, strings.TrimSpace(e.kind+" "+e.name))
	}
	return kinds
}

// noted is a hook's call in a recorder's order.
func (r *recorder) noted(hook string) { r.add(event{kind: hook}) }

// TestEndpointLife: the whole life of a connection, in order.
func TestEndpointLife(t *testing.T) {
	rec := newRecorder()
	l := newLogged(Options{Exporters: []Exporter{rec}, Messages: testMessages})
	connecting, goOn := make(chan *Conn, 1), make(chan struct{})
	type key string
	values := func(ctx context.Context) string {
		return fmt.Sprint(ctx.Value(key("authenticate")), " ", ctx.Value(key("connect")))
	}
	url := serveWS(t, l.Endpoint("/ws", EndpointOptions{
		Authenticate: func(ctx context.Context, r *http.Request) (context.Context, error) {
			if lines := l.lines(t); len(lines) != 1 || lines[0]["event.action"] != "websocket-handshake" {
				t.Errorf("on arrival the log has %v", lines)
			}
			if tx := vendorOf(ctx); tx == nil || tx.name != "authenticate" || vendorOf(r.Context()) != tx {
				t.Errorf("Authenticate runs inside of %+v, its request inside of %+v", tx, vendorOf(r.Context()))
			}
			FromContext(ctx).SetUser("u1")
			rec.noted("authenticating")
			return context.WithValue(ctx, key("authenticate"), 1), nil
		},
		Connect: func(ctx context.Context, conn *Conn) (context.Context, error) {
			if tx := vendorOf(ctx); tx == nil || tx.ended || tx.name != "CONNECT /ws" || FromContext(ctx) != conn {
				t.Errorf("Connect runs inside of %+v", tx)
			}
			rec.noted("connecting")
			connecting <- conn
			<-goOn
			return context.WithValue(ctx, key("connect"), 2), nil
		},
		Message: func(ctx context.Context, m Message) error {
			if tx := vendorOf(ctx); tx == nil || tx.ended || tx.name != "chat.say" || values(ctx) != "1 2" || ctx.Err() != nil {
				t.Errorf("Message runs inside of %+v, with %q, %v", tx, values(ctx), ctx.Err())
			}
			return FromContext(ctx).Write(ctx, m.Type, m.Data)
		},
		Close: func(ctx context.Context, conn *Conn, err error) {
			if tx := vendorOf(ctx); tx != nil || values(ctx) != "1 2" || ctx.Err() != nil || FromContext(ctx) != conn {
				t.Errorf("Close runs inside of %+v, with %q, %v", tx, values(ctx), ctx.Err())
			}
			if !websocket.IsCloseError(err, websocket.CloseNormalClosure) {
				t.Errorf("Close was told of %v", err)
			}
			rec.noted("closing")
		},
	}))

	conn := dial(t, url, nil) // so the 101 has come
	send(t, conn, `{"type":"chat.say"}`)
	observed := receive(t, connecting)
	if open := l.Connections(); len(open) != 1 || open[0].ID != observed.ID() || l.Stats().Routes[0].ConnectionsActive != 1 {
		t.Errorf("while Connect runs, these are open: %+v", open)
	}
	if opened, messages := rec.all("opened"), rec.all("message"); len(opened)+len(messages) != 0 || len(l.lines(t)) != 0 {
		t.Errorf("while Connect runs, these were recorded: %v %v", opened, messages)
	}
	close(goOn)
	if _, data, err := conn.ReadMessage(); err != nil || string(data) != `{"type":"chat.say"}` {
		t.Errorf("the echo is %s, %v", data, err)
	}
	leave(t, conn)
	rec.wait(t, "disconnect", 1)

	want := []string{
		"connect CONNECT /ws",
		"span authenticate", "authenticating", "span-end authenticate",
		"span upgrade", "span-end upgrade",
		"connecting", "opened CONNECT /ws",
		"message chat.say", "span send chat.say", "span-end send chat.say", "message-end chat.say",
		"closing", "disconnect DISCONNECT /ws",
	}
	if got := rec.kinds(); !slices.Equal(got, want) {
		t.Errorf("recorded\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for _, span := range rec.all("span")[:2] {
		if span.parent != "CONNECT /ws" {
			t.Errorf("%s is below %s", span.name, span.parent)
		}
	}
	for _, kind := range []string{"opened", "message", "message-end", "disconnect"} {
		if e := rec.all(kind)[0]; e.user != "u1" {
			t.Errorf("the user of %s is %q", kind, e.user)
		}
	}
	if e := rec.all("opened")[0]; e.status != 101 || e.outcome != OutcomeSuccess || e.failure != nil {
		t.Errorf("CONNECT ended as %+v", e)
	}
	if e := rec.all("disconnect")[0]; e.result != "normal" || e.attrs["websocket.close.initiator"] != "client" {
		t.Errorf("DISCONNECT is %+v", e)
	}
	eventually(t, "the log", func() bool { return strings.Count(l.out.String(), "\n") == 2 })
	for i, line := range l.lines(t) {
		if want := []string{"websocket-connected", "websocket-disconnected"}[i]; line["event.action"] != want || line["user.id"] != "u1" {
			t.Errorf("line %d is %v", i, line)
		}
	}
}

// TestEndpointZero: Message is the only hook that is needed.
func TestEndpointZero(t *testing.T) {
	agent := New(Options{})
	handled := make(chan string, 1)
	conn := dial(t, serveWS(t, agent.Endpoint("/ws", EndpointOptions{Message: func(_ context.Context, m Message) error {
		handled <- string(m.Data)
		return errors.New("which ends nothing")
	}})), nil)
	for _, text := range []string{"one", "two"} {
		send(t, conn, text)
		if got := receive(t, handled); got != text {
			t.Errorf("handled %q", got)
		}
	}
	leave(t, conn)
	eventually(t, "the end", func() bool { return agent.Stats().Routes[0].ConnectionsActive == 0 })

	defer func() {
		if p := recover(); p == nil || !strings.Contains(fmt.Sprint(p), "EndpointOptions.Message") {
			t.Errorf("without Message: %v", p)
		}
	}()
	agent.Endpoint("/ws", EndpointOptions{})
}

// TestEndpointLeavesTheHandler: middleware sees the handshake return, and
// http.Server.Shutdown does not wait; neither this nor the request's deadline
// ends the hooks' contexts, and the end of the connection does.
func TestEndpointLeavesTheHandler(t *testing.T) {
	rec := newRecorder()
	agent := New(Options{Exporters: []Exporter{rec}, Sampling: &Sampling{Rate: 1}})
	returned, handled, contexts := make(chan struct{}), make(chan error), make(chan context.Context, 3)
	endpoint := agent.Endpoint("/ws", EndpointOptions{
		Authenticate: func(ctx context.Context, _ *http.Request) (context.Context, error) {
			ctx, cancel := context.WithTimeout(ctx, time.Hour)
			defer cancel() // as one does
			return ctx, nil
		},
		Connect: func(ctx context.Context, _ *Conn) (context.Context, error) {
			contexts <- ctx
			return ctx, nil
		},
		Message: func(ctx context.Context, _ Message) error {
			contexts <- ctx
			handled <- ctx.Err()
			return nil
		},
		Close: func(ctx context.Context, _ *Conn, _ error) { contexts <- ctx },
	})
	type outer struct{}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(context.WithValue(r.Context(), outer{}, "kept"), time.Hour)
		defer cancel()
		ctx = context.WithValue(ctx, vendorKey{}, &vendorTx{name: "of a middleware"})
		endpoint.ServeHTTP(w, r.WithContext(ctx))
		close(returned)
	}))
	defer srv.Close()
	conn := dial(t, "ws"+strings.TrimPrefix(srv.URL, "http"), nil)
	receive(t, returned)
	if err := srv.Config.Shutdown(t.Context()); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	if len(agent.Connections()) != 1 {
		t.Fatal("the connection did not outlive the handler")
	}
	send(t, conn, "x")
	if err := receive(t, handled); err != nil {
		t.Errorf("the message's context: %v", err)
	}
	leave(t, conn)
	rec.wait(t, "disconnect", 1)
	for _, hook := range []string{"Connect", "Message", "Close"} {
		ctx := receive(t, contexts)
		if _, limited := ctx.Deadline(); limited || ctx.Value(outer{}) != "kept" {
			t.Errorf("%s: limited %v, the middleware's value %v", hook, limited, ctx.Value(outer{}))
		}
		if tx := vendorOf(ctx); tx != nil {
			t.Errorf("%s: afterwards the context has %+v", hook, tx)
		}
		if want := hook == "Close"; (ctx.Err() == nil) != want {
			t.Errorf("%s: afterwards the context has %v", hook, ctx.Err())
		}
	}
}

// TestEndpointMasksWithoutRecording: the transaction of a middleware does not
// show where there is none of ours.
func TestEndpointMasksWithoutRecording(t *testing.T) {
	agent := New(Options{Exporters: []Exporter{newRecorder()}, Sampling: &Sampling{Rate: 0.0000001}})
	found := make(chan *vendorTx, 1)
	endpoint := agent.Endpoint("/ws", EndpointOptions{Message: func(ctx context.Context, _ Message) error {
		found <- vendorOf(ctx)
		return nil
	}})
	conn := dial(t, serveWS(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		endpoint.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), vendorKey{}, &vendorTx{name: "of a middleware"})))
	})), nil)
	send(t, conn, "x")
	if tx := receive(t, found); tx != nil && tx.name == "of a middleware" {
		t.Errorf("the message found %+v", tx)
	}
}

// TestEndpointNilContexts: a hook that returns none changes nothing.
func TestEndpointNilContexts(t *testing.T) {
	for _, repanic := range []bool{false, true} {
		rec := newRecorder()
		found := make(chan *Conn, 1)
		var none context.Context
		agent := New(Options{Exporters: []Exporter{rec}, Messages: MessageOptions{Repanic: repanic}})
		conn := dial(t, serveWS(t, agent.Endpoint("/ws", EndpointOptions{
			Authenticate: func(context.Context, *http.Request) (context.Context, error) { return none, nil },
			Connect:      func(context.Context, *Conn) (context.Context, error) { return none, nil },
			Message: func(ctx context.Context, _ Message) error {
				if ctx.Err() != nil || ctx.Value(http.ServerContextKey) == nil {
					t.Error("the message's context is not of the request")
				}
				found <- FromContext(ctx)
				return nil
			},
		})), nil)
		send(t, conn, "x")
		if receive(t, found) == nil {
			t.Error("the message's context has no connection")
		}
		leave(t, conn)
		rec.wait(t, "disconnect", 1)
	}
}

// TestEndpointHooksFail: what the peer gets and what is recorded when a hook
// after the upgrade does not return well.
// TestEndpointSecondPanic: the first is the cause, the other is in the log.
// TestEndpointPanicAfterTheEnd: a hook that panics after the application has
// closed the connection itself is not lost.
// TestEndpointWrites: goroutines that Connect has started write while messages
// are handled, until the connection ends.
