package apmws

import (
	"context"
	"io"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
)

// TestDrainPause: the rate, and what becomes of it when time is short.
func TestDrainPause(t *testing.T) {
	for _, x := range []struct {
		rate     int
		deadline time.Duration // 0: none
		n        int
		min, max time.Duration
	}{
		{0, 0, 100, time.Millisecond, time.Millisecond},
		{10, 0, 100, 100 * time.Millisecond, 100 * time.Millisecond},
		{-1, 0, 100, 0, 0},
		{10, time.Hour, 100, 100 * time.Millisecond, 100 * time.Millisecond},
		{10, 30 * time.Second, 10_000, 2 * time.Millisecond, 2500 * time.Microsecond},
		{1, 2 * time.Second, 10, 50 * time.Millisecond, 100 * time.Millisecond},
	} {
		agent := New(Options{Drain: Drain{Rate: x.rate}})
		ctx := context.Background()
		if x.deadline > 0 {
			ctx = within(t, x.deadline)
		}
		if pause := agent.drainPause(ctx, x.n); pause < x.min || pause > x.max {
			t.Errorf("%+v: %s", x, pause)
		}
	}
}

// TestDrainRate: no more connections are told to go in a second than the rate says,
// and the oldest go first.
func TestDrainRate(t *testing.T) {
	rec := newRecorder()
	agent := New(Options{Exporters: []Exporter{rec}, Drain: Drain{Rate: 20}})
	url := serveWS(t, agent.Endpoint("/ws", EndpointOptions{Message: func(context.Context, Message) error { return nil }}))
	const n = 10
	for range n {
		conn := dial(t, url, nil)
		go func() { _, _, _ = conn.ReadMessage() }()
	}
	eventually(t, "all are open", func() bool { return len(agent.Connections()) == n })
	var ids []string
	for _, c := range agent.Connections() {
		ids = append(ids, c.ID)
	}
	begin := time.Now()
	if err := agent.Shutdown(within(t, time.Minute)); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begin); took < (n-1)*time.Second/20 {
		t.Errorf("%d connections were closed in %s", n, took)
	}
	ends := rec.wait(t, "disconnect", n)
	if ends[0].conn != ids[0] {
		t.Errorf("the first to go was number %d", slices.Index(ids, ends[0].conn))
	}
}

// TestDrainSilentPeers: a peer that never answers, or does not even read, holds up
// itself alone.
func TestDrainSilentPeers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := newRecorder()
		agent := New(Options{Exporters: []Exporter{rec}})
		dial := servePipes(t, agent.Endpoint("/ws", EndpointOptions{Message: func(context.Context, Message) error { return nil }}))
		unanswering := upgradePipe(t, dial())
		go func() { _, _ = io.Copy(io.Discard, unanswering) }()
		upgradePipe(t, dial()) // does not read
		var lively []*websocket.Conn
		for range 5 {
			lively = append(lively, dialPipe(t, dial))
		}
		eventually(t, "all are open", func() bool { return len(agent.Connections()) == 7 })
		begin := time.Now()
		result := shutDown(within(t, time.Minute), t, agent)
		for _, conn := range lively {
			if code, text := closeCodeOf(t, conn); code != websocket.CloseGoingAway {
				t.Errorf("%d %s", code, text)
			}
		}
		rec.wait(t, "disconnect", 5)
		if took := time.Since(begin); took > time.Second {
			t.Errorf("the silent ones have held up others for %s", took)
		}
		time.Sleep(time.Second)
		if d := agent.Stats().Drain; d.Closed != 5 || d.Drained {
			t.Errorf("the silent ones are gone before their time: %+v", d)
		}
		if err := receive(t, result); err != nil { // they are closed by themselves
			t.Error(err)
		}
		if took := time.Since(begin); took < closeTimeout || took > closeTimeout+time.Second {
			t.Errorf("the silent ones were given %s", took)
		}
		codes := map[string]any{}
		for _, end := range rec.wait(t, "disconnect", 7)[5:] {
			codes[end.result] = end.attrs["websocket.close.code"]
		}
		if want := map[string]any{"drain": "1001", "write_error": "none"}; !maps.Equal(codes, want) {
			t.Errorf("the silent ones ended with %v, want %v", codes, want)
		}
	})
}

// TestDrainEndsRead: what comes after the decision is counted and given to nobody,
// and the handler's read ends with the peer's close frame.
func TestDrainEndsRead(t *testing.T) {
	result := make(chan error, 1)
	agent := New(Options{})
	url := serveWS(t, agent.Handler("/ws", serving(func(context.Context, Message) error {
		t.Error("handled")
		return nil
	}, result)))
	conn, br := rawUpgrade(t, url)
	shut := shutDown(within(t, time.Minute), t, agent)
	head := make([]byte, 2)
	if _, err := io.ReadFull(br, head); err != nil || head[0] != finBit|opClose {
		t.Fatalf("% x, %v", head, err)
	}
	late := []byte{finBit | opText, maskBit | 2, 0, 0, 0, 0, 'h', 'i', finBit | opClose, maskBit | 2, 0, 0, 0, 0, 0x03, 0xE9}
	for i := range late { // cut anywhere
		if _, err := conn.Write(late[i : i+1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := receive(t, result); !websocket.IsCloseError(err, websocket.CloseGoingAway) {
		t.Errorf("Serve returned %v", err)
	}
	if err := receive(t, shut); err != nil {
		t.Error(err)
	}
	if r := agent.Stats().Routes[0]; r.MessagesReceived != 1 || r.MessagesSent != 0 {
		t.Errorf("%+v", r)
	}
}

// lateEnd is an exporter to which the end of a broadcast takes until it is let go.
type lateEnd struct {
	shutdowner
	release chan struct{}
}

// StartBroadcast implements Broadcaster.
func (l lateEnd) StartBroadcast(context.Context, any, MessageStart) MessageSpan { return l }

// End implements MessageSpan.
func (l lateEnd) End(MessageEnd) { <-l.release }

// TestDrainAwaitsBroadcasts: the exporters are told of the end of a broadcast whose last
// recipient has gone, before they are shut down.
func TestDrainAwaitsBroadcasts(t *testing.T) {
	var isShutDown atomic.Bool
	exporter := lateEnd{release: make(chan struct{}), shutdowner: func(context.Context) error {
		isShutDown.Store(true)
		return nil
	}}
	l := newLogged(Options{Exporters: []Exporter{exporter}})
	conns := make(chan *Conn, 1)
	url := serveWS(t, l.Endpoint("/ws", EndpointOptions{
		Connect: func(ctx context.Context, conn *Conn) (context.Context, error) {
			conns <- conn
			return ctx, nil
		},
		Message:   func(context.Context, Message) error { return nil },
		SendQueue: SendQueue{Messages: 1},
	}))
	peer := dial(t, url, nil)
	conn := receive(t, conns)
	go l.Broadcast(t.Context(), sayAll, slices.Values([]*Conn{conn}), BroadcastOptions{}) // which may end it itself
	if _, _, err := peer.ReadMessage(); err != nil {
		t.Fatal(err)
	}
	leave(t, peer)
	eventually(t, "the end", func() bool { return len(l.Connections()) == 0 })
	result := shutDown(within(t, time.Minute), t, l.Agent)
	eventually(t, "the drain waits, or is over", func() bool {
		return isShutDown.Load() || strings.Contains(l.out.String(), "websocket draining")
	})
	if isShutDown.Load() {
		t.Error("the exporter was shut down before the broadcast had ended")
	}
	close(exporter.release)
	if err := receive(t, result); err != nil {
		t.Error(err)
	}
}
