package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// A member that floods a room is told so; what is published of it all is heard
// by the others, who stay.
func TestFlood(t *testing.T) {
	n := startNode(t, nil)
	ada, flooder := join(t, n.url, "Ada", "tea"), join(t, n.url, "Flood", "tea")
	const flood = 1500
	sent := make(chan error, 1)
	go func() {
		for i := range flood {
			if err := flooder.WriteJSON(map[string]string{"type": "chat.say", "room": "tea", "text": fmt.Sprint(i)}); err != nil {
				sent <- err
				return
			}
		}
		sent <- nil
	}()
	published, refused := []string{}, 0
	for len(published)+refused < flood {
		switch got := flooder.receive(); {
		case got["type"] == "chat.said":
			published = append(published, got["text"])
		case strings.Contains(got["error"], "too fast"):
			refused++
		default:
			t.Fatalf("the flooder received %v", got)
		}
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	if refused == 0 || len(published) < burst-1 { // joining was one
		t.Errorf("%d messages published, %d refused", len(published), refused)
	}
	for _, text := range published {
		ada.expect(sayings("tea", "Flood", text))
	}
	ada.say("tea", "still here")
	ada.expect(sayings("tea", "Ada", "still here"))
}

// Who reads as fast as it can stays, however much comes at once, and is told
// what there was no room for.
func TestBurst(t *testing.T) {
	n := startNode(t, nil)
	ada := join(t, n.url, "Ada", "tea")
	const all = 20 * queueLength
	for range all {
		n.hub.deliver("tea", []byte(`{"type":"test"}`))
	}
	heard, missed := 0, 0
	for heard+missed < all {
		got := ada.receive()
		if got["type"] == "test" {
			heard++
			continue
		}
		var more int
		if _, err := fmt.Sscanf(got["error"], "too much at once: %d messages were left out", &more); err != nil {
			t.Fatalf("received %v", got)
		}
		missed += more
	}
	if heard+missed != all || heard < queueLength {
		t.Errorf("heard %d and missed %d of %d", heard, missed, all)
	}
	ada.say("tea", "still here")
	ada.expect(sayings("tea", "Ada", "still here"))
}

// Slowness is a matter of time, not of a queue that is full for a moment.
func TestKeepsUp(t *testing.T) {
	m := newMember(nil, nil)
	begin := time.Now()
	for range queueLength {
		if !m.offer(nil, begin) {
			t.Fatal("sent away with room in the queue")
		}
	}
	var got []bool
	for _, after := range []time.Duration{time.Hour, time.Hour + writeWait - 1, time.Hour + writeWait} {
		got = append(got, m.offer(nil, begin.Add(after)))
	}
	if !slices.Equal(got, []bool{true, true, false}) {
		t.Errorf("keeps up at the beginning, before and after the wait: %v", got)
	}
	if missed := m.caughtUp(); missed != 0 {
		t.Errorf("told to have missed %d before it has caught up", missed)
	}
	for range queueLength {
		<-m.queue
	}
	if first, second := m.caughtUp(), m.caughtUp(); first != 3 || second != 0 {
		t.Errorf("has missed %d, then %d", first, second)
	}
}

// A peer that does not read is sent away; the others do not wait for it.
func TestSlowMember(t *testing.T) {
	n := startNode(t, nil)
	ada := join(t, n.url, "Ada", "tea")
	join(t, n.url, "Slow", "tea") // and never reads again
	large := `{"type":"test","pad":"` + strings.Repeat("x", 8<<20) + `"}`
	for range 4 { // more than the system buffers
		n.hub.deliver("tea", []byte(large))
		if got := ada.receive(); got["type"] != "test" {
			t.Fatalf("received %v", got)
		}
	}
	for range queueLength {
		n.hub.deliver("tea", []byte(`{"type":"test"}`))
		if got := ada.receive(); got["type"] != "test" {
			t.Fatalf("received %v", got)
		}
	}
	n.log.wait(t, "disconnected", 1, func(l logLine) bool {
		return l["event.action"] == "websocket-disconnected" && l["user.id"] == "Slow"
	})
	if live := liveData(t, n.url); !strings.Contains(live, `"chat.too_slow"`) && !strings.Contains(live, "i/o timeout") {
		t.Errorf("the end is not said to be for slowness: %s", live)
	}
	ada.say("tea", "goes on")
	ada.expect(sayings("tea", "Ada", "goes on"))
}
