package newrelicws

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/newrelic/go-agent/v3/newrelic"
)

// stalledApp is an agent whose queue nobody empties until release is called: its
// only goroutine hangs in its logger.
func stalledApp(t testing.TB, c *collector) (app *newrelic.Application, release func()) {
	t.Helper()
	log := &logs{hold: make(chan struct{})}
	app = startApp(t, c, log)
	release = sync.OnceFunc(func() { close(log.hold) })
	t.Cleanup(release) // before the agent is shut down
	connect(t, app)
	return app, release
}

// TestStalledAgent: handlers never wait for the agent, where End by itself waits
// from the 201st on. What finds no room is counted, and everything else arrives,
// with the durations that it had.
func TestStalledAgent(t *testing.T) {
	c := newCollector()
	app, release := stalledApp(t, c)
	e := New(app)
	conn := openConn(t, e)
	const messages = 3000
	done := make(chan struct{})
	began := time.Now()
	go func() {
		defer close(done)
		for range messages {
			_, m := conn.StartMessage(t.Context(), messageStart("chat.say"))
			m.End(messageOK())
		}
	}()
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		t.Fatal("a handler waits for the agent")
	}
	took := time.Since(began)
	lost := dropped(e, "queue_full")
	if kept := messages - lost; kept < maxWaiting || kept > maxWaiting+200 {
		t.Errorf("%d of %d kept, want what fits into both queues", kept, messages)
	}
	if err := within(t, time.Second, e.Flush); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Flush: %v, though the agent takes nothing", err)
	}
	stalled := time.Since(began) - took
	release()
	if err := e.Flush(soon(t)); err != nil {
		t.Fatal(err)
	}
	h := c.harvest(t, app)
	if got := h.count("OtherTransaction/Go/Message/chat.say"); int64(got) != messages-lost {
		t.Errorf("%v arrived, %d dropped of %d", got, lost, messages)
	}
	if longest := h.metrics["OtherTransaction/Go/Message/chat.say"][4]; longest > (took + stalled/2).Seconds() {
		t.Errorf("a message lasts %v s, though all were handled within %v: it has waited", longest, took)
	}
}

// TestRoomForThoseUnderWay: a transaction for which room was seen finds it, however
// many come before it gets there.
func TestRoomForThoseUnderWay(t *testing.T) {
	c := newCollector()
	app, release := stalledApp(t, c)
	e := New(app)
	h := &e.handoff
	underWay := 0
	for h.choose() == atOnce { // and its End takes long
		underWay++
	}
	if want := h.limit - h.queue.Len(); underWay != want {
		t.Fatalf("%d end at once, want %d", underWay, want)
	}
	h.done() // the one that found none
	conn := openConn(t, e)
	for range 3 * h.queue.Cap() {
		_, m := startMessage(t, conn, messageStart("chat.say"))
		m.End(messageOK())
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for range underWay {
			app.StartTransaction("x").End()
			h.endedAtOnce()
		}
	}()
	select {
	case <-ended:
	case <-time.After(30 * time.Second):
		t.Error("a transaction that was ended at once waits for the agent")
	}
	release()
	if err := e.Flush(soon(t)); err != nil {
		t.Fatal(err)
	}
	if h := c.harvest(t, app); h.count("OtherTransaction/Go/Message/chat.say") != float64(3*e.handoff.queue.Cap()) {
		t.Errorf("%v of %d messages arrived", h.count("OtherTransaction/Go/Message/chat.say"), 3*e.handoff.queue.Cap())
	}
}

// TestRoomIsLeft: the rest of the program finds room in the agent's queue when
// ours are ended at once.
func TestRoomIsLeft(t *testing.T) {
	app, _ := stalledApp(t, newCollector())
	e := New(app)
	conn := openConn(t, e)
	for range 149 { // and CONNECT
		_, m := startMessage(t, conn, messageStart("chat.say"))
		m.End(messageOK())
	}
	if got := e.handoff.queue.Len(); got != 150 || e.handoff.waiting != 0 {
		t.Errorf("%d in the agent's queue, %d waiting, want 150 and none", got, e.handoff.waiting)
	}
	if e.handoff.choose() == atOnce {
		t.Error("a transaction takes the room of the rest of the program")
	}
}

// TestUnknownQueue: an agent whose queue is not found still gets everything.
func TestUnknownQueue(t *testing.T) {
	c := newCollector()
	app := newApp(t, c)
	e := New(app)
	e.handoff.limit = 0
	conn := openConn(t, e)
	for range 100 {
		_, m := startMessage(t, conn, messageStart("chat.say"))
		m.End(messageOK())
	}
	if err := e.Flush(soon(t)); err != nil {
		t.Fatal(err)
	}
	if got := c.harvest(t, app).count("OtherTransaction/Go/Message/chat.say"); got != 100 {
		t.Errorf("%v messages", got)
	}
}

// within calls f with a context that expires after d, and fails when f is still
// running long after that.
func within(t *testing.T, d time.Duration, f func(ctx context.Context) error) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	result := make(chan error, 1)
	go func() { result <- f(ctx) }()
	select {
	case err := <-result:
		return err
	case <-time.After(30 * time.Second):
		t.Fatal("still running long after the context has expired")
		return nil
	}
}

func TestDataQueue(t *testing.T) {
	queue := dataQueue(newApp(t, newCollector()))
	if !queue.IsValid() || queue.Cap() != 200 || queue.Len() > queue.Cap() {
		t.Errorf("queue %v", queue)
	}
	for _, private := range []any{nil, 1, "x", (*int)(nil), new(int), &struct{ dataChan int }{}} {
		if dataQueue(&newrelic.Application{Private: private}).IsValid() {
			t.Errorf("a queue in %T", private)
		}
	}
}
