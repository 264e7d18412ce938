package main

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	redisserver "github.com/alicebob/miniredis/v2/server"
	"github.com/chromedp/chromedp"
	"github.com/gorilla/websocket"
)

// counted keeps what the page does: how often it tries to connect, and what it tells
// and hears.
const counted = `
	globalThis.attempts = 0;
	globalThis.sent = [];
	globalThis.received = [];
	globalThis.WebSocket = class extends WebSocket {
		constructor(...args) {
			super(...args);
			attempts++;
			this.addEventListener("message", (event) => received.push(JSON.parse(event.data)));
		}
	};
	const send = WebSocket.prototype.send;
	WebSocket.prototype.send = function (text) {
		sent.push(JSON.parse(text));
		send.call(this, text);
	};
	globalThis.told = (type) => sent.filter((m) => m.type === type).length;
	globalThis.heard = (type) => received.filter((m) => m.type === type).length;
`

// patient is a page that does nothing on its own for longer than a test takes: the
// first wait is as long as it can be. Its clock stands still, and with it what is shown
// of a wait.
const patient = counted + `
	globalThis.chatTimes = { firstDelay: 1e6, maxDelay: 1e6, idle: 1e6 };
	Math.random = () => 0.9;
	const loaded = Date.now();
	Date.now = () => loaded;
`

// sleepy is a clock that can be put forward.
const sleepy = `
	globalThis.slept = 0;
	const now = Date.now;
	Date.now = () => now() + slept;
`

// complaintsOfLoss are the browser's own, of attempts that no server answers.
func complaintsOfLoss() []string {
	return []string{"ERR_", "WebSocket connection to", "401"}
}

// closeAll closes the connections of a room.
func (n *node) closeAll(t *testing.T, room string, code int, reason string) {
	t.Helper()
	for _, conn := range n.hub.listeners(room) {
		if err := conn.CloseAt(time.Now(), code, reason); err != nil {
			t.Fatal(err)
		}
	}
}

// The page comes back by itself after the server was restarted, although the new one
// does not know the old one's tokens.
func TestBrowserReconnects(t *testing.T) {
	first := startNode(t, nil)
	place := startProxy(t, first.url) // that both have, one after the other
	ada := startBrowser(t, place.url)
	ada.enter("Ada", "tea")
	ada.untilConnected("Ada")
	ada.say("before")
	ada.untilSaid("You", "before")
	first.stop()
	ada.until(`document.querySelector("#status").className === "waiting" && document.querySelector("#send").disabled`)
	ada.untilLogged("The server is going away")
	ada.say("written meanwhile") // which cannot be sent
	ada.until(`document.querySelector("#alert").textContent.includes("You are not connected")`)

	second := startNode(t, nil)
	place.lead(t, second.url)
	ada.untilConnected("Ada")
	ada.untilLogged("You are back in tea.")
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
	ada.expectNoComplaints(complaintsOfLoss()...)
}

// Without a network there are no attempts, and with one the page is back at once.
func TestBrowserOffline(t *testing.T) {
	t.Parallel()
	n := startNode(t, nil)
	ada := startPrepared(t, n.url, counted+`globalThis.chatTimes = { firstDelay: 1, maxDelay: 1 };`)
	ada.enter("Ada", "tea")
	ada.untilConnected("Ada")
	ada.offline(true)
	ada.until(`document.querySelector("#state").textContent === "You are offline" && document.querySelector("#send").disabled`)
	n.log.wait(t, "disconnected", 1, action("websocket-disconnected"))
	ada.write("written meanwhile")

	// By hand it is tried, since a browser may be wrong about that; but then no more.
	ada.click("#retry")
	ada.until(`document.querySelector("#status").className === "offline"`)
	ada.offline(false)
	ada.untilConnected("Ada")
	ada.untilLogged("You are back in tea.")
	if attempts := eval[int](ada, "attempts"); attempts != 3 {
		t.Errorf("%d connections were tried, want one before, one by hand, and one after", attempts)
	}
	if written := eval[string](ada, `document.querySelector("#text").value`); written != "written meanwhile" {
		t.Errorf("of what was written %q is left", written)
	}
	ada.expectNoComplaints(complaintsOfLoss()...)
}

// What servers close connections with, and what comes after it soon.
func TestBrowserComesBack(t *testing.T) {
	t.Parallel()
	n := startNode(t, nil)
	ada := startPrepared(t, n.url, counted+`globalThis.chatTimes = { firstDelay: 10, maxDelay: 1e6 };`) // no connection lasts
	ada.enter("Ada", "tea")
	ada.untilConnected("Ada")
	for i, c := range []struct {
		code           int
		reason, notice string
	}{
		{websocket.CloseGoingAway, "max age", "It is time for a new connection."},
		{websocket.CloseServiceRestart, "restart", "The server restarts."},
		{websocket.CloseTryAgainLater, "slow consumer", "Your connection could not keep up"},
		{websocket.CloseInternalServerErr, "", "The connection was lost."},
		{4401, "token expired", "Your sign-in has expired."},
	} {
		n.closeAll(t, "tea", c.code, c.reason)
		n.log.wait(t, "connected", i+2, action("websocket-connected"))
		ada.untilConnected("Ada")
		ada.untilLogged(c.notice)
		ada.say(c.notice)
		ada.untilSaid("You", c.notice)
	}
	// The token is kept, but for the last time.
	isLogin := func(l logLine) bool { return l["url.path"] == "/login" }
	if logins := n.log.wait(t, "logins", 2, isLogin); len(logins) != 2 {
		t.Errorf("signed in %d times: %v", len(logins), logins)
	}

	// A new token that has expired, too, is one too many.
	n.closeAll(t, "tea", 4401, "token expired")
	ada.until(`document.querySelector("#status").className === "closed"`)
	ada.click("#retry")
	ada.untilConnected("Ada")
	ada.expectNoComplaints()
}

