package newrelicws

import (
	"testing"

	"github.com/newrelic/go-agent/v3/newrelic"

	"github.com/apmws/go-apmws/apmws"
)

func fields(e *Exporter, ids apmws.SpanContext) map[string]any {
	all := make(map[string]any)
	for _, attr := range e.LogFields(ids) {
		all[attr.Key] = attr.Value.Any()
	}
	return all
}

// TestLogFields: those of New Relic's logs in context, as the agent itself would
// write them.
func TestLogFields(t *testing.T) {
	c := newCollector()
	app := newApp(t, c, newrelic.ConfigAppName("chat"))
	e := New(app)
	if e.Vendor() != "newrelic" {
		t.Errorf("vendor %q", e.Vendor())
	}
	ctx, m := startMessage(t, openConn(t, e), messageStart("chat.say"))
	want := newrelic.FromContext(ctx).GetLinkingMetadata()
	if want.SpanID == "" || want.EntityGUID != "ENTITY" || want.EntityName != "chat" || want.Hostname == "" {
		t.Fatalf("%+v", want)
	}
	all := map[string]any{
		"trace.id": want.TraceID, "span.id": want.SpanID, "entity.guid": want.EntityGUID, "entity.name": want.EntityName,
		"entity.type": want.EntityType, "hostname": want.Hostname,
	}
	wantAttributes(t, "sampled", fields(e, m.SpanContext()), all)
	m.End(messageOK())
	wantAttributes(t, "ended", fields(e, m.SpanContext()), all)

	unsampled := m.SpanContext()
	unsampled.SpanID, unsampled.Flags = [8]byte{}, 0
	delete(all, "span.id")
	wantAttributes(t, "not sampled", fields(e, unsampled), all)
	if got := e.LogFields(apmws.SpanContext{}); got != nil {
		t.Errorf("not recorded: %v", got)
	}
	// Nothing is sent as a log event.
	if h := c.harvest(t, app); h.methods["log_event_data"] != 0 {
		t.Errorf("posts %v", h.methods)
	}
	wantAttributes(t, "after the application's shutdown", fields(e, unsampled), all)
}

// TestLogFieldsBeforeEntity: the entity is known only when the agent is connected.
func TestLogFieldsBeforeEntity(t *testing.T) {
	c := newCollector()
	c.gate = make(chan struct{})
	app := startApp(t, c, &logs{})
	e := New(app)
	ids := apmws.SpanContext{TraceID: [16]byte{1}}
	if got := e.LogFields(ids); len(got) != 1 {
		t.Errorf("before: %v", got)
	}
	close(c.gate)
	connect(t, app)
	if got := e.LogFields(ids); len(got) != 5 {
		t.Errorf("after: %v", got)
	}
}

// TestNoEntity: a collector that does not tell is asked again, and no field is
// empty.
func TestNoEntity(t *testing.T) {
	c := newCollector()
	delete(c.reply, "entity_guid")
	e := New(newApp(t, c))
	if got := e.LogFields(apmws.SpanContext{TraceID: [16]byte{1}}); len(got) != 1 {
		t.Errorf("%v", got)
	}
}
