package hour

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/apmws/go-apmws/apmws/semconv"
	"github.com/apmws/go-apmws/exporters/wire/intake"
)

// at identifies something on a node by when it began, in µs.
func at(node, name string, us float64) string { return fmt.Sprintf("%s %s %.0f", node, name, us) }

func atTime(node, name string, begun time.Time) string {
	return at(node, name, float64(begun.UnixMicro()))
}

// TestConnections: each connection has a CONNECT, each that has ended a DISCONNECT
// that says so, and each refusal a CONNECT.
func TestConnections(t *testing.T) {
	r := recorded(t)
	before := r.End.Add(-lastReport)
	connects, ends := map[string]intake.Document{}, map[string]intake.Document{}
	var nConnects int
	for _, d := range r.Documents {
		switch d.Text("transaction.type") {
		case "Connection":
			if d.Text("processor.event") == "transaction" {
				nConnects++
				connects[at(d.Text("service.node.name"), d.Text("transaction.name"), d.Number("timestamp.us"))] = d
			}
		case "Disconnection":
			if d.Text("processor.event") == "transaction" {
				ends[d.Text("labels.websocket_connection_id")] = d
			}
		}
	}
	wantConnects, wantEnds := 0, 0
	for _, c := range r.Driven.Connections {
		if !c.Opened.Add(c.HandshakeTook).Before(before) {
			continue
		}
		wantConnects++
		d, ok := connects[atTime(c.Node, "CONNECT "+c.Route, c.Opened)]
		if !ok {
			t.Errorf("no CONNECT of %+v", c)
			continue
		}
		checkFields(t, d, map[string]any{
			"transaction.result": "HTTP 1xx", "http.response.status_code": 101.0, "client.ip": c.Address, "user.id": c.User,
			"service.name": c.Service, "service.environment": c.Environment, "labels.websocket_origin": orNil(c.Origin),
		})
		checkNear(t, d, "transaction.duration.us", float64(c.HandshakeTook.Microseconds()), 1)
		if c.Closed.IsZero() || !c.Closed.Before(before) {
			continue
		}
		wantEnds++
		end, ok := ends[d.Text("labels.websocket_connection_id")]
		if !ok {
			t.Errorf("no DISCONNECT of %+v", c)
			continue
		}
		checkFields(t, end, map[string]any{
			"transaction.result": string(c.Cause), "labels.websocket_close_code": c.Code,
			"labels.websocket_close_initiator": c.Initiator, "labels.http_route": c.Route, "user.id": c.User,
			"numeric_labels.websocket_messages_received": float64(c.MessagesReceived),
			"numeric_labels.websocket_messages_sent":     float64(c.MessagesSent),
			"numeric_labels.websocket_bytes_received":    float64(c.BytesReceived),
			"numeric_labels.websocket_bytes_sent":        float64(c.BytesSent),
		})
		checkNear(t, end, "numeric_labels.websocket_connection_duration", c.Closed.Sub(c.Opened).Seconds(), 1e-3)
	}
	for _, x := range r.Driven.Refusals {
		if !x.At.Add(x.Took).Before(before) {
			continue
		}
		wantConnects++
		d, ok := connects[atTime(x.Node, "CONNECT "+x.Route, x.At)]
		if !ok {
			t.Errorf("no CONNECT of %+v", x)
			continue
		}
		checkFields(t, d, map[string]any{
			"http.response.status_code": float64(x.Status), "labels.websocket_refusal_reason": x.Reason,
			"client.ip": x.Address, "user.id": orNil(x.User), "labels.websocket_origin": orNil(x.Origin),
		})
	}
	if nConnects != wantConnects || len(ends) != wantEnds {
		t.Errorf("%d CONNECT and %d DISCONNECT, want %d and %d", nConnects, len(ends), wantConnects, wantEnds)
	}
}

