package apmws

import (
	"context"
	"errors"
	"iter"
	"slices"
	"testing"

	"github.com/gorilla/websocket"
)

// TestBroadcastTrace: a broadcast is below what it happens in, or continues what
// the caller says, or is a trace of its own.
func TestBroadcastTrace(t *testing.T) {
	var from SpanContext
	from.TraceID[0], from.SpanID[0], from.Flags = 7, 7, 1
	rec := newRecorder()
	agent := New(Options{Exporters: []Exporter{rec}, Messages: testMessages})
	say := func(ctx context.Context, c *Conn) {
		agent.Broadcast(ctx, sayAll, slices.Values([]*Conn{c}), BroadcastOptions{Parent: from})
	}
	var mine *Conn
	var late context.Context
	url := serveWS(t, agent.Endpoint("/ws", EndpointOptions{
		Connect: func(ctx context.Context, c *Conn) (context.Context, error) {
			mine = c
			say(ctx, c)
			return ctx, nil
		},
		Message: func(ctx context.Context, _ Message) error {
			say(ctx, mine)
			within, span := StartSpan(ctx, "load", SpanOptions{})
			say(within, mine)
			span.End(nil)
			say(within, mine)
			late = ctx
			other := New(Options{Exporters: []Exporter{rec}})
			other.Broadcast(ctx, sayAll, slices.Values([]*Conn{mine}), BroadcastOptions{})
			return nil
		},
		Close: func(ctx context.Context, c *Conn, _ error) {
			say(late, c)
			agent.Broadcast(ctx, sayAll, slices.Values([]*Conn{c}), BroadcastOptions{})
		},
	}))
	conn := dial(t, url, nil)
	if err := conn.WriteMessage(websocket.TextMessage, sayAll.Data); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		if _, _, err := conn.ReadMessage(); err != nil {
			t.Fatal(err)
		}
	}
	leave(t, conn)
	rec.wait(t, "disconnect", 1)
	var got []string
	for _, e := range rec.all("broadcast") {
		if e.cont != e.remote.IsValid() || e.cont && e.remote != from || e.parent != "" && e.message.Late {
			t.Errorf("a broadcast began with %+v", e)
		}
		from := e.parent
		if from == "" && e.cont {
			from = "remote"
		}
		got = append(got, from)
	}
	if want := []string{"CONNECT /ws", "chat.say", "load", "chat.say", "", "remote", ""}; !slices.Equal(got, want) {
		t.Errorf("the broadcasts are below %q, want %q", got, want)
	}
}

// TestBroadcastSampling: the rate of the message's name decides, but a broadcast
// below something recorded is recorded, and so is one that fails or is slow.
func TestBroadcastSampling(t *testing.T) {
	var sampled SpanContext
	sampled.TraceID[0], sampled.SpanID[0], sampled.Flags = 7, 7, 1
	unsampled := sampled
	unsampled.Flags = 0
	for name, x := range map[string]struct {
		sampling Sampling
		parent   SpanContext
		fails    bool
		want     []MessageStart // without times, names and attributes
	}{
		"never":               {},
		"always":              {sampling: Sampling{Rate: 1}, want: []MessageStart{{Sampled: true, Weight: 1}}},
		"by name":             {sampling: Sampling{Names: map[string]float64{"chat.say": 1}}, want: []MessageStart{{Sampled: true, Weight: 1}}},
		"of a sampled trace":  {parent: sampled, want: []MessageStart{{Sampled: true, Weight: 1, Remote: sampled, Continue: true}}},
		"of another":          {sampling: Sampling{Rate: 1}, parent: unsampled},
		"failed":              {fails: true, want: []MessageStart{{Sampled: true, Late: true}}},
		"slow":                {sampling: Sampling{Slow: 1}, want: []MessageStart{{Sampled: true, Late: true}}},
		"slow beyond the cap": {sampling: Sampling{Slow: 1, Rate: 1, MaxPerSecond: 1}, want: []MessageStart{{Sampled: true, Weight: 1}}},
	} {
		rec := newRecorder()
		agent := New(Options{Exporters: []Exporter{rec}, Messages: testMessages, Sampling: &x.sampling})
		conns := make(chan *Conn, 1)
		url := serveWS(t, agent.Endpoint("/ws", EndpointOptions{
			Connect: func(ctx context.Context, c *Conn) (context.Context, error) {
				conns <- c
				return ctx, nil
			},
			Message: func(context.Context, Message) error { return nil },
		}))
		conn := dial(t, url, nil)
		c := receive(t, conns)
		if x.fails {
			leave(t, conn)
			rec.wait(t, "disconnect", 1)
		}
		agent.Broadcast(t.Context(), sayAll, slices.Values([]*Conn{c}), BroadcastOptions{Parent: x.parent})
		var got []MessageStart
		for _, e := range rec.all("broadcast") {
			got = append(got, MessageStart{
				Sampled: e.message.Sampled, Weight: e.message.Weight, Late: e.message.Late,
				Remote: e.message.Remote, Continue: e.message.Continue,
			})
		}
		if ends := rec.all("broadcast-end"); len(ends) != len(got) || len(got) != len(x.want) ||
			len(got) == 1 && (got[0].Sampled != x.want[0].Sampled || got[0].Weight != x.want[0].Weight ||
				got[0].Late != x.want[0].Late || got[0].Remote != x.want[0].Remote || got[0].Continue != x.want[0].Continue) {
			t.Errorf("%s: recorded %+v, want %+v", name, got, x.want)
		}
		if !x.fails {
			if _, _, err := conn.ReadMessage(); err != nil {
				t.Error(err)
			}
			leave(t, conn)
		}
	}
}

