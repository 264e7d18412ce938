package apmws

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

var testMessages = MessageOptions{
	Name:      JSONField("type"),
	Names:     []string{"chat.say", "chat.join"},
	SendNames: []string{"chat.said"},
}

// serveMessages runs Serve with handle behind an agent and sends it messages.
// It returns what Serve returned, once that is known.
func serveMessages(t *testing.T, opts Options, handle func(context.Context, Message) error) (agent *Agent, conn *websocket.Conn, result <-chan error) {
	t.Helper()
	agent = New(opts)
	ended := make(chan error, 1)
	conn = dial(t, serveWS(t, agent.Handler("/ws", serving(handle, ended))), nil)
	return agent, conn, ended
}

func send(t *testing.T, conn *websocket.Conn, messages ...string) {
	t.Helper()
	for _, m := range messages {
		if err := conn.WriteMessage(websocket.TextMessage, []byte(m)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestServeTransactions(t *testing.T) {
	rec := newRecorder()
	boom := errors.New("boom")
	agent, conn, _ := serveMessages(t, Options{Exporters: []Exporter{rec}, Messages: testMessages}, func(ctx context.Context, m Message) error {
		tx := vendorOf(ctx)
		if tx == nil || tx.ended {
			t.Errorf("the context carries %+v", tx)
		}
		switch {
		case bytes.Contains(m.Data, []byte("fail")):
			return fmt.Errorf("handling: %w", boom)
		case bytes.Contains(m.Data, []byte("slow")):
			return fmt.Errorf("query: %w", context.DeadlineExceeded)
		}
		return nil
	})
	messages := []string{`{"type":"chat.say","text":"secret"}`, `{"type":"chat.said"}`, `no json`, `{"type":"chat.join","x":"fail"}`, `{"type":"chat.join","x":"slow"}`}
	send(t, conn, messages...)
	if err := conn.WriteMessage(websocket.BinaryMessage, nil); err != nil {
		t.Fatal(err)
	}
	ends := rec.wait(t, "message-end", 6)
	starts := rec.all("message")
	want := []struct {
		name, result string
		outcome      Outcome
		typ          string
	}{
		{"chat.say", "ok", OutcomeSuccess, "text"},
		{"_OTHER", "ok", OutcomeSuccess, "text"},
		{"_OTHER", "ok", OutcomeSuccess, "text"},
		{"chat.join", "error", OutcomeFailure, "text"},
		{"chat.join", "timeout", OutcomeFailure, "text"},
		{"_OTHER", "ok", OutcomeSuccess, "binary"},
	}
	for i, w := range want {
		e := ends[i]
		if e.name != w.name || e.result != w.result || e.outcome != w.outcome || e.attrs["websocket.message.type"] != w.typ {
			t.Errorf("message %d ended as %+v, want %+v", i, e, w)
		}
		if !e.at.After(starts[i].at) {
			t.Errorf("message %d took no time", i)
		}
		length := int64(0)
		if i < len(messages) {
			length = int64(len(messages[i]))
		}
		if starts[i].attrs["websocket.message.length"] != length {
			t.Errorf("message %d: length %v, want %d", i, starts[i].attrs["websocket.message.length"], length)
		}
		keys := []string{
			"http.route", "websocket.connection.id", "websocket.event", "websocket.message.direction",
			"websocket.message.length", "websocket.message.type",
		}
		if got := sortedKeys(starts[i].attrs); !slices.Equal(got, keys) {
			t.Errorf("message %d has attributes %v", i, got)
		}
	}
	failure := ends[3].failure
	if failure == nil || !errors.Is(failure.Err, boom) || failure.Message != "handling: boom" || failure.Type != "*errors.errorString" {
		t.Errorf("failure: %+v", failure)
	}
	if failure != nil && attrMap(failure.Attrs)["websocket.connection.id"] != ends[3].conn {
		t.Errorf("the failure's attributes: %v", failure.Attrs)
	}
	counts := map[string]uint64{}
	for _, m := range agent.Stats().Routes[0].Messages {
		counts[m.Name+" "+string(m.Outcome)] = m.Duration.Count
	}
	if counts["chat.say success"] != 1 || counts["_OTHER success"] != 3 || counts["chat.join failure"] != 2 || len(counts) != 3 {
		t.Errorf("counted %v", counts)
	}
}

// TestServeEnds: what ends the loop, what the peer sees, what is recorded.
func TestServeEnds(t *testing.T) {
	tests := []struct {
		name      string
		options   MessageOptions
		handle    func(context.Context, Message) error
		code      int // that the peer sees
		result    string
		cause     string
		initiator string
		check     func(error) bool
	}{
		{"Close", MessageOptions{}, func(context.Context, Message) error {
			return fmt.Errorf("no more: %w", Close(4000, "enough"))
		}, 4000, "ok", "application", "server", func(err error) bool {
			var closed *CloseError
			return errors.As(err, &closed) && closed.Code == 4000 && closed.Reason == "enough"
		}},
		{"Close with an error code", MessageOptions{}, func(context.Context, Message) error {
			return Close(1008, "policy")
		}, 1008, "error", "application", "server", func(err error) bool { return err != nil }},
		{"Close with 1011", MessageOptions{}, func(context.Context, Message) error {
			return Close(1011, "broken")
		}, 1011, "error", "handler_error", "server", func(err error) bool { return err != nil }},
		{"panic", MessageOptions{}, func(context.Context, Message) error { panic("boom") }, 1011, "panic", "panic", "server", func(err error) bool {
			var panicked *PanicError
			return errors.As(err, &panicked) && panicked.Value == "boom" && bytes.Contains(panicked.Stack, []byte("TestServeEnds"))
		}},
		{"panic raised again", MessageOptions{Repanic: true}, func(context.Context, Message) error { panic("boom") }, 1011, "panic", "panic", "server", nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			rec := newRecorder()
			_, conn, result := serveMessages(t, Options{Exporters: []Exporter{rec}, Messages: test.options}, test.handle)
			send(t, conn, "x")
			_, _, err := conn.ReadMessage()
			if !websocket.IsCloseError(err, test.code) {
				t.Errorf("the peer saw %v", err)
			}
			if end := rec.wait(t, "message-end", 1)[0]; end.result != test.result {
				t.Errorf("the message's result is %s", end.result)
			}
			end := rec.wait(t, "disconnect", 1)[0]
			if end.result != test.cause || end.attrs["websocket.close.initiator"] != test.initiator ||
				end.attrs["websocket.close.code"] != fmt.Sprint(test.code) {
				t.Errorf("DISCONNECT: %s, %v", end.result, end.attrs)
			}
			if (end.outcome == OutcomeFailure) != (end.failure != nil) {
				t.Errorf("outcome %s with failure %+v", end.outcome, end.failure)
			}
			if test.check == nil {
				// The handler sends what Serve returns before it closes the connection.
				select {
				case err := <-result:
					t.Errorf("Serve returned %v instead of raising the panic", err)
				default:
				}
				return
			}
			if err := <-result; !test.check(err) {
				t.Errorf("Serve returned %v", err)
			}
		})
	}
}

// TestServeReturnsGorillasErrors: unwrapped, so that IsCloseError works.
func TestServeReturnsGorillasErrors(t *testing.T) {
	_, conn, result := serveMessages(t, Options{}, func(context.Context, Message) error { return nil })
	payload := websocket.FormatCloseMessage(websocket.CloseGoingAway, "bye")
	if err := conn.WriteControl(websocket.CloseMessage, payload, time.Now().Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	if err := <-result; !websocket.IsCloseError(err, websocket.CloseGoingAway) {
		t.Errorf("Serve returned %T %v", err, err)
	}
}

// TestServeUnobserved: without a connection in the context messages are handled
// by the same rules.
func TestServeUnobserved(t *testing.T) {
	result := make(chan error, 1)
	n := 0
	url := serveWS(t, serving(func(ctx context.Context, _ Message) error {
		if n++; n == 1 {
			return errors.New("goes on")
		}
		ctx, span := StartSpan(ctx, "nothing", SpanOptions{})
		span.End(nil)
		_, tx := StartMessage(ctx, MessageInfo{Name: "x"})
		tx.End(nil)
		c := FromContext(ctx)
		c.SetUser("u")
		c.SetAttrs(slog.Int("n", 1))
		if err := c.Write(ctx, TextMessage, nil); !errors.Is(err, ErrNotServing) {
			t.Errorf("Write returned %v", err)
		}
		panic("boom")
	}, result))
	conn := dial(t, url, nil)
	send(t, conn, "1", "2")
	if _, _, err := conn.ReadMessage(); !websocket.IsCloseError(err, websocket.CloseInternalServerErr) {
		t.Errorf("the peer saw %v", err)
	}
	var panicked *PanicError
	if err := <-result; !errors.As(err, &panicked) {
		t.Errorf("Serve returned %v", err)
	}
}

// TestSends: writes through the context's connection are spans of the message,
// also those to other connections.
func TestSends(t *testing.T) {
	rec := newRecorder()
	var mu sync.Mutex
	members := map[string]*Conn{}
	agent := New(Options{Exporters: []Exporter{rec}, Messages: testMessages})
	url := serveWS(t, agent.Handler("/ws", serving(func(ctx context.Context, m Message) error {
		mu.Lock()
		defer mu.Unlock()
		c := FromContext(ctx)
		if bytes.Contains(m.Data, []byte("chat.join")) {
			members[c.ID()] = c
			return c.WriteJSON(ctx, map[string]string{"type": "joined"})
		}
		for _, member := range members {
			if err := member.Write(ctx, TextMessage, []byte(`{"type":"chat.said"}`)); err != nil {
				return err
			}
		}
		return nil
	}, nil)))
	a, b := dial(t, url, nil), dial(t, url, nil)
	for _, conn := range []*websocket.Conn{a, b} {
		send(t, conn, `{"type":"chat.join"}`)
		if _, _, err := conn.ReadMessage(); err != nil {
			t.Fatal(err)
		}
	}
	send(t, a, `{"type":"chat.say"}`)
	for _, conn := range []*websocket.Conn{a, b} {
		if _, data, err := conn.ReadMessage(); err != nil || string(data) != `{"type":"chat.said"}` {
			t.Errorf("read %q, %v", data, err)
		}
	}
	rec.wait(t, "message-end", 3)
	spans := rec.all("span")
	if len(spans) != 4 {
		t.Fatalf("%d spans", len(spans))
	}
	about := map[any]bool{}
	for i, s := range spans {
		name, parent := "send _OTHER", "chat.join"
		if i >= 2 {
			name, parent = "send chat.said", "chat.say"
			about[s.attrs["websocket.connection.id"]] = true
		}
		if s.name != name || s.parent != parent || s.start.Type != "websocket.send" || s.attrs["websocket.message.type"] != "text" {
			t.Errorf("span %d: %+v", i, s)
		}
	}
	if len(about) != 2 {
		t.Errorf("the broadcast's spans are about %v", about)
	}
	mu.Lock()
	defer mu.Unlock()
	for _, c := range members {
		// Outside a message there is no span, and the write works all the same.
		if err := c.Write(context.Background(), TextMessage, []byte("x")); err != nil {
			t.Error(err)
		}
	}
	if n := len(rec.all("span")); n != 4 {
		t.Errorf("%d spans", n)
	}
}

// TestConcurrentWrites: gorilla panics when two goroutines write.
func TestConcurrentWrites(t *testing.T) {
	const writers, each = 8, 200
	_, conn, result := serveMessages(t, Options{}, func(ctx context.Context, _ Message) error {
		c := FromContext(ctx)
		var wg sync.WaitGroup
		for range writers {
			wg.Go(func() {
				for range each {
					if err := c.Write(ctx, TextMessage, []byte("hello")); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		return c.Close(websocket.CloseNormalClosure, "done")
	})
	send(t, conn, "go")
	for range writers * each {
		if _, data, err := conn.ReadMessage(); err != nil || string(data) != "hello" {
			t.Fatalf("read %q, %v", data, err)
		}
	}
	if _, _, err := conn.ReadMessage(); !websocket.IsCloseError(err, websocket.CloseNormalClosure) {
		t.Errorf("the peer saw %v", err)
	}
	if err := <-result; !websocket.IsCloseError(err, websocket.CloseNormalClosure) {
		t.Errorf("Serve returned %v", err)
	}
}

func TestUserAndAttributes(t *testing.T) {
	rec := newRecorder()
	agent, conn, _ := serveMessages(t, Options{Exporters: []Exporter{rec}}, func(ctx context.Context, _ Message) error {
		c := FromContext(ctx)
		c.SetUser("ana\x00\n")
		c.SetAttrs(slog.String("tenant", "a"), slog.Int("plan", 1))
		c.SetAttrs(slog.String("tenant", "b"))
		for i := range 20 {
			c.SetAttrs(slog.Int(fmt.Sprintf("extra%d", i), i))
		}
		return nil
	})
	send(t, conn, "x")
	end := rec.wait(t, "message-end", 1)[0]
	if end.user != "ana  " || end.attrs["tenant"] != "b" || end.attrs["plan"] != int64(1) {
		t.Errorf("message ended with user %q, %v", end.user, end.attrs)
	}
	if _, ok := end.attrs["extra13"]; !ok || end.attrs["extra14"] != nil {
		t.Errorf("not 16 attributes: %v", sortedKeys(end.attrs))
	}
	if d := agent.Stats().Dropped; len(d) != 1 || d[0] != (Dropped{"apmws", "too_many_attributes", 6}) {
		t.Errorf("dropped: %+v", d)
	}
	if info := agent.Connections(); info[0].User != "ana  " {
		t.Errorf("registry: %+v", info)
	}
	conn.Close()
	last := rec.wait(t, "disconnect", 1)[0]
	if last.user != "ana  " || last.attrs["tenant"] != "b" {
		t.Errorf("DISCONNECT: %q %v", last.user, last.attrs)
	}
}
