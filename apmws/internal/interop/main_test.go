package interop

import (
	"os"
	"testing"

	"go.elastic.co/apm/v2"
	"go.elastic.co/apm/v2/transport"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	// Elastic's agent reads these when a tracer is made.
	for name, value := range map[string]string{
		"ELASTIC_APM_CLOUD_PROVIDER": "none",
		"ELASTIC_APM_CENTRAL_CONFIG": "false",
	} {
		if err := os.Setenv(name, value); err != nil {
			panic(err)
		}
	}
	// Elastic's integrations ask for the default tracer even when they are given
	// another; it would never be closed.
	unused, err := apm.NewTracerOptions(apm.TracerOptions{ServiceName: "unused", Transport: transport.NewDiscardTransport(nil)})
	if err != nil {
		panic(err)
	}
	apm.SetDefaultTracer(unused)
	unused.Close()
	goleak.VerifyTestMain(m)
}
