package exact

import (
	"bufio"
	"bytes"
	"compress/zlib"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"sync"
	"testing"

	"go.elastic.co/apm/v2"
	"go.elastic.co/apm/v2/model"
	"go.elastic.co/apm/v2/transport"

	"github.com/apmws/go-apmws/apmws/semconv"
)

// verdict is what becomes of a request.
type verdict int

const (
	accept      verdict = 0
	reset       verdict = -1 // the connection breaks when the request has been read
	resetMidway verdict = -2 // and before that
	// Any other is the status of the answer.
)

// transaction is what matters of a transaction's document.
type transaction struct {
	kind, name, outcome, rate string
}

// meter stands in for an APM Server. It adds up what it accepts, and reads by the
// line, so that a million transactions are no matter.
type meter struct {
	mu        sync.Mutex
	judge     func(request int) verdict // nil: all are accepted
	held      chan struct{}             // when it is not nil, nothing is read until it is closed
	requests  int
	refusals  int
	accepted  *totals
	refused   *totals // what was seen of them
	reports   int     // metricsets of the agent with its connections, that were accepted
	documents map[transaction]int
	problems  []string
}

func newMeter() *meter {
	return &meter{accepted: newTotals(), refused: newTotals(), documents: make(map[transaction]int)}
}

// body is what was read of a request.
type body struct {
	metrics   *totals
	reports   int
	documents map[transaction]int
}

// ServeHTTP implements http.Handler.
func (m *meter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/":
		_, _ = io.WriteString(w, `{"version":"9.5.2"}`) // who does not get it asks again
	case "/intake/v2/events":
		m.events(w, r)
	default:
		w.WriteHeader(http.StatusForbidden)
	}
}

func (m *meter) events(w http.ResponseWriter, r *http.Request) {
	m.mu.Lock()
	number, judge, held := m.requests, m.judge, m.held
	m.requests++
	m.mu.Unlock()
	if held != nil {
		<-held
	}
	judgement := accept
	if judge != nil {
		judgement = judge(number)
	}
	b := &body{metrics: newTotals(), documents: make(map[transaction]int)}
	err := b.read(r.Body, judgement == resetMidway)
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case judgement == accept && err == nil:
		m.accepted.add(b.metrics)
		m.reports += b.reports
		for tx, n := range b.documents {
			m.documents[tx] += n
		}
		w.WriteHeader(http.StatusAccepted)
		return
	case err != nil:
		m.problems = append(m.problems, err.Error())
	}
	m.refusals++
	m.refused.add(b.metrics)
	if judgement > 0 {
		w.WriteHeader(int(judgement))
		_, _ = io.WriteString(w, `{"accepted":0,"errors":[{"message":"queue is full"}]}`) // nobody reads it
		return
	}
	m.reset(w)
}

// reset breaks the connection.
func (m *meter) reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		m.problems = append(m.problems, err.Error())
		return
	}
	if conn, ok := conn.(*net.TCPConn); ok {
		_ = conn.SetLinger(0) // else the connection ends in good order, which is a failure too
	}
	conn.Close()
}

// read reads a request to its end, or, midway, to its second document.
func (b *body) read(compressed io.Reader, midway bool) error {
	plain, err := zlib.NewReader(compressed)
	if err != nil {
		return err
	}
	lines := bufio.NewReaderSize(plain, 1<<20)
	for documents := 0; ; documents++ {
		line, err := lines.ReadSlice('\n')
		if err == io.EOF && len(line) == 0 || midway && documents == 2 {
			return nil
		}
		if err != nil {
			return err
		}
		if err := b.line(line); err != nil {
			return err
		}
	}
}

func (b *body) line(line []byte) error {
	switch {
	case bytes.HasPrefix(line, []byte(`{"transaction":`)):
		b.documents[transaction{
			kind: field(line, `"type":"`, false), name: field(line, `"name":"`, false),
			outcome: field(line, `"outcome":"`, true), rate: field(line, `"sample_rate":`, true),
		}]++
	case bytes.HasPrefix(line, []byte(`{"metricset":`)):
		var doc struct{ Metricset model.Metrics }
		if err := json.Unmarshal(line, &doc); err != nil {
			return err
		}
		if _, ok := doc.Metricset.Samples[semconv.ConnectionsActive]; ok {
			b.reports++
		}
		b.metrics.report(&doc.Metricset)
	}
	return nil
}

// field returns the value of a field of a transaction: the agent writes name and type
// before the labels, and outcome and sample_rate after them.
func field(line []byte, prefix string, last bool) string {
	i := bytes.Index(line, []byte(prefix))
	if last {
		i = bytes.LastIndex(line, []byte(prefix))
	}
	if i < 0 {
		return ""
	}
	value := line[i+len(prefix):]
	return string(value[:bytes.IndexAny(value, `",}`)])
}

// tracer starts a tracer that sends to the meter through a socket.
func (m *meter) tracer(t testing.TB) *apm.Tracer {
	t.Helper()
	server := httptest.NewServer(m)
	t.Cleanup(server.Close)
	return tracerTo(t, server.URL)
}

func tracerTo(t testing.TB, server string) *apm.Tracer {
	t.Helper()
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	via, err := transport.NewHTTPTransport(transport.HTTPTransportOptions{ServerURLs: []*url.URL{u}})
	if err != nil {
		t.Fatal(err)
	}
	tracer, err := apm.NewTracerOptions(apm.TracerOptions{ServiceName: "exact", Transport: via})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tracer.Close)
	return tracer
}

// set changes what becomes of requests.
func (m *meter) set(judge func(request int) verdict) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.judge = judge
}

// hold makes requests wait until the channel is closed.
func (m *meter) hold(until chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.held = until
}

// seen returns what the meter has got, and fails when that was not as it should be.
func (m *meter) seen(t testing.TB) (accepted, refused *totals, documents map[transaction]int) {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, problem := range m.problems {
		t.Error(problem)
	}
	return m.accepted, m.refused, m.documents
}

// messages counts the documents of messages by name and outcome, and what they
// stand for, by name.
func messagesOf(documents map[transaction]int) (counts map[[2]string]uint64, weights map[string]float64) {
	counts, weights = make(map[[2]string]uint64), make(map[string]float64)
	for tx, n := range documents {
		if tx.kind != semconv.TypeMessage {
			continue
		}
		counts[[2]string{tx.name, tx.outcome}] += uint64(n)
		if rate, err := strconv.ParseFloat(tx.rate, 64); err == nil && rate > 0 {
			weights[tx.name] += float64(n) / rate
		}
	}
	return counts, weights
}

// flush makes a tracer send what it has.
func flush(ctx context.Context, t testing.TB, tracer *apm.Tracer) {
	t.Helper()
	for range 2 { // the first may wait for a request that is being closed already
		tracer.Flush(ctx.Done())
	}
	if ctx.Err() != nil {
		t.Fatal("the tracer did not flush")
	}
}
