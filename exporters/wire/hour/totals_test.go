package hour

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apmws/go-apmws/apmws"
	"github.com/apmws/go-apmws/exporters/wire/intake"
)

// grid is the least relative width of a histogram's buckets: the middle of one is
// off by no more.
const grid = 0.125

// sums are counts by what is counted, and totals of durations in seconds.
type sums struct{ counts, seconds map[string]float64 }

func newSums() sums { return sums{map[string]float64{}, map[string]float64{}} }

// toldSums adds up what the agents' counters and histograms tell.
func toldSums(documents []intake.Document) sums {
	s := newSums()
	for _, d := range documents {
		if !strings.HasPrefix(d.Stream(), "metrics-apm.app.") {
			continue
		}
		var labels []string
		for _, label := range []string{
			"http_response_status_code", "websocket_refusal_reason", "websocket_close_cause", "websocket_message_name",
			"event_outcome", "exporter", "reason", "server_address",
		} {
			if value := d.Text("labels." + label); value != "" {
				labels = append(labels, value)
			}
		}
		for field, value := range d {
			if !strings.HasPrefix(field, "websocket.") || field == "websocket.connections.active" || field == "websocket.send_queue.messages" {
				continue
			}
			key := series(d.Text("service.node.name"), d.Text("labels.http_route"), field, labels...)
			switch value := value.(type) {
			case float64:
				s.counts[key] += value
			case map[string]any:
				values, _ := value["values"].([]any)
				counts, _ := value["counts"].([]any)
				for i := range values {
					s.counts[key] += counts[i].(float64)
					s.seconds[key] += counts[i].(float64) * values[i].(float64)
				}
			}
		}
	}
	for key, n := range s.counts {
		if n == 0 {
			delete(s.counts, key)
		}
	}
	return s
}

func series(node, route, metric string, labels ...string) string {
	return strings.Join(append([]string{node, route, metric}, labels...), " ")
}

// sumsOf adds up what was driven in before the last report.
func sumsOf(d *Driven, before time.Time) sums {
	s := newSums()
	count := func(at time.Time, p Place, metric string, n float64, labels ...string) {
		if n != 0 && at.Before(before) {
			s.counts[series(p.Node, p.Route, metric, labels...)] += n
		}
	}
	lasts := func(at time.Time, p Place, metric string, lasts time.Duration, labels ...string) {
		count(at, p, metric, 1, labels...)
		if at.Before(before) {
			s.seconds[series(p.Node, p.Route, metric, labels...)] += lasts.Seconds()
		}
	}
	for _, c := range d.Connections {
		count(c.Opened.Add(c.HandshakeTook), c.Place, "websocket.connections.opened", 1)
		if !c.Closed.IsZero() {
			count(c.Closed, c.Place, "websocket.connections.closed", 1, string(c.Cause))
			lasts(c.Closed, c.Place, "websocket.connection.duration", c.Closed.Sub(c.Opened))
		}
	}
	for _, r := range d.Refusals {
		count(r.At.Add(r.Took), r.Place, "websocket.connections.refused", 1, fmt.Sprint(r.Status), r.Reason)
	}
	for _, t := range d.Transfers {
		way := "sent"
		if t.Received {
			way = "received"
		}
		count(t.At, t.Place, "websocket.messages."+way, float64(t.Messages))
		count(t.At, t.Place, "websocket.bytes."+way, float64(t.Bytes))
	}
	for _, m := range d.Messages {
		outcome := "success"
		if m.Failed() {
			outcome = "failure"
		}
		lasts(m.Done(), m.Place, "websocket.message.duration", m.Took, m.Name, outcome)
		count(m.Done(), m.Place, "websocket.messages.handled", 1, m.Name, outcome)
	}
	for _, p := range d.Pings {
		if p.Answered {
			lasts(p.At.Add(p.RTT), p.Place, "websocket.ping.rtt", p.RTT)
		}
		if p.Lost {
			count(p.Ended, p.Place, "websocket.pings.unanswered", 1)
		}
	}
	for _, w := range d.Writes {
		lasts(w.At, w.Place, "websocket.write.duration", w.Blocked)
	}
	for _, q := range d.Queued {
		if q.Dropped {
			count(q.Done, q.Place, "websocket.send_queue.dropped", 1)
		}
	}
	for _, c := range d.Calls {
		if c.Host != "" {
			count(c.At, c.Place, "websocket.outbound.calls", 1, c.From, c.Host)
		}
	}
	for _, e := range d.MalformedTraceContexts {
		count(e.At, Place{Node: e.Node}, "websocket.telemetry.dropped", 1, "apmws", "malformed_trace_context")
	}
	return s
}

