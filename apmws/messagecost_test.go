package apmws

import (
	"context"
	"math"
	"testing"
	"time"
)

// TestLatest: writes in a row have one deadline, which is never earlier than the timeout
// says and hardly later.
func TestLatest(t *testing.T) {
	const timeout = 16 * time.Second
	s := &servedConn{timeout: timeout}
	different := make(map[time.Time]bool)
	for now := time.Duration(0); now < 4*time.Second; now += time.Second / 7 {
		latest := s.latest(now)
		different[latest] = true
		if after := latest.Sub(processStart) - now; after < timeout || after > timeout+timeout/16 {
			t.Errorf("a write that begins after %v may last for %v", now, after)
		}
	}
	if len(different) != 4 {
		t.Errorf("%d deadlines in 4 seconds, want one in each", len(different))
	}
	if latest := (&servedConn{}).latest(time.Second); !latest.IsZero() {
		t.Errorf("without a timeout a write may last until %v", latest)
	}
	if latest := (&servedConn{timeout: math.MaxInt64}).latest(time.Second); latest.Before(time.Now().AddDate(100, 0, 0)) {
		t.Errorf("with the longest timeout a write may last until %v", latest)
	}
	if latest := (&servedConn{timeout: 3}).latest(time.Second); latest.Sub(processStart) != time.Second+3 {
		t.Errorf("a timeout of 3 ns ends after %v", latest.Sub(processStart)-time.Second)
	}
}

// TestDeadlineOf: the deadline of the context that Serve was given, and one that the
// handler sets, are those of a write.
func TestDeadlineOf(t *testing.T) {
	agent := New(Options{})
	c := agent.connect(agent.route("/ws"), upgradeRequest())
	c.accepted()
	bounded, cancel := context.WithTimeout(c.scope, time.Hour)
	defer cancel()
	name := &messageName{name: "x"}
	plain := (&loop{ctx: c.scope, observed: c}).plainScope(name)
	shorter, cancel := context.WithTimeout(plain, time.Hour)
	defer cancel()
	for what, test := range map[string]struct {
		ctx     context.Context
		bounded bool
	}{
		"no deadline":               {plain, false},
		"one of the connection":     {(&loop{ctx: bounded, observed: c}).plainScope(name), true},
		"one of the message":        {shorter, true},
		"one around a transaction":  {&c.newTransaction(bounded, Message{}, name, "").scope, true},
		"no message, no deadline":   {context.Background(), false},
		"no message but a deadline": {bounded, true},
	} {
		if _, is := deadlineOf(test.ctx); is != test.bounded {
			t.Errorf("%s: there is one: %v", what, is)
		}
	}
}

// TestUnrecordedPanic: a panic is counted as a failure, and ends the loop, also of a
// message that no exporter records.
func TestUnrecordedPanic(t *testing.T) {
	agent := New(Options{})
	c := agent.connect(agent.route("/ws"), upgradeRequest())
	c.accepted()
	l := &loop{ctx: c.scope, observed: c, handle: func(context.Context, Message) error { panic("oops") }}
	_, p := endingOf(l.observe(new(buffer), Message{Type: TextMessage}))
	if p == nil || p.Value != "oops" || len(p.Stack) == 0 {
		t.Fatalf("the panic is %+v", p)
	}
	if got := agent.Stats().Routes[0].Messages; len(got) != 1 || got[0].Outcome != OutcomeFailure || got[0].Duration.Count != 1 {
		t.Errorf("counted are %+v", got)
	}
}
