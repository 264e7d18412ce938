package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"

	"github.com/newrelic/go-agent/v3/newrelic"
	"go.elastic.co/apm/v2"

	"github.com/apmws/go-apmws/exporters/elasticws"
	"github.com/apmws/go-apmws/exporters/newrelicws"
)

// elasticTracer starts Elastic's agent, which reads its own variables.
func (cfg config) elasticTracer() (*apm.Tracer, error) {
	tracer, err := apm.NewTracerOptions(apm.TracerOptions{ServiceName: cfg.service, ServiceEnvironment: cfg.environment})
	if err != nil {
		if withURL := new(url.Error); errors.As(err, &withURL) {
			err = withURL.Err // without the URL, which may hold a password
		}
		return nil, fmt.Errorf("elastic: %w", err)
	}
	return tracer, nil
}

// newRelicApp starts New Relic's agent, which reads its own variables. It connects
// by itself, and drops what there is before.
func (cfg config) newRelicApp() (*newrelic.Application, error) {
	app, err := newrelic.NewApplication(
		newrelic.ConfigAppName(cfg.service), // unless the variable says another
		newrelic.ConfigFromEnvironment(),
		newrelic.ConfigLicense(cfg.newRelic),
		func(agent *newrelic.Config) { agent.Logger = newRelicLog{cfg.log} },
		cfg.newRelicOption,
		newrelicws.CountRequests, // wraps the transport, so after what may set one
	)
	if err != nil {
		return nil, fmt.Errorf("new relic: %w", err)
	}
	return app, nil
}

// elasticExporter gives up sooner than -drain says at the end, where Elastic does not
// answer: that time is for the connections. New Relic's agent answers by itself.
type elasticExporter struct{ *elasticws.Exporter }

// Shutdown implements apmws.Shutdowner.
func (e elasticExporter) Shutdown(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, reportGrace)
	defer cancel()
	return e.Exporter.Shutdown(ctx)
}
