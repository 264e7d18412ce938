package intake_test

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.elastic.co/apm/v2"

	"github.com/apmws/go-apmws/exporters/internal/alone"
	"github.com/apmws/go-apmws/exporters/wire/intake"
)

func TestMain(m *testing.M) {
	alone.Elastic()
	if err := os.Setenv("ELASTIC_APM_GLOBAL_LABELS", "team=chat"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// start serves an intake to an agent.
func start(t *testing.T, s *intake.Server) *apm.Tracer {
	t.Helper()
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	tracer, err := intake.NewTracer(server.URL, "chat-gateway")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tracer.Close)
	return tracer
}

// send makes the agent send what it has, metrics too.
func send(t *testing.T, tracer *apm.Tracer) {
	t.Helper()
	abort := make(chan struct{})
	timer := time.AfterFunc(30*time.Second, func() { close(abort) })
	defer timer.Stop()
	tracer.SendMetrics(abort)
	tracer.Flush(abort)
	select {
	case <-abort:
		t.Fatal("the agent does not send")
	default:
	}
}

// find returns the only document of a stream in which the fields are so.
func find(t *testing.T, documents []intake.Document, stream string, fields map[string]any) intake.Document {
	t.Helper()
	var found []intake.Document
	for _, d := range documents {
		same := d.Stream() == stream
		for field, want := range fields {
			same = same && d[field] == want
		}
		if same {
			found = append(found, d)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d documents of %s with %v, want one, among\n%v", len(found), stream, fields, documents)
	}
	return found[0]
}

// want compares some fields of a document; nil is none.
func want(t *testing.T, d intake.Document, fields map[string]any) {
	t.Helper()
	for field, w := range fields {
		got, err := json.Marshal(d[field])
		if err != nil {
			t.Fatal(err)
		}
		wanted, err := json.Marshal(w)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, wanted) {
			t.Errorf("%s: %s is %s, want %s", d.Stream(), field, got, wanted)
		}
	}
}

// life is a transaction with everything.
func life(t *testing.T, tracer *apm.Tracer) (connect apm.TraceContext) {
	t.Helper()
	tx := tracer.StartTransaction("CONNECT /ws", "Connection")
	connect = tx.TraceContext()
	tx.Context.SetHTTPStatusCode(101)
	request := httptest.NewRequest(http.MethodGet, "http://chat.example/ws", nil)
	request.Header.Set("User-Agent", "phone/1.0")
	tx.Context.SetHTTPRequest(request)
	tx.Outcome = "success"
	tx.End()

	tx = tracer.StartTransactionOptions("chat.say", "Message", apm.TransactionOptions{
		Links: []apm.SpanLink{{Trace: connect.Trace, Span: connect.Span}},
	})
	tx.Context.SetLabel("websocket.connection.id", "c1")
	tx.Context.SetLabel("asked", true)
	tx.Context.SetLabel("websocket.message.length", 12)
	tx.Context.SetUserID("u1")
	tx.Context.SetCustom("note", map[string]any{"deep": 1})
	tx.Result, tx.Outcome = "error", "failure"
	for range 3 {
		span := tx.StartExitSpan("PUBLISH", "messaging.redis.publish", nil)
		span.Duration = 3 * time.Millisecond
		span.End()
	}
	failure := tracer.NewError(errors.New("no room"))
	failure.SetTransaction(tx)
	failure.Context.SetLabel("websocket.connection.id", "c1")
	failure.Send()
	tx.Duration = 12345678 * time.Nanosecond
	tx.End()

	t.Cleanup(tracer.RegisterMetricsGatherer(apm.GatherMetricsFunc(func(_ context.Context, m *apm.Metrics) error {
		route := []apm.MetricLabel{{Name: "http.route", Value: "/ws"}}
		m.Add("websocket.connections.active", route, 3)
		m.AddHistogram("websocket.ping.rtt", route, []float64{0.1, 0.2}, []uint64{5, 7})
		return nil
	})))
	send(t, tracer)
	return connect
}

// TestDocuments: what an agent sends, as Elasticsearch has it.
func TestDocuments(t *testing.T) {
	s := intake.New()
	connect := life(t, start(t, s))
	all := s.Documents()
	if rejected := s.Rejected(); len(rejected) > 0 {
		t.Fatal(rejected)
	}
	d := find(t, all, "traces-apm-default", map[string]any{"transaction.name": "CONNECT /ws"})
	want(t, d, map[string]any{
		"processor.event": "transaction", "http.response.status_code": 101, "event.outcome": "success", "event.success_count": 1,
		"trace.id": connect.Trace.String(), "url.path": "/ws", "user_agent.original": "phone/1.0", "labels.team": "chat",
		"service.name": "chat-gateway", "event.duration": nil, "process.ppid": nil, "process.parent.pid": os.Getppid(),
		"http.request.headers.User-Agent": []string{"phone/1.0"},
	})
	d = find(t, all, "traces-apm-default", map[string]any{"transaction.name": "chat.say"})
	want(t, d, map[string]any{
		"processor.event": "transaction", "transaction.type": "Message", "transaction.result": "error",
		"transaction.duration.us": 12345, "event.outcome": "failure", "event.success_count": 0, "user.id": "u1",
		"labels.websocket_connection_id": "c1", "labels.asked": "true", "numeric_labels.websocket_message_length": 12,
		"span.links.trace.id": []string{connect.Trace.String()}, "span.links.span.id": []string{connect.Span.String()},
		"transaction.representative_count": 1, "transaction.custom.note.deep": 1,
	})
	span := find(t, all, "traces-apm-default", map[string]any{"processor.event": "span"})
	want(t, span, map[string]any{
		"span.name": "PUBLISH", "span.type": "messaging", "span.subtype": "redis", "span.action": "publish",
		"span.composite.count": 3, "span.composite.sum.us": 9000, "span.destination.service.resource": "redis",
		"transaction.id": d["transaction.id"], "event.success_count": 1,
	})
	want(t, find(t, all, "logs-apm.error-default", nil), map[string]any{
		"processor.event": "error", "message": "no room", "error.exception.message": []string{"no room"},
		"error.grouping_name": "no room", "event.dataset": "apm.error", "labels.websocket_connection_id": "c1",
		"transaction.name": "chat.say", "transaction.type": "Message", "transaction.id": d["transaction.id"],
	})
	want(t, find(t, all, "metrics-apm.app.chat_gateway-default", map[string]any{"websocket.connections.active": 3.0}), map[string]any{
		"processor.event": "metric", "metricset.name": "app", "metricset.samples": nil, "labels.http_route": "/ws",
		"websocket.ping.rtt": map[string]any{"values": []float64{0.1, 0.2}, "counts": []int{5, 7}},
	})
	if d := find(t, all, "metrics-apm.internal-default", map[string]any{"metricset.name": "app"}); d.Number("golang.goroutines") < 1 {
		t.Errorf("%v goroutines", d["golang.goroutines"])
	}
}

// TestCopies: who gets documents may change them.
func TestCopies(t *testing.T) {
	s := intake.New()
	life(t, start(t, s))
	const stream = "metrics-apm.app.chat_gateway-default"
	d := find(t, s.Documents(), stream, nil)
	d["labels.http_route"] = "/other"
	d["websocket.ping.rtt"].(map[string]any)["counts"].([]any)[0] = 99.0
	find(t, s.Documents(), "traces-apm-default", map[string]any{"transaction.name": "chat.say"})["span.links.trace.id"].([]any)[0] = "x"
	want(t, find(t, s.Documents(), stream, nil), map[string]any{
		"labels.http_route": "/ws", "websocket.ping.rtt": map[string]any{"values": []float64{0.1, 0.2}, "counts": []int{5, 7}},
	})
	d = find(t, s.Documents(), "traces-apm-default", map[string]any{"transaction.name": "chat.say"})
	if d["span.links.trace.id"].([]any)[0] == "x" {
		t.Error("a change of a copy changes what is kept")
	}
}

// TestTypes: every field of real documents has a type, and only these.
func TestTypes(t *testing.T) {
	s := intake.New()
	life(t, start(t, s))
	fields := 0
	for _, d := range append(s.Documents(), s.Aggregates()...) {
		for field, value := range d {
			fields++
			if _, ok := d.FieldType(field); !ok {
				t.Errorf("%s: no type for %s, %v", d.Stream(), field, value)
			}
		}
		d["websocket.surprise"] = "text"
		if typ, ok := d.FieldType("websocket.surprise"); ok {
			t.Errorf("%s: an unknown field is a %s", d.Stream(), typ)
		}
	}
	if fields < 100 {
		t.Errorf("%d fields", fields)
	}
	app := find(t, s.Documents(), "metrics-apm.app.chat_gateway-default", nil)
	for field, want := range map[string]string{"websocket.connections.active": "double", "websocket.ping.rtt": "histogram"} {
		if typ, _ := app.FieldType(field); typ != want {
			t.Errorf("%s is a %s, want a %s", field, typ, want)
		}
	}
}

// TestSent: every byte of every body, and nothing when it is not wanted.
func TestSent(t *testing.T) {
	s := intake.New()
	life(t, start(t, s))
	for _, want := range []string{`{"metadata":{`, `"name":"chat.say"`, "no room", "websocket.ping.rtt"} {
		if !strings.Contains(s.Sent(), want) {
			t.Errorf("no %s in %s", want, s.Sent())
		}
	}
	s = intake.New()
	s.DropBodies = true
	life(t, start(t, s))
	if s.Sent() != "" {
		t.Errorf("%s is kept", s.Sent())
	}
	if len(s.Documents()) == 0 {
		t.Error("no documents without bodies")
	}
}

// TestKeep: what is not wanted is aggregated all the same.
func TestKeep(t *testing.T) {
	s := intake.New()
	s.Keep = func(stream string) bool { return strings.HasPrefix(stream, "metrics-apm.app.") }
	life(t, start(t, s))
	if all := s.Documents(); len(all) != 1 || all[0].Stream() != "metrics-apm.app.chat_gateway-default" {
		t.Errorf("%v", all)
	}
	find(t, s.Aggregates(), "metrics-apm.transaction.1m-default", map[string]any{"transaction.name": "chat.say"})
}

const metadata = `{"metadata":{"service":{"name":"s","agent":{"name":"go","version":"2.7.12"}}}}` + "\n"

const transaction = `{"transaction":{"id":"0102030405060708","trace_id":"0102030405060708090a0b0c0d0e0f10","type":"Message",` +
	`"name":"m","duration":1,"span_count":{"started":0},"sampled":true,"timestamp":1700000000000000}}` + "\n"

// post sends a body as it is.
func post(t testing.TB, s *intake.Server, encoding string, body []byte) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, "/intake/v2/events", bytes.NewReader(body))
	r.Header.Set("Content-Encoding", encoding)
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