func orNil(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func checkFields(t *testing.T, d intake.Document, want map[string]any) {
	t.Helper()
	for field, value := range want {
		if d[field] != value {
			t.Errorf("%s at %s: %s is %v, want %v", d.Text("transaction.name"), d.Text("@timestamp"), field, d[field], value)
		}
	}
}

func checkNear(t *testing.T, d intake.Document, field string, want, margin float64) {
	t.Helper()
	if math.Abs(d.Number(field)-want) > margin {
		t.Errorf("%s at %s: %s is %v, want %v", d.Text("transaction.name"), d.Text("@timestamp"), field, d[field], want)
	}
}

// TestMessages: each message to the services that do not sample has a transaction
// of its length, and each that failed or was slow one everywhere.
func TestMessages(t *testing.T) {
	r := recorded(t)
	before := r.End.Add(-lastReport)
	got := map[string]intake.Document{}
	for _, d := range r.Documents {
		if d.Text("labels.websocket_event") == "message" && d.Text("processor.event") == "transaction" {
			got[at(d.Text("service.node.name"), d.Text("transaction.name"), d.Number("timestamp.us"))] = d
		}
	}
	sampled, represented, quotes, seen := 0, 0.0, 0, 0
	for _, m := range r.Driven.Messages {
		if !m.Done().Before(before) {
			continue
		}
		d, ok := got[atTime(m.Node, m.Name, m.At)]
		if m.Service == "feeds" {
			quotes++
			represented += d.Number("transaction.representative_count")
			if ok {
				sampled++
			}
		}
		switch {
		case ok:
			seen++
			checkFields(t, d, map[string]any{
				"transaction.result": m.Result, "numeric_labels.websocket_message_length": float64(m.Length),
				"labels.http_route": m.Route, "user.id": m.Connection.User,
			})
			checkNear(t, d, "transaction.duration.us", float64(m.Took.Microseconds()), 10)
		case m.Service != "feeds" || m.Failed() || m.Took >= SlowFrom:
			t.Errorf("no transaction of %+v", m)
		}
	}
	if seen != len(got) {
		t.Errorf("%d of %d transactions are of messages that were sent", seen, len(got))
	}
	if share := float64(sampled) / float64(quotes); share < SampleRate/2 || share > 2*SampleRate {
		t.Errorf("%.3f of the quotes are sampled", share)
	}
	if share := represented / float64(quotes); share < 0.7 || share > 1.3 {
		t.Errorf("the sampled quotes stand for %.3f of all", share)
	}
}

// TestBroadcasts: each broadcast has a transaction that tells what became of it.
func TestBroadcasts(t *testing.T) {
	r := recorded(t)
	before := r.End.Add(-lastReport)
	got := map[string]intake.Document{}
	for _, d := range r.Documents {
		if d.Text("labels.websocket_event") == "broadcast" && d.Text("processor.event") == "transaction" {
			got[at(d.Text("service.node.name"), d.Text("transaction.name"), d.Number("timestamp.us"))] = d
		}
	}
	want := 0
	for _, b := range r.Driven.Broadcasts {
		if !b.Complete() || !b.At.Add(b.Took).Before(before) {
			continue
		}
		want++
		d, ok := got[atTime(b.Node, "broadcast "+b.Name, b.At)]
		if !ok {
			t.Errorf("no transaction of %+v", b)
			continue
		}
		checkFields(t, d, map[string]any{
			"transaction.type": "Message", "transaction.result": b.Result(), "labels.http_route": b.Route,
			"labels.websocket_message_direction": "outbound", "numeric_labels.websocket_message_length": float64(b.Length),
			"numeric_labels.websocket_broadcast_recipients": float64(b.Recipients),
			"numeric_labels.websocket_broadcast_failed":     float64(b.Failed),
		})
		checkNear(t, d, "transaction.duration.us", float64(b.Took.Microseconds()), 10)
		checkNear(t, d, "numeric_labels.websocket_broadcast_slowest_write", b.Slowest.Seconds(), 1e-5)
	}
	if len(got) != want || want == 0 {
		t.Errorf("%d transactions of %d broadcasts", len(got), want)
	}
}

// TestCalls: what the APM Server derives of calls is what was called.
func TestCalls(t *testing.T) {
	r := recorded(t)
	before := r.End.Add(-time.Minute).Truncate(time.Minute) // by when they began
	got, want := map[string]float64{}, map[string]float64{}
	for _, d := range r.Aggregates {
		if d.Text("metricset.name") == "service_destination" && d.Text("@timestamp") < before.Format(logTime) && d.Text("service.name") != "feeds" {
			key := d.Text("service.environment") + " " + d.Text("span.destination.service.resource") + " " + d.Text("event.outcome")
			got[key] += d.Number("span.destination.service.response_time.count")
		}
	}
	for _, c := range r.Driven.Calls {
		if c.At.Before(before) && c.Service != "feeds" && c.From != semconv.None {
			want[c.Environment+" "+c.Destination+" "+string(c.Outcome)]++
		}
	}
	for key := range want {
		if got[key] != want[key] {
			t.Errorf("%s: %v calls are told, %v were made", key, got[key], want[key])
		}
	}
	if len(got) != len(want) || len(want) < 5 {
		t.Errorf("%v are told, %v were made", got, want)
	}
}

// TestNoSecrets: what clients and servers put into their queries is nowhere.
func TestNoSecrets(t *testing.T) {
	r := recorded(t)
	for _, request := range r.Requests {
		if bytes.Contains(request.Body, []byte("token=secret")) {
			t.Fatal("a request holds a query")
		}
	}
	for _, line := range r.LogLines {
		if strings.Contains(line, "token=secret") {
			t.Fatal("the log holds a query")
		}
	}
}
