package backends

import (
	"context"
	"encoding/hex"
	"fmt"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"go.elastic.co/apm/v2"
	"go.elastic.co/apm/v2/model"
	"go.elastic.co/apm/v2/transport"

	"github.com/apmws/go-apmws/apmws"
	"github.com/apmws/go-apmws/apmws/exportertest"
	"github.com/apmws/go-apmws/apmws/semconv"
	"github.com/apmws/go-apmws/exporters/elasticws"
)

// patience is how long a vendor's agent may take to send what it holds.
const patience = 30 * time.Second

// Elastic returns an elasticws.Exporter whose tracer sends to an APM Server of its
// own. Both end with the test, which must not be parallel to others since it sets
// the agent's environment.
func Elastic(t testing.TB) exportertest.Backend {
	t.Helper()
	t.Setenv("ELASTIC_APM_CLOUD_PROVIDER", "none")
	// Room for what a rule records at once, not for what it floods with.
	t.Setenv("ELASTIC_APM_API_BUFFER_SIZE", "4mb")
	stand := new(intake)
	server := httptest.NewServer(stand)
	t.Cleanup(server.Close)
	tracer := newTracer(t, server.URL)
	return exportertest.Backend{
		Exporter: elasticws.New(tracer),
		Sent: func() (exportertest.Telemetry, error) {
			if err := flush(tracer); err != nil {
				return exportertest.Telemetry{}, err
			}
			return stand.telemetry()
		},
		Stall: stand.gate.stall,
		Limits: exportertest.Limits{
			MaxString: 1024, // characters
			Spelling:  elasticSpelling,
		},
	}
}

// elasticSpelling spells an attribute's name as Elastic does a label's.
func elasticSpelling(name string) string { return strings.ReplaceAll(name, ".", "_") }

func newTracer(t testing.TB, server string) *apm.Tracer {
	t.Helper()
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	via, err := transport.NewHTTPTransport(transport.HTTPTransportOptions{ServerURLs: []*url.URL{u}})
	if err != nil {
		t.Fatal(err)
	}
	tracer, err := apm.NewTracerOptions(apm.TracerOptions{
		ServiceName: "backends",
		Transport:   struct{ transport.Transport }{via}, // without central configuration
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tracer.Close)
	tracer.SetSpanCompressionEnabled(false)
	return tracer
}

// flush makes the tracer send what it holds, twice: the first time it may wait for
// a request that is being closed already.
func flush(tracer *apm.Tracer) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	tracer.Flush(ctx.Done())
	tracer.Flush(ctx.Done())
	if ctx.Err() != nil {
		return fmt.Errorf("backends: the tracer has not flushed within %v", patience)
	}
	if s := tracer.Stats(); s.Errors.SendStream+s.TransactionsDropped+s.SpansDropped+s.ErrorsDropped != 0 {
		return fmt.Errorf("backends: the tracer has lost something: %+v", s)
	}
	return nil
}

// elasticTransaction reads a transaction.
func elasticTransaction(tx *model.Transaction) exportertest.Transaction {
	read := exportertest.Transaction{
		Type:     tx.Type,
		Name:     tx.Name,
		Result:   tx.Result,
		Outcome:  apmws.Outcome(tx.Outcome),
		TraceID:  hex.EncodeToString(tx.TraceID[:]),
		SpanID:   spanID(tx.ID),
		ParentID: spanID(tx.ParentID),
		Start:    time.Time(tx.Timestamp),
		Duration: milliseconds(tx.Duration),
		Weight:   1,
		User:     elasticUser(tx.Context),
		Attrs:    elasticAttrs(tx.Context),
	}
	if rate := tx.SampleRate; rate != nil {
		// As the server counts: a rate of 0 does not.
		read.Weight = 0
		if *rate > 0 {
			read.Weight = 1 / *rate
		}
	}
	for _, link := range tx.Links {
		read.Links = append(read.Links, exportertest.Link{TraceID: hex.EncodeToString(link.TraceID[:]), SpanID: spanID(link.SpanID)})
	}
	return read
}

func elasticSpan(span *model.Span) exportertest.Span {
	read := exportertest.Span{
		Name:     span.Name,
		Outcome:  apmws.Outcome(span.Outcome),
		SpanID:   spanID(span.ID),
		ParentID: spanID(span.ParentID),
		Start:    time.Time(span.Timestamp),
		Duration: milliseconds(span.Duration),
		Attrs:    make(map[string]any),
	}
	if c := span.Context; c != nil {
		read.Attrs = elasticLabels(c.Tags)
		if c.Destination != nil && c.Destination.Service != nil {
			read.Destination = c.Destination.Service.Resource
		}
		if c.HTTP != nil && c.HTTP.StatusCode != 0 {
			read.Attrs[elasticSpelling(semconv.StatusCode)] = float64(c.HTTP.StatusCode)
		}
	}
	return read
}

func elasticError(doc *model.Error) exportertest.Error {
	var stack strings.Builder
	for _, frame := range doc.Exception.Stacktrace {
		fmt.Fprintf(&stack, "%s.%s\n", frame.Module, frame.Function)
	}
	return exportertest.Error{
		Message: doc.Exception.Message,
		Type:    doc.Exception.Type,
		Stack:   stack.String(),
		Time:    time.Time(doc.Timestamp),
		Attrs:   elasticAttrs(doc.Context),
	}
}

// elasticAttrs reads labels, and from their fields those attributes that Elastic
// has fields for.
func elasticAttrs(c *model.Context) map[string]any {
	if c == nil {
		return make(map[string]any)
	}
	attrs := elasticLabels(c.Tags)
	if c.Response != nil && c.Response.StatusCode != 0 {
		attrs[elasticSpelling(semconv.StatusCode)] = float64(c.Response.StatusCode)
	}
	if c.Request != nil && c.Request.Socket != nil {
		attrs[elasticSpelling(semconv.ClientAddress)] = c.Request.Socket.RemoteAddress
	}
	if user := elasticUser(c); user != "" {
		attrs[elasticSpelling(semconv.UserID)] = user
	}
	return attrs
}

func elasticLabels(tags model.IfaceMap) map[string]any {
	attrs := make(map[string]any, len(tags))
	for _, label := range tags {
		attrs[label.Key] = label.Value
	}
	return attrs
}

func elasticUser(c *model.Context) string {
	if c == nil || c.User == nil {
		return ""
	}
	return c.User.ID
}

// spanID returns an id, or nothing for the zero one.
func spanID(id model.SpanID) string {
	if id == (model.SpanID{}) {
		return ""
	}
	return hex.EncodeToString(id[:])
}

func milliseconds(ms float64) time.Duration {
	return time.Duration(ms * float64(time.Millisecond)).Round(time.Microsecond)
}
