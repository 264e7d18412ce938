package newrelicws

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/apmws/go-apmws/apmws"
)

// TestNothingStaysBehind: no goroutine after Shutdown, even one that was waiting
// for the agent.
func TestNothingStaysBehind(t *testing.T) {
	before := ours()
	app, release := stalledApp(t, newCollector())
	e := New(app)
	agent := apmws.New(apmws.Options{Exporters: []apmws.Exporter{e}})
	conn := openConn(t, e)
	for range 1000 {
		_, m := startMessage(t, conn, messageStart("chat.say"))
		m.End(messageOK())
	}
	if ours() <= before {
		t.Fatal("no goroutine of this package: the test proves nothing")
	}
	release()
	if err := agent.Shutdown(soon(t)); err != nil {
		t.Fatal(err)
	}
	poll(t, "the goroutines to end", func() bool { return ours() <= before })
}

// ours counts goroutines that run this package's own work.
func ours() int {
	buf := make([]byte, 4<<20)
	buf = buf[:runtime.Stack(buf, true)]
	n := 0
	for stack := range strings.SplitSeq(string(buf), "\n\n") {
		if strings.Contains(stack, "newrelicws.(*handoff).end.func") || strings.Contains(stack, "newrelicws.(*Exporter).") {
			n++
		}
	}
	return n
}

func TestShutdownTwice(t *testing.T) {
	c := newCollector()
	app := newApp(t, c)
	e := New(app)
	var chat chat
	chat.start(t, e)
	peer := chat.dial(t, nil)
	say(t, peer, `{"type":"chat.say"}`)
	chat.hangUp(t, peer)
	for range 2 {
		if err := chat.agent.Shutdown(soon(t)); err != nil {
			t.Fatal(err)
		}
	}
	// Once and for all.
	e.Attach(apmws.New(apmws.Options{}))
	if err := e.Flush(soon(t)); err != nil {
		t.Fatal(err)
	}
	// Transactions are still recorded: the application is the program's to shut down.
	openConn(t, e)
	h := c.harvest(t, app)
	if got := h.total("Custom/WebSocket/Connections/Opened"); got != 1 || len(h.transactions) != 4 {
		t.Errorf("%v opened, transactions %v", got, names(h.transactions))
	}
}

// TestAfterApplicationShutdown: the wrong order loses the last report, and says so.
func TestAfterApplicationShutdown(t *testing.T) {
	c := newCollector()
	app := newApp(t, c)
	e := New(app)
	agent := apmws.New(apmws.Options{Exporters: []apmws.Exporter{e}})
	conn := openConn(t, e)
	_, m := startMessage(t, conn, messageStart("chat.say"))
	app.Shutdown(10 * time.Second)
	m.End(messageOK())
	if _, span := conn.StartMessage(t.Context(), messageStart("chat.say")); span != nil {
		t.Error("a message is recorded")
	}
	if err := agent.Shutdown(soon(t)); !errors.Is(err, ErrNotConnected) {
		t.Errorf("Shutdown: %v", err)
	}
	if got := e.LogFields(m.SpanContext()); len(got) != 2 {
		t.Errorf("fields %v", got)
	}
}

// TestExpired: Shutdown does not outlast its context.
func TestExpired(t *testing.T) {
	app, _ := stalledApp(t, newCollector())
	e := New(app)
	agent := apmws.New(apmws.Options{Exporters: []apmws.Exporter{e}})
	conn := openConn(t, e)
	for range 300 {
		_, m := startMessage(t, conn, messageStart("chat.say"))
		m.End(messageOK())
	}
	if err := within(t, 20*time.Millisecond, agent.Shutdown); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Shutdown: %v", err)
	}
}

// TestUnreachable: an agent that never connects holds nothing up.
func TestUnreachable(t *testing.T) {
	stand := newCollector()
	stand.away = true
	app := startApp(t, stand, &logs{expected: []string{"application connect failure"}})
	var c chat
	c.start(t, New(app))
	conn := c.dial(t, nil)
	say(t, conn, `{"type":"chat.say"}`)
	c.hangUp(t, conn)
	if err := within(t, 20*time.Second, c.agent.Shutdown); !errors.Is(err, ErrNotConnected) {
		t.Errorf("Shutdown: %v", err)
	}
	if got := stand.sent(); got != "" {
		t.Errorf("sent %s", got)
	}
}