func deflated(t testing.TB, body string) []byte {
	t.Helper()
	var packed bytes.Buffer
	w := zlib.NewWriter(&packed)
	if _, err := io.WriteString(w, body); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return packed.Bytes()
}

func gzipped(t testing.TB, body string) []byte {
	t.Helper()
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := io.WriteString(w, body); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return packed.Bytes()
}

// TestAnswers: statuses, and what is kept of bodies that are partly good.
func TestAnswers(t *testing.T) {
	long := `{"transaction":{"name":"` + strings.Repeat("x", intake.MaxEventSize) + `"}}` + "\n"
	whole := deflated(t, metadata+transaction+strings.Repeat("\n", 10000))
	for _, test := range []struct {
		name, encoding string
		body           []byte
		status, events int
		rejected       []string
	}{
		{"good", "", []byte(metadata + transaction), 202, 1, nil},
		{"deflated", "deflate", deflated(t, metadata+transaction), 202, 1, nil},
		{"gzipped", "gzip", gzipped(t, metadata+transaction), 202, 1, nil},
		{"empty", "deflate", nil, 202, 0, nil},
		{"metadata alone", "", []byte(metadata), 202, 0, nil},
		{"no metadata", "", []byte(transaction), 400, 0, []string{"metadata"}},
		{"no JSON", "", []byte("hello\n"), 400, 0, []string{"metadata"}},
		{"no type", "", []byte(metadata + `{"transaction":{"id":"1"}}` + "\n" + transaction), 400, 1, []string{"validation"}},
		{"unknown event", "", []byte(metadata + `{"surprise":{}}` + "\n" + transaction), 400, 1, []string{"did not recognize object type"}},
		{"long event", "", []byte(metadata + long + transaction), 413, 1, []string{"exceeded the permitted size"}},
		{"long and unknown", "", []byte(metadata + long + `{"surprise":{}}` + "\n"), 413, 0, []string{"exceeded the permitted size", "did not recognize"}},
		{"broken off at once", "deflate", deflated(t, metadata)[:20], 400, 0, []string{"cannot read the body: unexpected EOF"}},
		{"not deflated", "deflate", []byte(metadata), 400, 0, []string{"cannot read the body"}},
		{"broken off", "deflate", whole[:len(whole)-8], 400, 1, []string{"cannot read the body: unexpected EOF"}},
		{"unknown encoding", "br", []byte(metadata), 400, 0, []string{"unknown content encoding"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := intake.New()
			w := post(t, s, test.encoding, test.body)
			if w.Code != test.status {
				t.Errorf("answer %d %s, want %d", w.Code, w.Body, test.status)
			}
			if got := len(s.Documents()); got != test.events {
				t.Errorf("%d documents, want %d", got, test.events)
			}
			rejected := s.Rejected()
			if len(rejected) != len(test.rejected) {
				t.Fatalf("rejected: %v, want %q", rejected, test.rejected)
			}
			var answer struct {
				Accepted int
				Errors   []struct{ Message string }
			}
			if len(rejected) == 0 {
				if w.Body.Len() > 0 {
					t.Errorf("an answer of %s", w.Body)
				}
				return
			}
			if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
				t.Fatal(err)
			}
			if answer.Accepted != test.events || len(answer.Errors) != len(rejected) {
				t.Errorf("answer %s", w.Body)
			}
			for i, want := range test.rejected {
				if !strings.Contains(rejected[i].Error(), want) || answer.Errors[i].Message != rejected[i].Error() {
					t.Errorf("rejected: %v, want %s; answer %s", rejected[i], want, w.Body)
				}
			}
			if test.encoding == "deflate" && !errors.Is(rejected[0], intake.ErrBody) {
				t.Errorf("%v is no ErrBody", rejected[0])
			}
		})
	}
}