// What is for good is said so, is not tried again, and is left to the person.
func TestBrowserGivesUp(t *testing.T) {
	t.Parallel()
	n := startNode(t, nil)
	ada := startPrepared(t, n.url, counted+`globalThis.chatTimes = { firstDelay: 1, maxDelay: 1 };`)
	ada.enter("Ada", "tea")
	ada.untilConnected("Ada")
	for i, code := range []int{websocket.ClosePolicyViolation, 4403} {
		ada.write("kept")
		reason := fmt.Sprintf("no <b>spam</b>, %d", code)
		n.closeAll(t, "tea", code, reason)
		ada.untilLogged("The server has closed your connection: " + reason + ".")
		if shown := eval[string](ada, `document.querySelector("#status").innerText`); shown != "Disconnected" {
			t.Errorf("shown: %s", shown)
		}
		if attempts := eval[int](ada, "attempts"); attempts != i+1 {
			t.Errorf("%d connections were tried, want %d", attempts, i+1)
		}
		// A network that comes back changes nothing.
		phase := eval[string](ada, `(() => {
			window.dispatchEvent(new Event("online"));
			document.dispatchEvent(new Event("visibilitychange"));
			return document.querySelector("#status").className;
		})()`)
		if phase != "closed" {
			t.Errorf("the page is %s", phase)
		}
		ada.click("#retry")
		ada.untilConnected("Ada")
		ada.say("")
		ada.untilSaid("You", "kept")
	}

	// One whom the server does not sign in any more is told why.
	eval[string](ada, `(window.fetch = async () => new Response('{"error":"you are banned"}', { status: 403 })).name`)
	n.closeAll(t, "tea", 4401, "token expired")
	ada.untilLogged("The server does not let you in again: you are banned.")
	ada.until(`document.querySelector("#status").className === "closed"`)
	if attempts := eval[int](ada, "attempts"); attempts != 3 {
		t.Errorf("%d connections were tried, want 3", attempts)
	}
	ada.expectNoComplaints()
}

// A network that carries nothing any more, and tells nobody, is noticed: also while
// it is tried to come back.
func TestBrowserNoticesSilence(t *testing.T) {
	t.Parallel()
	mini := miniredis.RunT(t)
	n := startNode(t, func(cfg *config) { cfg.redisURL = "redis://" + mini.Addr() })
	between := startProxy(t, n.url)
	ada := startPrepared(t, between.url, counted+`globalThis.chatTimes = { idle: 200, answer: 5000, open: 5000, maxDelay: 1000 };`)
	ada.enter("Ada", "tea")
	ada.untilConnected("Ada")
	ada.until(`told("chat.ping") > 2`) // which are answered
	if attempts := eval[int](ada, "attempts"); attempts != 1 {
		t.Fatalf("%d connections were tried, want one", attempts)
	}
	// What is said last reaches the server, and no answer leaves it.
	freeze := sync.OnceFunc(between.freeze)
	mini.Server().SetPreHook(func(_ *redisserver.Peer, cmd string, _ ...string) bool {
		if strings.EqualFold(cmd, "publish") {
			freeze()
		}
		return false
	})
	ada.say("into the void")
	ada.untilLogged("The server has stopped answering. What you said last may not have been heard")
	ada.until(`document.querySelector("#text").value === "into the void"`)
	ada.until(`document.querySelector("#detail").textContent === "now"`) // an attempt
	ada.until(`document.querySelector("#detail").textContent !== "now"`) // that came to nothing
	between.heal()
	ada.untilConnected("Ada")
	ada.untilLogged("You are back in tea.")
	ada.say("")
	ada.untilSaid("You", "into the void")
	ada.expectNoComplaints(complaintsOfLoss()...)
}

