package newrelicws

import (
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/newrelic/go-agent/v3/newrelic"
)

// CountRequests is a newrelic.ConfigOption. With it, Dropped counts the posts of
// data that New Relic did not take, which nothing else tells but the agent's log:
//
//	app, err := newrelic.NewApplication(newrelic.ConfigFromEnvironment(), newrelicws.CountRequests)
//
// It wraps cfg.Transport, or what the agent takes in its place where that is nil, so
// it must come after an option that sets one. Nothing that passes is changed or
// kept.
func CountRequests(cfg *newrelic.Config) {
	next := cfg.Transport
	if next == nil {
		next = agentTransport()
	}
	cfg.Transport = &requestCounter{next: next}
}

// agentTransport returns a transport like the agent's default, which New Relic's API
// does not give.
func agentTransport() http.RoundTripper {
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		ForceAttemptHTTP2:     true,
		MaxIdleConns:          100,
		MaxIdleConnsPerHost:   100,
		IdleConnTimeout:       90 * time.Second,
		TLSHandshakeTimeout:   10 * time.Second,
		ExpectContinueTimeout: time.Second,
	}
}

// requestCounter counts the posts that failed.
type requestCounter struct {
	next   http.RoundTripper
	failed atomic.Int64
}

// RoundTrip implements http.RoundTripper.
func (c *requestCounter) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := c.next.RoundTrip(r)
	taken := err == nil && (resp.StatusCode == http.StatusOK || resp.StatusCode == http.StatusAccepted)
	// Connecting loses nothing.
	if !taken && strings.HasSuffix(r.URL.Query().Get("method"), "_data") {
		c.failed.Add(1)
	}
	return resp, err
}

// failedRequests returns how many posts have failed, where that is counted.
func (e *Exporter) failedRequests() int64 {
	if e.requests == nil {
		return 0
	}
	return e.requests.failed.Load()
}
