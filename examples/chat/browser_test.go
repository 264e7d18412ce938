package main

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/chromedp/chromedp"
)

const hostile = `<img src=x onerror="window.hacked = true"><script>window.hacked = true</script>`

// Two people in two browsers chat, and the live page shows it.
func TestBrowsersChat(t *testing.T) {
	n := startNode(t, nil)
	ada, bob := startBrowser(t, n.url), startBrowser(t, n.url)
	ada.enter("Ada", "tea")
	bob.enter("Bob", "tea")
	ada.untilConnected("Ada")
	bob.untilConnected("Bob")

	ada.say("Hello, Bob!")
	ada.untilSaid("You", "Hello, Bob!")
	bob.untilSaid("Ada", "Hello, Bob!")
	for b, want := range map[*tab]int{ada: 1, bob: 0} {
		if own := eval[int](b, `document.querySelectorAll(".message.own").length`); own != want {
			t.Errorf("%d messages of their own, want %d", own, want)
		}
	}
	bob.say("first line")
	ada.untilSaid("Bob", "first line")
	bob.say(hostile)
	ada.untilSaid("Bob", hostile)
	bob.untilSaid("You", hostile)
	ada.click("#billing")
	ada.until(`document.querySelector("#log").textContent.includes("your plan is free")`)

	live := ada.newTab(n.url + "debug/ws/")
	for _, part := range []string{"Ada", "Bob", "chat.say", "billing.status"} {
		live.until(`document.body.innerText.includes("` + part + `")`)
	}
	// The token is nowhere but in the script's memory.
	if stored := eval[string](ada, `JSON.stringify([localStorage, sessionStorage, document.cookie, location.href])`); strings.Contains(stored, "eyJ") {
		t.Errorf("the token is kept in %s", stored)
	}
	for _, b := range []*tab{ada, bob, live} {
		b.untouched()
		b.expectNoComplaints()
	}
	if strings.Contains(eval[string](live, "document.documentElement.outerHTML"), "Hello, Bob!") {
		t.Error("the live page shows what was said")
	}
}

// Names that another issuer of tokens, or another node, lets through are text
// on both pages.
func TestBrowserHostileName(t *testing.T) {
	mini := miniredis.RunT(t)
	n := startNode(t, func(cfg *config) {
		cfg.redisURL = "redis://" + mini.Addr()
		cfg.verify = func(_ context.Context, token string) (string, error) {
			if token == "" {
				return "", errors.New("no token")
			}
			return hostile, nil
		}
	})
	ada := startBrowser(t, n.url)
	ada.enter("Ada", "tea")
	ada.untilConnected("Ada")
	ada.say("hello")
	ada.untilSaid(hostile, "hello")
	live := ada.newTab(n.url + "debug/ws/")
	live.until(`document.body.innerText.includes("<img src=x onerror=")`)
	for _, b := range []*tab{ada, live} {
		b.untouched()
		b.expectNoComplaints()
	}
}

// The page comes back by itself after the server was restarted, although the
// new one does not know the old one's tokens.
func TestBrowserReconnects(t *testing.T) {
	first := startNode(t, nil)
	ada := startBrowser(t, first.url)
	ada.enter("Ada", "tea")
	ada.untilConnected("Ada")
	ada.say("before")
	ada.untilSaid("You", "before")
	first.stop()
	ada.until(`document.querySelector("#status").className === "closed" && document.querySelector("#send").disabled`)
	ada.until(`document.querySelector("#log").textContent.includes("The server is going away")`)
	ada.write("written meanwhile")

	addr := strings.TrimSuffix(strings.TrimPrefix(first.url, "http://"), "/")
	second := startNode(t, func(cfg *config) { cfg.addr = addr })
	ada.untilConnected("Ada")
	ada.say("") // Enter alone sends what is written
	ada.untilSaid("You", "written meanwhile")
	if found := eval[int](ada, `document.querySelectorAll(".message").length`); found != 2 {
		t.Errorf("%d messages, want what was said before and after", found)
	}
	second.log.wait(t, "connected", 1, action("websocket-connected"))

	// A reload leads back into the room too.
	ada.do(chromedp.Reload())
	ada.untilConnected("Ada")
	if room := eval[string](ada, `document.querySelector("#room-name").textContent`); room != "tea" {
		t.Errorf("back in the room %s", room)
	}
	// Attempts that no server answers are the browser's to complain of, and a
	// sign-in that the new server refused.
	ada.expectNoComplaints("ERR_CONNECTION_REFUSED", "ERR_CONNECTION_RESET", "ERR_EMPTY_RESPONSE", "WebSocket connection to", "401")
}

// What goes wrong is said kindly, and nothing written is lost.
func TestBrowserErrors(t *testing.T) {
	mini := miniredis.RunT(t)
	n := startNode(t, func(cfg *config) { cfg.redisURL = "redis://" + mini.Addr() })
	ada := startBrowser(t, n.url)
	ada.enter("<b>", "tea")
	ada.until(`document.querySelector("#enter-error").textContent.includes("a name has 1 to 32 letters")`)
	ada.expectNoComplaints("400") // the browser's own line for the refused sign-in
	ada.enter("Ada", "no/room")
	ada.until(`document.querySelector("#enter-error").textContent.includes("the room has no good name")`)
	ada.enter("Ada", "tea")
	ada.untilConnected("Ada")
	if said := eval[string](ada, `document.querySelector("#enter-error").textContent`); said != "" {
		t.Errorf("still said: %s", said)
	}

	mini.SetError("LOADING")
	ada.say("to be kept")
	ada.until(`document.querySelector("#alert").textContent.includes("was not sent") && document.querySelector("#text").value === "to be kept"`)
	mini.SetError("")
	ada.say("")
	ada.untilSaid("You", "to be kept")

	ada.click("#leave")
	ada.until(`document.querySelector("#chat").hidden && !document.querySelector("#entrance").hidden`)
	line := n.log.wait(t, "disconnected", 2, action("websocket-disconnected"))[1]
	if line["labels.websocket_close_code"] != "1000" || line["labels.websocket_close_initiator"] != "client" {
		t.Errorf("leaving is logged as %v", line)
	}
}

// A heartbeat gives the live page its round trip, without the page's help, and
// keeps the connection of a page that does nothing.
func TestBrowserAnswersPings(t *testing.T) {
	n := startNode(t, func(cfg *config) { cfg.heartbeat = 500 * time.Millisecond })
	ada := startBrowser(t, n.url)
	ada.enter("Ada", "tea")
	ada.untilConnected("Ada")
	first := n.agent.Connections()[0]
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		open := n.agent.Connections()
		if len(open) != 1 || open[0].ID != first.ID {
			t.Fatalf("the connection did not stay: %+v, now %+v", first, open)
		}
		// Twice the time that a pong may take.
		if open[0].PingRTT > 0 && time.Since(first.Opened) > 6*500*time.Millisecond {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("no round trip is known: %+v", open)
		}
	}
}

func TestBrowserTLS(t *testing.T) {
	n := startNode(t, func(cfg *config) { cfg.tls = true })
	ada := startBrowser(t, n.url)
	ada.enter("Ada", "tea")
	ada.untilConnected("Ada")
	ada.say("over wss")
	ada.untilSaid("You", "over wss")
	ada.expectNoComplaints()
}
