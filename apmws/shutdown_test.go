package apmws

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
)

// within bounds a Shutdown that is expected to end by itself.
func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), d)
	t.Cleanup(cancel)
	return ctx
}

// shutDown calls Shutdown on a goroutine of its own, and waits until it has begun.
func shutDown(ctx context.Context, t *testing.T, agent *Agent) <-chan error {
	t.Helper()
	result := make(chan error, 1)
	go func() { result <- agent.Shutdown(ctx) }()
	eventually(t, "the agent drains", agent.Draining)
	return result
}

// holding is an endpoint whose handler tells that it has a message, and waits.
func holding() (opts EndpointOptions, has chan struct{}, release chan struct{}) {
	has, release = make(chan struct{}, 100), make(chan struct{})
	opts.Message = func(ctx context.Context, m Message) error {
		has <- struct{}{}
		<-release
		return FromContext(ctx).Write(ctx, m.Type, m.Data)
	}
	return opts, has, release
}

// TestShutdownImmediately: without connections, also twice and at the same time.
func TestShutdownImmediately(t *testing.T) {
	j := &journal{}
	l := newLogged(Options{Exporters: []Exporter{&witness{name: "a", journal: j}}})
	var calls sync.WaitGroup
	for range 8 {
		calls.Go(func() {
			if err := l.Shutdown(context.Background()); err != nil {
				t.Error(err)
			}
		})
	}
	calls.Wait()
	if n := j.count("a.Shutdown"); n != 1 {
		t.Errorf("the exporter was shut down %d times", n)
	}
	if lines := l.lines(t); len(lines) != 0 {
		t.Errorf("nothing was open, and yet: %v", lines)
	}
	if d := l.Stats().Drain; d == nil || !d.Drained || !l.Draining() {
		t.Errorf("%+v", d)
	}
}

// TestShutdownRefuses: who comes while connections are closed is told when to come
// back, and the handler is not called, at each level.
func TestShutdownRefuses(t *testing.T) {
	opts, has, release := holding()
	rec := newRecorder()
	l := newLogged(Options{Exporters: []Exporter{rec}, Drain: Drain{RetryAfter: 1500 * time.Millisecond}})
	mux := http.NewServeMux()
	mux.Handle("/held", l.Endpoint("/held", opts))
	mux.Handle("/plain", l.Handler("/plain", http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("called") })))
	url := serveWS(t, mux)
	conn := dial(t, url+"/held", nil)
	send(t, conn, "hello")
	receive(t, has)
	result := shutDown(within(t, time.Minute), t, l.Agent)

	for _, path := range []string{"/held", "/plain"} {
		_, resp, err := websocket.DefaultDialer.Dial(url+path, nil)
		if err == nil || resp == nil || resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") != "2" || !resp.Close {
			t.Errorf("%s: %v %+v", path, err, resp)
		}
	}
	close(release)
	if _, answer, err := conn.ReadMessage(); err != nil || string(answer) != "hello" {
		t.Errorf("the message in hand was answered with %q, %v", answer, err)
	}
	if code, text := closeCodeOf(t, conn); code != websocket.CloseGoingAway || text != "going away" {
		t.Errorf("closed with %d %q", code, text)
	}
	if err := receive(t, result); err != nil {
		t.Error(err)
	}
	for _, r := range l.Stats().Routes {
		if want := []RefusedStats{{http.StatusServiceUnavailable, "draining", 1}}; !slices.Equal(r.Refused, want) {
			t.Errorf("%s: refused %v", r.Route, r.Refused)
		}
	}
	end := rec.wait(t, "disconnect", 1)[0]
	if end.result != "drain" || end.outcome != OutcomeSuccess || end.attrs["websocket.close.initiator"] != "server" || end.attrs["websocket.close.code"] != "1001" {
		t.Errorf("%+v", end)
	}
	var draining, drained []fields
	for _, line := range l.lines(t) {
		switch line["event.action"] {
		case "websocket-draining":
			draining = append(draining, line)
		case "websocket-drained":
			drained = append(drained, line)
		}
	}
	if len(draining) == 0 || fmt.Sprintf("%v %v", draining[0]["websocket.drain.open"], draining[0]["websocket.drain.closed"]) != "1 0" || draining[0]["level"] != "info" {
		t.Errorf("draining: %v", draining)
	}
	if len(drained) != 1 || fmt.Sprintf("%v %v", drained[0]["websocket.drain.closed"], drained[0]["websocket.drain.cut_off"]) != "1 0" || drained[0]["event.duration"] == nil {
		t.Errorf("drained: %v", drained)
	}
	if d := l.Stats().Drain; d.Open != 0 || d.Closed != 1 || d.CutOff != 0 || !d.Drained || d.Began.IsZero() {
		t.Errorf("%+v", d)
	}
}

