package newrelicws

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/newrelic/go-agent/v3/newrelic"

	"github.com/apmws/go-apmws/exporters/internal/alone"
)

// collector stands in for New Relic's collector: it is the transport of an agent,
// and keeps what the agent posts.
type collector struct {
	mu      sync.Mutex
	reply   map[string]any // to connect
	away    bool           // the collector cannot be reached
	restart bool           // the next data is answered with a forced restart
	gate    chan struct{}  // when set, connecting waits for it
	runs    int
	calls   []call
}

// call is one post.
type call struct {
	method string
	url    string
	body   []byte // as JSON
}

func newCollector() *collector {
	return &collector{reply: map[string]any{
		"entity_guid": "ENTITY", "account_id": "1", "trusted_account_key": "1", "primary_application_id": "2",
		"sampling_target": 1_000_000, "sampling_target_period_in_seconds": 60,
		"collect_span_events": true, "collect_error_events": true, "collect_analytics_events": true, "collect_errors": true,
		"collect_traces": true,
	}}
}

// RoundTrip implements http.RoundTripper.
func (c *collector) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := decodeBody(r)
	if err != nil {
		return nil, err
	}
	method := r.URL.Query().Get("method")
	c.mu.Lock()
	gate := c.gate
	c.mu.Unlock()
	if gate != nil && (method == "preconnect" || method == "connect") {
		<-gate
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.away {
		return nil, fmt.Errorf("%s is away", r.URL.Host)
	}
	c.calls = append(c.calls, call{method: method, url: r.URL.String(), body: body})
	status, answer := http.StatusAccepted, ""
	switch {
	case method == "preconnect":
		status, answer = http.StatusOK, `{"return_value":{"redirect_host":"collector.test"}}`
	case method == "connect":
		c.runs++
		reply := maps.Clone(c.reply)
		reply["agent_run_id"] = fmt.Sprint("run", c.runs)
		encoded, err := json.Marshal(map[string]any{"return_value": reply})
		if err != nil {
			return nil, err
		}
		status, answer = http.StatusOK, string(encoded)
	case c.restart:
		c.restart = false
		status = http.StatusUnauthorized // a forced restart in this protocol
	}
	return &http.Response{
		StatusCode: status, Status: http.StatusText(status), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{}, Body: io.NopCloser(strings.NewReader(answer)), Request: r,
	}, nil
}

func decodeBody(r *http.Request) ([]byte, error) {
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

// set changes the collector's behaviour.
func (c *collector) set(change func(*collector)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change(c)
}

// sent is every byte that the agent has posted.
func (c *collector) sent() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all strings.Builder
	for _, call := range c.calls {
		all.WriteString(call.url)
		all.Write(call.body)
	}
	return all.String()
}

// logs is the agent's logger. Every warning and error line fails the test, unless
// it is expected: traps of New Relic's API show there alone.
type logs struct {
	t        testing.TB
	mu       sync.Mutex
	expected []string
	seen     int           // lines that were expected
	hold     chan struct{} // when set, what is logged on connecting waits for it
}

func (l *logs) line(level, msg string, context map[string]any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	line := fmt.Sprint(level, " ", msg, " ", context)
	for _, expected := range l.expected {
		if strings.Contains(line, expected) {
			l.seen++
			return
		}
	}
	l.t.Errorf("New Relic's agent logs: %s", line)
}

// count is how many lines there were.
func (l *logs) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.seen
}

func (l *logs) Error(msg string, context map[string]any) { l.line("error", msg, context) }
func (l *logs) Warn(msg string, context map[string]any)  { l.line("warn", msg, context) }
func (l *logs) Debug(string, map[string]any)             {}
func (l *logs) DebugEnabled() bool                       { return false }
func (l *logs) Info(msg string, _ map[string]any) {
	if l.hold != nil && msg == "application connected" {
		<-l.hold
	}
}

// quietConfig switches off what has nothing to do with the tests.
func quietConfig(c *collector, log *logs) newrelic.ConfigOption {
	return func(cfg *newrelic.Config) {
		cfg.AppName = "chat"
		cfg.License = strings.Repeat("a", 40)
		cfg.Transport = c
		cfg.Logger = log
		alone.NewRelic(cfg)
	}
}

