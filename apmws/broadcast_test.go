package apmws

import (
	"bufio"
	"context"
	"errors"
	"iter"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/apmws/go-apmws/apmws/semconv"
)

// StartBroadcast implements Broadcaster.
func (r *recorder) StartBroadcast(_ context.Context, parent any, s MessageStart) MessageSpan {
	of := ""
	switch p := parent.(type) {
	case *recorderConn:
		of = p.tx.name
	case *recorderMessage:
		of = p.tx.name
	case *recorderSpan:
		of = p.name
	}
	attrs := attrMap(s.Attrs)
	s.Attrs = nil
	r.add(event{kind: "broadcast", message: s, name: s.Name, parent: of, at: s.Time, attrs: attrs, remote: s.Remote, cont: s.Continue})
	return &recorderBroadcast{r: r, name: s.Name, attrs: attrs}
}

type recorderBroadcast struct {
	r     *recorder
	name  string
	attrs map[string]any
}

func (b *recorderBroadcast) End(e MessageEnd) {
	attrs := maps.Clone(b.attrs)
	maps.Copy(attrs, attrMap(e.Attrs))
	b.r.add(event{kind: "broadcast-end", name: b.name, at: e.Time, result: e.Result, outcome: e.Outcome, attrs: attrs, failure: e.Failure})
}

// sayAll is what the tests broadcast.
var sayAll = Message{Data: []byte(`{"type":"chat.say","text":"hello, all of you"}`)}

// TestBroadcast: to connections with a queue, without one, slow, full and gone.
func TestBroadcast(t *testing.T) {
	withQueue := serveQueue(t, EndpointOptions{SendQueue: SendQueue{Messages: 1}})
	agent, rec := withQueue.agent, withQueue.rec
	atOnce := make(chan *Conn, 1)
	plainURL := serveWS(t, agent.Endpoint("/ws", EndpointOptions{
		Connect: func(ctx context.Context, conn *Conn) (context.Context, error) {
			atOnce <- conn
			return ctx, nil
		},
		Message: func(context.Context, Message) error { return nil },
	}))

	const healthy = 3
	var to []*Conn
	var clients []*websocket.Conn
	for range healthy {
		clients = append(clients, dial(t, withQueue.url, nil))
		to = append(to, receive(t, withQueue.conns))
	}
	clients = append(clients, dial(t, plainURL, nil))
	to = append(to, receive(t, atOnce))
	// One that takes nothing for a while, and one whose queue is full.
	slow, full := dial(t, withQueue.url, nil), (*websocket.Conn)(nil)
	slowConn := receive(t, withQueue.conns)
	slowConn.currentServing().turn.try()
	full = dial(t, withQueue.url, nil)
	fullConn := receive(t, withQueue.conns)
	fullConn.currentServing().turn.try()
	if err := fullConn.Send(t.Context(), TextMessage, []byte("before")); err != nil {
		t.Fatal(err)
	}
	gone := dial(t, withQueue.url, nil)
	goneConn := receive(t, withQueue.conns)
	leave(t, gone)
	eventually(t, "the end", func() bool { return goneConn.currentServing() == nil })
	to = append(to, slowConn, fullConn, goneConn, nil)

	result := agent.Broadcast(t.Context(), sayAll, slices.Values(to), BroadcastOptions{})
	if want := (BroadcastResult{Written: 1, Queued: healthy + 1, Failed: 3, Err: ErrQueueFull}); result != want {
		t.Errorf("Broadcast returned %+v, want %+v", result, want)
	}
	for _, conn := range clients {
		if typ, data, err := conn.ReadMessage(); err != nil || typ != websocket.TextMessage || string(data) != string(sayAll.Data) {
			t.Errorf("read %d %q, %v", typ, data, err)
		}
	}
	if ends := rec.all("broadcast-end"); len(ends) != 0 {
		t.Error("the transaction has ended before the slow one has got the message")
	}
	slowConn.currentServing().turn.give()
	if _, data, err := slow.ReadMessage(); err != nil || string(data) != string(sayAll.Data) {
		t.Errorf("read %q, %v", data, err)
	}
	end := rec.wait(t, "broadcast-end", 1)[0]
	slowest, _ := end.attrs[semconv.BroadcastSlowestWrite].(float64)
	delete(end.attrs, semconv.BroadcastSlowestWrite)
	if end.name != "broadcast chat.say" || end.result != "partial" || end.outcome != OutcomeSuccess || end.failure != nil ||
		slowest <= 0 || slowest > 10 || !maps.Equal(end.attrs, map[string]any{
		"websocket.event": "broadcast", "websocket.message.type": "text", "websocket.message.length": int64(len(sayAll.Data)),
		"websocket.message.direction": "outbound", "websocket.broadcast.recipients": int64(healthy + 5),
		"websocket.broadcast.failed": int64(3), "http.route": "/ws",
	}) {
		t.Errorf("the broadcast ended with %+v, slowest %v", end, slowest)
	}
	fullConn.currentServing().turn.give()
	if _, data, err := full.ReadMessage(); err != nil || string(data) != "before" {
		t.Errorf("read %q, %v", data, err)
	}
	withQueue.idle(t)
	if dropped := withQueue.stats().SendQueueDropped; dropped != 1 {
		t.Errorf("%d dropped", dropped)
	}
	for _, conn := range append(clients, slow, full) {
		leave(t, conn)
	}
}

