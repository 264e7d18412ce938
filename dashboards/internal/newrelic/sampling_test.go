package newrelic_test

import (
	"maps"
	"reflect"
	"slices"
	"testing"

	"github.com/apmws/go-apmws/dashboards/internal/newrelic"
	"github.com/apmws/go-apmws/dashboards/internal/newrelic/evaluate"
	"github.com/apmws/go-apmws/exporters/wire/collector"
)

// sampled is a board over messages of which one in ten was chosen. With kept, each one
// that was slow and failed is there, too.
func sampled(t *testing.T, kept bool) *board {
	message := func(name string, duration float64, attributes map[string]any) collector.Event {
		all := map[string]any{
			"websocket.event": "message", "websocket.connection.id": "c", "http.route": "/chat",
			"websocket.message.raw_name": "raw", "result": "ok", "event.outcome": "success",
		}
		maps.Copy(all, attributes)
		return collector.Event{Intrinsics: map[string]any{
			"name": "OtherTransaction/Go/" + name, "duration": duration, "timestamp": 1.0, "traceId": "t",
		}, User: all}
	}
	var h collector.Harvest
	for range 10 {
		h.Transactions = append(h.Transactions, message("Message/say", 0.25, map[string]any{
			"websocket.sampling.weight": 10.0, "websocket.message.type": "text", "websocket.message.length": 100.0,
		}))
		if kept {
			h.Transactions = append(h.Transactions, message("MessageKept/say", 1, map[string]any{
				"websocket.sampling.weight": 0.0, "websocket.message.type": "binary", "websocket.message.length": 9000.0,
				"websocket.message.duration": 8.0, "result": "error", "event.outcome": "failure",
			}))
		}
	}
	return &board{t: t, data: evaluate.Of(h), variables: evaluate.Variables{
		"application": {collector.AppName}, "route": {"/chat"}, "connection": {"%"},
	}}
}

// Messages that were kept after the fact, since they failed or were slow, are no
// sample: they change nothing but what is told to be about them.
func TestKeptMessagesAreNoSample(t *testing.T) {
	with, without := sampled(t, true), sampled(t, false)
	about := []string{
		"Messages/Behind _OTHER, where asked for (events)",
		"Messages/With Sampling: estimated by weight (messages, events)",
		"Messages/With Sampling: failed and slow ones, kept after the fact (s, events)",
		"Errors/Failures by name and result (messages, events)",
		"Errors/The story: handshake, messages, end (s, bytes; events)",
	}
	var changed []string
	for _, page := range newrelic.New().Pages {
		for _, w := range page.Widgets {
			if !reflect.DeepEqual(with.widget(page.Name, w.Title), without.widget(page.Name, w.Title)) {
				changed = append(changed, page.Name+"/"+w.Title)
			}
		}
	}
	if !slices.Equal(changed, about) {
		t.Errorf("kept messages change %q, want %q", changed, about)
	}

	for title, want := range map[string]any{
		"Latency p99 (s, events)":            []float64{0.25},
		"Message length p95 (bytes, events)": []float64{100},
	} {
		if got := with.number("Messages", title, 0); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %v, want %v", title, got, want)
		}
	}
	wantMap(t, "types", with.numbers("Messages", "Text and binary (messages, events)"), map[string]float64{"text": 10})
	estimated := with.widget("Messages", "With Sampling: estimated by weight (messages, events)")[0].Groups
	if len(estimated) != 2 || !reflect.DeepEqual(estimated[0].Values, []any{100.0, 10.0, 0.0}) ||
		!reflect.DeepEqual(estimated[1].Values, []any{0.0, 10.0, 10.0}) {
		t.Errorf("estimated: %+v", estimated)
	}
}
