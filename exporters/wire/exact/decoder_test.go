package exact

import (
	"cmp"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apmws/go-apmws/apmws/semconv"
	"github.com/apmws/go-apmws/exporters/elasticws"
	"github.com/apmws/go-apmws/exporters/wire/intake"
)

// TestRealDecoder: what Elastic would index, by its own decoder, adds up to the
// snapshot; and of transactions there are as many as there were messages, less those
// that were dropped. The other tests read the agent's lines themselves.
func TestRealDecoder(t *testing.T) {
	t.Setenv("ELASTIC_APM_METRICS_INTERVAL", "30ms")
	t.Setenv("ELASTIC_APM_API_REQUEST_TIME", "100ms")
	ctx := within(t, 2*time.Minute)
	server := intake.New()
	server.DropBodies = true
	listening := httptest.NewServer(server)
	t.Cleanup(listening.Close)
	tracer, err := intake.NewTracer(listening.URL, "exact")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tracer.Close)
	agent := newAgent(nil, elasticws.New(tracer))
	f := newFleet(tcp(serve(t, agent)))
	unwatch := watch(t, agent, f)
	f.refuse(t, 2)
	for range 3 {
		f.run(t, 12, 900)
	}
	poll(ctx, t, "the connections to end", func() bool { return len(agent.Connections()) == 0 })
	unwatch()
	if err := agent.Flush(ctx); err != nil { // Shutdown leaves the exporters five seconds
		t.Fatal(err)
	}
	if err := agent.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	stats := agent.Stats()
	for _, problem := range f.compare(&stats) {
		t.Error("snapshot: ", problem)
	}
	for _, err := range server.Rejected() {
		t.Errorf("rejected: %v", err)
	}

	got, reports := newTotals(), 0
	messages := make(map[[2]string]uint64)
	var sent, spans uint64
	documents := server.Documents()
	slices.SortStableFunc(documents, func(a, b intake.Document) int {
		return cmp.Compare(a.Text("@timestamp"), b.Text("@timestamp")) // the last value of a gauge is the latest
	})
	for _, d := range documents {
		switch {
		case d.Stream() == "metrics-apm.app.exact-default":
			if _, ok := d[semconv.ConnectionsActive]; ok {
				reports++
			}
			got.index(t, d)
		case d.Text("processor.event") == "transaction":
			sent++
			if d.Text("transaction.type") == semconv.TypeMessage {
				messages[[2]string{d.Text("transaction.name"), d.Text("event.outcome")}]++
			}
		case d.Text("processor.event") == "span":
			spans++
		}
	}
	for _, problem := range got.compare(totalsOf(&stats)) {
		t.Error(problem)
	}
	handled, _ := f.total()
	lost, left := dropped(&stats, "elasticws", "transactions"), dropped(&stats, "elasticws", "blocked")
	if want := handled + uint64(2*f.connections+2*len(routes)); sent+lost > want || sent+lost+left < want {
		t.Errorf("%d transactions and %d dropped, want %d", sent, lost, want)
	}
	for key, n := range f.handled {
		m := [2]string{key.name, string(key.outcome)}
		for other, k := range f.handled {
			if other != key && other.name == key.name && other.outcome == key.outcome {
				n += k
			}
		}
		if messages[m] > n || messages[m]+lost+left < n {
			t.Errorf("%v: %d transactions of %d messages", m, messages[m], n)
		}
	}
	if reports < 2*len(routes) {
		t.Errorf("%d metricsets, want more reports to add up", reports)
	}
	t.Logf("%d transactions, %d dropped, %d spans, %d metricsets with connections", sent, lost, spans, reports)
}

// index adds a metrics document.
func (x *totals) index(t testing.TB, d intake.Document) {
	t.Helper()
	var labels [][2]string
	for field := range d {
		if name, ok := strings.CutPrefix(field, "labels."); ok {
			labels = append(labels, [2]string{name, d.Text(field)})
		}
	}
	slices.SortFunc(labels, func(a, b [2]string) int { return cmp.Compare(a[0], b[0]) })
	for field, value := range d {
		if !strings.HasPrefix(field, "websocket.") {
			continue
		}
		key := seriesKey(field, labels)
		switch value := value.(type) {
		case map[string]any:
			values, ok1 := value["values"].([]any)
			counts, ok2 := value["counts"].([]any)
			if !ok1 || !ok2 || len(values) != len(counts) {
				t.Errorf("%s: %v", key, value)
				return
			}
			for i := range values {
				x.count(key, values[i].(float64), uint64(counts[i].(float64)))
			}
		case float64:
			if field == semconv.ConnectionsActive {
				x.last[key] = value
			} else {
				x.sums[key] += value
			}
		default:
			t.Errorf("%s is %v", key, value)
		}
	}
}
