package intake_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.elastic.co/apm/v2"

	"github.com/apmws/go-apmws/exporters/wire/intake"
)

const (
	transactions = "metrics-apm.transaction.1m-default"
	destinations = "metrics-apm.service_destination.1m-default"
)

// sampled is the trace context of one of so many, as another agent sends it.
func sampled(rate string) apm.TraceContext {
	return apm.TraceContext{
		Trace: apm.TraceID{1}, Span: apm.SpanID{2}, Options: apm.TraceOptions(0).WithRecorded(true),
		State: apm.NewTraceState(apm.TraceStateEntry{Key: "es", Value: "s:" + rate}),
	}
}

// TestTransactionAggregates: transactions by minute and group, sampled ones as many
// as they stand for.
func TestTransactionAggregates(t *testing.T) {
	s := intake.New()
	tracer := start(t, s)
	began := time.Now().Truncate(time.Minute).Add(-time.Hour)
	say := func(at, took time.Duration, outcome string, options apm.TransactionOptions) {
		options.Start = began.Add(at)
		tx := tracer.StartTransactionOptions("chat.say", "Message", options)
		tx.Result, tx.Outcome, tx.Duration = "ok", outcome, took
		tx.Context.SetLabel("websocket.connection.id", "c1")
		tx.End()
	}
	say(time.Second, 200*time.Microsecond, "success", apm.TransactionOptions{})
	say(time.Second, 200*time.Microsecond, "success", apm.TransactionOptions{})
	say(59*time.Second, 1001*time.Microsecond, "success", apm.TransactionOptions{})
	say(2*time.Second, time.Millisecond, "failure", apm.TransactionOptions{})
	say(2*time.Second, time.Millisecond, "unknown", apm.TransactionOptions{})
	say(61*time.Second, time.Millisecond, "success", apm.TransactionOptions{TraceContext: sampled("0.25")})
	say(125*time.Second, time.Hour+time.Microsecond, "success", apm.TransactionOptions{})
	send(t, tracer)
	all := s.Aggregates()
	minute := func(n int) string {
		return began.Add(time.Duration(n) * time.Minute).UTC().Format("2006-01-02T15:04:05.000Z")
	}
	d := find(t, all, transactions, map[string]any{"@timestamp": minute(0), "event.outcome": "success"})
	want(t, d, map[string]any{
		"transaction.name": "chat.say", "transaction.type": "Message", "transaction.result": "ok", "transaction.root": true,
		"_doc_count": 3, "service.name": "chat-gateway", "labels.team": "chat", "labels.websocket_connection_id": nil,
		"metricset.name": "transaction", "metricset.interval": "1m", "processor.event": "metric", "agent.name": "go",
		"transaction.duration.histogram": map[string]any{"values": []int{200, 1000}, "counts": []int{2, 1}},
		"transaction.duration.summary":   map[string]any{"sum": 1400, "value_count": 3},
		"event.success_count":            map[string]any{"sum": 3, "value_count": 3},
	})
	want(t, find(t, all, transactions, map[string]any{"event.outcome": "failure"}), map[string]any{
		"_doc_count": 1, "event.success_count": map[string]any{"sum": 0, "value_count": 1},
	})
	want(t, find(t, all, transactions, map[string]any{"event.outcome": "unknown"}), map[string]any{
		"_doc_count": 1, "event.success_count": nil,
	})
	want(t, find(t, all, transactions, map[string]any{"@timestamp": minute(1)}), map[string]any{
		"_doc_count": 4, "transaction.root": nil,
		"transaction.duration.histogram": map[string]any{"values": []int{1000}, "counts": []int{4}},
		"event.success_count":            map[string]any{"sum": 4, "value_count": 4},
	})
	// What lasted longer than an hour is in no histogram.
	want(t, find(t, all, transactions, map[string]any{"@timestamp": minute(2)}), map[string]any{
		"_doc_count": nil, "transaction.duration.histogram": nil, "transaction.duration.summary": nil, "event.success_count": nil,
	})
	if len(all) != 5 {
		t.Errorf("%d documents, want 5: %v", len(all), all)
	}
}

