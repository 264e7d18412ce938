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

type nrMetric struct{ count, total float64 }

const (
	nrTransaction = "analytic_event_data"
	nrError       = "error_event_data"
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
	sum := into[name]
	into[name] = nrMetric{sum.count + data[0], sum.total + data[1]}
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

// connected waits until the agent is: it drops what comes before.
func connected(t *testing.T, app *newrelic.Application) {
	t.Helper()
	if err := app.WaitForConnection(patience); err != nil {
		t.Fatal(err)
	}
}
