package collector_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/newrelic/go-agent/v3/newrelic"

	"github.com/apmws/go-apmws/exporters/wire/collector"
)

// start connects an agent to a collector.
func start(t *testing.T, c *collector.Collector, options ...newrelic.ConfigOption) *newrelic.Application {
	t.Helper()
	app, err := newrelic.NewApplication(append([]newrelic.ConfigOption{c.Configure}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { app.Shutdown(10 * time.Second) })
	if err := app.WaitForConnection(30 * time.Second); err != nil {
		t.Fatal(err)
	}
	return app
}

// healthy fails the test if the collector has noticed anything.
func healthy(t *testing.T, c *collector.Collector) {
	t.Helper()
	for _, problem := range c.Problems() {
		t.Error(problem)
	}
}

// find returns the only event of a name.
func find(t *testing.T, events []collector.Event, name string) collector.Event {
	t.Helper()
	var found []collector.Event
	var names []string
	for _, e := range events {
		names = append(names, e.Name())
		if e.Name() == name {
			found = append(found, e)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d events %q among %q, want one", len(found), name, names)
	}
	return found[0]
}

// TestHarvest: everything that an agent sends, taken apart.
func TestHarvest(t *testing.T) {
	c := collector.New()
	app := start(t, c, newrelic.ConfigAppLogForwardingEnabled(true), func(cfg *newrelic.Config) {
		cfg.TransactionTracer.Threshold.IsApdexFailing = false
		cfg.TransactionTracer.Threshold.Duration = 0
		cfg.TransactionTracer.Segments.Threshold = 0
		cfg.DatastoreTracer.SlowQuery.Threshold = 0
	})
	txn := app.StartTransaction("Message/chat.say")
	txn.AddAttribute("websocket.connection.id", "c1")
	txn.AddAttribute("websocket.message.length", 12)
	txn.SetUserID("u1")
	segment := txn.StartSegment("work")
	segment.AddAttribute("step", "first")
	segment.End()
	query := newrelic.DatastoreSegment{
		StartTime: txn.StartSegmentNow(), Product: newrelic.DatastoreMySQL, Collection: "users", Operation: "SELECT",
		ParameterizedQuery: "SELECT * FROM users",
	}
	query.End()
	txn.NoticeError(newrelic.Error{Message: "no room", Class: "full", Attributes: map[string]any{"room": "r1"}, Stack: newrelic.NewStackTrace()})
	txn.End()
	app.RecordCustomMetric("WebSocket/Connections/Active", 3)
	app.RecordCustomMetric("WebSocket/Connections/Active", 5)
	app.RecordCustomEvent("Shipment", map[string]any{"weight": 2})
	app.RecordLog(newrelic.LogData{Message: "hello", Severity: "info", Attributes: map[string]any{"k": "v"}})
	app.Shutdown(30 * time.Second)
	healthy(t, c)
	h := c.Harvest()

	tx := find(t, h.Transactions, "OtherTransaction/Go/Message/chat.say")
	if tx.Intrinsics["type"] != "Transaction" || tx.User["websocket.connection.id"] != "c1" || tx.User["websocket.message.length"] != 12.0 ||
		tx.Agent["enduser.id"] != "u1" || tx.Intrinsics["error"] != true {
		t.Errorf("%v", tx)
	}
	root := find(t, h.Spans, "OtherTransaction/Go/Message/chat.say")
	work := find(t, h.Spans, "Custom/work")
	if work.Intrinsics["parentId"] != root.Intrinsics["guid"] || work.Intrinsics["traceId"] != tx.Intrinsics["traceId"] || work.User["step"] != "first" {
		t.Errorf("%v is not in %v", work, root)
	}
	if len(h.Errors) != 1 || h.Errors[0].Intrinsics["error.message"] != "no room" || h.Errors[0].User["room"] != "r1" {
		t.Errorf("errors: %v", h.Errors)
	}
	if len(h.ErrorTraces) != 1 {
		t.Fatalf("error traces: %v", h.ErrorTraces)
	}
	trace := h.ErrorTraces[0]
	if trace.Message != "no room" || trace.Class != "full" || trace.Transaction != tx.Name() || trace.User["room"] != "r1" ||
		trace.TransactionID == "" || len(trace.Stack) == 0 || !strings.Contains(trace.Stack[0], "TestHarvest (") {
		t.Errorf("%+v", trace)
	}
	if len(h.Traces) != 1 || h.Traces[0].Name != tx.Name() || h.Traces[0].User["websocket.connection.id"] != "c1" ||
		h.Traces[0].ID != tx.Intrinsics["traceId"] || !strings.Contains(fmt.Sprint(h.Traces[0].Segments), "Custom/work") {
		t.Errorf("traces: %+v", h.Traces)
	}
	if len(h.Queries) != 1 || h.Queries[0].SQL != "SELECT * FROM users" || h.Queries[0].Count != 1 || h.Queries[0].Transaction != tx.Name() {
		t.Errorf("queries: %+v", h.Queries)
	}
	if len(h.Custom) != 1 || h.Custom[0].Intrinsics["type"] != "Shipment" || h.Custom[0].User["weight"] != 2.0 {
		t.Errorf("custom events: %v", h.Custom)
	}
	if len(h.Logs) != 1 || h.Logs[0].Line["message"] != "hello" || h.Logs[0].Common["entity.guid"] != collector.EntityGUID || h.Logs[0].Attributes["k"] != "v" {
		t.Errorf("logs: %v", h.Logs)
	}
	active := h.Metrics[collector.Metric{Name: "Custom/WebSocket/Connections/Active"}]
	if active != (collector.Values{Count: 2, Total: 8, Exclusive: 8, Min: 3, Max: 5, Squares: 34}) {
		t.Errorf("%+v", active)
	}
	scoped := h.Metrics[collector.Metric{Name: "Custom/work", Scope: tx.Name()}]
	if unscoped := h.Metrics[collector.Metric{Name: "Custom/work"}]; scoped.Count != 1 || unscoped.Count != 1 {
		t.Errorf("%+v, %+v", scoped, unscoped)
	}
	if h.Settings["app_name"] == nil || h.Reports["metric_data"] != 1 || h.Reports["connect"] != 1 || h.Seen["analytic_event_data"] != 1 {
		t.Errorf("%v %v %v", h.Settings["app_name"], h.Reports, h.Seen)
	}
}

// TestSent: what was sent is there, and the licence is not.
func TestSent(t *testing.T) {
	for _, drop := range []bool{false, true} {
		c := collector.New()
		c.DropBodies = drop
		app := start(t, c)
		app.StartTransaction("Message/chat.say").End()
		app.Shutdown(30 * time.Second)
		for _, want := range []string{"connect [{", "analytic_event_data [", "OtherTransaction/Go/Message/chat.say"} {
			if strings.Contains(c.Sent(), want) == drop {
				t.Errorf("%q in %s: %t", want, c.Sent(), drop)
			}
		}
		if strings.Contains(c.Sent(), "SECRET") {
			t.Errorf("the licence is in %s", c.Sent())
		}
		find(t, c.Harvest().Transactions, "OtherTransaction/Go/Message/chat.say")
	}
}

// TestSampling: all spans are kept, or none when the collector wants none.
func TestSampling(t *testing.T) {
	for target, want := range map[int]int{0: 100, -1: 0} {
		c := collector.New()
		c.SamplingTarget = target
		app := start(t, c)
		for range 100 {
			app.StartTransaction("m").End()
		}
		app.Shutdown(30 * time.Second)
		healthy(t, c)
		if h := c.Harvest(); len(h.Spans) != want || len(h.Transactions) != 100 {
			t.Errorf("target %d: %d spans of %d transactions, want %d", target, len(h.Spans), len(h.Transactions), want)
		}
	}
}

// TestLimits: the agent keeps what it is told to, counts the rest, and reports
// events early.
func TestLimits(t *testing.T) {
	c := collector.New()
	c.Limits = map[string]int{"analytic_event_data": 10, "span_event_data": 20}
	c.Period = time.Millisecond
	app := start(t, c)
	for range 100 {
		app.StartTransaction("m").End()
	}
	deadline := time.Now().Add(30 * time.Second)
	for c.Harvest().Seen["analytic_event_data"] < 100 { // before the agent is shut down
		if time.Now().After(deadline) {
			t.Fatalf("%v after half a minute", c.Harvest().Seen)
		}
		time.Sleep(10 * time.Millisecond)
	}
	app.Shutdown(30 * time.Second)
	healthy(t, c)
	h := c.Harvest()
	if reports := h.Reports["analytic_event_data"]; len(h.Transactions) > 10*reports || len(h.Transactions) < 10 {
		t.Errorf("%d transactions in %d reports", len(h.Transactions), reports)
	}
	if h.Seen["span_event_data"] != 100 || len(h.Spans) > 20*h.Reports["span_event_data"] || len(h.Spans) < 20 {
		t.Errorf("%d spans of %d in %d reports", len(h.Spans), h.Seen["span_event_data"], h.Reports["span_event_data"])
	}
	if got := h.Metrics[collector.Metric{Name: "OtherTransaction/Go/m"}].Count; got != 100 {
		t.Errorf("%v counted", got)
	}
}

// TestOverTLS: the same as a server.
func TestOverTLS(t *testing.T) {
	c := collector.New()
	server := httptest.NewTLSServer(c)
	defer server.Close()
	address, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	app := start(t, c, func(cfg *newrelic.Config) {
		cfg.Host = address.Host
		cfg.Transport = server.Client().Transport
	})
	app.StartTransaction("m").End()
	app.Shutdown(30 * time.Second)
	healthy(t, c)
	find(t, c.Harvest().Transactions, "OtherTransaction/Go/m")
}

// TestTwoAgents: each has its run.
func TestTwoAgents(t *testing.T) {
	c := collector.New()
	first, second := start(t, c), start(t, c)
	first.StartTransaction("first").End()
	second.StartTransaction("second").End()
	first.Shutdown(30 * time.Second)
	second.Shutdown(30 * time.Second)
	healthy(t, c)
	h := c.Harvest()
	find(t, h.Transactions, "OtherTransaction/Go/first")
	find(t, h.Transactions, "OtherTransaction/Go/second")
	if got := h.Metrics[collector.Metric{Name: "OtherTransaction/all"}].Count; got != 2 || h.Reports["connect"] != 2 {
		t.Errorf("%v transactions of %d agents", got, h.Reports["connect"])
	}
}

// request is one to a collector, as agents make them, unless something is changed.
func request(t testing.TB, method, run, body string, change func(*http.Request, url.Values)) *http.Request {
	t.Helper()
	query := url.Values{
		"license_key": {collector.License}, "marshal_format": {"json"}, "protocol_version": {"17"}, "method": {method},
	}
	if run != "" {
		query.Set("run_id", run)
	}
	r := httptest.NewRequest(http.MethodPost, "https://collector.test/agent_listener/invoke_raw_method", strings.NewReader(body))
	if change != nil {
		change(r, query)
	}
	r.URL.RawQuery = query.Encode()
	return r
}

// TestProblems: what the collector refuses.
func TestProblems(t *testing.T) {
	set := func(name, value string) func(*http.Request, url.Values) {
		return func(_ *http.Request, query url.Values) { query.Set(name, value) }
	}
	const events = `["run1",{"reservoir_size":1,"events_seen":1},[[{"name":"m"},{},{}]]]`
	for _, test := range []struct {
		name, method, run, body string
		change                  func(*http.Request, url.Values)
		status                  int
		problem                 string
	}{
		{"good", "analytic_event_data", "run1", events, nil, 202, ""},
		{"unknown method", "surprise", "run1", "[]", nil, 404, "the method is unknown"},
		{"not a post", "metric_data", "run1", "[]", func(r *http.Request, _ url.Values) { r.Method = http.MethodGet }, 404, "the method is unknown"},
		{"other path", "metric_data", "run1", "[]", func(r *http.Request, _ url.Values) { r.URL.Path = "/" }, 404, "the method is unknown"},
		{"other run", "analytic_event_data", "run2", events, nil, 409, "the run is unknown"},
		{"odd run", "analytic_event_data", "run01", events, nil, 409, "the run is unknown"},
		{"no run", "analytic_event_data", "", events, nil, 409, "the run is unknown"},
		{"other run inside", "analytic_event_data", "run1", strings.Replace(events, "run1", "run0", 1), nil, 409, "the run is unknown"},
		{"other protocol", "analytic_event_data", "run1", events, set("protocol_version", "16"), 400, `the protocol is unknown: version "16"`},
		{"other format", "analytic_event_data", "run1", events, set("marshal_format", "ruby"), 400, `the protocol is unknown: version "17", format "ruby"`},
		{"other licence", "analytic_event_data", "run1", events, set("license_key", "SECRETSECRET"), 401, "the licence is unknown"},
		{"no JSON", "analytic_event_data", "run1", "[", nil, 400, "cannot be decoded"},
		{"no events", "analytic_event_data", "run1", `["run1",{"events_seen":1}]`, nil, 400, "2 members, not 3"},
		{"no count", "analytic_event_data", "run1", `["run1",{},[]]`, nil, 400, "no events_seen"},
		{"half an event", "span_event_data", "run1", `["run1",{"events_seen":1},[[{}]]]`, nil, 400, "1 members, not 3"},
		{"odd metric", "metric_data", "run1", `["run1",1,2,[[{"name":"m"},[1,2]]]]`, nil, 400, `2 values of "m"`},
		{"odd log", "log_event_data", "run1", `{}`, nil, 400, "cannot be decoded"},
		{"odd error", "error_data", "run1", `["run1",[[1]]]`, nil, 400, "cannot be decoded"},
		{"odd trace", "transaction_sample_data", "run1", `["run1",[[1]]]`, nil, 400, "cannot be decoded"},
		{"odd query", "sql_trace_data", "run1", `[[[1]]]`, nil, 400, "cannot be decoded"},
		{"odd connect", "connect", "", `[]`, nil, 400, "cannot be decoded"},
		{"odd preconnect", "preconnect", "", `[`, nil, 400, "cannot be decoded"},
		{"no gzip", "metric_data", "run1", `[]`, func(r *http.Request, _ url.Values) { r.Header.Set("Content-Encoding", "gzip") }, 400, "cannot be decoded"},
		{"large", "metric_data", "run1", strings.Repeat("x", 1_000_001), nil, 413, "too large"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := collector.New()
			w := httptest.NewRecorder()
			c.ServeHTTP(w, request(t, "connect", "", `[{"app_name":["chat"]}]`, nil))
			if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `"agent_run_id":"run1"`) {
				t.Fatal(w.Code, w.Body)
			}
			w = httptest.NewRecorder()
			c.ServeHTTP(w, request(t, test.method, test.run, test.body, test.change))
			problems := c.Problems()
			if w.Code != test.status || (len(problems) == 1) != (test.problem != "") {
				t.Fatalf("%d, want %d; %v", w.Code, test.status, problems)
			}
			if test.problem != "" && !strings.Contains(problems[0].Error(), test.problem) {
				t.Errorf("%v, want %s", problems[0], test.problem)
			}
			if h := c.Harvest(); len(h.Transactions)+len(h.Spans)+len(h.Metrics) > 0 && test.problem != "" {
				t.Errorf("%+v", h)
			}
			if strings.Contains(fmt.Sprint(problems), "SECRET") {
				t.Errorf("a licence in %v", problems)
			}
		})
	}
}

