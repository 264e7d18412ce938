package elasticws

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/gorilla/websocket"
	"go.elastic.co/apm/v2"
	"go.elastic.co/apm/v2/model"

	"github.com/apmws/go-apmws/apmws"
	"github.com/apmws/go-apmws/apmws/semconv"
)

// sums adds up what was reported of the agent's metrics: name and labels, then
// the sum of values, or of the histogram's counts.
type sums map[string]float64

func seriesKey(name string, labels model.StringMap) string {
	key := name
	for _, l := range labels {
		key += fmt.Sprintf(" %s=%s", l.Key, l.Value)
	}
	return key
}

// report makes the tracer report and returns the metricsets of the agent.
func (r *recorder) report(t testing.TB) []model.Metrics {
	t.Helper()
	before := len(r.documents(t).metrics)
	r.SendMetrics(soon(t).Done())
	flush(t, r.Tracer)
	return ours(r.documents(t).metrics[before:])
}

// ours returns the metricsets that hold the agent's metrics.
func ours(all []model.Metrics) []model.Metrics {
	return slices.DeleteFunc(slices.Clone(all), func(set model.Metrics) bool {
		for name := range set.Samples {
			if strings.HasPrefix(name, "websocket.") {
				return false
			}
		}
		return true
	})
}

// add adds a report and fails when something is in it twice, or out of order.
func (s sums) add(t testing.TB, report []model.Metrics) {
	t.Helper()
	seen := make(map[string]bool)
	for _, set := range report {
		names := make([]string, len(set.Labels))
		for i, l := range set.Labels {
			names[i] = l.Key
			if strings.Contains(l.Key, ".") {
				t.Errorf("label %q", l.Key)
			}
		}
		if !slices.IsSorted(names) {
			t.Errorf("labels %v are not sorted", names)
		}
		if key := seriesKey("", set.Labels); seen[key] {
			t.Errorf("two metricsets for %q", key)
		} else {
			seen[key] = true
		}
		for name, sample := range set.Samples {
			key := seriesKey(name, set.Labels)
			if sample.Type != "histogram" {
				s[key] += sample.Value
				continue
			}
			if len(sample.Values) == 0 || len(sample.Values) != len(sample.Counts) || !slices.IsSorted(sample.Values) {
				t.Errorf("%s: values %v, counts %v", key, sample.Values, sample.Counts)
			}
			for i, n := range sample.Counts {
				s[key] += float64(n)
				if v := sample.Values[i]; v <= 0 || v > 60 {
					t.Errorf("%s: %v s", key, v)
				}
			}
		}
	}
}

// sumOf adds up all metrics.
func sumOf(d *documents) sums {
	total := sums{}
	for _, set := range d.metrics {
		for name, sample := range set.Samples {
			total[seriesKey(name, set.Labels)] += sample.Value
		}
	}
	return total
}

func TestMetrics(t *testing.T) {
	rec := newRecorder(t)
	var c chat
	c.start(t, New(rec.Tracer))
	total := sums{}
	total.add(t, rec.report(t)) // nothing has happened
	if got, ok := total["websocket.connections.opened http_route=/ws"]; !ok || got != 0 {
		t.Errorf("opened is %v, %v, want a 0", got, ok)
	}
	one := c.dial(t, nil)
	say(t, one, `{"type":"chat.say"}`, `{"type":"chat.say"}`)
	two := c.dial(t, nil)
	say(t, two, `{"type":"echo"}`)
	open := sums{}
	open.add(t, rec.report(t))
	if got := open["websocket.connections.active http_route=/ws"]; got != 2 {
		t.Errorf("%v connections are active", got)
	}
	for key, n := range open {
		total[key] += n
	}
	say(t, two, `{"type":"echo"}`)
	if err := two.WriteMessage(1, []byte(`{"type":"fail"}`)); err != nil {
		t.Fatal(err)
	}
	c.hangUp(t, one)
	c.hangUp(t, two)
	c.authenticate = refuseAll
	c.refused(t)
	total.add(t, rec.report(t))
	idle := rec.report(t)
	total.add(t, idle)

	stats := c.agent.Stats()
	want := sums{}
	for m := range stats.Metrics() {
		key := m.Name
		for _, l := range m.Labels {
			key += " " + strings.ReplaceAll(l.Name, ".", "_") + "=" + l.Value
		}
		switch m.Kind {
		case apmws.HistogramMetric:
			if m.Histogram.Count > 0 {
				want[key] = float64(m.Histogram.Count)
				if labels, ok := strings.CutPrefix(key, semconv.MessageDuration); ok {
					want[semconv.MessagesHandled+labels] = float64(m.Histogram.Count)
				}
			}
		case apmws.CounterMetric:
			if m.Value != 0 || !strings.Contains(key, "exporter=") {
				want[key] = float64(m.Value)
			}
		case apmws.GaugeMetric:
			if m.Name != semconv.ConnectionsActive {
				want[key] = float64(m.Value)
				break
			}
			labels := strings.TrimPrefix(key, semconv.ConnectionsActive)
			for _, introduced := range []string{
				semconv.ConnectionsRefused, semconv.ConnectionsClosed, semconv.MessagesHandled, semconv.OutboundCalls,
			} {
				want[introduced+labels] = 0
			}
		}
	}
	for key, n := range want {
		if got, ok := total[key]; !ok || got != n {
			t.Errorf("%s: reported %v (%v), counted %v", key, got, ok, n)
		}
	}
	for key := range total {
		if _, ok := want[key]; !ok && !strings.HasPrefix(key, "websocket.connections.active ") {
			t.Errorf("%s was reported, but not counted", key)
		}
	}
	for _, key := range []string{
		"websocket.messages.received http_route=/ws",
		"websocket.connections.closed http_route=/ws websocket_close_cause=normal",
		"websocket.connections.refused http_response_status_code=401 http_route=/ws websocket_refusal_reason=unauthenticated",
		"websocket.message.duration event_outcome=success http_route=/ws websocket_message_name=chat.say",
		"websocket.message.duration event_outcome=failure http_route=/ws websocket_message_name=fail",
		"websocket.connection.duration http_route=/ws",
		"websocket.write.duration http_route=/ws",
	} {
		if total[key] == 0 {
			t.Errorf("%s was not reported", key)
		}
	}

	// When nothing has happened, what has only the route is reported, and no
	// histogram.
	if len(idle) != 1 || len(idle[0].Labels) != 1 {
		t.Errorf("an idle report has %d metricsets", len(idle))
	}
	for name, sample := range idle[0].Samples {
		if sample.Value != 0 || sample.Type == "histogram" {
			t.Errorf("idle: %s is %+v", name, sample)
		}
	}
}

