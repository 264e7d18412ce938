package promws

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/apmws/go-apmws/apmws"
)

// parse reads the text format.
func parse(text string) (map[string]*dto.MetricFamily, error) {
	parser := expfmt.NewTextParser(model.LegacyValidation) // names without dots
	return parser.TextToMetricFamilies(strings.NewReader(text))
}

// key tells series apart.
func key(name string, labels map[string]string) string {
	for _, label := range slices.Sorted(maps.Keys(labels)) {
		name += fmt.Sprintf(" %s=%q", label, labels[label])
	}
	return name
}

// scraped are the values of what was scraped, of histograms the sum, the count and
// the count of each bucket.
func scraped(families map[string]*dto.MetricFamily) map[string]float64 {
	all := map[string]float64{}
	for name, family := range families {
		for _, m := range family.GetMetric() {
			labels := map[string]string{}
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			switch {
			case m.GetGauge() != nil:
				all[key("gauge "+name, labels)] = m.GetGauge().GetValue()
			case m.GetCounter() != nil:
				all[key("counter "+name, labels)] = m.GetCounter().GetValue()
			case m.GetHistogram() != nil:
				h := m.GetHistogram()
				all[key("sum "+name, labels)] = h.GetSampleSum()
				all[key("count "+name, labels)] = float64(h.GetSampleCount())
				for _, b := range h.GetBucket() {
					all[key(fmt.Sprintf("%v %s", b.GetUpperBound(), name), labels)] = float64(b.GetCumulativeCount())
				}
			}
		}
	}
	return all
}

// counted are the same values as the agent has them. The bounds are those that were
// scraped; the counts below them are the agent's own, added up.
func counted(t testing.TB, stats apmws.Stats, families map[string]*dto.MetricFamily) map[string]float64 {
	t.Helper()
	all := map[string]float64{}
	for m := range stats.Metrics() {
		name := strings.ReplaceAll(m.Name, ".", "_")
		labels := map[string]string{}
		for _, l := range m.Labels {
			labels[strings.ReplaceAll(l.Name, ".", "_")] = l.Value
		}
		switch m.Kind {
		case apmws.GaugeMetric:
			all[key("gauge "+name, labels)] = float64(m.Value)
		case apmws.CounterMetric:
			all[key("counter "+name+"_total", labels)] = float64(m.Value)
		case apmws.HistogramMetric:
			name += "_seconds"
			all[key("sum "+name, labels)] = m.Histogram.Sum.Seconds()
			all[key("count "+name, labels)] = float64(m.Histogram.Count)
			if families[name] == nil {
				continue // it is missing, which the caller will see
			}
			for _, bucket := range families[name].GetMetric()[0].GetHistogram().GetBucket() {
				bound, n := bucket.GetUpperBound(), uint64(0)
				for _, b := range m.Histogram.Buckets {
					switch {
					case b.Upper.Seconds() <= bound:
						n += b.Count
					case b.Lower.Seconds() < bound && b.Upper != 1<<63-1:
						t.Errorf("%s: the agent's bucket from %v to %v reaches across %v s", name, b.Lower, b.Upper, bound)
					}
				}
				all[key(fmt.Sprintf("%v %s", bound, name), labels)] = float64(n)
			}
			all[key("+Inf "+name, labels)] = float64(m.Histogram.Count)
		}
	}
	return all
}

func compare(t testing.TB, got, want map[string]float64) {
	t.Helper()
	for series, value := range want {
		if n, ok := got[series]; !ok || n != value {
			t.Errorf("%s: scraped %v (%v), counted %v", series, n, ok, value)
		}
	}
	for series, value := range got {
		if _, ok := want[series]; !ok {
			t.Errorf("%s %v was scraped, but not counted", series, value)
		}
	}
}