// TestCopies: who gets a harvest may change it, but for attributes.
func TestCopies(t *testing.T) {
	c := collector.New()
	app := start(t, c)
	app.StartTransaction("m").End()
	app.Shutdown(30 * time.Second)
	h := c.Harvest()
	h.Transactions[0] = collector.Event{}
	clear(h.Metrics)
	clear(h.Reports)
	h = c.Harvest()
	find(t, h.Transactions, "OtherTransaction/Go/m")
	if len(h.Metrics) == 0 || len(h.Reports) == 0 {
		t.Errorf("%v %v", h.Metrics, h.Reports)
	}
}

// TestConcurrent: reports and readers at once, and metrics summed up over reports.
func TestConcurrent(t *testing.T) {
	c := collector.New()
	client := http.Client{Transport: c}
	do := func(method, run, body string) {
		var packed bytes.Buffer
		w := gzip.NewWriter(&packed)
		_, _ = io.WriteString(w, body)
		if err := w.Close(); err != nil {
			t.Error(err)
		}
		r := request(t, method, run, packed.String(), nil)
		r.RequestURI = ""
		r.Header.Set("Content-Encoding", "gzip")
		answer, err := client.Do(r)
		if err != nil {
			t.Error(err)
			return
		}
		defer answer.Body.Close()
		if _, err := io.ReadAll(answer.Body); err != nil || answer.StatusCode >= 300 {
			t.Error(answer.Status, err)
		}
	}
	do("connect", "", `[{}]`)
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			do("metric_data", "run1", fmt.Sprintf(`["run1",1,2,[[{"name":"m"},[1,%d,0,%d,%d,0]],[{"name":"m","scope":"s"},[1,1,1,1,1,1]]]]`, i, i, i))
			do("analytic_event_data", "run1", `["run1",{"reservoir_size":1,"events_seen":3},[[{"name":"m"},{},{}]]]`)
			_, _, _ = c.Harvest(), c.Sent(), c.Problems()
		})
	}
	all.Wait()
	healthy(t, c)
	h := c.Harvest()
	if got := h.Metrics[collector.Metric{Name: "m"}]; got != (collector.Values{Count: 16, Total: 120, Max: 15}) {
		t.Errorf("%+v", got)
	}
	if got := h.Metrics[collector.Metric{Name: "m", Scope: "s"}]; got.Count != 16 {
		t.Errorf("%+v", got)
	}
	if len(h.Transactions) != 16 || h.Seen["analytic_event_data"] != 48 {
		t.Errorf("%d of %d", len(h.Transactions), h.Seen["analytic_event_data"])
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := request(t, "preconnect", "", "[]", nil).WithContext(ctx)
	if answer, err := c.RoundTrip(r); !errors.Is(err, context.Canceled) {
		t.Errorf("%v %v", answer, err)
	}
}