// TestShutdownCancelled: a second signal closes at once what is open, with a message
// in hand or a peer that does not read, and the ends are reported.
func TestShutdownCancelled(t *testing.T) {
	opts, has, release := holding()
	defer close(release)
	rec := newRecorder()
	j := &journal{}
	agent := New(Options{Exporters: []Exporter{rec, &witness{name: "a", journal: j}}, Drain: Drain{Rate: 1}})
	stuck := make(chan error, 1)
	mux := http.NewServeMux()
	mux.Handle("/held", agent.Endpoint("/ws", opts))
	mux.Handle("/full", agent.Handler("/ws", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := (&websocket.Upgrader{}).Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer conn.Close()
		for err == nil {
			err = conn.WriteMessage(websocket.BinaryMessage, make([]byte, 1<<20))
		}
		stuck <- err
	})))
	url := serveWS(t, mux)
	busy, idle := dial(t, url+"/held", nil), dial(t, url+"/held", nil)
	dial(t, url+"/full", nil) // it does not read
	eventually(t, "all are open", func() bool { return len(agent.Connections()) == 3 })
	send(t, busy, "hello")
	receive(t, has)
	ctx, cancel := context.WithCancel(t.Context())
	result := shutDown(ctx, t, agent)
	cancel()
	if err := receive(t, result); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "were cut off") {
		t.Errorf("%v", err)
	}
	for what, conn := range map[string]*websocket.Conn{"busy": busy, "idle": idle} {
		if code, text := closeCodeOf(t, conn); code != websocket.CloseGoingAway {
			t.Errorf("%s: %d %s", what, code, text)
		}
	}
	if err := receive(t, stuck); err == nil {
		t.Error("the write to the peer that does not read has succeeded")
	}
	for _, end := range rec.wait(t, "disconnect", 3) {
		if end.result != "drain" {
			t.Errorf("%+v", end)
		}
	}
	if j.count("a.Shutdown") != 1 || len(agent.Connections()) != 0 {
		t.Errorf("exporters shut down: %d, connections: %v", j.count("a.Shutdown"), agent.Connections())
	}
	if d := agent.Stats().Drain; d.CutOff < 2 || d.Closed != 3 {
		t.Errorf("%+v", d)
	}
}

// TestShutdownReserves: the exporters have a part of the deadline to themselves.
func TestShutdownReserves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opts, has, release := holding()
		defer close(release)
		left := make(chan time.Duration, 1)
		agent := New(Options{Exporters: []Exporter{shutdowner(func(ctx context.Context) error {
			deadline, _ := ctx.Deadline()
			left <- time.Until(deadline)
			return ctx.Err()
		})}})
		conn := dialPipe(t, servePipes(t, agent.Endpoint("/ws", opts)))
		send(t, conn, "hello")
		receive(t, has)
		reads(conn)
		if err := agent.Shutdown(within(t, 4*time.Second)); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "1 connections were cut off") {
			t.Errorf("%v", err)
		}
		// An eighth is for the hooks of those that are cut off.
		if d := receive(t, left); d != 700*time.Millisecond {
			t.Errorf("the exporters had %s", d)
		}
	})
}

// shutdowner is an exporter that records nothing.
type shutdowner func(context.Context) error

func (f shutdowner) Shutdown(ctx context.Context) error { return f(ctx) }

func (shutdowner) StartConn(ctx context.Context, _ ConnStart) (context.Context, ConnSpan) {
	return ctx, nil
}

// TestShutdownJoined: a further call waits for the first, as long as its own context
// lets it.
func TestShutdownJoined(t *testing.T) {
	opts, has, release := holding()
	agent := New(Options{})
	conn := dial(t, serveWS(t, agent.Endpoint("/ws", opts)), nil)
	send(t, conn, "hello")
	receive(t, has)
	first := shutDown(within(t, time.Minute), t, agent)
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if err := agent.Shutdown(cancelled); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	second := shutDown(within(t, time.Minute), t, agent)
	select {
	case err := <-first:
		t.Fatalf("it has not waited for the message in hand: %v", err)
	case err := <-second:
		t.Fatalf("it has not waited for the first: %v", err)
	default:
	}
	close(release)
	if code, text := closeCodeOf(t, conn); code != websocket.CloseGoingAway {
		t.Errorf("closed with %d %s", code, text)
	}
	if err := errors.Join(receive(t, first), receive(t, second)); err != nil {
		t.Error(err)
	}
}