// TestScrape: what is scraped is what the agent counts, all of it and nothing else.
func TestScrape(t *testing.T) {
	c := startChat(t)
	families := c.scrape(t) // nothing has happened
	compare(t, scraped(families), counted(t, c.agent.Stats(), families))
	zeros := scraped(families)
	for _, series := range []string{
		`gauge websocket_connections_active http_route="/rooms"`, `counter websocket_messages_received_total http_route="/ws"`,
		`counter websocket_pings_unanswered_total http_route="/ws"`, `count websocket_connection_duration_seconds http_route="/rooms"`,
	} {
		if n, ok := zeros[series]; !ok || n != 0 {
			t.Errorf("before anything has happened %s is %v (%v)", series, n, ok)
		}
	}

	one, two := c.dial(t, "/ws"), c.dial(t, "/rooms")
	say(t, one, `{"type":"chat.say"}`, `{"type":"fail"}`, `{"type":"chat.say"}`)
	say(t, two, `{"type":"other"}`)
	if got := scraped(c.scrape(t))[`gauge websocket_connections_active http_route="/ws"`]; got != 1 {
		t.Errorf("%v connections are active", got)
	}
	hangUp(t, one)
	two.Close()
	c.refused(t)
	c.until(t, "the end", func(s apmws.Stats) bool { return allClosed(s) && len(s.Routes[1].Refused) == 1 })

	families = c.scrape(t)
	got := scraped(families)
	compare(t, got, counted(t, c.agent.Stats(), families))
	for series, want := range map[string]float64{
		`gauge websocket_connections_active http_route="/ws"`:                                                                                     0,
		`counter websocket_connections_opened_total http_route="/ws"`:                                                                             1,
		`counter websocket_connections_refused_total http_response_status_code="401" http_route="/ws" websocket_refusal_reason="unauthenticated"`: 1,
		`counter websocket_connections_closed_total http_route="/ws" websocket_close_cause="normal"`:                                              1,
		`counter websocket_connections_closed_total http_route="/rooms" websocket_close_cause="read_error"`:                                       1,
		`counter websocket_messages_received_total http_route="/ws"`:                                                                              3,
		`counter websocket_messages_sent_total http_route="/ws"`:                                                                                  2,
		`counter websocket_bytes_received_total http_route="/ws"`:                                                                                 2*19 + 15,
		`counter websocket_bytes_sent_total http_route="/ws"`:                                                                                     2 * 19,
		`count websocket_message_duration_seconds event_outcome="success" http_route="/ws" websocket_message_name="chat.say"`:                     2,
		`count websocket_message_duration_seconds event_outcome="failure" http_route="/ws" websocket_message_name="fail"`:                         1,
		`count websocket_message_duration_seconds event_outcome="success" http_route="/rooms" websocket_message_name="_OTHER"`:                    1,
		`count websocket_connection_duration_seconds http_route="/ws"`:                                                                            1,
		`counter websocket_telemetry_dropped_total exporter="apmws" reason="malformed_trace_context"`:                                             1,
	} {
		if got[series] != want {
			t.Errorf("%s is %v, want %v", series, got[series], want)
		}
	}
	if got[`count websocket_write_duration_seconds http_route="/ws"`] == 0 {
		t.Error("no write was timed")
	}
}

// TestScrapesAtOnce: scrapes under traffic are whole, each bucket at most the next
// one, and no later scrape has less than an earlier one.
func TestScrapesAtOnce(t *testing.T) {
	const scrapers, clients, messages = 4, 4, 100
	c := startChat(t)
	stop := make(chan struct{})
	var scraping, talking sync.WaitGroup
	for range scrapers {
		scraping.Go(func() {
			last := map[string]float64{}
			for {
				text, err := c.get()
				if err != nil {
					t.Error(err)
					return
				}
				families, err := parse(text)
				if err != nil {
					t.Error(err)
					return
				}
				now := scraped(families)
				for series, before := range last {
					if n, ok := now[series]; !ok || n < before && !strings.HasPrefix(series, "gauge ") {
						t.Errorf("%s was %v and is %v (%v)", series, before, n, ok)
					}
				}
				ascending(t, families)
				last = now
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	conns := make([]func(), clients)
	for i := range conns {
		conn := c.dial(t, "/ws")
		conns[i] = func() {
			for range messages {
				if conn.WriteMessage(1, []byte(`{"type":"chat.say"}`)) != nil {
					return // counted below
				}
				if _, _, err := conn.ReadMessage(); err != nil {
					return
				}
			}
		}
	}
	for _, talk := range conns {
		talking.Go(talk)
	}
	talking.Wait()
	c.until(t, "all messages", func(s apmws.Stats) bool {
		return len(s.Routes[1].Messages) == 1 && s.Routes[1].Messages[0].Duration.Count == clients*messages
	})
	close(stop)
	scraping.Wait()
	families := c.scrape(t)
	compare(t, scraped(families), counted(t, c.agent.Stats(), families))
}

func ascending(t testing.TB, families map[string]*dto.MetricFamily) {
	t.Helper()
	for name, family := range families {
		for _, m := range family.GetMetric() {
			var before uint64
			for _, b := range m.GetHistogram().GetBucket() {
				if b.GetCumulativeCount() < before {
					t.Errorf("%s: %d below %v s, and %d before that", name, b.GetCumulativeCount(), b.GetUpperBound(), before)
				}
				before = b.GetCumulativeCount()
			}
			if m.GetHistogram() != nil && m.GetHistogram().GetSampleCount() != before {
				t.Errorf("%s has %d in its last bucket and counts %d", name, before, m.GetHistogram().GetSampleCount())
			}
		}
	}
}

// TestScrapeAfterShutdown: the last scrape has what happened at the end.
func TestScrapeAfterShutdown(t *testing.T) {
	c := startChat(t)
	hangUp(t, c.dial(t, "/ws"))
	c.until(t, "the end", allClosed)
	if err := c.agent.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	families := c.scrape(t)
	compare(t, scraped(families), counted(t, c.agent.Stats(), families))
	if got := scraped(families)[`counter websocket_connections_opened_total http_route="/ws"`]; got != 1 {
		t.Errorf("%v connections opened", got)
	}
}