// TestTotals: the counters and histograms of all documents are what was driven in,
// by node, route and label.
func TestTotals(t *testing.T) {
	r := recorded(t)
	got, want := toldSums(r.Documents), sumsOf(r.Driven, r.End.Add(-lastReport))
	compare(t, got, want)
	if len(want.counts) < 200 {
		t.Errorf("only %d series", len(want.counts))
	}
}

// TestTotalsOfTheHour: so they are in the documents of the hour alone.
func TestTotalsOfTheHour(t *testing.T) {
	r := recorded(t)
	got := toldSums(within(r.Documents, r.Start, r.End))
	want, before := sumsOf(r.Driven, r.End.Add(-lastReport)), sumsOf(r.Driven, r.Start.Add(-lastReport))
	for key, n := range before.counts {
		if want.counts[key] -= n; want.counts[key] == 0 {
			delete(want.counts, key)
		}
		want.seconds[key] -= before.seconds[key]
	}
	compare(t, got, want)
}

// TestMessagesArrived: on each connection the handlers were called for what has
// passed the socket, but for a message that is too big. The two are seen by
// different eyes: the calls are the library's.
func TestMessagesArrived(t *testing.T) {
	r := recorded(t)
	type seen struct{ messages, bytes int64 }
	handled := map[*Connection]seen{}
	for _, m := range r.Driven.Messages {
		s := handled[m.Connection]
		handled[m.Connection] = seen{s.messages + 1, s.bytes + int64(m.Length)}
	}
	for _, c := range r.Driven.Connections {
		want := handled[c]
		if c.Cause == apmws.CauseMessageTooBig {
			want.messages++
			want.bytes += tooBig
		}
		if got := (seen{c.MessagesReceived, c.BytesReceived}); got != want {
			t.Errorf("%s: %+v have passed the socket, %+v were to be: %+v", c.Cause, got, want, c)
		}
	}
}

func compare(t *testing.T, got, want sums) {
	t.Helper()
	all := maps.Clone(got.counts)
	maps.Copy(all, want.counts)
	for _, key := range slices.Sorted(maps.Keys(all)) {
		if got.counts[key] != want.counts[key] {
			t.Errorf("%s: %v is told, %v was driven in", key, got.counts[key], want.counts[key])
		}
		// Below a microsecond there is one bucket.
		margin := want.seconds[key]*grid + want.counts[key]*1e-6
		if math.Abs(got.seconds[key]-want.seconds[key]) > margin {
			t.Errorf("%s: %v s are told, %v s were driven in", key, got.seconds[key], want.seconds[key])
		}
	}
}

// within returns the documents of a span of time.
func within(documents []intake.Document, from, to time.Time) []intake.Document {
	const format = "2006-01-02T15:04:05.000Z"
	return slices.DeleteFunc(slices.Clone(documents), func(d intake.Document) bool {
		at := d.Text("@timestamp")
		return at < from.Format(format) || at >= to.Format(format)
	})
}

// TestOpenConnections: each report tells how many connections are open at its time.
func TestOpenConnections(t *testing.T) {
	r := recorded(t)
	reports := 0
	last := map[string]int{} // the minute, by minute, node and route
	for _, d := range r.Documents {
		n, ok := d["websocket.connections.active"].(float64)
		if !ok {
			continue
		}
		reports++
		at, err := time.Parse(time.RFC3339, d.Text("@timestamp"))
		if err != nil {
			t.Fatal(err)
		}
		open := 0
		for _, c := range r.Driven.Connections {
			if c.Node == d.Text("service.node.name") && c.Route == d.Text("labels.http_route") && c.OpenAt(at) {
				open++
			}
		}
		waiting := 0
		for _, q := range r.Driven.Queued {
			if q.Node == d.Text("service.node.name") && q.Route == d.Text("labels.http_route") && q.WaitsAt(at) {
				waiting++
			}
		}
		if told, ok := d["websocket.send_queue.messages"].(float64); !ok || told != float64(waiting) {
			t.Errorf("%s %s at %v: %v are told to wait, %d do", d.Text("service.node.name"), d.Text("labels.http_route"), at, told, waiting)
		}
		if float64(open) != n {
			t.Errorf("%s %s at %v: %v are told, %d are open", d.Text("service.node.name"), d.Text("labels.http_route"), at, n, open)
		}
		if !at.Before(r.Start) {
			minute := int(at.Sub(r.Start) / time.Minute)
			last[fmt.Sprint(minute, d.Text("service.node.name"), d.Text("labels.http_route"))] = minute
		}
	}
	minutes := map[int]int{}
	for _, minute := range last {
		minutes[minute]++
	}
	if len(minutes) != 60 {
		t.Errorf("there are reports in %d minutes", len(minutes))
	}
	for minute, n := range minutes {
		const routes, ofRestarted = 13, 3
		if n < routes-ofRestarted {
			t.Errorf("minute %d: gauges of %d nodes and routes", minute, n)
		}
	}
	if reports == 0 {
		t.Error("nothing is reported")
	}
}
