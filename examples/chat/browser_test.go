package main

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/apmws/go-apmws/apmws"
)

const hostile = `<img src=x onerror="window.hacked = true"><script>window.hacked = true</script>`

// Two people in two browsers chat, and the live page shows it.
func TestBrowsersChat(t *testing.T) {
	t.Parallel()
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

// Each message of the page begins a trace, by which the server's transaction is
// found: it is linked to that.
func TestBrowserTraces(t *testing.T) {
	in := startIntake(t)
	t.Setenv("ELASTIC_APM_SERVER_URL", in.URL)
	t.Setenv("ELASTIC_APM_CLOUD_PROVIDER", "none")
	t.Setenv("ELASTIC_APM_CENTRAL_CONFIG", "false")
	n := startNode(t, func(cfg *config) { cfg.elastic = in.URL })
	ada := startPrepared(t, n.url, patient)
	ada.enter("Ada", "tea")
	ada.untilConnected("Ada")
	ada.say("first")
	ada.untilSaid("You", "first")
	ada.say("second")
	ada.untilSaid("You", "second")
	sent := eval[[]struct{ Type, Traceparent string }](ada, "sent")
	n.stop() // sends all

	linked := map[string]string{} // names of transactions by what they are linked to
	messages, _ := in.all("transaction", "")
	for _, e := range messages {
		for _, l := range e.Links {
			if l.TraceID == e.TraceID {
				t.Errorf("%s goes on from the page's trace: %+v", e.Name, e)
			}
			linked[l.TraceID+"-"+l.SpanID] = e.Name
		}
	}
	traces := map[string]bool{}
	for _, m := range sent {
		sc, err := apmws.ParseTraceParent(m.Traceparent, "")
		if err != nil || !sc.Sampled() {
			t.Errorf("a message %s with the traceparent %q: %v", m.Type, m.Traceparent, err)
		}
		traces[sc.TraceIDString()] = true
		if got := linked[sc.TraceIDString()+"-"+sc.SpanIDString()]; got != m.Type {
			t.Errorf("%s with %s is linked by %q", m.Type, m.Traceparent, got)
		}
	}
	if len(sent) != 3 || len(traces) != 3 {
		t.Errorf("%d messages in %d traces, want 3 in as many: %v", len(sent), len(traces), sent)
	}
}

// Names that another issuer of tokens, or another node, lets through are text
// on both pages.
func TestBrowserHostileName(t *testing.T) {
	t.Parallel()
	mini := miniredis.RunT(t)
	n := startNode(t, func(cfg *config) {
		cfg.redisURL = "redis://" + mini.Addr()
		cfg.verify = func(_ context.Context, token string) (identity, error) {
			if token == "" {
				return identity{}, errors.New("no token")
			}
			return identity{user: hostile}, nil
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

// What goes wrong is said kindly, and nothing written is lost.
func TestBrowserErrors(t *testing.T) {
	t.Parallel()
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
	t.Parallel()
	n := startNode(t, func(cfg *config) {
		cfg.heartbeat = apmws.Heartbeat{Interval: 500 * time.Millisecond, Timeout: 4 * time.Second}
	})
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
		if open[0].PingRTT > 0 && time.Since(first.Opened) > 2*(4500*time.Millisecond) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("no round trip is known: %+v", open)
		}
	}
}

func TestBrowserTLS(t *testing.T) {
	t.Parallel()
	n := startNode(t, func(cfg *config) { cfg.tls = true })
	ada := startBrowser(t, n.url)
	ada.enter("Ada", "tea")
	ada.untilConnected("Ada")
	ada.say("over wss")
	ada.untilSaid("You", "over wss")
	ada.expectNoComplaints()
}