// TestDestinationAggregates: exit spans, compressed and dropped ones included.
func TestDestinationAggregates(t *testing.T) {
	s := intake.New()
	tracer := start(t, s)
	tracer.SetExitSpanMinDuration(time.Millisecond)
	tx := tracer.StartTransactionOptions("m", "Message", apm.TransactionOptions{TraceContext: sampled("0.5")})
	call := func(name, typ string, took time.Duration, outcome string) {
		span := tx.StartExitSpan(name, typ, nil)
		span.Duration, span.Outcome = took, outcome
		span.End()
	}
	call("PUBLISH", "messaging.redis.publish", 2*time.Millisecond, "success")
	call("PUBLISH", "messaging.redis.publish", 3*time.Millisecond, "success")
	call("PUBLISH", "messaging.redis.publish", 4*time.Millisecond, "failure")
	call("GET", "db.redis.get", 100*time.Microsecond, "success") // dropped: too fast
	call("SELECT", "db.mysql.query", 5*time.Millisecond, "success")
	inner := tx.StartSpan("inner", "app", nil) // no exit
	inner.Duration = time.Second
	inner.End()
	tx.End()
	send(t, tracer)
	all := s.Aggregates()
	for _, test := range []struct {
		name, resource, outcome any
		count, us               int
	}{
		{"PUBLISH", "redis", "success", 4, 10000},
		{"PUBLISH", "redis", "failure", 2, 8000},
		{nil, "redis", "success", 2, 200},
		{"SELECT", "mysql", "success", 2, 10000},
	} {
		d := find(t, all, destinations, map[string]any{
			"span.name": test.name, "span.destination.service.resource": test.resource, "event.outcome": test.outcome,
		})
		want(t, d, map[string]any{
			"span.destination.service.response_time.count":  test.count,
			"span.destination.service.response_time.sum.us": test.us,
			"service.target.type":                           test.resource,
			"service.name":                                  "chat-gateway", "service.node.name": nil, "labels.team": "chat",
			"metricset.name": "service_destination", "metricset.interval": "1m",
		})
	}
	if len(all) != 5 { // and the transaction
		t.Errorf("%d documents, want 5: %v", len(all), all)
	}
}

// TestUnsampled: an older agent's transaction that was not sampled is not indexed,
// and stands for none.
func TestUnsampled(t *testing.T) {
	s := intake.New()
	body := strings.Replace(transaction, `"sampled":true`, `"sampled":false,"sample_rate":0`, 1)
	if w := post(t, s, "", []byte(metadata+body)); w.Code != http.StatusAccepted {
		t.Fatal(w.Code, w.Body)
	}
	if all := append(s.Documents(), s.Aggregates()...); len(all) > 0 {
		t.Errorf("%v", all)
	}
}

// TestBuckets: histograms are bounded, and no value is off by a hundredth.
func TestBuckets(t *testing.T) {
	s := intake.New()
	var body strings.Builder
	body.WriteString(metadata)
	const n = 3000
	var sum float64
	us := 1.0
	for range n {
		sum += us
		body.WriteString(strings.Replace(transaction, `"duration":1,`, fmt.Sprintf(`"duration":%.3f,`, us/1e3), 1))
		us *= 1.005
	}
	if w := post(t, s, "", []byte(body.String())); w.Code != http.StatusAccepted {
		t.Fatal(w.Code, w.Body)
	}
	d := find(t, s.Aggregates(), transactions, nil)
	summary := d["transaction.duration.summary"].(map[string]any)
	if got := summary["sum"].(float64); got > sum || got < sum*0.99 || summary["value_count"] != float64(n) {
		t.Errorf("%v, want %.0f of %d", summary, sum, n)
	}
	if values := d["transaction.duration.histogram"].(map[string]any)["values"].([]any); len(values) > 2000 {
		t.Errorf("%d buckets", len(values))
	}
}
