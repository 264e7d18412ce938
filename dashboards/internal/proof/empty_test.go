//go:build !race

package proof

import (
	"slices"
	"strings"
	"testing"

	"github.com/apmws/go-apmws/dashboards/internal/evaluate"
	"github.com/apmws/go-apmws/dashboards/internal/kibana"
	"github.com/apmws/go-apmws/dashboards/internal/preview"
)

// notByRoute is what the description of a panel says whose documents have no route.
const notByRoute = "Not told by route"

// nothingHappened are the panels that have nothing to show of a choice, since nothing
// of it was driven in: broadcasts are those of the news, where no message fails, no
// handshake is refused, and nobody else is called; on the route of the notifications no
// message fails, and no connection ends in an error. TestNumbers holds them to that.
var nothingHappened = map[string][]string{
	is("labels.http_route", "/ws/rooms/{room}"): {
		"apmws-outbound/Broadcasts per minute by name",
		"apmws-outbound/Broadcasts",
	},
	is("labels.http_route", "/ws/quotes"): {
		"apmws-outbound/Broadcasts per minute by name",
		"apmws-outbound/Broadcasts",
	},
	is("labels.http_route", "/ws/news"): {
		"apmws-overview/Failed messages per minute",
		"apmws-connections/Refusals per minute by reason",
		"apmws-messages/Failures per minute by kind",
		"apmws-outbound/Outbound calls per minute by host and caller",
		"apmws-outbound/Whose calls are these?",
	},
	is("labels.http_route", "/ws/notify"): {
		"apmws-overview/Failed messages per minute",
		"apmws-messages/Failures per minute by kind",
		"apmws-outbound/Broadcasts per minute by name",
		"apmws-outbound/Broadcasts",
		"apmws-errors/Errors per minute by kind",
		"apmws-errors/Errors",
		"apmws-errors/Connections with most errors",
	},
}

// TestNotEmpty: there is something to see in each panel, whatever is chosen in the
// controls.
func TestNotEmpty(t *testing.T) {
	s := newScene(t)
	for _, c := range choices() {
		if c.filter == is("service.name", "feeds") || c.filter == is("service.environment", "staging") {
			continue // so few connections that little has gone wrong
		}
		byRoute := strings.HasPrefix(c.filter, "labels.http_route")
		var empty []string
		for _, d := range s.file.Dashboards {
			panels := s.show(t, d, c.filters()...)
			for _, title := range preview.Empty(panels) {
				p := panel(t, panels, title)
				if !byRoute || !strings.Contains(p.Panel.Config.Description, notByRoute) {
					empty = append(empty, keyOf(d, p))
				}
			}
		}
		if want := nothingHappened[c.filter]; !slices.Equal(empty, want) {
			t.Errorf("%q: empty are %q, want %q", c.filter, empty, want)
		}
	}
}

// TestOffered: the controls offer what there is, so that each of the choices can be
// made.
func TestOffered(t *testing.T) {
	s := newScene(t)
	want := map[string][]string{
		"service.name":        {"chat", "feeds"},
		"service.environment": {"production", "staging"},
		"labels.http_route":   {"/ws/news", "/ws/notify", "/ws/quotes", "/ws/rooms/{room}"},
	}
	for _, d := range s.file.Dashboards {
		controls := d.Attributes.Controls.Panels.Value
		if len(controls) != len(want) {
			t.Errorf("%s has %d controls", d.ID, len(controls))
		}
		for _, c := range controls {
			offered := evaluate.ControlValues(s.file, d, c, evaluate.Options{
				From: s.Start, To: s.End, FieldType: s.fieldType, Known: &s.known,
				Documents: func(v *kibana.DataView) []map[string]any { return s.documents[v.ID] },
			})
			slices.Sort(offered)
			if !slices.Equal(offered, want[c.Input.Field]) {
				t.Errorf("%s: %s offers %q, want %q", d.ID, c.Input.Title, offered, want[c.Input.Field])
			}
		}
	}
}
