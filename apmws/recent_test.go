package apmws

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apmws/go-apmws/apmws/semconv"
)

// TestPast tells the story of a connection: what its errors carry.
func TestPast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder()
		l := newLogged(Options{Exporters: []Exporter{r}, Messages: MessageOptions{Names: []string{"chat.join", "chat.say", "chat.leave"}}})
		c := l.arrive(upgradeRequest())
		c.accepted()
		handle := func(name string, took time.Duration, err error) {
			_, tx := StartMessage(c.scope, MessageInfo{Name: name})
			time.Sleep(took)
			tx.End(err)
		}
		handle("chat.join", 4*time.Millisecond, nil)
		for i := range 57 {
			time.Sleep(time.Second)
			handle("chat.say", time.Duration(i)*100*time.Microsecond, nil)
		}
		time.Sleep(time.Second)
		c.pingSent(1)
		time.Sleep(40 * time.Millisecond)
		c.pongReceived(1)
		c.happened(writeBlocked, 5100*time.Millisecond)
		handle("chat.say", 0, context.DeadlineExceeded)
		handle("secret-made-up-name", 0, nil)
		time.Sleep(2500 * time.Millisecond)
		handle("chat.leave", 12*time.Millisecond, errors.New("boom"))

		failed := r.all("message-end")[60].failure
		past, _ := attrMap(failed.Attrs)[semconv.ConnectionRecent].(string)
		want := "_OTHER ok (0s), 2.512s ago; chat.say timeout (0s), 2.512s ago; write blocked (5.1s), 2.512s ago; pong (40ms), 2.512s ago; " +
			"chat.say ok x57 (at most 5.6ms), 3.552s ago; chat.join ok (4ms), 1m1s ago; handshake 1m1s ago"
		if past != want {
			t.Errorf("the message's error tells\n%s, want\n%s", past, want)
		}
		for _, e := range r.all("message-end") {
			if _, ok := e.attrs[semconv.ConnectionRecent]; ok {
				t.Error("a transaction carries the past")
			}
		}

		l.lines(t)
		c.failed(CausePanic, panicFailure("boom", nil))
		c.disconnected()
		past, _ = attrMap(r.all("disconnect")[0].failure.Attrs)[semconv.ConnectionRecent].(string)
		if !strings.HasPrefix(past, "chat.leave error (12ms), 0s ago; _OTHER ok") {
			t.Errorf("the end's error tells %s", past)
		}
		if got := l.one(t)["labels.websocket_connection_recent"]; got != past {
			t.Errorf("the log line tells %v", got)
		}
		if _, ok := r.all("disconnect")[0].attrs[semconv.ConnectionRecent]; ok {
			t.Error("DISCONNECT carries the past")
		}
	})
}

// TestPastIsBounded: in memory and in print, whatever happens.
func TestPastIsBounded(t *testing.T) {
	names := make([]string, 100)
	for i := range names {
		names[i] = fmt.Sprintf("%03d-%s", i, strings.Repeat("x", 250))
	}
	agent := New(Options{Exporters: []Exporter{nopExporter{}}, Messages: MessageOptions{Names: names}})
	c := arriving(agent)
	for range 3 {
		for _, name := range names {
			_, tx := StartMessage(c.scope, MessageInfo{Name: name})
			tx.End(nil)
		}
	}
	past := c.past()
	if len(past) > 2*maxPast {
		t.Errorf("%d bytes", len(past))
	}
	if !strings.HasPrefix(past, "099-") || !strings.Contains(past, "; 098-") || strings.Contains(past, "095-") {
		t.Errorf("past is %s", past)
	}
}

// TestPastConcurrently is for the race detector.
func TestPastConcurrently(t *testing.T) {
	c := arriving(New(Options{Exporters: []Exporter{nopExporter{}}}))
	var wg sync.WaitGroup
	const each = 500
	for range 4 {
		wg.Go(func() {
			for range each {
				c.happened(pongCame, time.Millisecond)
				c.past()
			}
		})
	}
	wg.Wait()
	if past := c.past(); !strings.HasPrefix(past, "pong x2000 (at most 1ms), ") {
		t.Errorf("past is %s", past)
	}
}

// TestNoPastForNobody: without an exporter and a logger nothing is kept.
func TestNoPastForNobody(t *testing.T) {
	c := arriving(New(Options{}))
	_, tx := StartMessage(c.scope, MessageInfo{})
	tx.End(io.EOF)
	if c.recent.Load() != nil {
		t.Error("the past is kept for nobody")
	}
}

func TestRoughly(t *testing.T) {
	for _, test := range []struct {
		d    time.Duration
		want string
	}{
		{0, "0s"},
		{1500 * time.Nanosecond, "2µs"},
		{1234567, "1.235ms"},
		{61234567, "61ms"},
		{5123 * time.Millisecond, "5.123s"},
		{12345 * time.Millisecond, "12.3s"},
		{61500 * time.Millisecond, "1m2s"},
		{26 * time.Hour, "26h0m0s"},
	} {
		if got := roughly(test.d); got != test.want {
			t.Errorf("roughly(%d) is %s, want %s", test.d, got, test.want)
		}
	}
}
