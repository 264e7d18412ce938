package elasticws

import (
	"context"
	"errors"
	"io"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"go.elastic.co/apm/v2"

	"github.com/apmws/go-apmws/apmws"
)

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

// unreachable is the address of a server that is not there.
func unreachable(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	return "http://" + l.Addr().String()
}

func TestUnreachableServer(t *testing.T) {
	e := New(newTracer(t, httpTransport(t, unreachable(t))))
	var c chat
	c.start(t, e)
	conn := c.dial(t, nil)
	say(t, conn, `{"type":"chat.say"}`)
	c.hangUp(t, conn)
	// The tracer waits longer after each failure. What is lost by the time Flush
	// begins is no failure of Flush.
	for range 5 {
		e.tracer.StartTransaction("x", "y").End()
		if err := within(t, 100*time.Millisecond, e.Flush); err != nil &&
			!errors.Is(err, ErrRequestFailed) && !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	}
	// Shutdown has something to send: the counters.
	if err := within(t, 100*time.Millisecond, e.Shutdown); err == nil {
		t.Error("Shutdown reports success")
	}
	// The tracer may only now get to know that.
	for deadline := soon(t); c.failedRequests() < 1; time.Sleep(time.Millisecond) {
		if deadline.Err() != nil {
			t.Fatal("failed requests are not counted")
		}
	}
}

// failedRequests returns what the agent says of requests to the APM Server.
func (c *chat) failedRequests() int64 {
	for _, d := range c.agent.Stats().Dropped {
		if d.Exporter == "elasticws" && d.Reason == "requests" {
			return d.Count
		}
	}
	return -1
}

// TestSilentServer: it takes connections and never answers.
func TestSilentServer(t *testing.T) {
	i := newIntake(t)
	i.silent = make(chan struct{})
	e := New(i.tracer(t))
	t.Cleanup(func() { close(i.silent) }) // before the server waits for its handlers
	var c chat
	c.start(t, e)
	conn := c.dial(t, nil)
	say(t, conn, `{"type":"chat.say"}`)
	c.hangUp(t, conn)
	for name, f := range map[string]func(context.Context) error{"Flush": e.Flush, "Shutdown": e.Shutdown} {
		if err := within(t, 100*time.Millisecond, f); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v, want %v", name, err, context.DeadlineExceeded)
		}
	}
}

// stuckLogger holds up the tracer's loop.
type stuckLogger struct{ stuck, free chan struct{} }

func (l stuckLogger) Debugf(string, ...any) {
	select {
	case l.stuck <- struct{}{}:
	default:
	}
	<-l.free
}

func (l stuckLogger) Warningf(string, ...any) { l.Debugf("") }

func (l stuckLogger) Errorf(string, ...any) { l.Debugf("") }

// TestStuckTracer: the tracer itself does not even look at its abort channel
// then.
func TestStuckTracer(t *testing.T) {
	rec := newRecorder(t)
	logger := stuckLogger{stuck: make(chan struct{}, 1), free: make(chan struct{})}
	t.Cleanup(func() { close(logger.free) }) // before the tracer is closed
	e := New(rec.Tracer)
	var c chat
	c.start(t, e)
	rec.SetLogger(logger)
	go rec.SendMetrics(soon(t).Done()) // is logged
	<-logger.stuck
	for name, f := range map[string]func(context.Context) error{"Flush": e.Flush, "Shutdown": e.Shutdown} {
		if err := within(t, 100*time.Millisecond, f); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v, want %v", name, err, context.DeadlineExceeded)
		}
	}
}

// TestShutdownBehindFlush: when Shutdown does not get its turn, the counters are
// reported no more all the same.
func TestShutdownBehindFlush(t *testing.T) {
	rec := newRecorder(t)
	logger := stuckLogger{stuck: make(chan struct{}, 1), free: make(chan struct{})}
	t.Cleanup(func() { close(logger.free) }) // before the tracer is closed
	e := New(rec.Tracer)
	e.Attach(apmws.New(apmws.Options{}))
	rec.SetLogger(logger)
	go rec.SendMetrics(soon(t).Done()) // is logged
	<-logger.stuck
	if err := within(t, 50*time.Millisecond, e.Flush); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("Flush: %v, want it stuck", err)
	}
	if err := within(t, 50*time.Millisecond, e.Shutdown); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Shutdown: %v, want %v", err, context.DeadlineExceeded)
	}
	if _, attached := e.gathered(); attached {
		t.Error("the counters are still reported")
	}
}