// TestMetricNames: Elasticsearch cannot map a name that is also the beginning of
// another.
func TestMetricNames(t *testing.T) {
	rec := newRecorder(t)
	var c chat
	c.start(t, New(rec.Tracer))
	say(t, c.dial(t, nil), `{"type":"chat.say"}`)
	var names []string
	for m := range c.agent.Stats().Metrics() {
		names = append(names, m.Name)
	}
	for _, a := range names {
		for _, b := range names {
			if strings.HasPrefix(b, a+".") {
				t.Errorf("%s and %s", a, b)
			}
		}
	}
}

// TestLabelOrder: it is that of the names as Elastic spells them.
func TestLabelOrder(t *testing.T) {
	s := New(newRecorder(t).Tracer).seriesOf(&apmws.Metric{Name: "m", Labels: []apmws.Label{{Name: "a.b"}, {Name: "a_a"}}})
	if got, want := s.labels, []apm.MetricLabel{{Name: "a_a"}, {Name: "a_b"}}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// written is what reports have written.
type written struct {
	mu    sync.Mutex
	sums  sums
	twice []string
	seen  map[string]bool
}

func (w *written) Add(name string, labels []apm.MetricLabel, value float64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	key := name
	for _, l := range labels {
		key += " " + l.Name + "=" + l.Value
	}
	if w.seen[key] {
		w.twice = append(w.twice, key)
	}
	w.seen[key] = true
	w.sums[key] += value
}

func (w *written) AddHistogram(name string, labels []apm.MetricLabel, _ []float64, counts []uint64) {
	n := 0.0
	for _, c := range counts {
		n += float64(c)
	}
	w.Add(name, labels, n)
}

// TestReportsAtOnce: what one report has another has not.
func TestReportsAtOnce(t *testing.T) {
	rec := newRecorder(t)
	e := New(rec.Tracer)
	var c chat
	c.start(t, e)
	reports := make([]*written, 8)
	var all sync.WaitGroup
	stop := make(chan struct{})
	for i := range reports {
		reports[i] = &written{sums: sums{}}
		all.Go(func() {
			for {
				reports[i].seen = make(map[string]bool)
				e.reportTo(reports[i])
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	conn := c.dial(t, nil)
	for range 50 {
		say(t, conn, `{"type":"chat.say"}`)
	}
	c.hangUp(t, conn)
	close(stop)
	all.Wait()
	last := &written{sums: sums{}, seen: make(map[string]bool)}
	e.reportTo(last)
	total := sums{}
	for _, w := range slices.Concat(reports, []*written{last}) {
		if len(w.twice) > 0 {
			t.Errorf("twice in one report: %v", w.twice)
		}
		for key, n := range w.sums {
			total[key] += n
		}
	}
	for key, want := range map[string]float64{
		"websocket.messages.received http_route=/ws":                                                      50,
		"websocket.connections.opened http_route=/ws":                                                     1,
		"websocket.connection.duration http_route=/ws":                                                    1,
		"websocket.message.duration event_outcome=success http_route=/ws websocket_message_name=chat.say": 50,
	} {
		if total[key] != want {
			t.Errorf("%s: %v, want %v", key, total[key], want)
		}
	}
}

// failingTransport takes nothing.
type failingTransport struct{}

func (failingTransport) SendStream(_ context.Context, stream io.Reader) error {
	_, _ = io.Copy(io.Discard, stream)
	return errors.New("queue is full")
}

// TestDropsOfTwoExporters: each has series of its own.
func TestDropsOfTwoExporters(t *testing.T) {
	a, b := New(newTracer(t, failingTransport{})), New(newTracer(t, failingTransport{}))
	var c chat
	c.start(t, a, b)
	for i, e := range []*Exporter{a, b, b} {
		e.tracer.StartTransaction("x", "y").End()
		if err := e.Flush(soon(t)); !errors.Is(err, ErrRequestFailed) {
			t.Errorf("Flush %d: %v, want %v", i, err, ErrRequestFailed)
		}
	}
	out := &written{sums: sums{}, seen: make(map[string]bool)}
	a.reportTo(out)
	if len(out.twice) > 0 {
		t.Errorf("twice in one report: %v", out.twice)
	}
	for exporter, want := range map[string]float64{"elasticws": 1, "elasticws#2": 2} {
		if got := out.sums["websocket.telemetry.dropped exporter="+exporter+" reason=requests"]; got != want {
			t.Errorf("%s: %v requests failed, want %v", exporter, got, want)
		}
	}
}

// TestOneAgent: an Exporter serves the first agent that attaches it.
func TestOneAgent(t *testing.T) {
	rec := newRecorder(t)
	e := New(rec.Tracer)
	var first, second chat
	first.start(t, e)
	second.start(t, e)
	say(t, first.dial(t, nil), `{"type":"chat.say"}`)
	say(t, second.dial(t, nil), `{"type":"chat.say"}`)
	total := sums{}
	total.add(t, rec.report(t))
	if got := total["websocket.connections.opened http_route=/ws"]; got != 1 {
		t.Errorf("%v connections opened, want the first agent's", got)
	}
}

// TestSecondAgentAfterShutdown: its counters begin anew, so that the difference
// to the first agent's would be negative.
func TestSecondAgentAfterShutdown(t *testing.T) {
	rec := newRecorder(t)
	e := New(rec.Tracer)
	var first, second chat
	first.start(t, e)
	conn := first.dial(t, nil)
	say(t, conn, `{"type":"chat.say"}`)
	first.hangUp(t, conn)
	if err := first.agent.Shutdown(soon(t)); err != nil {
		t.Fatal(err)
	}
	second.start(t, e)
	if sets := rec.report(t); len(sets) > 0 {
		t.Errorf("reported for a second agent: %v", sets)
	}
}

// TestManySeries: a report with the 2,000 series for which the package promises room
// loses none.
func TestManySeries(t *testing.T) {
	names := make([]string, 1970) // beside those that every route has
	for i := range names {
		names[i] = fmt.Sprintf("a.message.with.a.name.of.usual.length.%d", i)
	}
	rec := newRecorder(t)
	e := New(rec.Tracer)
	agent := apmws.New(apmws.Options{
		Exporters: []apmws.Exporter{e}, Messages: apmws.MessageOptions{Names: names}, Sampling: &apmws.Sampling{},
	})
	server := httptest.NewServer(agent.Endpoint("/a/route/of/usual/length", apmws.EndpointOptions{
		Message: func(ctx context.Context, _ apmws.Message) error {
			for _, name := range names {
				_, tx := apmws.StartMessage(ctx, apmws.MessageInfo{Name: name})
				tx.End(nil)
			}
			return apmws.Close(websocket.CloseNormalClosure, "")
		},
	}))
	defer server.Close()
	conn, _, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(server.URL, "http"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.WriteMessage(websocket.TextMessage, []byte("all")); err != nil {
		t.Fatal(err)
	}
	_, _, _ = conn.ReadMessage()                // the close
	if err := e.Shutdown(soon(t)); err != nil { // not the agent's, which leaves it five seconds
		t.Fatal(err)
	}

	reported := map[string]int{}
	for _, set := range rec.documents(t).metrics {
		if sample, ok := set.Samples["websocket.message.duration"]; ok {
			for _, label := range set.Labels {
				if label.Key == "websocket_message_name" {
					reported[fmt.Sprint(label.Value)] += int(sample.Counts[0])
				}
			}
		}
	}
	for _, name := range names {
		if reported[name] != 1 {
			t.Fatalf("%s is reported %d times; there are %d of %d names", name, reported[name], len(reported), len(names))
		}
	}
}
