package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/newrelic/go-agent/v3/newrelic"
)

// licenceKey is a key as New Relic's agent wants it.
const licenceKey = "licence-secret-0123456789-0123456789-012"

// collector stands in for New Relic's: it is the transport of its agent.
type collector struct {
	t *testing.T

	mu      sync.Mutex
	raw     bytes.Buffer // all bodies and headers that were sent, uncompressed
	told    []nrEvent
	metrics map[string]nrMetric // without a scope
	scoped  map[string]nrMetric // by "scope name"
}

// nrEvent is a transaction, error or span event.
type nrEvent struct {
	kind                    string // the method by which it came
	intrinsics, user, agent map[string]any
}

func (e nrEvent) str(intrinsic string) string {
	s, _ := e.intrinsics[intrinsic].(string)
	return s
}

type nrMetric struct{ count, total, least, most float64 }

const (
	nrTransaction = "analytic_event_data"
	nrError       = "error_event_data"
	nrErrorTrace  = "error_data"
	nrSpan        = "span_event_data"
)

func newCollector(t *testing.T) *collector {
	return &collector{t: t, metrics: map[string]nrMetric{}, scoped: map[string]nrMetric{}}
}

// configure makes New Relic's agent report to the collector, and ask nobody else
// where it is.
func (c *collector) configure(agent *newrelic.Config) {
	agent.Transport = c
	agent.RuntimeSampler.Enabled = false
	agent.Utilization.DetectAWS = false
	agent.Utilization.DetectAzure = false
	agent.Utilization.DetectGCP = false
	agent.Utilization.DetectPCF = false
	agent.Utilization.DetectDocker = false
	agent.Utilization.DetectKubernetes = false
}

// RoundTrip implements http.RoundTripper.
func (c *collector) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := unzipped(r)
	if err != nil {
		return nil, err
	}
	method := r.URL.Query().Get("method")
	status, answer := http.StatusAccepted, ""
	switch method {
	case "preconnect":
		status, answer = http.StatusOK, `{"return_value":{"redirect_host":"collector.test"}}`
	case "connect":
		status, answer = http.StatusOK, `{"return_value":{"agent_run_id":"1","entity_guid":"the-entity",
			"account_id":"1","trusted_account_key":"1","primary_application_id":"2",
			"sampling_target":1000000,"sampling_target_period_in_seconds":60,"collect_span_events":true,
			"collect_error_events":true,"collect_analytics_events":true,"collect_errors":true,"collect_traces":true}}`
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	fmt.Fprintf(&c.raw, "%s %v %s\n", method, r.Header, body)
	if err := c.take(method, body); err != nil {
		c.t.Errorf("%s: %v in %s", method, err, body)
	}
	return &http.Response{
		StatusCode: status, Status: http.StatusText(status), ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{}, Body: io.NopCloser(strings.NewReader(answer)), Request: r,
	}, nil
}

func unzipped(r *http.Request) ([]byte, error) {
	if r.Header.Get("Content-Encoding") != "gzip" {
		return io.ReadAll(r.Body)
	}
	unzip, err := gzip.NewReader(r.Body)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(unzip)
}

// take decodes what the tests look at.
func (c *collector) take(method string, body []byte) error {
	switch method {
	case nrTransaction, nrError, nrSpan:
		var parts [3]json.RawMessage // the run, the reservoir, the events
		var events [][3]map[string]any
		if err := json.Unmarshal(body, &parts); err != nil {
			return err
		}
		if err := json.Unmarshal(parts[2], &events); err != nil {
			return err
		}
		for _, e := range events {
			c.told = append(c.told, nrEvent{method, e[0], e[1], e[2]})
		}
	case nrErrorTrace:
		var parts [2]json.RawMessage // the run, the errors
		var traces [][6]json.RawMessage
		if err := json.Unmarshal(body, &parts); err != nil {
			return err
		}
		if err := json.Unmarshal(parts[1], &traces); err != nil {
			return err
		}
		for _, trace := range traces {
			if err := c.takeErrorTrace(trace); err != nil {
				return err
			}
		}
	case "metric_data":
		var parts [4]json.RawMessage // the run, from, to, the metrics
		var all [][2]json.RawMessage
		if err := json.Unmarshal(body, &parts); err != nil {
			return err
		}
		if err := json.Unmarshal(parts[3], &all); err != nil {
			return err
		}
		for _, m := range all {
			if err := c.takeMetric(m); err != nil {
				return err
			}
		}
	}
	return nil
}

// takeErrorTrace gives an error trace the shape of an error event.
func (c *collector) takeErrorTrace(trace [6]json.RawMessage) error {
	var transaction, text, class string
	var params struct {
		AgentAttributes, UserAttributes, Intrinsics map[string]any
	}
	for i, into := range []any{&transaction, &text, &class, &params} {
		if err := json.Unmarshal(trace[i+1], into); err != nil { // the first is the time
			return err
		}
	}
	e := nrEvent{nrErrorTrace, params.Intrinsics, params.UserAttributes, params.AgentAttributes}
	e.intrinsics["transactionName"], e.intrinsics["error.message"], e.intrinsics["error.class"] = transaction, text, class
	c.told = append(c.told, e)
	return nil
}

func (c *collector) takeMetric(m [2]json.RawMessage) error {
	var id struct{ Name, Scope string }
	var data [6]float64
	if err := json.Unmarshal(m[0], &id); err != nil {
		return err
	}
	if err := json.Unmarshal(m[1], &data); err != nil {
		return err
	}
	into, name := c.metrics, id.Name
	if id.Scope != "" {
		into, name = c.scoped, id.Scope+" "+id.Name
	}
	sum, known := into[name]
	if !known {
		sum.least, sum.most = data[3], data[4]
	}
	into[name] = nrMetric{sum.count + data[0], sum.total + data[1], min(sum.least, data[3]), max(sum.most, data[4])}
	return nil
}

func (c *collector) sent() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.raw.String()
}

// all returns the events of a kind and name, without New Relic's prefix.
func (c *collector) all(kind, name string) []nrEvent {
	c.mu.Lock()
	defer c.mu.Unlock()
	var found []nrEvent
	for _, e := range c.told {
		if e.kind == kind && (name == "" || strings.TrimPrefix(e.str("name"), "OtherTransaction/Go/") == name) {
			found = append(found, e)
		}
	}
	return found
}

const (
	opened = "Connection/CONNECT /ws HTTP 1xx"
	ended  = "Disconnection/DISCONNECT /ws normal"
)

// record is a transaction.
type record struct{ trace string }

// records returns the transactions by their names and results, none of which
// may be there twice.
func (c *collector) records(t *testing.T) map[string]record {
	t.Helper()
	all := map[string]record{}
	for _, e := range c.all(nrTransaction, "") {
		key := fmt.Sprint(strings.TrimPrefix(e.str("name"), "OtherTransaction/Go/"), " ", e.user["result"])
		if _, again := all[key]; again {
			t.Errorf("there are two %s", key)
		}
		all[key] = record{trace: e.str("traceId")}
	}
	return all
}

// connected waits until the agent is: it drops what comes before.
func connected(t *testing.T, app *newrelic.Application) {
	t.Helper()
	if err := app.WaitForConnection(patience); err != nil {
		t.Fatal(err)
	}
}
