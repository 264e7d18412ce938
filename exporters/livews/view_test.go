package livews

import (
	"context"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/apmws/go-apmws/apmws"
)

func TestTotalsAreWhatWasDrivenIn(t *testing.T) {
	server := newServer(t, New(Options{}))
	alice := dial(t, server, "user=alice", nil)
	bob := dial(t, server, "user=bob", nil)
	const text = `{"type":"say","text":"hello"}`
	for range 3 {
		say(t, alice, text)
	}
	say(t, bob, text)
	for range 2 {
		if _, resp, err := websocket.DefaultDialer.Dial("ws"+server.URL[4:]+"/ws", nil); err == nil || resp.StatusCode != http.StatusUnauthorized {
			t.Fatalf("a nameless handshake was answered %v, %v; want 401", resp, err)
		}
	}
	send(t, bob, `{"type":"panic"}`)
	if _, _, err := bob.ReadMessage(); !websocket.IsCloseError(err, websocket.CloseInternalServerErr) {
		t.Fatalf("bob's connection ended with %v; want close 1011", err)
	}

	d := until(t, server.URL, "bob's end", func(d Document) bool {
		return d.Totals.Closed == 1 && len(d.Connections) == 1 && d.FinishedTotal == 10
	})
	got := d.Totals
	if got.Active != 1 || got.Opened != 2 || got.Refused != 2 || got.Dropped != 0 {
		t.Errorf("active %d, opened %d, refused %d, dropped %d; want 1, 2, 2, 0", got.Active, got.Opened, got.Refused, got.Dropped)
	}
	if len(got.RefusedBy) != 1 || got.RefusedBy[0] != (Refused{Status: 401, Reason: "unauthenticated", Count: 2}) {
		t.Errorf("refused by %+v", got.RefusedBy)
	}
	if len(got.ClosedBy) != 1 || got.ClosedBy[0] != (Closed{Cause: "panic", Outcome: "failure", Count: 1}) {
		t.Errorf("closed by %+v", got.ClosedBy)
	}
	received, sent := int64(4*len(text)+len(`{"type":"panic"}`)), int64(4*len(text))
	if got.MessagesReceived != 5 || got.MessagesSent != 4 || got.BytesReceived != received || got.BytesSent != sent {
		t.Errorf("messages %d in, %d out, bytes %d in, %d out; want 5, 4, %d, %d",
			got.MessagesReceived, got.MessagesSent, got.BytesReceived, got.BytesSent, received, sent)
	}
	if len(d.Connections) != 1 {
		t.Fatalf("%d connections; want alice's", len(d.Connections))
	}
	c := d.Connections[0]
	if c.User != "alice" || c.Route != "/ws" || c.Peer != alice.LocalAddr().String() || len(c.ID) != 16 {
		t.Errorf("connection %+v", c)
	}
	if c.MessagesReceived != 3 || c.MessagesSent != 3 || c.BytesReceived != int64(3*len(text)) || c.BytesSent != int64(3*len(text)) {
		t.Errorf("connection's counts %+v", c)
	}
	if age := d.Time - c.Opened; age < 0 || age > time.Minute.Milliseconds() {
		t.Errorf("connection is %d ms old", age)
	}
	// CONNECT: two accepted, two refused. Five messages. One DISCONNECT.
	if d.FinishedTotal != 10 || len(d.Transactions) != 10 || d.RunningTotal != 0 {
		t.Errorf("%d transactions of %d, %d running; want 10 of 10, 0", len(d.Transactions), d.FinishedTotal, d.RunningTotal)
	}
}

