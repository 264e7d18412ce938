package newrelic_test

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/apmws/go-apmws/dashboards/internal/newrelic/evaluate"
	"github.com/apmws/go-apmws/exporters/wire/life"
)

// The numbers are those of what was driven in. A minute is evaluate.Window, so what is
// told per minute is what there was.
func TestNumbers(t *testing.T) {
	b := newBoard(t)
	s := b.story

	var received, sent, in, out, unanswered, givenUp float64
	causes, initiators, codes, users := map[string]float64{}, map[string]float64{}, map[string]float64{}, map[string]float64{}
	routes := map[string]float64{}
	for _, c := range s.Connections {
		received, sent = received+float64(c.MessagesReceived), sent+float64(c.MessagesSent)
		in, out = in+float64(c.BytesReceived), out+float64(c.BytesSent)
		unanswered += float64(c.PingsUnanswered)
		givenUp += float64(c.QueueDropped)
		causes[string(c.Cause)]++
		initiators[c.Initiator]++
		codes[c.Code]++
		routes[c.Route]++
		if c.User != "" {
			users[c.User]++
		}
	}
	reasons, statuses := map[string]float64{}, map[string]float64{"101": float64(len(s.Connections))}
	for _, r := range s.Refusals {
		if r.Status != 0 {
			statuses[strconv.Itoa(r.Status)]++
		}
		reasons[r.Reason]++
		routes[r.Route]++
	}
	handled, failed, types := map[string]float64{}, map[string]float64{}, map[string]float64{}
	var all, failures, other float64
	for _, m := range s.Messages {
		all++
		outcome := "success"
		if m.Result != "ok" {
			outcome = "failure"
			failures++
			failed[m.Name+"/failure"]++
		}
		if m.Name == "_OTHER" {
			other++
		}
		handled[m.Name+"/"+outcome]++
		if m.Fate == life.Recorded {
			types[m.Type]++
		}
	}
	calls, inHandshakes := map[string]float64{}, 0.0
	for _, c := range s.Calls {
		calls[c.Address+"/"+c.Name]++
		if c.Name == "CONNECT" {
			inHandshakes++
		}
	}
	broadcasts, copies := map[string]float64{}, map[string][2]float64{}
	for _, x := range s.Broadcasts {
		name := "broadcast " + x.Name
		broadcasts[name]++
		copies[name] = [2]float64{copies[name][0] + float64(x.Recipients), copies[name][1] + float64(x.Failed)}
	}
	opened, refused := float64(len(s.Connections)), float64(len(s.Refusals))

	for _, want := range []struct {
		page, title string
		query       int
		want        float64
	}{
		{"Overview", "Opened (connections/min)", 0, opened},
		{"Overview", "Refused (handshakes/min)", 0, refused},
		{"Overview", "Received (messages/min)", 0, received},
		{"Overview", "Failed messages (%)", 0, 100 * failures / all},
		{"Overview", "Opened, closed, refused (connections/min)", 0, opened},
		{"Overview", "Opened, closed, refused (connections/min)", 1, opened},
		{"Overview", "Opened, closed, refused (connections/min)", 2, refused},
		{"Overview", "Messages each way (messages/min)", 0, received},
		{"Overview", "Messages each way (messages/min)", 1, sent},
		{"Overview", "Payload each way (bytes/s)", 0, in / evaluate.Window.Seconds()},
		{"Overview", "Payload each way (bytes/s)", 1, out / evaluate.Window.Seconds()},
		{"Overview", "Failed messages (messages/min)", 0, failures},
		{"Connections", "Unanswered pings (pings/min)", 0, unanswered},
		{"Messages", "Handled (messages/min)", 0, all},
		{"Messages", "Named _OTHER (%)", 0, 100 * other / all},
		{"Messages", "Sent for each received (messages)", 0, sent / received},
		{"Messages", "Payload received (bytes/message)", 0, in / received},
		{"Sends and calls", "Outbound calls (calls/min)", 0, float64(len(s.Calls))},
		{"Sends and calls", "Outbound calls per connect (calls)", 0, float64(len(s.Calls)) / opened},
		{"Sends and calls", "Of handshakes, per connect (calls)", 0, inHandshakes / opened},
		{"Sends and calls", "Slow consumers (connections/min)", 0, causes["slow_consumer"]},
		{"Sends and calls", "Given up by send queues (messages/min)", 0, givenUp},
		{"Errors", "Failed messages (messages/min)", 0, failures},
		{"Errors", "Connections the server failed (connections/min)", 0, causes["write_error"] + causes["handler_error"] + causes["panic"] + causes["slow_consumer"]},
		{"Errors", "Telemetry dropped (items)", 0, float64(s.Malformed)},
	} {
		if got := b.number(want.page, want.title, want.query); !near(got, want.want) {
			t.Errorf("%s/%s, query %d: got %v, want %v", want.page, want.title, want.query, got, want.want)
		}
	}

	for title, want := range map[string]map[string]float64{
		"Overview/Close causes (connections)":                                                   causes,
		"Overview/Busiest routes (handshakes/min)":                                              routes,
		"Overview/Busiest by name and outcome (messages/min)":                                   handled,
		"Connections/Refused by reason (handshakes/min)":                                        reasons,
		"Connections/Closed by cause (connections/min)":                                         causes,
		"Connections/Handshakes by status code (handshakes, events)":                            statuses,
		"Connections/Closed by code (connections/min, events)":                                  codes,
		"Connections/Who closes (connections, events)":                                          initiators,
		"Messages/Handled by name and outcome (messages/min)":                                   handled,
		"Sends and calls/Outbound calls by host and caller (calls/min)":                         calls,
		"Sends and calls/Broadcasts by name (broadcasts/min, events)":                           broadcasts,
		"Sends and calls/Broadcasts (broadcasts, copies, s; events)":                            broadcasts,
		"Sends and calls/Whose calls are these? (calls)":                                        calls,
		"Errors/Failed messages by name (messages/min)":                                         failed,
		"Errors/Failed messages by name (messages)":                                             failed,
		"Errors/Telemetry dropped by exporter and reason (items)":                               {"apmws|malformed_trace_context": float64(s.Malformed)},
		"Connections/Users with most traffic (messages and bytes of ended connections, events)": users,
	} {
		page, name, _ := strings.Cut(title, "/")
		wantMap(t, title, b.numbers(page, name), want)
	}

	for _, g := range b.widget("Sends and calls", "Broadcasts (broadcasts, copies, s; events)")[0].Groups {
		name := strings.TrimPrefix(g.Facets[0], "OtherTransaction/Go/Message/")
		n := copies[name]
		if g.Values[1] != n[0]/broadcasts[name] || g.Values[2] != n[0] || g.Values[3] != n[1] {
			t.Errorf("%s: got %v, want %v and %v of %v copies", name, g.Values, broadcasts[name], n[1], n[0])
		}
	}
	b.ends()
	b.events(types)
}

