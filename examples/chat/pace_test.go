package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/apmws/go-apmws/apmws"
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

// Who reads as fast as it can stays, and misses nothing, however much a room says at
// once.
func TestBurst(t *testing.T) {
	n := startNode(t, nil)
	ada := join(t, n.url, "Ada", "tea")
	// What Ada has read may still be in the queue for a moment.
	for deadline := time.Now().Add(patience); n.agent.Stats().Routes[0].SendQueueMessages > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the queue does not become empty")
		}
	}
	for i := range queueLength {
		n.deliver(apmws.SpanContext{}, "tea", fmt.Appendf(nil, `{"type":"test","number":"%d"}`, i))
	}
	for i := range queueLength {
		ada.expect(map[string]string{"type": "test", "number": fmt.Sprint(i)})
	}
	ada.say("tea", "still here")
	ada.expect(sayings("tea", "Ada", "still here"))
}

// flood sends to a room until there is no room for a message in the queue of one, and
// has each message heard.
func (n *node) flood(t *testing.T, room string, heard func()) {
	t.Helper()
	large := []byte(`{"type":"chat.said","pad":"` + strings.Repeat("x", 128<<10) + `"}`)
	for range 1000 { // a system buffers less
		n.deliver(apmws.SpanContext{}, room, large)
		heard()
		if n.agent.Stats().Routes[0].SendQueueDropped > 0 {
			return
		}
	}
	t.Fatal("there is no end of the room in a queue")
}

// A peer that reads too slowly is told, and sent away.
func TestSlowMember(t *testing.T) {
	n := startNode(t, nil)
	slow := join(t, n.url, "Slow", "tea")
	n.flood(t, "tea", func() {}) // nothing is read meanwhile
	slow.expectClosed(websocket.CloseTryAgainLater, "slow consumer")
	n.expectSlow(t)
	ada := join(t, n.url, "Slow", "tea") // again
	ada.say("tea", "back")
	ada.expect(sayings("tea", "Slow", "back"))
}

// One that reads nothing at all is sent away, too; the others do not wait for it.
func TestStuckMember(t *testing.T) {
	t.Parallel()
	n := startNode(t, nil)
	ada := join(t, n.url, "Ada", "tea")
	join(t, n.url, "Slow", "tea") // and never reads again
	n.flood(t, "tea", func() {
		if got := ada.receive(); got["type"] != "chat.said" {
			t.Fatalf("received %v", got)
		}
	})
	n.expectSlow(t)
	ada.say("tea", "goes on")
	ada.expect(sayings("tea", "Ada", "goes on"))
}

func (n *node) expectSlow(t *testing.T) {
	t.Helper()
	line := n.log.wait(t, "disconnected", 1, action("websocket-disconnected"))[0]
	if line["user.id"] != "Slow" || line["event.reason"] != "slow_consumer" || line["event.outcome"] != "failure" {
		t.Errorf("the end is logged as %v", line)
	}
}