// TestBroadcastResults: what is given up later is a failure as well.
func TestBroadcastResults(t *testing.T) {
	s := serveQueue(t, EndpointOptions{SendQueue: SendQueue{Messages: 2, Policy: DropOldest}})
	conn := dial(t, s.url, nil)
	c := receive(t, s.conns)
	c.currentServing().turn.try()
	if err := c.Send(t.Context(), TextMessage, []byte("first")); err != nil {
		t.Fatal(err)
	}
	to := slices.Values([]*Conn{c})
	if r := s.agent.Broadcast(t.Context(), sayAll, to, BroadcastOptions{}); r != (BroadcastResult{Queued: 1}) {
		t.Errorf("the first returned %+v", r)
	}
	if r := s.agent.Broadcast(t.Context(), sayAll, to, BroadcastOptions{Name: "chat.typing"}); r != (BroadcastResult{Queued: 1}) {
		t.Errorf("the second returned %+v", r)
	}
	end := s.rec.wait(t, "broadcast-end", 1)[0]
	if end.result != "error" || end.outcome != OutcomeFailure || end.attrs[semconv.BroadcastFailed] != int64(1) {
		t.Errorf("what was given up ended with %+v", end)
	}
	c.currentServing().turn.give()
	if end := s.rec.wait(t, "broadcast-end", 2)[1]; end.result != "ok" || end.name != "broadcast _OTHER" {
		t.Errorf("what was written ended with %+v", end)
	}
	leave(t, conn)
	s.rec.wait(t, "disconnect", 1)

	before := len(s.rec.all("broadcast"))
	if r := s.agent.Broadcast(t.Context(), sayAll, slices.Values([]*Conn(nil)), BroadcastOptions{}); r != (BroadcastResult{}) {
		t.Errorf("to nobody: %+v", r)
	}
	if r := s.agent.Broadcast(t.Context(), sayAll, slices.Values([]*Conn{nil, nil}), BroadcastOptions{}); r != (BroadcastResult{Failed: 2, Err: ErrNotServing}) {
		t.Errorf("to nil: %+v", r)
	}
	if after := len(s.rec.all("broadcast")); after != before {
		t.Errorf("%d broadcasts to nobody are recorded", after-before)
	}
	if r := s.agent.Broadcast(t.Context(), Message{Type: 9}, to, BroadcastOptions{}); r.Failed != 1 || r.Err == nil {
		t.Errorf("of no message: %+v", r)
	}
}

