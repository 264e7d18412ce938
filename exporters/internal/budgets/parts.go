package main

import (
	"context"
	"io"
	"net/url"
	"sync/atomic"

	"go.elastic.co/apm/v2"
	"go.elastic.co/apm/v2/transport"

	"github.com/apmws/go-apmws/apmws"
	"github.com/apmws/go-apmws/exporters/elasticws"
)

// parts are what a server is made of besides the WebSocket library.
type parts struct {
	agent  *apmws.Agent
	tracer *apm.Tracer // nil: no exporter
	chosen *counter
}

func newParts(spec serverSpec) (p parts, err error) {
	p.chosen = &counter{}
	opts := apmws.Options{Messages: messageOptions(), Sampling: spec.Sampling}
	if spec.Intake != "" {
		if p.tracer, err = newTracer(spec.Intake); err != nil {
			return p, err
		}
		opts.Exporters = append(opts.Exporters, elasticws.New(p.tracer))
	}
	if spec.Count {
		opts.Exporters = append(opts.Exporters, p.chosen)
	}
	p.agent = apmws.New(opts)
	return p, nil
}

func (p parts) close() {
	if p.tracer != nil {
		p.tracer.Close()
	}
}

// messageOptions name messages as a chat would.
func messageOptions() apmws.MessageOptions {
	return apmws.MessageOptions{Name: apmws.JSONField("type"), Names: []string{eventName, "chat.join", "chat.leave"}}
}

func newTracer(address string) (*apm.Tracer, error) {
	via, err := transport.NewHTTPTransport(transport.HTTPTransportOptions{
		ServerURLs: []*url.URL{{Scheme: "http", Host: address}},
	})
	if err != nil {
		return nil, err
	}
	return apm.NewTracerOptions(apm.TracerOptions{ServiceName: "budgets", Transport: via})
}

// counter is an exporter that counts the messages that exporters are given, and
// records nothing.
type counter struct{ atomic.Int64 }

// StartConn implements apmws.Exporter.
func (c *counter) StartConn(ctx context.Context, _ apmws.ConnStart) (context.Context, apmws.ConnSpan) {
	return ctx, countedConn{c}
}

type countedConn struct{ counter *counter }

// Opened implements apmws.ConnSpan.
func (countedConn) Opened(apmws.OpenEnd) {}

// StartMessage implements apmws.ConnSpan.
func (c countedConn) StartMessage(ctx context.Context, _ apmws.MessageStart) (context.Context, apmws.MessageSpan) {
	c.counter.Add(1)
	return ctx, nil
}

// End implements apmws.ConnSpan.
func (countedConn) End(apmws.ConnEnd) {}

// elasticExporters returns the exporter to Elastic alone.
func elasticExporters(tracer *apm.Tracer) []apmws.Exporter {
	return []apmws.Exporter{elasticws.New(tracer)}
}

// discardingTracer returns a tracer whose documents go nowhere.
func discardingTracer() (*apm.Tracer, error) {
	return apm.NewTracerOptions(apm.TracerOptions{ServiceName: "budgets", Transport: discard{}})
}

// discard is a transport.
type discard struct{}

// SendStream implements transport.Transport.
func (discard) SendStream(_ context.Context, stream io.Reader) error {
	_, err := io.Copy(io.Discard, stream)
	return err
}