// After a sleep, in which the answer may have come, the server is asked once more
// before it is given up.
func TestBrowserSleeps(t *testing.T) {
	t.Parallel()
	n := startNode(t, nil)
	between := startProxy(t, n.url)
	// The machine sleeps for an hour after each question.
	ada := startPrepared(t, between.url, counted+sleepy+`
		globalThis.chatTimes = { idle: 200, answer: 3000, maxDelay: 1000 };
		const ask = WebSocket.prototype.send;
		WebSocket.prototype.send = function (text) {
			ask.call(this, text);
			if (sent.at(-1).type === "chat.ping") {
				setTimeout(() => slept += 3_600_000);
			}
		};
	`)
	ada.enter("Ada", "tea")
	ada.untilConnected("Ada")
	ada.until(`told("chat.ping") > 2`)
	if attempts := eval[int](ada, "attempts"); attempts != 1 {
		t.Fatalf("%d connections were tried, want one", attempts)
	}
	between.freeze()
	ada.untilLogged("The server has stopped answering.")
	if asked := eval[int](ada, `told("chat.ping") - heard("chat.pong")`); asked != 2 {
		t.Errorf("the server was asked %d times in vain, want 2", asked)
	}
	between.heal()
	ada.untilConnected("Ada")
	ada.expectNoComplaints(complaintsOfLoss()...)
}

// The waits become longer until a connection has lasted.
func TestBrowserBacksOff(t *testing.T) {
	t.Parallel()
	n := startNode(t, nil)
	ada := startPrepared(t, n.url, patient+sleepy+`chatTimes.maxDelay = 4e6;`)
	ada.enter("Ada", "tea")
	for _, wait := range []string{"in 900 s", "in 1800 s", "in 3600 s", "in 3600 s", "", "in 900 s", "in 1800 s"} {
		ada.untilConnected("Ada")
		if wait == "" {
			eval[int](ada, `slept += 4e6 + 1`)
			continue
		}
		n.closeAll(t, "tea", websocket.CloseInternalServerErr, "")
		ada.until(`document.querySelector("#detail").textContent === "` + wait + `"`)
		ada.click("#retry")
	}
	ada.untilConnected("Ada")
	ada.expectNoComplaints()
}

// A tab that is looked at again asks at once whether the server is there, and does
// not go on waiting.
func TestBrowserWakes(t *testing.T) {
	t.Parallel()
	n := startNode(t, nil)
	ada := startPrepared(t, n.url, patient)
	const wake = `document.dispatchEvent(new Event("visibilitychange"))`
	ada.enter("Ada", "tea")
	ada.untilConnected("Ada")
	for i := range 2 {
		eval[bool](ada, wake)
		ada.until(fmt.Sprintf(`heard("chat.pong") === %d`, i+1))
	}
	n.closeAll(t, "tea", websocket.CloseInternalServerErr, "")
	ada.until(`document.querySelector("#detail").textContent === "in 900 s"`)
	eval[bool](ada, wake)
	ada.untilConnected("Ada")
	n.closeAll(t, "tea", websocket.CloseInternalServerErr, "")
	ada.until(`document.querySelector("#status").className === "waiting"`)
	ada.click("#retry")
	ada.untilConnected("Ada")
	ada.expectNoComplaints()
}

// The waits are random, from 0 to a bound that doubles up to the greatest.
func TestBrowserJitter(t *testing.T) {
	t.Parallel()
	n := startNode(t, nil)
	ada := startBrowser(t, n.url)
	got := eval[[]float64](ada, `(async () => {
		const { delay } = await import(new URL("connection.js", location.href));
		const waits = [];
		for (const chance of [0, 0.5, 1]) {
			Math.random = () => chance;
			waits.push(...[0, 1, 5, 6, 2000].map((failures) => delay(failures, 500, 20_000)));
		}
		return waits;
	})()`)
	want := []float64{
		0, 0, 0, 0, 0,
		250, 500, 8000, 10_000, 10_000,
		500, 1000, 16_000, 20_000, 20_000,
	}
	for i := range want {
		if len(got) != len(want) || got[i] != want[i] {
			t.Fatalf("the page waits %v, want %v", got, want)
		}
	}
}

// What changes with the state moves nothing else, and a screen reader is not told
// each second of a countdown.
func TestBrowserStatusIsQuiet(t *testing.T) {
	t.Parallel()
	n := startNode(t, nil)
	ada := startPrepared(t, n.url, patient)
	ada.enter("Ada", "tea")
	ada.untilConnected("Ada")
	const places = `JSON.stringify(["room-name", "status", "billing", "live", "leave", "scroller", "say", "text", "send"].map((id) => {
		const { x, y, height } = document.getElementById(id).getBoundingClientRect();
		return [id, x, y, height];
	}))`
	for _, width := range []int64{1100, 320} {
		ada.do(chromedp.EmulateViewport(width, 700))
		open := eval[string](ada, places)
		n.closeAll(t, "tea", websocket.CloseInternalServerErr, "")
		ada.until(`document.querySelector("#status").className === "waiting"`)
		ada.say("not now") // which is complained of
		ada.until(`document.querySelector("#alert").textContent !== ""`)
		eval[string](ada, `document.querySelector("#text").value = ""`)
		if waiting := eval[string](ada, places); waiting != open {
			t.Errorf("of %d pixels, in places\n%s\nwhere they were in\n%s", width, waiting, open)
		}
		ada.click("#retry")
		ada.untilConnected("Ada")
	}
	if quiet := eval[bool](ada, `document.querySelector("#status").role === "status" && document.querySelector("#detail").ariaHidden === "true"`); !quiet {
		t.Error("the countdown is announced")
	}
}
