// Package alone makes the vendors' agents do what they are told and nothing else, in
// tests and measurements: they ask no cloud where they run, no server how they are
// configured, and no name server.
package alone

import (
	"context"
	"errors"
	"net"
	"os"

	"github.com/newrelic/go-agent/v3/newrelic"
)

// NewRelic is a newrelic.ConfigOption. It switches off what an agent reports beside
// what an application gives it.
func NewRelic(cfg *newrelic.Config) {
	cfg.RuntimeSampler.Enabled = false
	cfg.Utilization.DetectAWS = false
	cfg.Utilization.DetectAzure = false
	cfg.Utilization.DetectGCP = false
	cfg.Utilization.DetectPCF = false
	cfg.Utilization.DetectDocker = false
	cfg.Utilization.DetectKubernetes = false
	cfg.ModuleDependencyMetrics.Enabled = false
}

// Elastic sets the variables that Elastic's agent reads when it starts. It is for
// TestMain.
func Elastic() {
	for name, value := range map[string]string{
		"ELASTIC_APM_CLOUD_PROVIDER": "none",
		"ELASTIC_APM_CENTRAL_CONFIG": "false",
	} {
		if err := os.Setenv(name, value); err != nil {
			panic(err)
		}
	}
}

var errOffline = errors.New("no name server is asked")

// Offline makes names that are not in the hosts file unknown at once. It is for
// TestMain: New Relic's agent looks up its collector's name whenever it connects,
// whatever its configuration and transport are, and where the name server does not
// answer it waits for seconds.
func Offline() {
	net.DefaultResolver = &net.Resolver{
		PreferGo: true,
		Dial:     func(context.Context, string, string) (net.Conn, error) { return nil, errOffline },
	}
}
