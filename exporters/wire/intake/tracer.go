package intake

import (
	"fmt"
	"net/url"

	"go.elastic.co/apm/v2"
	"go.elastic.co/apm/v2/transport"
)

// NewTracer returns an agent of a service that sends to the server at an address,
// such as that of an httptest.Server. The rest of its configuration is that of the
// environment; it is the caller's to close. Tests should set
// ELASTIC_APM_CLOUD_PROVIDER to none, or the agent asks the network where it is.
func NewTracer(address, service string) (*apm.Tracer, error) {
	server, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("address of the server: %w", err)
	}
	sender, err := transport.NewHTTPTransport(transport.HTTPTransportOptions{ServerURLs: []*url.URL{server}})
	if err != nil {
		return nil, fmt.Errorf("transport: %w", err)
	}
	return apm.NewTracerOptions(apm.TracerOptions{ServiceName: service, Transport: sender})
}
