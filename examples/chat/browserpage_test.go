package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/apmws/go-apmws/apmws"
)

// A page that the browser keeps when it is left has no connection meanwhile, and one
// again when it is come back to.
func TestBrowserGoesBack(t *testing.T) {
	t.Parallel()
	n := startNode(t, nil)
	ada := startPrepared(t, n.url, counted+`addEventListener("pageshow", (event) => globalThis.kept = event.persisted);`)
	ada.enter("Ada", "tea")
	ada.untilConnected("Ada")
	ada.say("before")
	ada.untilSaid("You", "before")
	ada.do(chromedp.Navigate(n.url + "healthz"))
	n.log.wait(t, "disconnected", 1, action("websocket-disconnected"))
	eval[int](ada, "history.back(), 0") // no page is loaded, for which chromedp would wait
	n.log.wait(t, "connected", 2, action("websocket-connected"))
	ada.untilConnected("Ada")
	for _, notice := range []string{"You had left this page.", "You are back in tea."} {
		ada.untilLogged(notice)
	}
	if !eval[bool](ada, `kept && document.querySelector(".message .text").textContent === "before"`) {
		t.Error("the browser has not kept the page")
	}
	line := n.log.wait(t, "disconnected", 1, action("websocket-disconnected"))[0]
	if line["labels.websocket_close_code"] != "1000" || line["labels.websocket_close_initiator"] != "client" {
		t.Errorf("leaving is logged as %v", line)
	}
	ada.expectNoComplaints("favicon.ico") // which the other page has not
}

// Who reads the newest message goes on to see it when the window becomes smaller, as
// it does for the keyboard of a phone; who reads further up stays there.
func TestBrowserKeepsPlace(t *testing.T) {
	t.Parallel()
	n := startNode(t, nil)
	ada := startBrowser(t, n.url)
	ada.do(chromedp.EmulateViewport(390, 844))
	ada.enter("Ada", "tea")
	ada.untilConnected("Ada")
	said := strings.Repeat("one of many lines\n", 60) + "the end"
	n.deliver(apmws.SpanContext{}, "tea", fmt.Appendf(nil, `{"type":"chat.said","user":"Bob","text":%q}`, said))
	ada.untilSaid("Bob", said)
	const below = `(() => {
		const s = document.querySelector("#scroller");
		return s.scrollHeight - s.scrollTop - s.clientHeight;
	})()`
	ada.do(chromedp.EmulateViewport(390, 400))
	ada.until(below + ` < 2`)
	ada.do(chromedp.EmulateViewport(390, 844))
	ada.until(below + ` < 2`)

	eval[int](ada, `document.querySelector("#scroller").scrollTop = 100`)
	ada.until(`document.querySelector("#scroller").scrollTop === 100`)
	ada.do(chromedp.EmulateViewport(390, 400))
	settled := eval[float64](ada, `new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(
		() => done(document.querySelector("#scroller").scrollTop))))`)
	if settled != 100 {
		t.Errorf("taken from 100 to %v", settled)
	}
	n.deliver(apmws.SpanContext{}, "tea", []byte(`{"type":"chat.said","user":"Bob","text":"news"}`))
	ada.untilSaid("Bob", "news")
	ada.until(`!document.querySelector("#newer").hidden && document.querySelector("#scroller").scrollTop === 100`)
	ada.do(chromedp.Focus(chromedp.CSS("#newer")), chromedp.KeyEvent(kb.Enter))
	ada.until(below + ` < 2 && document.querySelector("#newer").hidden`)
	if focus := eval[string](ada, `document.activeElement.id`); focus != "scroller" {
		t.Errorf("the focus is on %q", focus)
	}
	ada.expectNoComplaints()
}

// A complaint about something else gives nothing back that is on its way.
func TestBrowserComplaintsBelong(t *testing.T) {
	t.Parallel()
	n := startNode(t, nil)
	ada := startPrepared(t, n.url, counted+`
		const through = WebSocket.prototype.send;
		WebSocket.prototype.send = function (text) {
			if (JSON.parse(text).text !== "slow") {
				through.call(this, text);
			}
		};
	`)
	ada.enter("Ada", "tea")
	ada.untilConnected("Ada")
	if err := n.billing.api.Close(); err != nil {
		t.Fatal(err)
	}
	ada.say("slow")
	ada.click("#billing")
	ada.until(`document.querySelector("#alert").textContent.includes("billing does not answer")`)
	if back := eval[string](ada, `document.querySelector("#text").value`); back != "" {
		t.Errorf("given back: %q", back)
	}
	n.closeAll(t, "tea", 1012, "")
	ada.until(`document.querySelector("#text").value === "slow"`)
	ada.untilConnected("Ada")
	ada.expectNoComplaints()
}

// A clock that is set back, be it by an hour, keeps nobody from asking whether the
// server is there.
func TestBrowserClockSetBack(t *testing.T) {
	t.Parallel()
	n := startNode(t, nil)
	ada := startPrepared(t, n.url, counted+sleepy+`globalThis.chatTimes = { idle: 200, answer: 3000 };`)
	ada.enter("Ada", "tea")
	ada.untilConnected("Ada")
	ada.until(`heard("chat.pong") > 1`)
	eval[int](ada, `slept -= 3_600_000`)
	before := eval[int](ada, `heard("chat.pong")`)
	ada.until(fmt.Sprintf(`heard("chat.pong") > %d`, before+2))
	if attempts := eval[int](ada, "attempts"); attempts != 1 {
		t.Errorf("%d connections were tried, want one", attempts)
	}
	ada.expectNoComplaints()
}

// A token that no WebSocket can carry is as one that is refused: it is tried again
// with another.
func TestBrowserBadToken(t *testing.T) {
	t.Parallel()
	n := startNode(t, nil)
	ada := startPrepared(t, n.url, counted+`
		globalThis.chatTimes = { firstDelay: 10 };
		const real = fetch;
		globalThis.fetch = async (...args) => {
			globalThis.fetch = real;
			return new Response('{"token":"not a token","expires_in":60}');
		};
	`)
	ada.enter("Ada", "tea")
	ada.untilConnected("Ada")
	ada.expectNoComplaints()
}

// A room is not said to be silent before one is in it; and what is said there is a log
// to assistive technology, and still a list.
func TestBrowserRoom(t *testing.T) {
	t.Parallel()
	n := startNode(t, nil)
	ada := startPrepared(t, n.url, patient+`
		const real = fetch;
		globalThis.fetch = async () => new Response("{}", { status: 503 });
		globalThis.heal = () => globalThis.fetch = real;
	`)
	ada.enter("Ada", "tea")
	ada.until(`document.querySelector("#status").className === "waiting"`)
	if !eval[bool](ada, `document.querySelector("#nothing").hidden`) {
		t.Error("it is said that nobody has said anything")
	}
	eval[bool](ada, `Boolean(heal())`)
	ada.click("#retry")
	ada.untilConnected("Ada")
	ada.until(`!document.querySelector("#nothing").hidden`)
	ada.say("hello")
	ada.untilSaid("You", "hello")
	if !eval[bool](ada, `document.querySelector("#nothing").hidden`) {
		t.Error("and it still is")
	}
	const isLog = `(() => {
		const item = document.querySelector(".message");
		return item.parentElement.matches("ol:not([role])") && item.closest("[role=log]").ariaLabel === "Messages";
	})()`
	if !eval[bool](ada, isLog) {
		t.Error("what is said is no list in a log")
	}
	ada.expectNoComplaints()
}