// TestShutdownRaces: a handshake that meets Shutdown is refused, or accepted and
// closed; none stays.
func TestShutdownRaces(t *testing.T) {
	for range 30 {
		agent := New(Options{})
		url := serveWS(t, agent.Endpoint("/ws", EndpointOptions{Message: func(context.Context, Message) error { return nil }}))
		var clients sync.WaitGroup
		var mu sync.Mutex
		accepted, refused := 0, 0
		for range 8 {
			clients.Go(func() {
				conn, resp, err := websocket.DefaultDialer.Dial(url, nil)
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil:
					accepted++
					clients.Go(func() {
						defer conn.Close()
						if code, text := closeCodeOf(t, conn); code != websocket.CloseGoingAway {
							t.Errorf("%d %s", code, text)
						}
					})
				case resp != nil && resp.StatusCode == http.StatusServiceUnavailable:
					refused++
				default:
					t.Error(err)
				}
			})
		}
		eventually(t, "one has come", func() bool { return len(agent.Stats().Routes) > 0 && agent.Stats().Routes[0].ConnectionsOpened > 0 })
		if err := agent.Shutdown(within(t, 30*time.Second)); err != nil {
			t.Error(err)
		}
		clients.Wait()
		r := agent.Stats().Routes[0]
		if r.ConnectionsActive != 0 || int(r.ConnectionsOpened) != accepted || accepted+refused != 8 {
			t.Fatalf("%d accepted, %d refused, %+v", accepted, refused, r)
		}
		if n := agent.handshakes.Load(); n != 0 {
			t.Fatalf("%d handshakes are in progress", n)
		}
	}
}

// TestShutdownWaitsForHandshakes: one that has begun is let through.
func TestShutdownWaitsForHandshakes(t *testing.T) {
	authenticating, release := make(chan struct{}), make(chan struct{})
	agent := New(Options{})
	url := serveWS(t, agent.Endpoint("/ws", EndpointOptions{
		Authenticate: func(ctx context.Context, _ *http.Request) (context.Context, error) {
			close(authenticating)
			<-release
			return ctx, nil
		},
		Connect: func(ctx context.Context, c *Conn) (context.Context, error) {
			return ctx, c.Write(ctx, TextMessage, []byte("welcome"))
		},
		Message: func(context.Context, Message) error { return nil },
	}))
	dialled := make(chan *websocket.Conn, 1)
	go func() {
		conn, _, err := websocket.DefaultDialer.Dial(url, nil)
		if err != nil {
			t.Error(err)
		}
		dialled <- conn
	}()
	receive(t, authenticating)
	result := shutDown(within(t, time.Minute), t, agent)
	close(release)
	conn := receive(t, dialled)
	defer conn.Close()
	if _, greeting, err := conn.ReadMessage(); err != nil || string(greeting) != "welcome" {
		t.Errorf("%q, %v", greeting, err)
	}
	if code, _ := closeCodeOf(t, conn); code != websocket.CloseGoingAway {
		t.Errorf("closed with %d", code)
	}
	if err := receive(t, result); err != nil {
		t.Error(err)
	}
}

// TestShutdownBoundsExporters: a back end that is away does not use up the time.
func TestShutdownBoundsExporters(t *testing.T) {
	for what, ctx := range map[string]context.Context{"no deadline": t.Context(), "much time": within(t, time.Hour)} {
		left := make(chan time.Duration, 1)
		agent := New(Options{Exporters: []Exporter{shutdowner(func(ctx context.Context) error {
			deadline, _ := ctx.Deadline()
			left <- time.Until(deadline)
			return nil
		})}})
		if err := agent.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		if d := receive(t, left); d <= 0 || d > 5*time.Second {
			t.Errorf("%s: the exporters had %s", what, d)
		}
	}
}

// TestShutdownUnfinished: the error says what has not ended, and there is none where all
// has at the last moment.
func TestShutdownUnfinished(t *testing.T) {
	for want, x := range map[string]struct{ cutOff, handshakes, broadcasts int64 }{
		"2 connections were cut off": {2, 1, 1},
		"a handshake has not ended":  {0, 1, 1},
		"a broadcast has not ended":  {0, 0, 1},
		"":                           {},
	} {
		agent, d := New(Options{}), new(drain)
		d.cutOff.Store(x.cutOff)
		agent.handshakes.Store(x.handshakes)
		agent.broadcasts.Store(x.broadcasts)
		err := agent.unfinished(d, context.Canceled)
		if want == "" && err != nil || want != "" && (!errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v", want, err)
		}
	}
}