// endless is a line that does not end.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

// TestLongBody: what a body holds beyond the limit is not read.
func TestLongBody(t *testing.T) {
	s := intake.New()
	s.DropBodies = true
	r := httptest.NewRequest(http.MethodPost, "/intake/v2/events", io.MultiReader(strings.NewReader(metadata+transaction), endless{}))
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	// The line is too long as well.
	if rejected := s.Rejected(); w.Code != http.StatusRequestEntityTooLarge || len(rejected) != 2 || !errors.Is(rejected[1], intake.ErrBodyTooLarge) {
		t.Errorf("%d, rejected %v", w.Code, rejected)
	}
	if len(s.Documents()) != 1 {
		t.Errorf("%d documents", len(s.Documents()))
	}
}

// TestPaths: the version, and that nothing else is served.
func TestPaths(t *testing.T) {
	s := intake.New()
	for _, test := range []struct {
		method, path string
		status       int
	}{
		{http.MethodGet, "/", 200},
		{http.MethodPost, "/intake/v2/events?verbose", 202},
		{http.MethodGet, "/intake/v2/events", 403},
		{http.MethodPost, "/", 403},
		{http.MethodPost, "/config/v1/agents", 403},
	} {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest(test.method, test.path, strings.NewReader(metadata+transaction)))
		if w.Code != test.status {
			t.Errorf("%s %s: %d, want %d", test.method, test.path, w.Code, test.status)
		}
		var body struct {
			Version  string
			Accepted int
		}
		if w.Code < 300 {
			if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
				t.Fatal(err)
			}
		}
		if test.path == "/" && w.Code == 200 && body.Version != "9.5.2" || w.Code == 202 && body.Accepted != 1 {
			t.Errorf("%s %s: %+v", test.method, test.path, body)
		}
	}
}

