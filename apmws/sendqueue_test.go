package apmws

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// queueServer is a route whose connections have a queue.
type queueServer struct {
	agent *Agent
	rec   *recorder
	url   string
	conns chan *Conn
}

func serveQueue(t testing.TB, opts EndpointOptions) *queueServer {
	t.Helper()
	s := &queueServer{rec: newRecorder(), conns: make(chan *Conn, 64)}
	if opts.WriteTimeout == 0 {
		opts.WriteTimeout = -1 // else who does not read yet is given up on a machine that is busy
	}
	if opts.Heartbeat.Interval == 0 {
		opts.Heartbeat.Interval = -1 // likewise
	}
	s.agent = New(Options{Exporters: []Exporter{s.rec}, Messages: testMessages})
	opts.Connect = func(ctx context.Context, conn *Conn) (context.Context, error) {
		s.conns <- conn
		return ctx, nil
	}
	if opts.Message == nil {
		opts.Message = func(context.Context, Message) error { return nil }
	}
	s.url = serveWS(t, s.agent.Endpoint("/ws", opts))
	return s
}

// stats are those of the only route.
func (s *queueServer) stats() RouteStats { return s.agent.Stats().Routes[0] }

// idle waits until nothing waits in a queue, and no goroutine writes.
func (s *queueServer) idle(t testing.TB) {
	t.Helper()
	eventually(t, "empty send queues", func() bool { return s.stats().SendQueueMessages == 0 && queueWriters() == 0 })
}

// queueWriters counts the goroutines that write what is in a queue.
func queueWriters() int {
	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	return bytes.Count(stacks, []byte("(*sendQueue).run("))
}

// numbered is a message of that size that begins with its number.
func numbered(n, size int) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(n)), make([]byte, size-4)...)
}

// numbers reads messages until one with the number last has come, or the
// connection ends.
func numbers(t testing.TB, conn *websocket.Conn, last int) (got []int, err error) {
	t.Helper()
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	for {
		_, data, err := conn.ReadMessage()
		if err != nil {
			return got, err
		}
		n := int(binary.BigEndian.Uint32(data))
		if len(got) > 0 && n <= got[len(got)-1] {
			t.Errorf("message %d comes after %d", n, got[len(got)-1])
		}
		if got = append(got, n); n == last {
			return got, nil
		}
	}
}

const (
	large = 128 << 10 // a message of which sockets hold few
	many  = 200       // of these they do not hold
)

// TestQueueEnds: what still waits when the peer goes is given up, and counted.
func TestQueueEnds(t *testing.T) {
	s := serveQueue(t, EndpointOptions{SendQueue: SendQueue{Messages: many, Bytes: 1 << 30}})
	conn := dial(t, s.url, nil)
	c := receive(t, s.conns)
	for i := range many {
		if err := c.Send(t.Context(), BinaryMessage, numbered(i, large)); err != nil {
			t.Fatal(err)
		}
	}
	if err := conn.NetConn().(*net.TCPConn).SetLinger(0); err != nil {
		t.Fatal(err)
	}
	conn.Close()
	s.rec.wait(t, "disconnect", 1)
	s.idle(t)
	if now := s.stats(); now.SendQueueDropped == 0 || now.MessagesSent+now.SendQueueDropped != many {
		t.Errorf("%d written and %d dropped of %d", now.MessagesSent, now.SendQueueDropped, many)
	}
	if err := c.flushSends(t.Context()); err != nil || c.info().MessagesQueued != 0 {
		t.Errorf("nothing is left: %v, %d", err, c.info().MessagesQueued)
	}
}

