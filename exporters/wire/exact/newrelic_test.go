package exact

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/newrelic/go-agent/v3/newrelic"

	"github.com/apmws/go-apmws/apmws"
	"github.com/apmws/go-apmws/exporters/internal/alone"
	"github.com/apmws/go-apmws/exporters/newrelicws"
)

// collector stands in for New Relic's collector, as the transport of an agent. It adds
// up the metrics that it accepts.
type collector struct {
	mu       sync.Mutex
	judge    func(method string, request int) verdict // nil: all are accepted
	requests map[string]int                           // by method
	refusals map[string]int
	accepted map[string][6]float64   // the name's count, total, exclusive, least, greatest, squares
	refused  []map[string][6]float64 // each post of metrics that was not accepted
	runs     int
}

func newCollector() *collector {
	return &collector{
		requests: make(map[string]int), refusals: make(map[string]int), accepted: make(map[string][6]float64),
	}
}

// RoundTrip implements http.RoundTripper.
func (c *collector) RoundTrip(r *http.Request) (*http.Response, error) {
	method := r.URL.Query().Get("method")
	metrics, err := c.read(method, r)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	judge, number := c.judge, c.requests[method]
	c.requests[method]++
	c.mu.Unlock()
	judgement := accept
	if judge != nil {
		judgement = judge(method, number) // may take its time
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if metrics != nil && judgement != accept {
		c.refused = append(c.refused, metrics)
		metrics = nil
	}
	status, answer := http.StatusAccepted, ""
	switch {
	case judgement == reset:
		c.refusals[method]++
		return nil, errors.New("connection reset by peer")
	case judgement != accept:
		c.refusals[method]++
		status = int(judgement)
	case method == "preconnect":
		status, answer = http.StatusOK, `{"return_value":{"redirect_host":"collector.test"}}`
	case method == "connect":
		c.runs++
		status, answer = http.StatusOK, fmt.Sprintf(`{"return_value":{"agent_run_id":"run%d","entity_guid":"ENTITY",`+
			`"account_id":"1","trusted_account_key":"1","primary_application_id":"2","collect_span_events":true,`+
			`"collect_error_events":true,"collect_analytics_events":true,"collect_errors":true}}`, c.runs)
	}
	for name, data := range metrics {
		c.accepted[name] = merged(c.accepted, name, data)
	}
	return &http.Response{
		StatusCode: status, Status: http.StatusText(status), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{}, Body: io.NopCloser(strings.NewReader(answer)), Request: r,
	}, nil
}

func merged(all map[string][6]float64, name string, data [6]float64) [6]float64 {
	sum, known := all[name]
	if !known {
		return data
	}
	for i := range sum {
		switch i {
		case 3:
			sum[i] = min(sum[i], data[i])
		case 4:
			sum[i] = max(sum[i], data[i])
		default:
			sum[i] += data[i]
		}
	}
	return sum
}

// read decodes a post of metrics, and leaves others alone. Metrics of a scope are
// within those without.
func (c *collector) read(method string, r *http.Request) (metrics map[string][6]float64, err error) {
	posted, err := io.ReadAll(r.Body)
	if err != nil || method != "metric_data" {
		return nil, err
	}
	zip, err := gzip.NewReader(bytes.NewReader(posted))
	if err != nil {
		return nil, err
	}
	var payload [4]json.RawMessage // run, start, end, metrics
	var raw [][2]json.RawMessage
	if err := json.NewDecoder(zip).Decode(&payload); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(payload[3], &raw); err != nil {
		return nil, err
	}
	metrics = make(map[string][6]float64)
	for _, m := range raw {
		var id struct{ Name, Scope string }
		var data [6]float64
		if err := errors.Join(json.Unmarshal(m[0], &id), json.Unmarshal(m[1], &data)); err != nil {
			return nil, err
		}
		if id.Scope == "" {
			metrics[id.Name] = data
		}
	}
	return metrics, nil
}

// seen returns what was accepted.
func (c *collector) seen() map[string][6]float64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.accepted)
}

