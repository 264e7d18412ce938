package wire

import (
	"maps"
	"strings"
	"testing"

	"github.com/apmws/go-apmws/apmws/semconv"
	"github.com/apmws/go-apmws/exporters/wire/life"
)

// spread is what a back end has of a broadcast.
type spread struct {
	life.Broadcast
	parent string // what it is below: a span of the library's, what came from outside, or nothing
}

// TestBroadcasts: each broadcast is one transaction in both back ends, with what
// became of it, in the trace of what it happened in or came with.
func TestBroadcasts(t *testing.T) {
	r := recorded(t, setup{})
	want := map[spread]int{}
	for _, b := range r.Story.Broadcasts {
		parent := map[string]string{"room.say": "tell all", "room.news": "span of the news"}[b.Name]
		want[spread{*b, parent}]++
	}
	if len(want) < 4 {
		t.Errorf("the story tells of %v", want)
	}

	elastic, names, traces := map[spread]int{}, map[string]string{}, map[string]string{}
	for _, d := range r.Documents {
		if d.Text("processor.event") == "span" {
			names[d.Text("span.id")], traces[d.Text("span.id")] = d.Text("span.name"), d.Text("trace.id")
		}
	}
	maps.Copy(names, r.Story.Remote)
	for _, d := range r.Documents {
		if d.Text("processor.event") != "transaction" || d.Text("labels.websocket_event") != semconv.EventBroadcast {
			continue
		}
		parent := d.Text("parent.id")
		elastic[spread{life.Broadcast{
			Route: d.Text("labels.http_route"), Name: strings.TrimPrefix(d.Text("transaction.name"), "broadcast "),
			Type: d.Text("labels.websocket_message_type"), Length: int(d.Number("numeric_labels.websocket_message_length")),
			Recipients: int(d.Number("numeric_labels.websocket_broadcast_recipients")),
			Failed:     int(d.Number("numeric_labels.websocket_broadcast_failed")), Result: d.Text("transaction.result"),
		}, names[parent]}]++
		if trace, ours := traces[parent]; ours && trace != d.Text("trace.id") {
			t.Errorf("Elastic has a broadcast below a span of another trace: %v", d)
		}
		if slowest := d.Number("numeric_labels.websocket_broadcast_slowest_write"); (slowest > 0) == (d.Text("transaction.result") == "error") {
			t.Errorf("in Elastic the slowest write of a broadcast took %v: %v", slowest, d)
		}
	}
	if !maps.Equal(elastic, want) {
		t.Errorf("Elastic has the broadcasts\n%+v, want\n%+v", elastic, want)
	}

	newRelic := map[spread]int{}
	clear(traces)
	for _, e := range r.Harvest.Spans {
		names[text(e.Intrinsics["guid"])], traces[text(e.Intrinsics["guid"])] = strings.TrimPrefix(e.Name(), "Custom/"), text(e.Intrinsics["traceId"])
	}
	number := func(value any) int {
		n, _ := value.(float64)
		return int(n)
	}
	for _, e := range r.Harvest.Transactions {
		if e.User[semconv.Event] != semconv.EventBroadcast {
			continue
		}
		parent := text(e.Intrinsics["parentSpanId"])
		newRelic[spread{life.Broadcast{
			Route: text(e.User[semconv.Route]), Name: strings.TrimPrefix(shortName(e.Name()), "broadcast "),
			Type: text(e.User[semconv.MessageType]), Length: number(e.User[semconv.MessageLength]),
			Recipients: number(e.User[semconv.BroadcastRecipients]), Failed: number(e.User[semconv.BroadcastFailed]),
			Result: text(e.User["result"]),
		}, names[parent]}]++
		if trace, ours := traces[parent]; ours && trace != text(e.Intrinsics["traceId"]) {
			t.Errorf("New Relic has a broadcast below a span of another trace: %v", e)
		}
	}
	if !maps.Equal(newRelic, want) {
		t.Errorf("New Relic has the broadcasts\n%+v, want\n%+v", newRelic, want)
	}
}