// TestCloseAfterQueue: a close frame follows what was sent before it.
func TestCloseAfterQueue(t *testing.T) {
	const n = 50
	sendAll := func(ctx context.Context) {
		for i := range n {
			if err := FromContext(ctx).Send(ctx, BinaryMessage, numbered(i, 4<<10)); err != nil {
				t.Error(err)
			}
		}
	}
	for name, handle := range map[string]func(ctx context.Context, m Message) error{
		"error": func(ctx context.Context, _ Message) error {
			sendAll(ctx)
			return Close(4000, "bye")
		},
		"Close": func(ctx context.Context, _ Message) error {
			sendAll(ctx)
			return FromContext(ctx).Close(4000, "bye")
		},
	} {
		s := serveQueue(t, EndpointOptions{SendQueue: SendQueue{Messages: n}, Message: handle})
		conn := dial(t, s.url, nil)
		if err := conn.WriteMessage(websocket.TextMessage, []byte(`{"type":"chat.say"}`)); err != nil {
			t.Fatal(err)
		}
		got, err := numbers(t, conn, -1)
		if len(got) != n || !websocket.IsCloseError(err, 4000) {
			t.Errorf("%s: read %d messages, then %v", name, len(got), err)
		}
		if now := s.stats(); now.SendQueueDropped != 0 {
			t.Errorf("%s: %d dropped", name, now.SendQueueDropped)
		}
		s.rec.wait(t, "disconnect", 1)
	}
}

// TestFlushSends waits for what was sent before, and not for what comes later.
func TestFlushSends(t *testing.T) {
	s := serveQueue(t, EndpointOptions{SendQueue: SendQueue{Messages: 8}})
	conn := dial(t, s.url, nil)
	c := receive(t, s.conns)
	serving := c.currentServing()
	serving.turn.try() // nothing is written
	for i := range 3 {
		if err := c.Send(t.Context(), BinaryMessage, numbered(i, 8)); err != nil {
			t.Fatal(err)
		}
	}
	short, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := c.flushSends(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("flushed: %v", err)
	}
	flushed := make(chan error, 1)
	go func() { flushed <- c.flushSends(t.Context()) }()
	eventually(t, "somebody who waits", func() bool {
		serving.queue.mu.Lock()
		defer serving.queue.mu.Unlock()
		return len(serving.queue.waiting) == 2
	})
	serving.turn.give()
	if err := receive(t, flushed); err != nil {
		t.Error(err)
	}
	if got, err := numbers(t, conn, 2); err != nil || len(got) != 3 {
		t.Errorf("read %v, %v", got, err)
	}
	s.idle(t)
	leave(t, conn)
}