// failed is how many posts of data were not accepted.
func (c *collector) failed() (n uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for method, refusals := range c.refusals {
		if strings.HasSuffix(method, "_data") {
			n += uint64(refusals)
		}
	}
	return n
}

// agentLog is the logger of New Relic's agent. What it complains of fails the test,
// but for what is expected.
type agentLog struct {
	t        testing.TB
	expected string
	held     chan struct{} // when it is not nil, the agent takes nothing, once connected, until it is closed
}

func (l *agentLog) complain(msg string, context map[string]any) {
	if l.expected == "" || !strings.Contains(msg, l.expected) {
		l.t.Errorf("New Relic's agent: %s %v", msg, context)
	}
}

func (l *agentLog) Error(msg string, context map[string]any) { l.complain(msg, context) }
func (l *agentLog) Warn(msg string, context map[string]any)  { l.complain(msg, context) }
func (l *agentLog) Debug(string, map[string]any)             {}
func (l *agentLog) DebugEnabled() bool                       { return false }
func (l *agentLog) Info(msg string, _ map[string]any) {
	if l.held != nil && msg == "application connected" {
		<-l.held
	}
}

// start starts New Relic's agent.
func (c *collector) start(t testing.TB, log *agentLog) *newrelic.Application {
	t.Helper()
	log.t = t
	app, err := newrelic.NewApplication(func(cfg *newrelic.Config) {
		cfg.AppName = "exact"
		cfg.License = strings.Repeat("a", 40)
		cfg.Transport = c
		cfg.Logger = log
		alone.NewRelic(cfg)
	}, newrelicws.CountRequests)
	if err != nil {
		t.Fatal(err)
	}
	return app
}

func connected(t testing.TB, app *newrelic.Application) *newrelic.Application {
	t.Helper()
	if err := app.WaitForConnection(time.Minute); err != nil {
		t.Fatal(err)
	}
	return app
}

// newRelicTotals are the totals that New Relic is to have, by the snapshot: its
// metrics have no labels, so that routes are added up.
func newRelicTotals(stats *apmws.Stats) map[string]float64 {
	all := make(map[string]float64)
	for i := range stats.Routes {
		r := &stats.Routes[i]
		all["Connections/Opened"] += float64(r.ConnectionsOpened)
		all["Messages/Received"] += float64(r.MessagesReceived)
		all["Messages/Sent"] += float64(r.MessagesSent)
		all["Bytes/Received"] += float64(r.BytesReceived)
		all["Bytes/Sent"] += float64(r.BytesSent)
		all["Pings/Unanswered"] += float64(r.PingsUnanswered)
		for _, x := range r.Refused {
			all["Connections/Refused/"+x.Reason] += float64(x.Count)
		}
		for _, x := range r.Closed {
			all["Connections/Closed/"+string(x.Cause)] += float64(x.Count)
		}
		for _, x := range r.Messages {
			all[fmt.Sprintf("Messages/Handled/%s/%s", x.Name, x.Outcome)] += float64(x.Duration.Count)
		}
	}
	for _, d := range stats.Dropped {
		all[fmt.Sprintf("Telemetry/Dropped/%s/%s", d.Exporter, d.Reason)] += float64(d.Count)
	}
	return all
}

// compareNewRelic returns in what New Relic's totals differ from what they should be.
func compareNewRelic(got map[string][6]float64, want map[string]float64) (problems []string) {
	const prefix = "Custom/WebSocket/"
	sums := make(map[string]float64)
	for name, data := range got {
		if name, ours := strings.CutPrefix(name, prefix); ours && name != "Connections/Active" {
			sums[name] = data[1]
		}
	}
	for name := range union(sums, want) {
		if sums[name] != want[name] {
			problems = append(problems, fmt.Sprintf("%s: %v, want %v", name, sums[name], want[name]))
		}
	}
	return problems
}