func TestTransactionsOfARealConnection(t *testing.T) {
	server := newServer(t, New(Options{}))
	conn := dial(t, server, "user=alice", http.Header{"User-Agent": {"test/1"}, "Origin": {server.URL}})
	say(t, conn, `{"type":"say"}`)
	send(t, conn, `{"type":"fail"}`)
	hangUp(t, conn, websocket.CloseGoingAway, "lunch")
	d := until(t, server.URL, "the end", func(d Document) bool { return d.Totals.Closed == 1 && d.FinishedTotal == 4 })

	byName := func(name string) Transaction {
		return find(t, d.Transactions, name, func(x Transaction) bool { return x.Name == name })
	}
	connect := byName("CONNECT /ws")
	if connect.Type != "Connection" || connect.Result != "HTTP 1xx" || connect.Outcome != "success" || connect.User != "alice" {
		t.Errorf("CONNECT %+v", connect)
	}
	for name, want := range map[string]any{
		"websocket.event": "connect", "websocket.connection.id": connect.Connection, "http.route": "/ws",
		"http.response.status_code": 101.0, "http.request.method": "GET", "url.path": "/ws",
		"client.address": "127.0.0.1", "user_agent.original": "test/1", "websocket.origin": server.URL,
	} {
		if got := attr(connect.Attrs, name); got != want {
			t.Errorf("CONNECT's %s is %v; want %v", name, got, want)
		}
	}
	find(t, connect.Spans, "span authenticate", func(s Span) bool {
		return s.Name == "authenticate" && s.Type == "app" && s.Outcome == "success" && s.Parent == 0 && s.Duration != nil
	})

	said := byName("say")
	if said.Type != "Message" || said.Result != "ok" || said.Duration == nil || said.Connection != connect.Connection || said.Error != nil {
		t.Errorf("message %+v", said)
	}
	if got := attr(said.Attrs, "websocket.message.length"); got != 14.0 {
		t.Errorf("message's length is %v; want 14", got)
	}
	store := find(t, said.Spans, "span store", func(s Span) bool { return s.Name == "store" })
	if store.Destination != "redis" || store.Type != "db.redis.query" || len(store.Attrs) != 1 || attr(store.Attrs, "shard") != 3.0 {
		t.Errorf("span %+v; want only what its transaction does not say", store)
	}
	send := find(t, said.Spans, "span send", func(s Span) bool { return s.Name == "send say" })
	if send.Parent != store.Number || send.Offset < store.Offset || *send.Duration > *store.Duration {
		t.Errorf("send %+v is not within store %+v", send, store)
	}

	failed := byName("fail")
	if failed.Outcome != "failure" || failed.Result != "error" || failed.Error == nil || *failed.Error != (Error{Message: "it failed", Type: "*errors.errorString"}) {
		t.Errorf("failed message %+v, error %+v", failed, failed.Error)
	}

	end := byName("DISCONNECT /ws")
	if end.Type != "Disconnection" || end.Result != "going_away" || end.Outcome != "success" || *end.Duration != 0 {
		t.Errorf("DISCONNECT %+v", end)
	}
	for name, want := range map[string]any{
		"websocket.close.code": "1001", "websocket.close.initiator": "client", "websocket.close.reason": "lunch",
		"websocket.messages.received": 2.0, "websocket.messages.sent": 1.0,
	} {
		if got := attr(end.Attrs, name); got != want {
			t.Errorf("DISCONNECT's %s is %v; want %v", name, got, want)
		}
	}
}

func TestQueryStringsAreNotShown(t *testing.T) {
	server := newServer(t, New(Options{}))
	conn := dial(t, server, "user=alice&token="+url.QueryEscape("s3cret"), http.Header{"Cookie": {"sid=s3cret"}, "Authorization": {"Bearer s3cret"}})
	say(t, conn, `{"type":"say","text":"s3cret"}`)
	until(t, server.URL, "the message", func(d Document) bool { return d.FinishedTotal == 2 })
	if _, body := get(t, server.URL, 0); containsFold(body, "s3cret") {
		t.Errorf("a secret is shown: %s", body)
	}
}

func TestOnlyTheNewestConnectionsAreListed(t *testing.T) {
	server := newServer(t, New(Options{Connections: 2}))
	for _, user := range []string{"a", "b", "c", "d"} {
		say(t, dial(t, server, "user="+user, nil), "x")
	}
	d, _ := get(t, server.URL, 0)
	if d.Totals.Active != 4 || d.Limits.Connections != 2 {
		t.Errorf("%d active, limit %d; want 4, 2", d.Totals.Active, d.Limits.Connections)
	}
	if len(d.Connections) != 2 || d.Connections[0].User != "d" || d.Connections[1].User != "c" {
		t.Errorf("listed %+v; want d, c", d.Connections)
	}

	many := make([]apmws.ConnInfo, 50000)
	for i := range many {
		many[i].Opened = t0.Add(time.Duration(i) * time.Second)
	}
	list := newest(many, 500)
	if len(list) != 500 || list[0].Opened != many[49999].Opened.UnixMilli() || list[499].Opened != many[49500].Opened.UnixMilli() {
		t.Errorf("%d of 50000 connections listed, from %d to %d", len(list), list[0].Opened, list[len(list)-1].Opened)
	}
}

func TestTheViewDoesNotHoldUpShutdown(t *testing.T) {
	server := newServer(t, New(Options{}))
	get(t, server.URL, 0) // leaves an idle connection, as a page does
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := server.Config.Shutdown(ctx); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
}

func TestAViewWithoutAnAgentSaysSo(t *testing.T) {
	v := New(Options{})
	if d := v.document(0); d.Attached || d.Totals.Active != 0 || d.Connections == nil {
		t.Errorf("document %+v", d)
	}
	apmws.New(apmws.Options{Exporters: []apmws.Exporter{v}})
	if d := v.document(0); !d.Attached {
		t.Error("New did not attach the view")
	}
}