// TestFlushesAtOnce: the tracer would forget all but the last.
func TestFlushesAtOnce(t *testing.T) {
	rec := newRecorder(t)
	e := New(rec.Tracer)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 50 {
				rec.StartTransaction("x", "y").End()
				if err := e.Flush(soon(t)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	if n := len(rec.documents(t).transactions); n != 400 {
		t.Errorf("%d transactions were sent, want 400", n)
	}
}

// TestGivingUpDoesNoHarm: a tracer that was idle when a Flush was given up works
// on.
func TestGivingUpDoesNoHarm(t *testing.T) {
	rec := newRecorder(t)
	e := New(rec.Tracer)
	e.Attach(apmws.New(apmws.Options{}))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 20 {
		if err := e.Flush(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("%v, want %v", err, context.Canceled)
		}
		rec.SendMetrics(soon(t).Done()) // a request that is no flush
	}
	if err := e.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want %v", err, context.Canceled)
	}
	rec.StartTransaction("x", "y").End()
	if err := within(t, 20*time.Second, e.Flush); err != nil {
		t.Error(err)
	}
	if n := len(rec.documents(t).transactions); n != 1 {
		t.Errorf("%d transactions were sent, want 1", n)
	}
}

// heldTransport holds the answer to the first request back.
type heldTransport struct {
	memoryTransport
	once             *sync.Once
	complete, answer chan struct{}
}

func (h heldTransport) SendStream(ctx context.Context, stream io.Reader) error {
	err := h.memoryTransport.SendStream(ctx, stream)
	h.once.Do(func() {
		close(h.complete)
		<-h.answer
	})
	return err
}

// TestFlushBehindRequest: what is recorded when a request is complete but not
// answered goes into the next one.
func TestFlushBehindRequest(t *testing.T) {
	h := heldTransport{memoryTransport{newStore()}, new(sync.Once), make(chan struct{}), make(chan struct{})}
	e := New(newTracer(t, h))
	e.tracer.StartTransaction("first", "x").End()
	go e.tracer.Flush(soon(t).Done())
	<-h.complete
	e.tracer.StartTransaction("second", "x").End()
	result := make(chan error, 1)
	go func() { result <- e.Flush(soon(t)) }()
	for len(e.turn) == 0 {
		runtime.Gosched() // Flush is not yet under way
	}
	for range 1000 { // by now the tracer has most likely been asked
		e.tracer.SetRequestDuration(time.Minute)
	}
	close(h.answer)
	if err := <-result; err != nil {
		t.Fatal(err)
	}
	docs := h.store.documents(t)
	docs.transaction(t, "second")
}

func TestShutdown(t *testing.T) {
	i := newIntake(t)
	e := New(i.tracer(t))
	var c chat
	c.start(t, e)
	conn := c.dial(t, nil)
	say(t, conn, `{"type":"chat.say"}`, `{"type":"chat.say"}`)
	c.hangUp(t, conn)
	if err := e.Shutdown(soon(t)); err != nil { // not the agent's, which takes no connections any more
		t.Fatal(err)
	}
	docs := i.documents(t)
	for _, name := range []string{"CONNECT /ws", "DISCONNECT /ws"} {
		docs.transaction(t, name)
	}
	total := sums{}
	total.add(t, ours(docs.metrics))
	for key, want := range map[string]float64{
		"websocket.messages.received http_route=/ws":                               2,
		"websocket.connections.closed http_route=/ws websocket_close_cause=normal": 1,
		"websocket.connection.duration http_route=/ws":                             1,
	} {
		if total[key] != want {
			t.Errorf("%s: %v, want %v", key, total[key], want)
		}
	}

	// The tracer is the application's and works on; the counters are reported no
	// more.
	conn = c.dial(t, nil)
	c.hangUp(t, conn)
	e.tracer.SendMetrics(soon(t).Done())
	flush(t, e.tracer)
	later := i.documents(t)
	if n := len(later.transactions) - len(docs.transactions); n != 2 {
		t.Errorf("%d transactions after Shutdown, want 2", n)
	}
	if sets := ours(later.metrics[len(docs.metrics):]); len(sets) > 0 {
		t.Errorf("reported after Shutdown: %v", sets)
	}
	if err := e.Shutdown(soon(t)); err != nil {
		t.Errorf("again: %v", err)
	}
}

// TestShutdownWithoutReport: where no report can come, none is waited for.
func TestShutdownWithoutReport(t *testing.T) {
	t.Run("no agent", func(t *testing.T) {
		if err := New(newRecorder(t).Tracer).Shutdown(soon(t)); err != nil {
			t.Error(err)
		}
	})
	t.Run("not recording", func(t *testing.T) {
		rec := newRecorder(t)
		e := New(rec.Tracer)
		e.Attach(apmws.New(apmws.Options{}))
		rec.SetRecording(false)
		if err := e.Shutdown(soon(t)); err != nil {
			t.Error(err)
		}
	})
	t.Run("closed", func(t *testing.T) {
		rec := newRecorder(t)
		e := New(rec.Tracer)
		e.Attach(apmws.New(apmws.Options{}))
		rec.Close()
		if err := e.Shutdown(soon(t)); err != nil {
			t.Error(err)
		}
	})
	t.Run("expired context", func(t *testing.T) {
		rec := newRecorder(t)
		e := New(rec.Tracer)
		e.Attach(apmws.New(apmws.Options{}))
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := e.Shutdown(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("%v, want %v", err, context.Canceled)
		}
		if _, attached := e.gathered(); attached {
			t.Error("the counters are still reported")
		}
	})
}

// TestShutdownDuringReport: a report that had read the counters before is not the
// last one; and that is in the tracer's buffer only when the tracer gathers again,
// which then reports nothing.
func TestShutdownDuringReport(t *testing.T) {
	e := New(newRecorder(t).Tracer)
	e.Attach(apmws.New(apmws.Options{}))
	asked := 0
	e.report(t.Context(), func(<-chan struct{}) {
		if asked++; asked == 3 || asked == 5 {
			e.reportTo(new(apm.Metrics))
		}
	})
	if asked != 5 || e.gathers != 1 {
		t.Errorf("the tracer was asked %d times to report, and did %d times, want 5: until it read the counters, and again", asked, e.gathers)
	}
	for _, until := range []int{1, 2} { // must end
		ctx, cancel := context.WithCancel(t.Context())
		e := New(newRecorder(t).Tracer)
		e.Attach(apmws.New(apmws.Options{}))
		asked := 0
		e.report(ctx, func(<-chan struct{}) {
			if asked++; asked == until {
				cancel()
				return
			}
			e.reportTo(new(apm.Metrics))
		})
	}
}

// TestLostReport: what a failed request held is lost, and the failure counted.
func TestLostReport(t *testing.T) {
	i := newIntake(t)
	e := New(i.tracer(t))
	var c chat
	c.start(t, e)
	opened := func() float64 {
		return sumOf(i.documents(t))["websocket.connections.opened http_route=/ws"]
	}
	connect := func() {
		conn := c.dial(t, nil)
		c.hangUp(t, conn)
		e.tracer.SendMetrics(soon(t).Done())
	}
	connect()
	if err := e.Flush(soon(t)); err != nil || opened() != 1 {
		t.Fatalf("%v; %v connections were reported, want 1", err, opened())
	}
	i.status.Store(503)
	connect()
	i.status.Store(0)
	connect()
	if err := e.Flush(soon(t)); err != nil {
		t.Fatal(err)
	}
	if got := opened(); got != 2 {
		t.Errorf("%v connections were reported, want 2: one report was lost, and only one", got)
	}
	if failed := c.failedRequests(); failed != 1 {
		t.Errorf("%d failed requests are counted, want 1", failed)
	}
	if n := c.agent.Stats().Routes[0].ConnectionsOpened; n != 3 {
		t.Errorf("the agent has counted %d", n)
	}
}
