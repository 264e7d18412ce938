package wire

import (
	"context"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/newrelic/go-agent/v3/newrelic"
	"go.elastic.co/apm/v2"

	"github.com/apmws/go-apmws/apmws"
	"github.com/apmws/go-apmws/exporters/elasticws"
	"github.com/apmws/go-apmws/exporters/newrelicws"
	"github.com/apmws/go-apmws/exporters/wire/collector"
	"github.com/apmws/go-apmws/exporters/wire/intake"
)

// dialOnce lets a service dial another, which answers one message, and shuts both
// agents down. ctx is what the dialling is done under.
func dialOnce(ctx context.Context, t *testing.T, client, server apmws.Exporter) (address string) {
	t.Helper()
	messages := apmws.MessageOptions{
		Name:  func(dst []byte, _ apmws.MessageType, payload []byte) []byte { return append(dst, payload...) },
		Names: []string{"question", "answer"},
	}
	serving := apmws.New(apmws.Options{Exporters: []apmws.Exporter{server}, Messages: messages})
	service := httptest.NewServer(serving.Endpoint("/quotes", apmws.EndpointOptions{
		Message: func(ctx context.Context, m apmws.Message) error {
			return apmws.FromContext(ctx).Write(ctx, m.Type, []byte("answer"))
		},
	}))
	defer service.Close()
	dialling := apmws.New(apmws.Options{Exporters: []apmws.Exporter{client}, Messages: messages})
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	answered := false
	err := dialling.Dialer("quotes", "ws"+strings.TrimPrefix(service.URL, "http")+"/secret-path?token=secret-query", apmws.DialerOptions{
		Connect: func(ctx context.Context, conn *apmws.Conn) (context.Context, error) {
			return ctx, conn.Write(ctx, apmws.TextMessage, []byte("question"))
		},
		Message: func(context.Context, apmws.Message) error { answered = true; cancel(); return nil },
	}).Run(ctx)
	if !errors.Is(err, context.Canceled) || !answered {
		t.Fatal(err)
	}
	for _, agent := range []*apmws.Agent{dialling, serving} {
		shutDown(t, agent)
	}
	return service.Listener.Addr().String()
}

// TestDialElastic: the handshake that a service makes and that which the other gets
// are one trace, and only the latter is a request that came in.
func TestDialElastic(t *testing.T) {
	stands := map[string]*intake.Server{"client": intake.New(), "server": intake.New()}
	exporters := map[string]apmws.Exporter{}
	tracers := map[string]*apm.Tracer{}
	for side, stand := range stands {
		at := httptest.NewServer(stand)
		defer at.Close()
		tracer, err := intake.NewTracer(at.URL, side)
		if err != nil {
			t.Fatal(err)
		}
		defer tracer.Close()
		tracers[side], exporters[side] = tracer, elasticws.New(tracer)
	}
	around := tracers["client"].StartTransaction("around", "request")
	address := dialOnce(apm.ContextWithTransaction(t.Context(), around), t, exporters["client"], exporters["server"])
	around.Result = "all is well"
	around.End()
	tracers["client"].Flush(nil)
	tracers["client"].Flush(nil) // what came while the request was finished

	find := func(side, field, value string) intake.Document {
		for _, d := range stands[side].Documents() {
			if d.Text(field) == value {
				return d
			}
		}
		t.Fatalf("the %s has sent no %s %s", side, field, value)
		return nil
	}
	ours, dial := find("client", "transaction.name", "CONNECT quotes"), find("client", "span.name", "dial")
	theirs := find("server", "transaction.name", "CONNECT /quotes")
	if theirs.Text("trace.id") != ours.Text("trace.id") || theirs.Text("parent.id") != dial.Text("span.id") || dial.Text("parent.id") != ours.Text("transaction.id") {
		t.Errorf("the server's handshake is below %s of %s, want %s of %s", theirs.Text("parent.id"), theirs.Text("trace.id"), dial.Text("span.id"), ours.Text("trace.id"))
	}
	if ours.Text("parent.id") != "" || find("client", "transaction.name", "around").Text("transaction.result") != "all is well" {
		t.Error("the handshake is a part of what it was made under, or has ended that")
	}
	for field, want := range map[string]string{
		"span.type": "websocket", "span.subtype": "dial", "span.destination.service.resource": address, "event.outcome": "success",
		"labels.websocket_role": "client",
	} {
		if got := dial.Text(field); got != want {
			t.Errorf("dial has the %s %q, want %q", field, got, want)
		}
	}
	for field := range ours {
		if strings.HasPrefix(field, "url.") || strings.HasPrefix(field, "http.request.") || strings.HasPrefix(field, "client.") || strings.HasPrefix(field, "source.") {
			t.Errorf("the client's handshake has %s: %v", field, ours[field])
		}
	}
	if ours.Number("http.response.status_code") != 101 || ours.Text("labels.server_address") != "127.0.0.1" || ours.Text("event.outcome") != "success" {
		t.Errorf("the client's handshake: %v", ours)
	}
	end := find("client", "transaction.name", "DISCONNECT quotes")
	if end.Text("labels.websocket_role") != "client" || end.Text("labels.websocket_close_initiator") != "client" || end.Text("transaction.result") != "going_away" {
		t.Errorf("the client's end: %v", end)
	}
	for side, stand := range stands {
		if err := errors.Join(stand.Rejected()...); err != nil {
			t.Errorf("%s: %v", side, err)
		}
	}
	if sent := stands["client"].Sent(); strings.Contains(sent, "secret-") {
		t.Error("something secret is sent")
	}
}

