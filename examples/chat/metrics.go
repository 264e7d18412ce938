package main

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/apmws/go-apmws/exporters/promws"
)

const metricsPath = "/metrics"

// metrics serves what Prometheus scrapes, the agent's metrics beside those of Go and
// the process: to this machine alone, unless it was opened by a flag.
func (s *server) metrics() http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		promws.New(s.agent),
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	h := promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
	if s.cfg.exposeMetrics {
		return h
	}
	return localOnly(h, "the metrics are for this machine alone; -expose-metrics opens them")
}