// FuzzPayload: whatever comes is answered, and remarked on unless it is taken.
func FuzzPayload(f *testing.F) {
	methods := []string{
		"analytic_event_data", "metric_data", "log_event_data", "error_data", "transaction_sample_data", "sql_trace_data", "connect",
	}
	for i := range methods {
		for _, body := range []string{
			`["run1",{"events_seen":1},[[{"name":"m"},{},{}]]]`, `["run1",1,2,[[{"name":"m"},[1,2,3,4,5,6]]]]`,
			`[{"common":{"attributes":{}},"logs":[{"attributes":{}},null]}]`, `["run1",[[1,"t","m","c",{},"id"]]]`,
			`["run1",[[1,2,"n",null,[1,{},{},[],{}],"id"]]]`, `[[["t","u",1,"s","m",1,1,1,1,{}]]]`, `[{}]`, `null`,
		} {
			f.Add(byte(i), []byte(body))
		}
	}
	f.Fuzz(func(t *testing.T, method byte, body []byte) {
		c := collector.New()
		c.ServeHTTP(httptest.NewRecorder(), request(t, "connect", "", "[{}]", nil))
		w := httptest.NewRecorder()
		c.ServeHTTP(w, request(t, methods[int(method)%len(methods)], "run1", string(body), nil))
		if !slices.Contains([]int{200, 202, 400, 409, 413}, w.Code) || (w.Code < 300) != (len(c.Problems()) == 0) {
			t.Errorf("%d, %v", w.Code, c.Problems())
		}
		c.Harvest()
	})
}
