package collector

import (
	"bytes"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/newrelic/go-agent/v3/newrelic"

	"github.com/apmws/go-apmws/exporters/internal/alone"
)

const (
	// License is the key with which agents are configured. It holds the word
	// SECRET, which must appear nowhere but in the query of requests.
	License = "012345678901234567890123456SECRETLICENCE"

	// AppName is the name under which agents are configured.
	AppName = "chat"

	// EntityGUID is what the collector calls an application.
	EntityGUID = "ENTITY-OF-CHAT"

	// Host is where agents are told to send their data.
	Host = "collector.test"
)

// Collector takes the place of New Relic's collector, as the transport of an agent
// or as a handler behind TLS. Several agents may share it. Its exported fields are to
// be set before the first request; everything else is safe for concurrent use.
type Collector struct {
	// SamplingTarget is how many transactions a minute keep their spans. 0 means a
	// million, negative means none.
	SamplingTarget int

	// Limits is how many events of a kind, by the name of their method such as
	// analytic_event_data or span_event_data, the agent may keep for one report.
	// Those that are not named keep the agent's own limits. They are reported
	// every Period, not each minute.
	Limits map[string]int

	// Period is how often events that have a limit are reported. 0 means 5 s; the
	// agent looks once a second.
	Period time.Duration

	// DropBodies keeps nothing for Sent. For tests of millions of messages.
	DropBodies bool

	mu       sync.Mutex
	runs     int
	harvest  Harvest
	problems []error
	sent     strings.Builder
}

// New returns a collector that keeps everything.
func New() *Collector { return new(Collector) }

// Configure is a newrelic.ConfigOption. It makes the collector the agent's
// transport, and switches off what has nothing to do with an application's own
// data: samples of the runtime, detection of clouds, lists of modules.
func (c *Collector) Configure(cfg *newrelic.Config) {
	cfg.AppName = AppName
	cfg.License = License
	cfg.Transport = c
	alone.NewRelic(cfg)
}

// Harvest returns everything that has been sent so far. It is a copy, but for the
// values of attributes.
func (c *Collector) Harvest() Harvest {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.harvest.clone()
}

// Problems returns what the real collector would refuse.
func (c *Collector) Problems() []error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.problems)
}

// Sent returns every body, decompressed, with the method before it, one a line.
// Addresses are not in it: they hold the licence.
func (c *Collector) Sent() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sent.String()
}

// RoundTrip implements http.RoundTripper.
func (c *Collector) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	status, body := c.take(r)
	if r.Body != nil {
		r.Body.Close()
	}
	return &http.Response{
		Status: http.StatusText(status), StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Content-Type": {"application/json"}}, ContentLength: int64(len(body)),
		Body: io.NopCloser(bytes.NewReader(body)), Request: r,
	}, nil
}

// ServeHTTP implements http.Handler. Agents insist on https.
func (c *Collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	status, body := c.take(r)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body)
}