// TestDialNewRelic is the same for New Relic.
func TestDialNewRelic(t *testing.T) {
	stands := map[string]*collector.Collector{"client": collector.New(), "server": collector.New()}
	exporters, apps := map[string]apmws.Exporter{}, map[string]*newrelic.Application{}
	for side, stand := range stands {
		app, err := newrelic.NewApplication(stand.Configure)
		if err != nil {
			t.Fatal(err)
		}
		defer app.Shutdown(patience)
		if err := app.WaitForConnection(patience); err != nil {
			t.Fatal(err)
		}
		apps[side], exporters[side] = app, newrelicws.New(app)
	}
	around := apps["client"].StartTransaction("around")
	address := dialOnce(newrelic.NewContext(t.Context(), around), t, exporters["client"], exporters["server"])
	around.AddAttribute("all is", "well")
	around.End()
	for _, app := range apps {
		app.Shutdown(patience)
	}

	find := func(side string, events []collector.Event, suffix string) collector.Event {
		for _, e := range events {
			if strings.HasSuffix(e.Name(), suffix) {
				return e
			}
		}
		t.Fatalf("the %s has sent no %s", side, suffix)
		return collector.Event{}
	}
	client, server := stands["client"].Harvest(), stands["server"].Harvest()
	ours := find("client", client.Transactions, "/CONNECT quotes")
	dial := find("client", client.Spans, "External/"+address+"/dial/dial")
	theirs := find("server", server.Transactions, "/CONNECT /quotes")
	entry := find("server", server.Spans, "/CONNECT /quotes")
	if theirs.Intrinsics["traceId"] != ours.Intrinsics["traceId"] || entry.Intrinsics["parentId"] != dial.Intrinsics["guid"] || dial.Intrinsics["guid"] == nil {
		t.Errorf("the server's handshake is %v, dial %v", entry.Intrinsics, dial.Intrinsics)
	}
	if ours.Intrinsics["parentId"] != nil || find("client", client.Transactions, "/around").User["all is"] != "well" {
		t.Error("the handshake is a part of what it was made under, or has ended that")
	}
	if ours.User["websocket.role"] != "client" || ours.User["server.address"] != "127.0.0.1" || ours.User["client.address"] != nil ||
		ours.User["request.uri"] != nil || ours.User["request.method"] != nil || ours.User["result"] != "HTTP 1xx" {
		t.Errorf("the client's handshake: %v", ours.User)
	}
	end := find("client", client.Transactions, "/DISCONNECT quotes")
	if end.User["websocket.role"] != "client" || end.User["websocket.close.initiator"] != "client" {
		t.Errorf("the client's end: %v", end.User)
	}
	for side, stand := range stands {
		if err := errors.Join(stand.Problems()...); err != nil {
			t.Errorf("%s: %v", side, err)
		}
		if strings.Contains(stand.Sent(), "secret-") && side == "client" {
			t.Error("something secret is sent")
		}
	}
}