// TestBroadcastToServe: connections of Serve get it, too; a blocked one is bounded
// by the context.
func TestBroadcastToServe(t *testing.T) {
	t.Parallel()
	conns := make(chan *Conn, 2)
	rec := newRecorder()
	agent, conn, _ := serveMessages(t, Options{Exporters: []Exporter{rec}}, func(ctx context.Context, _ Message) error {
		conns <- FromContext(ctx)
		return nil
	})
	send(t, conn, "x")
	c := receive(t, conns)
	all := slices.Values([]*Conn{c, c})
	if r := agent.Broadcast(t.Context(), sayAll, all, BroadcastOptions{}); r != (BroadcastResult{Written: 2}) {
		t.Errorf("Broadcast returned %+v", r)
	}
	for range 2 {
		if _, data, err := conn.ReadMessage(); err != nil || string(data) != string(sayAll.Data) {
			t.Errorf("read %q, %v", data, err)
		}
	}
	done, cancel := context.WithCancel(t.Context())
	cancel()
	if r := agent.Broadcast(done, sayAll, all, BroadcastOptions{}); r.Failed != 2 || !errors.Is(r.Err, context.Canceled) {
		t.Errorf("under a cancelled context: %+v", r)
	}
	c.currentServing().turn.try()
	short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if r := agent.Broadcast(short, sayAll, all, BroadcastOptions{}); r.Failed != 2 || !errors.Is(r.Err, context.DeadlineExceeded) {
		t.Errorf("while another one writes: %+v", r)
	}
	c.currentServing().turn.give()
	large := Message{Type: BinaryMessage, Data: make([]byte, 16<<20)} // more than sockets hold
	var r BroadcastResult
	broadcasts := 3
	for limit := 500 * time.Millisecond; broadcasts == 3 || errors.Is(r.Err, context.DeadlineExceeded); limit *= 2 {
		short, cancel := context.WithTimeout(t.Context(), limit) // it takes a while to be prepared
		r = agent.Broadcast(short, large, all, BroadcastOptions{})
		cancel()
		broadcasts++
	}
	var netErr net.Error
	if r.Failed != 2 || !errors.As(r.Err, &netErr) || !netErr.Timeout() {
		t.Errorf("to one who does not read: %+v", r)
	}
	last := rec.wait(t, "broadcast-end", broadcasts)[broadcasts-1]
	// A write that fails has taken its time, too.
	if slowest, _ := last.attrs[semconv.BroadcastSlowestWrite].(float64); last.result != "error" || slowest <= 0 || slowest > 60 {
		t.Errorf("it ended with %+v", last)
	}
}

// faultyBroadcaster panics.
type faultyBroadcaster struct{ *recorder }

func (faultyBroadcaster) StartBroadcast(context.Context, any, MessageStart) MessageSpan {
	panic("no broadcasts today")
}

// plainExporter records no broadcasts.
type plainExporter struct{ Exporter }

// TestBroadcastExporters: each gets its own handle, one that panics is counted, and
// one that knows no broadcasts is left alone.
func TestBroadcastExporters(t *testing.T) {
	first, last, faulty := newRecorder(), newRecorder(), newRecorder()
	agent := New(Options{Exporters: []Exporter{first, faultyBroadcaster{faulty}, plainExporter{newRecorder()}, last}, Messages: testMessages})
	url := serveWS(t, agent.Endpoint("/ws", EndpointOptions{
		Message: func(ctx context.Context, _ Message) error {
			to := iter.Seq[*Conn](func(yield func(*Conn) bool) {
				yield(FromContext(ctx))
				panic("the hub is broken")
			})
			agent.Broadcast(ctx, sayAll, to, BroadcastOptions{})
			return nil
		},
	}))
	conn := dial(t, url, nil)
	if err := conn.WriteMessage(websocket.TextMessage, sayAll.Data); err != nil {
		t.Fatal(err)
	}
	if code, _ := closeCodeOf(t, conn); code != websocket.CloseInternalServerErr {
		t.Errorf("the connection ended with %d", code)
	}
	for _, r := range []*recorder{first, last} {
		r.wait(t, "disconnect", 1)
		if end := r.wait(t, "broadcast-end", 1)[0]; end.result != "ok" || r.all("broadcast")[0].parent != "chat.say" {
			t.Errorf("recorded %+v", end)
		}
	}
	if all := faulty.all("broadcast"); len(all) != 0 {
		t.Errorf("recorded %+v", all)
	}
	for _, d := range agent.Stats().Dropped {
		if d.Reason == "panic" && d.Count == 1 {
			return
		}
	}
	t.Errorf("the panic is not counted: %+v", agent.Stats().Dropped)
}

// quietConn is a peer that sends nothing and takes everything, in memory.
type quietConn struct {
	memoryConn
	closed chan struct{}
	once   sync.Once
}

func (c *quietConn) Read([]byte) (int, error) {
	<-c.closed
	return 0, net.ErrClosed
}

func (c *quietConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return nil
}

// memoryConn takes everything.
type memoryConn struct{ net.Conn }

func (memoryConn) Write(b []byte) (int, error) { return len(b), nil }

