package ill

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/newrelic/go-agent/v3/newrelic"
	"go.elastic.co/apm/v2"
	"go.elastic.co/apm/v2/transport"
	"go.uber.org/goleak"

	"github.com/apmws/go-apmws/apmws"
	"github.com/apmws/go-apmws/exporters/elasticws"
	"github.com/apmws/go-apmws/exporters/internal/alone"
	"github.com/apmws/go-apmws/exporters/newrelicws"
)

// vendor is what the test needs to know of one.
type vendor struct {
	name        string // of its exporter
	certificate *tls.Certificate
	// start starts the vendor's agent, as a program does.
	start func(t testing.TB, address string) *reporter

	// greet answers a request that carries no telemetry, and reports whether it
	// was one; carries reports whether a request does; decode counts what.
	greet   func(http.ResponseWriter, *http.Request) bool
	carries func(*http.Request) bool
	decode  func(*http.Request, *tally) error

	// received, opened and closed are the keys of the counters of a route, which
	// New Relic does not tell apart; dropped is that of what was given up.
	received, opened, closed func(route string) string
	dropped                  func(reason string) string
}

// reporter is a vendor's agent and the exporter that records with it.
type reporter struct {
	exporter  apmws.Exporter
	connected func() bool
	// shutdown is what a program does after agent.Shutdown. It takes no longer
	// than the timeout, and a little.
	shutdown func(timeout time.Duration)
}

func elastic() *vendor {
	key := func(metric string) func(string) string {
		return func(route string) string { return metric + " http_route=" + route }
	}
	return &vendor{
		name:  "elasticws",
		start: startElastic,
		greet: elasticGreet, carries: elasticCarries, decode: elasticDecode,
		received: key("websocket.messages.received"),
		opened:   key("websocket.connections.opened"),
		closed: func(route string) string {
			return "websocket.connections.closed http_route=" + route + " websocket_close_cause=normal"
		},
		dropped: func(reason string) string { return "websocket.telemetry.dropped exporter=elasticws reason=" + reason },
	}
}

func startElastic(t testing.TB, address string) *reporter {
	t.Helper()
	via, err := transport.NewHTTPTransport(transport.HTTPTransportOptions{
		ServerURLs: []*url.URL{{Scheme: "http", Host: address}},
	})
	if err != nil {
		t.Fatal(err)
	}
	tracer, err := apm.NewTracerOptions(apm.TracerOptions{ServiceName: "ill", Transport: via})
	if err != nil {
		t.Fatal(err)
	}
	tracer.SetMetricsInterval(time.Second) // so that reports are lost while the server is ill
	return &reporter{
		exporter:  elasticws.New(tracer),
		connected: func() bool { return true },
		shutdown:  func(time.Duration) { tracer.Close() },
	}
}

func newRelic() *vendor {
	stand := httptest.NewTLSServer(nil) // for its certificate
	defer stand.Close()
	trusted := x509.NewCertPool()
	trusted.AddCert(stand.Certificate())
	key := func(metric string) func(string) string {
		return func(string) string { return "Custom/WebSocket/" + metric }
	}
	return &vendor{
		name:        "newrelicws",
		certificate: &stand.TLS.Certificates[0],
		start: func(t testing.TB, address string) *reporter {
			t.Helper()
			return startNewRelic(t, address, trusted)
		},
		greet: newRelicGreet, carries: newRelicCarries, decode: newRelicDecode,
		received: key("Messages/Received"),
		opened:   key("Connections/Opened"),
		closed:   key("Connections/Closed/normal"),
		dropped:  func(reason string) string { return "Custom/WebSocket/Telemetry/Dropped/newrelicws/" + reason },
	}
}

func startNewRelic(t testing.TB, address string, trusted *x509.CertPool) *reporter {
	t.Helper()
	via := &http.Transport{TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: trusted}}
	app, err := newrelic.NewApplication(func(cfg *newrelic.Config) {
		cfg.AppName = "ill"
		cfg.License = strings.Repeat("a", 40)
		cfg.Host = address
		cfg.Transport = via
		alone.NewRelic(cfg)
	}, newrelicws.CountRequests)
	if err != nil {
		t.Fatal(err)
	}
	return &reporter{
		exporter:  newrelicws.New(app),
		connected: func() bool { return app.WaitForConnection(-1) == nil },
		shutdown:  app.Shutdown,
	}
}

// left are the goroutines that the vendors' agents leave behind: New Relic's goes
// on trying to connect after its Shutdown, every five minutes in the end, for ever.
func left() []goleak.Option {
	return []goleak.Option{
		goleak.IgnoreAnyFunction("github.com/newrelic/go-agent/v3/newrelic.(*app).connectRoutine"),
	}
}