// TestConcurrent: many agents' requests, and readers meanwhile.
func TestConcurrent(t *testing.T) {
	s := intake.New()
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			for range 16 {
				if w := post(t, s, "deflate", deflated(t, metadata+transaction)); w.Code != http.StatusAccepted {
					t.Errorf("answer %d", w.Code)
				}
				_, _, _ = s.Aggregates(), s.Sent(), s.Rejected()
				_ = s.Documents()
			}
		})
	}
	all.Wait()
	if n := len(s.Documents()); n != 256 {
		t.Errorf("%d documents, want 256", n)
	}
	want(t, find(t, s.Aggregates(), "metrics-apm.transaction.1m-default", nil), map[string]any{"_doc_count": 256})
}

// FuzzBody: whatever comes is answered, and said to be rejected or taken.
func FuzzBody(f *testing.F) {
	encodings := []string{"", "deflate", "gzip", "br"}
	for i := range encodings {
		f.Add(byte(i), []byte(metadata+transaction))
	}
	f.Add(byte(1), deflated(f, metadata+transaction))
	f.Add(byte(2), gzipped(f, metadata+transaction))
	for _, line := range []string{
		`{"metricset":{"samples":{"a":{"value":1},"h":{"type":"histogram","values":[1],"counts":[2]}},"timestamp":1}}`,
		`{"metricset":{"samples":{"transaction":{"value":1},"metricset":{"value":1},"":{"value":2}}}}`,
		`{"error":{"id":"1","exception":[{"message":"m","type":"t"}],"log":{"message":""}}}`,
		`{"span":{"id":"1","trace_id":"2","parent_id":"3","name":"n","type":"a.b.c","duration":-1e300,"timestamp":1}}`,
		`{"transaction":{"id":"1","trace_id":"2","type":"t","duration":1e300,"span_count":{"started":0},"sample_rate":1e-300}}`,
		`{"log":{"message":"m","@timestamp":"2024-01-01"}}`, `{"x":{}}`, `{"e":{}}`,
	} {
		f.Add(byte(0), []byte(metadata+line+"\n"))
	}
	f.Fuzz(func(t *testing.T, encoding byte, body []byte) {
		s := intake.New()
		w := post(t, s, encodings[int(encoding)%len(encodings)], body)
		if !slices.Contains([]int{202, 400, 413}, w.Code) {
			t.Errorf("answer %d %s", w.Code, w.Body)
		}
		if (w.Code == http.StatusAccepted) != (len(s.Rejected()) == 0) {
			t.Errorf("answer %d, rejected %v", w.Code, s.Rejected())
		}
		for _, d := range append(s.Documents(), s.Aggregates()...) {
			for field := range d {
				d.FieldType(field)
			}
		}
	})
}