func (memoryConn) SetDeadline(time.Time) error { return nil }

func (memoryConn) SetReadDeadline(time.Time) error { return nil }

func (memoryConn) SetWriteDeadline(time.Time) error { return nil }

func (memoryConn) LocalAddr() net.Addr { return &net.TCPAddr{} }

func (memoryConn) RemoteAddr() net.Addr { return &net.TCPAddr{} }

// crowd opens n connections of an agent in memory. hangUp ends them.
func crowd(t testing.TB, agent *Agent, opts EndpointOptions, n int) (conns []*Conn, hangUp func()) {
	t.Helper()
	opened := make(chan *Conn, n)
	opts.Heartbeat.Interval = -1 // nobody answers
	opts.Message = func(context.Context, Message) error { return nil }
	opts.Connect = func(ctx context.Context, c *Conn) (context.Context, error) {
		opened <- c
		return ctx, nil
	}
	h := agent.Endpoint("/ws", opts)
	peers := make([]*quietConn, n)
	for i := range peers {
		peers[i] = &quietConn{closed: make(chan struct{})}
		h.ServeHTTP(quietWriter{httptest.NewRecorder(), peers[i]}, handshakeReq())
		conns = append(conns, receive(t, opened))
	}
	return conns, func() {
		for _, p := range peers {
			p.Close()
		}
		eventually(t, "the end of all", func() bool { return agent.Stats().Routes[0].ConnectionsActive == 0 })
	}
}

// TestBroadcastToCrowd: many recipients, some of them gone, with and without queues.
func TestBroadcastToCrowd(t *testing.T) {
	const n, gone = crowdSize, 100
	for name, queue := range map[string]SendQueue{"at once": {}, "queued": {Messages: 4}} {
		t.Run(name, func(t *testing.T) {
			before := runtime.NumGoroutine()
			rec := newRecorder()
			agent := New(Options{Exporters: []Exporter{rec}, Messages: testMessages})
			conns, hangUp := crowd(t, agent, EndpointOptions{SendQueue: queue}, n)
			for _, c := range conns[:gone] {
				c.WebSocket().Close()
			}
			eventually(t, "the end of some", func() bool {
				return !slices.ContainsFunc(conns[:gone], func(c *Conn) bool { return c.currentServing() != nil })
			})
			r := agent.Broadcast(t.Context(), sayAll, slices.Values(conns), BroadcastOptions{})
			if r.Written+r.Queued != n-gone || r.Failed != gone || !errors.Is(r.Err, ErrNotServing) || (r.Queued > 0) == (name == "at once") {
				t.Errorf("Broadcast returned %+v", r)
			}
			end := rec.wait(t, "broadcast-end", 1)[0]
			if end.result != "partial" || end.attrs[semconv.BroadcastRecipients] != int64(n) || end.attrs[semconv.BroadcastFailed] != int64(gone) {
				t.Errorf("the broadcast ended with %+v", end)
			}
			if all := rec.all("broadcast"); len(all) != 1 || len(rec.all("span")) != len(rec.all("connect")) { // of upgrade
				t.Errorf("%d broadcasts and %d spans of %d connections", len(all), len(rec.all("span")), len(rec.all("connect")))
			}
			stats := agent.Stats().Routes[0]
			if stats.MessagesSent != n-gone || stats.BytesSent != int64((n-gone)*len(sayAll.Data)) || stats.WriteDuration.Count < n-gone {
				t.Errorf("%d messages of %d bytes were counted in %d writes", stats.MessagesSent, stats.BytesSent, stats.WriteDuration.Count)
			}
			if stats.SendQueueMessages != 0 || stats.SendQueueDropped != 0 {
				t.Errorf("%d messages wait, %d are dropped", stats.SendQueueMessages, stats.SendQueueDropped)
			}
			hangUp()
			eventually(t, "no goroutine more than before", func() bool { return runtime.NumGoroutine() <= before })
		})
	}
}

// quietWriter is a ResponseWriter over a quietConn.
type quietWriter struct {
	*httptest.ResponseRecorder
	conn net.Conn
}

var _ http.Hijacker = quietWriter{}

// Hijack implements http.Hijacker.
func (w quietWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return w.conn, bufio.NewReadWriter(bufio.NewReader(w.conn), bufio.NewWriter(w.conn)), nil
}
