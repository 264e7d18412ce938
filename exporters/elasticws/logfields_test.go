package elasticws

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"log/slog"
	"slices"
	"testing"

	"github.com/rs/zerolog"

	"github.com/apmws/go-apmws/apmws"
)

func TestLogFields(t *testing.T) {
	sampled := apmws.SpanContext{TraceID: [16]byte{0xab}, SpanID: [8]byte{0xcd}, Flags: 1}
	unsampled := sampled
	unsampled.Flags = 0
	tests := []struct {
		name string
		ids  apmws.SpanContext
		want []slog.Attr
	}{
		{"sampled", sampled, []slog.Attr{
			slog.String("trace.id", "ab000000000000000000000000000000"), slog.String("transaction.id", "cd00000000000000"),
		}},
		{"not sampled", unsampled, nil},
		{"none", apmws.SpanContext{Flags: 1}, nil},
	}
	e := New(newRecorder(t).Tracer)
	for _, test := range tests {
		if got := e.LogFields(test.ids); !slices.EqualFunc(got, test.want, slog.Attr.Equal) {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
	}
}

// TestLogFieldsEndToEnd: a line carries the ids of the first exporter, and those
// of a second one under Elastic's name; of a message that is recorded late, the
// line of its end alone.
func TestLogFieldsEndToEnd(t *testing.T) {
	var log bytes.Buffer
	logger := zerolog.New(&log)
	first, second := newRecorder(t), newRecorder(t)
	agent := apmws.New(apmws.Options{
		Exporters: []apmws.Exporter{New(first.Tracer), New(second.Tracer)},
		Logger:    &logger,
		Sampling:  &apmws.Sampling{Names: map[string]float64{"chat.say": 1}},
		Messages:  apmws.MessageOptions{Name: apmws.JSONField("type"), Names: []string{"chat.say", "fail"}},
	})
	p := newPeer(`{"type":"chat.say"}`, `{"type":"fail"}`)
	p.connect(agent.Handler("/ws", serve(t, func(ctx context.Context, m apmws.Message) error {
		zerolog.Ctx(ctx).Info().Msg("handling " + string(m.Data))
		if string(m.Data) == `{"type":"fail"}` {
			return errNoRoom
		}
		return nil
	})))
	lines := make(map[string]map[string]any)
	for line := range bytes.Lines(log.Bytes()) {
		fields := make(map[string]any)
		if err := json.Unmarshal(line, &fields); err != nil {
			t.Fatal(err)
		}
		lines[fields["message"].(string)] = fields
	}
	one, two := first.collect(t), second.collect(t)
	for message, name := range map[string]string{`handling {"type":"chat.say"}`: "chat.say", "websocket message": "fail"} {
		a, b, line := one.transaction(t, name), two.transaction(t, name), lines[message]
		for field, want := range map[string]string{
			"trace.id": hex.EncodeToString(a.TraceID[:]), "transaction.id": hex.EncodeToString(a.ID[:]),
			"elastic.trace.id": hex.EncodeToString(b.TraceID[:]), "elastic.transaction.id": hex.EncodeToString(b.ID[:]),
		} {
			if line[field] != want {
				t.Errorf("%s: %s is %v, want %s", message, field, line[field], want)
			}
		}
	}
	line := lines[`handling {"type":"fail"}`]
	for _, field := range []string{"trace.id", "transaction.id", "elastic.trace.id", "elastic.transaction.id"} {
		if id, ok := line[field]; ok || line["labels.websocket_connection_id"] == nil {
			t.Errorf("a message that is not recorded yet: %s is %v in %v", field, id, line)
		}
	}
}
