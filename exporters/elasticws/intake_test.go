package elasticws

import (
	"bufio"
	"bytes"
	"compress/zlib"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.elastic.co/apm/v2"
	"go.elastic.co/apm/v2/model"
	"go.elastic.co/apm/v2/transport"

	"github.com/apmws/go-apmws/exporters/internal/alone"
)

func TestMain(m *testing.M) {
	alone.Elastic()
	os.Exit(m.Run())
}

// documents are what an APM Server was sent.
type documents struct {
	transactions []model.Transaction
	spans        []model.Span
	errors       []model.Error
	metrics      []model.Metrics
}

// transaction returns the only transaction of that name.
func (d *documents) transaction(t testing.TB, name string) model.Transaction {
	t.Helper()
	var found []model.Transaction
	for _, tx := range d.transactions {
		if tx.Name == name {
			found = append(found, tx)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d transactions %q among %v, want one", len(found), name, d.names())
	}
	return found[0]
}

// span returns the only span of that name.
func (d *documents) span(t testing.TB, name string) model.Span {
	t.Helper()
	var found []model.Span
	for _, s := range d.spans {
		if s.Name == name {
			found = append(found, s)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d spans %q among %v, want one", len(found), name, d.names())
	}
	return found[0]
}

// error returns the only error document.
func (d *documents) error(t testing.TB) model.Error {
	t.Helper()
	if len(d.errors) != 1 {
		t.Fatalf("%d error documents, want one", len(d.errors))
	}
	return d.errors[0]
}

func (d *documents) names() []string {
	var names []string
	for _, tx := range d.transactions {
		names = append(names, tx.Type+" "+tx.Name)
	}
	for _, s := range d.spans {
		names = append(names, "span "+s.Name)
	}
	return names
}

// labelMap returns labels by name; numbers are float64.
func labelMap(labels model.IfaceMap) map[string]any {
	m := make(map[string]any)
	for _, l := range labels {
		m[l.Key] = l.Value
	}
	return m
}

// store decodes what an Elastic agent sends, a line at a time, as it comes.
type store struct {
	mu       sync.Mutex
	raw      bytes.Buffer
	docs     documents
	problems []string
	changed  chan struct{} // closed and replaced with every document
}

func newStore() *store { return &store{changed: make(chan struct{})} }

// read decodes a stream until it ends.
func (s *store) read(stream io.Reader) {
	plain, err := zlib.NewReader(stream)
	if err != nil {
		return // a request that was given up before it held anything
	}
	lines := bufio.NewReader(plain)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			s.add(line)
		}
		if err != nil {
			return
		}
	}
}

func (s *store) add(line []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.raw.Write(line)
	var doc struct {
		Metadata    json.RawMessage    `json:"metadata"`
		Transaction *model.Transaction `json:"transaction"`
		Span        *model.Span        `json:"span"`
		Error       *model.Error       `json:"error"`
		Metricset   *model.Metrics     `json:"metricset"`
	}
	err := json.Unmarshal(line, &doc)
	switch {
	case err != nil:
		s.problems = append(s.problems, err.Error()+" in "+string(line))
	case doc.Transaction != nil:
		s.docs.transactions = append(s.docs.transactions, *doc.Transaction)
	case doc.Span != nil:
		s.docs.spans = append(s.docs.spans, *doc.Span)
	case doc.Error != nil:
		s.docs.errors = append(s.docs.errors, *doc.Error)
	case doc.Metricset != nil:
		s.docs.metrics = append(s.docs.metrics, *doc.Metricset)
	case doc.Metadata == nil:
		s.problems = append(s.problems, "unknown document "+string(line))
	}
	close(s.changed)
	s.changed = make(chan struct{})
}

// documents returns a copy of what has come so far.
func (s *store) documents(t testing.TB) *documents {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.problems) > 0 {
		t.Fatalf("malformed documents: %q", s.problems)
	}
	return &documents{
		transactions: slices.Clone(s.docs.transactions),
		spans:        slices.Clone(s.docs.spans),
		errors:       slices.Clone(s.docs.errors),
		metrics:      slices.Clone(s.docs.metrics),
	}
}