// ends checks which connections are told to have ended badly: those that the contract
// calls failures of the server, and those of which it cannot say.
func (b *board) ends() {
	t := b.t
	t.Helper()
	outcomes := make(map[any]any)
	count := make(map[any]int)
	for _, r := range b.run("FROM Transaction SELECT `websocket.close.cause`, `event.outcome` WHERE `websocket.event` = 'disconnect'").Rows {
		outcomes[r[0]] = r[1]
		count[r[0]]++
	}
	listed := make(map[any]int)
	for _, r := range b.widget("Errors", "Connections that ended badly (events)")[0].Rows {
		listed[r[1]]++
	}
	failures := 0
	for cause, outcome := range outcomes {
		want := count[cause]
		if outcome == "success" {
			want = 0
		}
		if listed[cause] != want {
			t.Errorf("%v (%v): %d of %d are told to have ended badly", cause, outcome, listed[cause], count[cause])
		}
		if outcome == "failure" {
			failures += count[cause]
		}
	}
	if got := b.number("Errors", "Connections the server failed (connections/min)", 0); failures == 0 || !near(got, float64(failures)) {
		t.Errorf("the server failed %v connections, want %d", got, failures)
	}
}

// events checks widgets over events: nothing was sampled away but messages by chance.
func (b *board) events(types map[string]float64) {
	t := b.t
	t.Helper()
	weighted := b.numbers("Messages", "With Sampling: estimated by weight (messages, events)")
	var quotes, recorded float64
	for _, m := range b.story.Messages {
		if m.Name == "hello" {
			recorded++
		}
	}
	quotes = weighted["feed.quote"]
	if weighted["hello"] != recorded || quotes < 2 || quotes > 2*life.Quotes || int(quotes)%2 != 0 {
		t.Errorf("estimated: %v", weighted)
	}
	got := b.numbers("Messages", "Text and binary (messages, events)")
	if got["binary"] != types["binary"] || got["text"] < types["text"] {
		t.Errorf("types: got %v, at least %v", got, types)
	}

	var panics float64
	for _, m := range b.story.Messages {
		if m.Result == "panic" {
			panics++
		}
	}
	if got, ok := b.number("Errors", "Panics (errors, events)", 0).(float64); !ok || got < panics {
		t.Errorf("panics: got %v, want %v at least", got, panics)
	}

	// One connection's story: its handshake, its messages, and its end.
	ada := b.story.Connections[slices.IndexFunc(b.story.Connections, func(c *life.Connection) bool { return c.Name == "Ada" })]
	b.variables["connection"] = []string{ada.ID}
	var messages int
	for _, m := range b.story.Messages {
		if m.Connection == ada.Name {
			messages++
		}
	}
	events := map[any]int{}
	for _, r := range b.widget("Errors", "The story: handshake, messages, end (s, bytes; events)")[0].Rows {
		events[r[1]]++
	}
	if events["connect"] != 1 || events["disconnect"] != 1 || events["message"] != messages || len(events) != 3 {
		t.Errorf("the story of %s: %v, want %d messages", ada.Name, events, messages)
	}
	b.variables["route"] = []string{"/relay"}
	if got := b.numbers("Connections", "Handshakes by status class (handshakes/min, events)"); got["HTTP 1xx"] != 1 || len(got) != 1 {
		t.Errorf("handshakes of /relay: %v", got)
	}
}

// near allows for the order of sums.
func near(got any, want float64) bool {
	n, ok := got.(float64)
	return ok && n > want-1e-6 && n < want+1e-6
}
