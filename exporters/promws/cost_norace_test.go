//go:build !race

package promws

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/apmws/go-apmws/apmws"
)

// page serves a collector's metrics.
func page(c prometheus.Collector) http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(c)
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
}

// scrapeInto returns how many bytes a scrape has.
func scrapeInto(t testing.TB, h http.Handler) int {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if w.Code != http.StatusOK {
		t.Fatalf("%d: %s", w.Code, w.Body)
	}
	return w.Body.Len()
}

// TestOpenConnectionsCostNothing: a scrape with 50,000 open connections allocates
// and writes what one with a single connection does.
func TestOpenConnectionsCostNothing(t *testing.T) {
	const many = 50_000
	c := startChat(t)
	h := page(New(c.agent))
	openMany(t, c, 1)
	size := scrapeInto(t, h)
	allocations := testing.AllocsPerRun(20, func() { scrapeInto(t, h) })

	openMany(t, c, many-1)
	if got := scraped(c.scrape(t))[`gauge websocket_connections_active http_route="/idle"`]; got != many {
		t.Fatalf("%v connections are active", got)
	}
	if now := scrapeInto(t, h); now > size+100 { // the numbers have more digits
		t.Errorf("a scrape has %d bytes, with one connection %d", now, size)
	}
	if now := testing.AllocsPerRun(20, func() { scrapeInto(t, h) }); now > 1.1*allocations {
		t.Errorf("a scrape has %v allocations, with one connection %v", now, allocations)
	}
}

// snapshot is that of routes with as many names of messages, each of them handled
// and failed.
func snapshot(routes, names int) func() apmws.Stats {
	var s apmws.Stats
	h := fullHistogram()
	for i := range routes {
		r := apmws.RouteStats{
			Route: fmt.Sprintf("/a/route/of/usual/length/%d", i), ConnectionsActive: 50_000, ConnectionsOpened: 1 << 40,
			MessagesReceived: 1 << 40, MessagesSent: 1 << 40, BytesReceived: 1 << 50, BytesSent: 1 << 50,
			ConnectionDuration: h, PingRTT: h, WriteDuration: h,
		}
		for j := range names {
			for _, outcome := range []apmws.Outcome{apmws.OutcomeFailure, apmws.OutcomeSuccess} {
				r.Messages = append(r.Messages, apmws.MessageStats{
					Name: fmt.Sprintf("a.name.of.usual.length.%d", j), Outcome: outcome, Duration: h,
				})
			}
		}
		s.Routes = append(s.Routes, r)
	}
	return func() apmws.Stats { return s }
}

// TestScrapeIsBounded: what a scrape costs is in proportion to the series, of which
// 200 routes with 20 names each have 8,000 histograms of messages.
func TestScrapeIsBounded(t *testing.T) {
	const routes, names = 200, 20
	c := newCollector(snapshot(routes, names))
	registry := prometheus.NewRegistry()
	registry.MustRegister(c)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	lines := 0
	for _, family := range families {
		for _, m := range family.GetMetric() {
			lines++
			if h := m.GetHistogram(); h != nil {
				lines += len(h.GetBucket()) + 2 // with +Inf, the sum and the count
			}
		}
	}
	// Nine counters and gauges; 17 bounds, and 21 of the duration of connections.
	if want := routes * (9 + 2*(17+3) + 21 + 3 + 2*names*(17+3)); lines != want {
		t.Errorf("%d series, want %d", lines, want)
	}
	h := page(c)
	if size := scrapeInto(t, h); size > lines*200 {
		t.Errorf("%d bytes for %d series", size, lines)
	}
	if n := testing.AllocsPerRun(1, func() { scrapeInto(t, h) }); n > 7*float64(lines) {
		t.Errorf("%v allocations for %d series", n, lines)
	}
}

// BenchmarkConnections: a scrape does not depend on how many connections are open.
func BenchmarkConnections(b *testing.B) {
	for _, open := range []int{1, 1000, 50_000} {
		b.Run(fmt.Sprint(open), func(b *testing.B) {
			c := startChat(b)
			openMany(b, c, open)
			benchmark(b, New(c.agent))
		})
	}
}

// BenchmarkSeries: it depends on how many series there are.
func BenchmarkSeries(b *testing.B) {
	for _, size := range []struct{ routes, names int }{{1, 20}, {10, 20}, {200, 20}} {
		b.Run(fmt.Sprintf("%d×%d", size.routes, size.names), func(b *testing.B) {
			benchmark(b, newCollector(snapshot(size.routes, size.names)))
		})
	}
}

func benchmark(b *testing.B, c prometheus.Collector) {
	h := page(c)
	b.ReportAllocs()
	size := 0
	for b.Loop() {
		size = scrapeInto(b, h)
	}
	b.ReportMetric(float64(size), "bytes/scrape")
}