// TestSendTogether: whatever goroutines send and write in whatever way, each
// message arrives once and whole, and those that one goroutine sends in order.
func TestSendTogether(t *testing.T) {
	const goroutines, each = 8, 100
	ways := []string{"send", "write", "broadcast"}
	s := serveQueue(t, EndpointOptions{SendQueue: SendQueue{Messages: goroutines * each * len(ways), Bytes: 1 << 30}})
	conn := dial(t, s.url, nil)
	c := receive(t, s.conns)
	var group sync.WaitGroup
	for _, way := range ways {
		for g := range goroutines {
			group.Go(func() {
				for i := range each {
					text := fmt.Appendf(nil, "%s %d %d %s", way, g, i, strings.Repeat("x", i*20))
					var err error
					switch way {
					case "send":
						err = c.Send(t.Context(), TextMessage, text)
					case "write":
						err = c.Write(t.Context(), TextMessage, text)
					default:
						err = s.agent.Broadcast(t.Context(), Message{Data: text}, slices.Values([]*Conn{c}), BroadcastOptions{}).Err
					}
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
	next := make(map[string]int)
	for range goroutines * each * len(ways) {
		_, data, err := conn.ReadMessage()
		if err != nil {
			t.Fatal(err)
		}
		var way, filling string
		var g, i int
		_, _ = fmt.Sscanf(string(data), "%s %d %d %s", &way, &g, &i, &filling)
		from := fmt.Sprint(way, g)
		if i != next[from] || filling != strings.Repeat("x", i*20) {
			t.Fatalf("%s: %d instead of %d, of %d bytes", from, i, next[from], len(data))
		}
		next[from]++
	}
	group.Wait()
	if total := len(slices.Collect(maps.Keys(next))); total != goroutines*len(ways) {
		t.Errorf("from %d goroutines", total)
	}
	s.idle(t)
	q := c.currentServing().queue
	q.mu.Lock()
	if q.ring != nil || q.n != 0 || q.bytes != 0 {
		t.Errorf("the idle queue holds %d messages, %d bytes, %d places", q.n, q.bytes, len(q.ring))
	}
	q.mu.Unlock()
	leave(t, conn)
}

// TestSendRefused: where there is nothing to send with, Send says so.
func TestSendRefused(t *testing.T) {
	results := make(chan error, 1)
	_, conn, result := serveMessages(t, Options{}, func(ctx context.Context, m Message) error {
		results <- FromContext(ctx).Send(ctx, m.Type, m.Data)
		return nil
	})
	send(t, conn, "x")
	if err := receive(t, results); !errors.Is(err, ErrNoSendQueue) {
		t.Errorf("under Serve: %v", err)
	}
	leave(t, conn)
	_ = receive(t, result)
	if err := (*Conn)(nil).Send(t.Context(), TextMessage, nil); !errors.Is(err, ErrNotServing) {
		t.Errorf("of no connection: %v", err)
	}

	s := serveQueue(t, EndpointOptions{SendQueue: SendQueue{Policy: DropNewest}})
	client := dial(t, s.url, nil)
	c := receive(t, s.conns)
	if limits := *c.currentServing().queue.limits; limits != (SendQueue{256, 1 << 20, DropNewest}) {
		t.Errorf("the defaults are %+v", limits)
	}
	if err := c.Send(t.Context(), 9, []byte("ping")); !errors.Is(err, errMessageType) {
		t.Errorf("a control frame: %v", err)
	}
	leave(t, client)
}

// TestSendSpan: what a handler sends is a span, failed where it was refused.
func TestSendSpan(t *testing.T) {
	s := serveQueue(t, EndpointOptions{
		SendQueue: SendQueue{Messages: 1},
		Message: func(ctx context.Context, m Message) error {
			serving := FromContext(ctx).currentServing()
			serving.turn.try() // nothing is written yet
			defer serving.turn.give()
			_ = FromContext(ctx).Send(ctx, TextMessage, bytes.Clone(m.Data))
			return FromContext(ctx).Send(ctx, TextMessage, bytes.Clone(m.Data))
		},
	})
	conn := dial(t, s.url, nil)
	if err := conn.WriteMessage(websocket.TextMessage, []byte(`{"type":"chat.say"}`)); err != nil {
		t.Fatal(err)
	}
	end := s.rec.wait(t, "message-end", 1)[0]
	var outcomes []Outcome
	for _, span := range s.rec.all("span-end") {
		if span.name == "send chat.say" {
			outcomes = append(outcomes, span.outcome)
		}
	}
	if !slices.Equal(outcomes, []Outcome{OutcomeSuccess, OutcomeFailure}) {
		t.Errorf("the spans ended with %v", outcomes)
	}
	for _, span := range s.rec.all("span") {
		if span.name != "upgrade" && (span.name != "send chat.say" || span.parent != "chat.say" || span.start.Type != "websocket.send") {
			t.Errorf("span %+v", span)
		}
	}
	if end.result != "error" || !errors.Is(end.failure.Err, ErrQueueFull) {
		t.Errorf("the message ended as %+v", end)
	}
	s.idle(t)
	leave(t, conn)
}

// TestQueuePanic: a panic of gorilla's, as of an application that writes past the
// library's back, ends the connection and not the process.
func TestQueuePanic(t *testing.T) {
	s := serveQueue(t, EndpointOptions{SendQueue: SendQueue{Messages: 2}})
	dial(t, s.url, nil)
	c := receive(t, s.conns)
	unprepared := &broadcast{prepared: new(websocket.PreparedMessage), size: 1}
	if err := c.currentServing().queue.add(queued{of: unprepared}); err != nil {
		t.Fatal(err)
	}
	if end := s.rec.wait(t, "disconnect", 1)[0]; end.result != string(CausePanic) || end.failure == nil || end.failure.Stack == nil {
		t.Errorf("the connection ended with %+v", end)
	}
	s.idle(t)
	if dropped := s.stats().SendQueueDropped; dropped != 1 {
		t.Errorf("%d dropped", dropped)
	}
}