// TestBroadcastBelowRecorded: what is below a message that is recorded is recorded
// whatever the rate of its name.
func TestBroadcastBelowRecorded(t *testing.T) {
	rec := newRecorder()
	agent := New(Options{Exporters: []Exporter{rec}, Messages: testMessages, Sampling: &Sampling{Names: map[string]float64{"chat.say": 1}}})
	url := serveWS(t, agent.Endpoint("/ws", EndpointOptions{
		Message: func(ctx context.Context, _ Message) error {
			c := FromContext(ctx)
			return agent.Broadcast(ctx, Message{Data: []byte("{}")}, slices.Values([]*Conn{c}), BroadcastOptions{}).Err
		},
	}))
	conn := dial(t, url, nil)
	for _, text := range []string{string(sayAll.Data), `{"type":"unknown"}`} {
		if err := conn.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
			t.Fatal(err)
		}
		if _, _, err := conn.ReadMessage(); err != nil {
			t.Fatal(err)
		}
	}
	leave(t, conn)
	rec.wait(t, "disconnect", 1)
	if all := rec.all("broadcast"); len(all) != 1 || all[0].parent != "chat.say" || all[0].name != "broadcast _OTHER" {
		t.Errorf("recorded %+v", all)
	}
}

// TestBroadcastWeight: what is recorded since what it happens in is stands for as many.
func TestBroadcastWeight(t *testing.T) {
	rec := newRecorder()
	agent := New(Options{Exporters: []Exporter{rec}, Messages: testMessages, Sampling: &Sampling{Rate: 0.25}})
	to := func(c *Conn) iter.Seq[*Conn] { return slices.Values([]*Conn{c}) }
	url := serveWS(t, agent.Endpoint("/ws", EndpointOptions{
		Connect: func(ctx context.Context, c *Conn) (context.Context, error) {
			return ctx, agent.Broadcast(ctx, sayAll, to(c), BroadcastOptions{}).Err
		},
		Message: func(ctx context.Context, _ Message) error {
			c := FromContext(ctx)
			within, span := StartSpan(ctx, "load", SpanOptions{})
			defer span.End(nil)
			return errors.Join(agent.Broadcast(ctx, sayAll, to(c), BroadcastOptions{}).Err,
				agent.Broadcast(within, sayAll, to(c), BroadcastOptions{}).Err)
		},
	}))
	conn := dial(t, url, nil)
	for range 100 {
		if err := conn.WriteMessage(websocket.TextMessage, sayAll.Data); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if _, _, err := conn.ReadMessage(); err != nil {
				t.Fatal(err)
			}
		}
	}
	leave(t, conn)
	rec.wait(t, "disconnect", 1)
	below := make(map[string]int)
	for _, e := range rec.all("broadcast") {
		want := 4.0
		if e.parent == "CONNECT /ws" {
			want = 1
		}
		if below[e.parent]++; !e.message.Sampled || e.message.Weight != want {
			t.Errorf("a broadcast below %q stands for %v", e.parent, e.message.Weight)
		}
	}
	if below["CONNECT /ws"] != 1 || below["load"] == 0 || below["chat.say"] < below["load"] {
		t.Errorf("recorded %v", below)
	}
}