// startApp starts an agent without waiting for its connection.
func startApp(t testing.TB, c *collector, log *logs, options ...newrelic.ConfigOption) *newrelic.Application {
	t.Helper()
	log.t = t
	app, err := newrelic.NewApplication(append([]newrelic.ConfigOption{quietConfig(c, log)}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { app.Shutdown(10 * time.Second) })
	return app
}

// newApp starts an agent that is connected.
func newApp(t testing.TB, c *collector, options ...newrelic.ConfigOption) *newrelic.Application {
	t.Helper()
	app := startApp(t, c, &logs{}, options...)
	connect(t, app)
	return app
}

func connect(t testing.TB, app *newrelic.Application) {
	t.Helper()
	if err := app.WaitForConnection(30 * time.Second); err != nil {
		t.Fatal(err)
	}
}

// event is an event of any kind.
type event struct {
	intrinsics, user, agent map[string]any
}

// harvest is what an agent has sent, decoded.
type harvest struct {
	transactions, errors, spans []event
	metrics                     map[string][6]float64 // without a scope
	traces                      []errorTrace
	methods                     map[string]int
}

// errorTrace is an error document with its stack.
type errorTrace struct {
	transaction, message, class string
	stack                       []string
	attributes                  map[string]any
}

// harvest shuts the agent down, which makes it send, and decodes.
func (c *collector) harvest(t testing.TB, app *newrelic.Application) *harvest {
	t.Helper()
	app.Shutdown(30 * time.Second)
	return c.decode(t)
}

func (c *collector) decode(t testing.TB) *harvest {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	h := &harvest{metrics: make(map[string][6]float64), methods: make(map[string]int)}
	for _, call := range c.calls {
		h.methods[call.method]++
		switch call.method {
		case "analytic_event_data":
			h.transactions = append(h.transactions, decodeEvents(t, call.body)...)
		case "error_event_data":
			h.errors = append(h.errors, decodeEvents(t, call.body)...)
		case "span_event_data":
			h.spans = append(h.spans, decodeEvents(t, call.body)...)
		case "metric_data":
			h.decodeMetrics(t, call.body)
		case "error_data":
			h.decodeErrorTraces(t, call.body)
		}
	}
	return h
}

func decodeEvents(t testing.TB, body []byte) []event {
	t.Helper()
	var payload [3]json.RawMessage // run, reservoir, events
	var raw [][3]map[string]any
	unmarshal(t, body, &payload)
	unmarshal(t, payload[2], &raw)
	var events []event
	for _, e := range raw {
		events = append(events, event{intrinsics: e[0], user: e[1], agent: e[2]})
	}
	return events
}

func (h *harvest) decodeMetrics(t testing.TB, body []byte) {
	t.Helper()
	var payload [4]json.RawMessage // run, start, end, metrics
	var raw [][2]json.RawMessage
	unmarshal(t, body, &payload)
	unmarshal(t, payload[3], &raw)
	for _, m := range raw {
		var id struct{ Name, Scope string }
		var data [6]float64
		unmarshal(t, m[0], &id)
		unmarshal(t, m[1], &data)
		if id.Scope != "" {
			continue
		}
		sum, known := h.metrics[id.Name]
		sum[0] += data[0]
		sum[1] += data[1]
		if sum[3] = min(sum[3], data[3]); !known {
			sum[3] = data[3]
		}
		sum[4] = max(sum[4], data[4])
		h.metrics[id.Name] = sum
	}
}

func (h *harvest) decodeErrorTraces(t testing.TB, body []byte) {
	t.Helper()
	var payload [2]json.RawMessage // run, errors
	var raw [][6]json.RawMessage   // time, transaction, message, class, details, id
	unmarshal(t, body, &payload)
	unmarshal(t, payload[1], &raw)
	for _, e := range raw {
		var trace errorTrace
		var details struct {
			Stack []string       `json:"stack_trace"`
			User  map[string]any `json:"userAttributes"`
		}
		unmarshal(t, e[1], &trace.transaction)
		unmarshal(t, e[2], &trace.message)
		unmarshal(t, e[3], &trace.class)
		unmarshal(t, e[4], &details)
		trace.stack, trace.attributes = details.Stack, details.User
		h.traces = append(h.traces, trace)
	}
}

func unmarshal(t testing.TB, data []byte, to any) {
	t.Helper()
	if err := json.Unmarshal(data, to); err != nil {
		t.Fatalf("%v in %s", err, data)
	}
}

// transaction returns the only transaction of that name, without New Relic's
// prefix.
func (h *harvest) transaction(t testing.TB, name string) event {
	t.Helper()
	return one(t, h.transactions, "OtherTransaction/Go/"+name)
}

func (h *harvest) span(t testing.TB, name string) event {
	t.Helper()
	return one(t, h.spans, name)
}

func one(t testing.TB, events []event, name string) event {
	t.Helper()
	var found []event
	for _, e := range events {
		if e.intrinsics["name"] == name {
			found = append(found, e)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d of %q among %q, want one", len(found), name, names(events))
	}
	return found[0]
}

// error returns the only error event.
func (h *harvest) error(t testing.TB) event {
	t.Helper()
	if len(h.errors) != 1 {
		t.Fatalf("%d errors, want one", len(h.errors))
	}
	return h.errors[0]
}

func names(events []event) []string {
	var all []string
	for _, e := range events {
		all = append(all, fmt.Sprint(e.intrinsics["name"]))
	}
	slices.Sort(all)
	return all
}

// count is how often a metric was recorded, and total the sum of its values.
func (h *harvest) count(name string) float64 { return h.metrics[name][0] }
func (h *harvest) total(name string) float64 { return h.metrics[name][1] }

// wantAttributes compares all attributes.
func wantAttributes(t testing.TB, what string, got, want map[string]any) {
	t.Helper()
	for key, value := range got {
		if w, ok := want[key]; !ok || w != value {
			t.Errorf("%s: %s is %v, want %v", what, key, value, want[key])
		}
	}
	for key, value := range want {
		if _, ok := got[key]; !ok {
			t.Errorf("%s: no %s, want %v", what, key, value)
		}
	}
}
