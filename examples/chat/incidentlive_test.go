package main

import (
	"fmt"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// callsRow returns the texts of a row of the live page's outbound calls.
func (b *tab) callsRow(route, name string) []string {
	b.t.Helper()
	return eval[[]string](b, fmt.Sprintf(`(() => {
		const text = (row, column) => row.querySelector("[data-column=" + column + "]").textContent;
		const row = [...document.querySelectorAll("#calls tbody tr")].find((r) => text(r, "route") === %q && text(r, "name") === %q);
		return row ? ["host", "route", "name", "recent", "count"].map((column) => text(row, column)) : [];
	})()`, route, name))
}

// untilCallsRow waits until a row has that: host, route, message, calls of late and
// in all.
func (b *tab) untilCallsRow(want ...string) {
	b.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		got := b.callsRow(want[1], want[2])
		if fmt.Sprint(got) == fmt.Sprint(want) {
			return
		}
		if time.Now().After(deadline) {
			b.t.Fatalf("the row is %v, want %v; the page shows\n%s", got, want, eval[string](b, "document.body.innerText"))
		}
	}
}

// The live page shows outbound calls once there are some: of late, as far as the
// page has looked, and in all.
func TestBrowserShowsCalls(t *testing.T) {
	t.Parallel()
	n := startNode(t, nil)
	ada := join(t, n.url, "Ada", "tea")
	bill := func() {
		t.Helper()
		ada.send(`{"type":"billing.status"}`)
		ada.expect(map[string]string{"type": "billing.status", "plan": "free", "state": "active"})
	}
	first := startBrowser(t, n.url+"debug/ws/")
	first.until(`document.body.dataset.state === "live"`)
	if !eval[bool](first, `document.querySelector("#calls-panel").hidden`) {
		t.Error("there are calls before the first one")
	}
	bill()
	bill()
	first.untilCallsRow("billing", "/ws", "billing.status", "2", "2")
	if eval[bool](first, `document.querySelector("#calls-panel").hidden`) {
		t.Error("calls are hidden")
	}
	second := first.newTab(n.url + "debug/ws/")
	second.untilCallsRow("billing", "/ws", "billing.status", "0", "2")
	bill()
	second.untilCallsRow("billing", "/ws", "billing.status", "1", "3")
	second.until(`/^Last \d+ s$/.test(document.querySelector("#calls-recent").textContent)`)
	second.until(`/^1 call in the last \d+ s$/.test(document.querySelector("#calls-note").textContent)`)
	for _, b := range []*tab{first, second} {
		b.expectNoComplaints()
	}
}

// What a person sees of the incident on the live page: the busiest row says who
// calls the billing API, and a handshake's transaction where in it.
func TestBrowserShowsTheIncident(t *testing.T) {
	t.Parallel()
	n := startNode(t, func(cfg *config) { cfg.incident, cfg.incidentPause = incidentBug, 100*time.Millisecond })
	ada := join(t, n.url, "Ada", "tea")
	for range 2 {
		ada.send(`{"type":"billing.status"}`)
		ada.expect(map[string]string{"type": "billing.status", "plan": "free", "state": "active"})
	}
	live := startBrowser(t, n.url+"debug/ws/")
	live.until(`document.querySelectorAll("#calls tbody tr").length === 2 &&
		document.querySelector("#calls tbody tr [data-column=name]").textContent === "CONNECT" &&
		Number(document.querySelector("#calls tbody tr [data-column=recent]").textContent) > 5`)
	n.incident.stop()
	for _, user := range incidentUsers() {
		n.log.wait(t, "visits of "+user, 1, of("websocket-connected", user))
	}
	calls := n.agent.Stats().Routes[0].Calls[0].Count
	live.until(fmt.Sprintf(`document.querySelector("#calls tbody tr [data-column=count]").textContent === "%d"`, calls))
	if got := live.callsRow(incidentPath, "CONNECT"); len(got) != 5 || got[0] != "billing" {
		t.Errorf("the row is %v", got)
	}

	// A handshake, opened.
	live.click(`tr[data-type="Connection"]:has([data-column="about"]) button.open`)
	live.until(`document.querySelector("tr.detail")?.innerText.includes("GET billing")`)
	spans := eval[[]string](live, `[...document.querySelectorAll("tr.detail .span-name")].map((s) => s.textContent)`)
	if want := "[CONNECT /incident/ws authenticate GET billing upgrade]"; fmt.Sprint(spans) != want {
		t.Errorf("a handshake shows %v, want %s", spans, want)
	}

	// The filter knows hosts, routes and names.
	for text, rows := range map[string]int{"billing": 2, "incident": 1, "connect": 1, "billing.status": 1, "elsewhere": 0} {
		eval[bool](live, fmt.Sprintf(`(() => {
			const filter = document.querySelector("#filter");
			filter.value = %q;
			return filter.dispatchEvent(new Event("input"));
		})()`, text))
		if got := eval[int](live, `document.querySelectorAll("#calls tbody tr").length`); got != rows {
			t.Errorf("%q leaves %d rows, want %d", text, got, rows)
		}
	}
	live.expectNoComplaints()
	if err := ada.WriteControl(websocket.CloseMessage, nil, time.Now().Add(patience)); err != nil {
		t.Error(err)
	}
}