// sent returns every byte that came, decompressed.
func (s *store) sent() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.raw.String()
}

// wait returns the documents once they are as wanted.
func (s *store) wait(t testing.TB, what string, wanted func(d *documents) bool) *documents {
	t.Helper()
	deadline := time.After(time.Minute) // a request lasts for ten seconds
	for {
		s.mu.Lock()
		changed := s.changed
		s.mu.Unlock()
		docs := s.documents(t)
		if wanted(docs) {
			return docs
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("waited for %s; there are %v", what, docs.names())
		}
	}
}

// recorder is a tracer whose transport is a store in memory.
type recorder struct {
	*apm.Tracer
	*store
}

// newRecorder returns a recorder with that environment.
func newRecorder(t testing.TB, env ...string) *recorder {
	t.Helper()
	for i := 0; i < len(env); i += 2 {
		t.(interface{ Setenv(key, value string) }).Setenv(env[i], env[i+1])
	}
	r := &recorder{store: newStore()}
	r.Tracer = newTracer(t, memoryTransport{r.store})
	return r
}

func newTracer(t testing.TB, via transport.Transport) *apm.Tracer {
	t.Helper()
	tracer, err := apm.NewTracerOptions(apm.TracerOptions{ServiceName: "elasticws-test", Transport: via})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tracer.Close)
	return tracer
}

// collect flushes and returns everything.
func (r *recorder) collect(t testing.TB) *documents {
	t.Helper()
	flush(t, r.Tracer)
	return r.documents(t)
}

// flush flushes a tracer, twice: the first may wait for a request that is being
// closed already.
func flush(t testing.TB, tracer *apm.Tracer) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	tracer.Flush(ctx.Done())
	tracer.Flush(ctx.Done())
	if ctx.Err() != nil {
		t.Fatal("the tracer did not flush")
	}
}

type memoryTransport struct{ store *store }

func (m memoryTransport) SendStream(_ context.Context, stream io.Reader) error {
	m.store.read(stream)
	return nil
}

// intake is an APM Server.
type intake struct {
	*store
	*httptest.Server
	status   atomic.Int32 // of the answers; 0 for 202
	requests atomic.Int32
	silent   chan struct{} // when it is not nil, requests are answered once it is closed
}

func newIntake(t testing.TB) *intake {
	t.Helper()
	i := &intake{store: newStore()}
	i.Server = httptest.NewServer(i)
	t.Cleanup(i.Close)
	return i
}

// ServeHTTP implements http.Handler.
func (i *intake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/":
		_, _ = io.WriteString(w, `{"version":"9.5.2"}`)
	case "/intake/v2/events":
		i.requests.Add(1)
		if i.silent != nil {
			<-i.silent
			return
		}
		if status := int(i.status.Load()); status != 0 {
			_, _ = io.Copy(io.Discard, r.Body)
			w.WriteHeader(status)
			_, _ = io.WriteString(w, `{"accepted":0,"errors":[{"message":"queue is full"}]}`)
			return
		}
		i.read(r.Body)
		w.WriteHeader(http.StatusAccepted)
	default:
		w.WriteHeader(http.StatusForbidden)
	}
}

// tracer returns a tracer that sends to the server.
func (i *intake) tracer(t testing.TB) *apm.Tracer {
	t.Helper()
	return newTracer(t, httpTransport(t, i.URL))
}

func httpTransport(t testing.TB, server string) transport.Transport {
	t.Helper()
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	via, err := transport.NewHTTPTransport(transport.HTTPTransportOptions{ServerURLs: []*url.URL{u}})
	if err != nil {
		t.Fatal(err)
	}
	return via
}

// absent fails when one of the secrets was sent.
func (s *store) absent(t testing.TB, secrets ...string) {
	t.Helper()
	sent := s.sent()
	for _, secret := range secrets {
		if i := strings.Index(sent, secret); i >= 0 {
			t.Errorf("%q was sent: …%s…", secret, sent[max(0, i-200):min(len(sent), i+200)])
		}
	}
}
