package promws

import (
	"errors"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/apmws/go-apmws/apmws"
	"github.com/apmws/go-apmws/apmws/semconv"
)

// TestTwoAgents: a registry takes the second one only with a label of its own.
func TestTwoAgents(t *testing.T) {
	one, two := startChat(t), startChat(t)
	hangUp(t, two.dial(t, "/ws"))
	two.until(t, "the end", allClosed)
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(New(one.agent))
	var already prometheus.AlreadyRegisteredError
	if err := registry.Register(New(two.agent)); !errors.As(err, &already) {
		t.Errorf("the second is registered with %v", err)
	}

	registry = prometheus.NewPedanticRegistry()
	for name, c := range map[string]*chat{"one": one, "two": two} {
		prometheus.WrapRegistererWith(prometheus.Labels{"agent": name}, registry).MustRegister(New(c.agent))
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, family := range families {
		if family.GetName() != "websocket_connections_opened_total" {
			continue
		}
		for _, m := range family.GetMetric() {
			labels := map[string]string{}
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			got[key("opened", labels)] = m.GetCounter().GetValue()
		}
	}
	compare(t, got, map[string]float64{
		`opened agent="one" http_route="/ws"`: 0, `opened agent="one" http_route="/rooms"`: 0,
		`opened agent="two" http_route="/ws"`: 1, `opened agent="two" http_route="/rooms"`: 0,
	})
}

// TestUnregister: a collector that is taken out is not asked again, and another one
// of the same agent may follow.
func TestUnregister(t *testing.T) {
	agent := apmws.New(apmws.Options{})
	agent.Handler("/ws", nil)
	registry := prometheus.NewRegistry()
	registry.MustRegister(New(agent))
	if !registry.Unregister(New(agent)) {
		t.Error("it was not registered")
	}
	if families, err := registry.Gather(); err != nil || len(families) > 0 {
		t.Errorf("%d families, %v", len(families), err)
	}
	if err := registry.Register(New(agent)); err != nil {
		t.Error(err)
	}
}

// TestNewerAgent: a metric that this package does not know is scraped like others.
func TestNewerAgent(t *testing.T) {
	c := newCollector(scripted)
	delete(c.descs, semconv.PingsUnanswered)
	delete(c.descs, semconv.PingRTT)
	registry := prometheus.NewRegistry()
	registry.MustRegister(c)
	for _, name := range []string{"websocket_pings_unanswered_total", "websocket_ping_rtt_seconds"} {
		if n, err := testutil.GatherAndCount(registry, name); err != nil || n != 2 {
			t.Errorf("%d series of %s, %v", n, name, err)
		}
	}
}

// TestOddNames: neither a route that is no UTF-8 nor an exporter that counts
// something twice takes the other metrics with it.
func TestOddNames(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(newCollector(func() apmws.Stats {
		return apmws.Stats{
			Routes: []apmws.RouteStats{{Route: "/caf\xe9"}, {Route: "/caf\xe8"}, {Route: "/quote\"\\\n"}},
			Dropped: []apmws.Dropped{
				{Exporter: "mine", Reason: "panic", Count: 1},
				{Exporter: "mine", Reason: "full", Count: 2},
				{Exporter: "mine", Reason: "panic", Count: 4},
			},
		}
	}))
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			switch family.GetName() {
			case "websocket_connections_active":
				got[m.GetLabel()[0].GetValue()] = 0
			case "websocket_telemetry_dropped_total":
				got[m.GetLabel()[1].GetValue()] = m.GetCounter().GetValue()
			}
		}
	}
	compare(t, got, map[string]float64{`/caf\xe9`: 0, `/caf\xe8`: 0, "/quote\"\\\n": 0, "panic": 5, "full": 2})
}

// TestInvalid: a metric that cannot be made fails the scrape rather than being left
// out in silence.
func TestInvalid(t *testing.T) {
	c := newCollector(scripted)
	c.descs[semconv.MessagesSent] = c.descs[semconv.ConnectionsClosed] // with a label more
	registry := prometheus.NewRegistry()
	registry.MustRegister(c)
	if _, err := registry.Gather(); err == nil {
		t.Error("no error")
	}
}
