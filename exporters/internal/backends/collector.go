package backends

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/apmws/go-apmws/apmws/exportertest"
)

// connected is the answer to connect: all is collected, and nothing sampled away.
const connected = `{"return_value":{"agent_run_id":"run","entity_guid":"ENTITY","account_id":"1",` +
	`"trusted_account_key":"1","primary_application_id":"2",` +
	`"sampling_target":1000000,"sampling_target_period_in_seconds":60,` +
	`"event_harvest_config":{"report_period_ms":60000,"harvest_limits":{` +
	`"analytic_event_data":10000,"error_event_data":10000,"custom_event_data":1,"span_event_data":10000,"log_event_data":1}},` +
	`"collect_span_events":true,"collect_error_events":true,"collect_analytics_events":true,` +
	`"collect_errors":true,"collect_traces":true}}`

// collector is New Relic's: the transport of an agent, which keeps what is posted.
type collector struct {
	gate  gate
	mu    sync.Mutex
	raw   strings.Builder
	calls []call
}

type call struct {
	method string
	body   []byte // JSON
}

// RoundTrip implements http.RoundTripper.
func (c *collector) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := gunzip(r)
	if err != nil {
		return nil, err
	}
	c.gate.pass()
	method := r.URL.Query().Get("method")
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls = append(c.calls, call{method, body})
	c.raw.WriteString(r.URL.String())
	c.raw.Write(body)
	status, answer := http.StatusAccepted, ""
	switch method {
	case "preconnect":
		status, answer = http.StatusOK, `{"return_value":{"redirect_host":"collector.test"}}`
	case "connect":
		status, answer = http.StatusOK, connected
	}
	return &http.Response{
		StatusCode: status, Status: http.StatusText(status), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{}, Body: io.NopCloser(strings.NewReader(answer)), Request: r,
	}, nil
}

func gunzip(r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil || r.Header.Get("Content-Encoding") != "gzip" {
		return body, err
	}
	zip, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(zip)
}

// event is an event of any kind, each with three lists of attributes.
type event struct {
	intrinsics, user, agent map[string]any
}

// telemetry reads all that was posted.
func (c *collector) telemetry() (exportertest.Telemetry, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	sent := exportertest.Telemetry{Raw: c.raw.String()}
	events := make(map[string][]event)
	for _, call := range c.calls {
		switch call.method {
		case "analytic_event_data", "span_event_data", "error_event_data":
			decoded, err := decodeEvents(call.body)
			if err != nil {
				return sent, fmt.Errorf("backends: %w in %s %s", err, call.method, call.body)
			}
			events[call.method] = append(events[call.method], decoded...)
		}
	}
	index := make(map[string]int) // of the transactions, by their ids
	for _, e := range events["analytic_event_data"] {
		index[e.text("guid")] = len(sent.Transactions)
		sent.Transactions = append(sent.Transactions, e.transaction())
	}
	for _, e := range events["span_event_data"] {
		at, known := index[e.text("transactionId")]
		if !known {
			return sent, fmt.Errorf("backends: the transaction of %v was not sent", e.intrinsics)
		}
		if tx := &sent.Transactions[at]; e.intrinsics["nr.entryPoint"] == true {
			tx.SpanID = e.text("guid") // of the span that stands for the transaction
		} else {
			tx.Spans = append(tx.Spans, e.span())
		}
	}
	for _, e := range events["error_event_data"] {
		at, known := index[e.text("guid")]
		if !known {
			return sent, fmt.Errorf("backends: the transaction of %v was not sent", e.intrinsics)
		}
		tx := &sent.Transactions[at]
		tx.Errors = append(tx.Errors, e.error())
	}
	return sent, nil
}

// decodeEvents reads what a post of events holds: [run, reservoir, events].
func decodeEvents(body []byte) ([]event, error) {
	var payload [3]json.RawMessage
	if err := json.Unmarshal(body, &payload); err != nil {
		return nil, err
	}
	var raw [][3]map[string]any
	if err := json.Unmarshal(payload[2], &raw); err != nil {
		return nil, err
	}
	events := make([]event, len(raw))
	for i, e := range raw {
		events[i] = event{intrinsics: e[0], user: e[1], agent: e[2]}
	}
	return events, nil
}
