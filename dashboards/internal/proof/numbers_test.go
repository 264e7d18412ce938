//go:build !race

package proof

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/apmws/go-apmws/dashboards/internal/boards"
	"github.com/apmws/go-apmws/dashboards/internal/evaluate"
	"github.com/apmws/go-apmws/dashboards/internal/kibana"
	"github.com/apmws/go-apmws/exporters/wire/hour"
)

// checks returns that of each Lens panel, by its dashboard and title.
func checks() map[string]check {
	all := tiles()
	maps.Copy(all, charts())
	maps.Copy(all, tables())
	return all
}

// verify compares what a panel shows with what is to be shown.
func verify(p *evaluate.Panel, want layers) error {
	lens := p.Panel.Config.Attributes.Lens
	if len(p.Tables) != len(want) {
		return fmt.Errorf("%d layers, want %d", len(p.Tables), len(want))
	}
	var errs []error
	for _, id := range slices.Sorted(maps.Keys(want)) {
		if p.Tables[id] == nil {
			return fmt.Errorf("there is no layer %s", id)
		}
		if err := want[id].check(lens.State.Sources.FormBased.Layers[id], p.Tables[id]); err != nil {
			errs = append(errs, fmt.Errorf("layer %s: %w", id, err))
		}
	}
	return errors.Join(errs...)
}

// choice is what a user chooses in the controls.
type choice struct {
	filter string
	is     func(hour.Place) bool
}

func choices() []choice {
	all := []choice{{"", func(hour.Place) bool { return true }}}
	for _, service := range []string{"chat", "feeds"} {
		all = append(all, choice{is("service.name", service), func(p hour.Place) bool { return p.Service == service }})
	}
	for _, environment := range []string{"production", "staging"} {
		all = append(all, choice{is("service.environment", environment), func(p hour.Place) bool { return p.Environment == environment }})
	}
	for _, route := range []string{"/ws/rooms/{room}", "/ws/notify", "/ws/quotes", "/ws/news"} {
		all = append(all, choice{is("labels.http_route", route), func(p hour.Place) bool { return p.Route == route }})
	}
	return all
}

func is(field, value string) string { return field + `: "` + value + `"` }

func (c choice) filters() []string {
	if c.filter == "" {
		return nil
	}
	return []string{c.filter}
}

func keyOf(d *kibana.Dashboard, p *evaluate.Panel) string { return d.ID + "/" + p.Panel.Title }

// TestOtherRange: so it is in another time range, in which Kibana's own intervals are of
// half a minute. Those of metrics are of a minute still.
func TestOtherRange(t *testing.T) {
	s := newScene(t)
	const length = 30 * time.Minute
	documents, reports := s.world.last(length, 30*time.Second), s.world.last(length, time.Minute)
	for _, d := range s.file.Dashboards {
		for _, p := range s.showFrom(t, documents.start, d) {
			if p.Panel.Type != kibana.PanelLens {
				continue
			}
			w := documents
			if readsMetrics(d, p.Panel) {
				w = reports
			}
			if err := verify(p, checks()[keyOf(d, p)](w)); err != nil {
				t.Errorf("%s: %v", keyOf(d, p), err)
			}
		}
	}
}

// TestShortRange: charts of metrics do not jump between nothing and a multiple of what
// there was, in a range of which Kibana's own intervals are shorter than the time from
// one report to the next.
func TestShortRange(t *testing.T) {
	s := newScene(t)
	w, charts := s.world.last(5*time.Minute, time.Minute), 0
	for _, d := range s.file.Dashboards {
		for _, p := range s.showFrom(t, w.start, d) {
			if p.Panel.Type != kibana.PanelLens || !readsMetrics(d, p.Panel) {
				continue
			}
			charts++
			if err := verify(p, checks()[keyOf(d, p)](w)); err != nil {
				t.Errorf("%s: %v", keyOf(d, p), err)
			}
		}
	}
	if charts == 0 {
		t.Error("there is no chart of metrics")
	}
}

// readsMetrics says whether the layers of a panel are of metrics.
func readsMetrics(d *kibana.Dashboard, p *kibana.Panel) bool {
	for id := range p.Config.Attributes.Lens.State.Sources.FormBased.Layers {
		if d.DataView(p, id) != boards.MetricsID {
			return false
		}
	}
	return true
}

// TestNumbers: each panel shows what was driven in; with a choice in the controls,
// what was driven in there.
func TestNumbers(t *testing.T) {
	s := newScene(t)
	for _, c := range choices() {
		t.Run("of "+c.filter, func(t *testing.T) {
			left, w := checks(), s.world.only(c.is)
			for _, d := range s.file.Dashboards {
				for _, p := range s.show(t, d, c.filters()...) {
					if p.Panel.Type != kibana.PanelLens {
						continue
					}
					check := left[keyOf(d, p)]
					if check == nil {
						t.Errorf("nothing checks %q, or it is there twice", keyOf(d, p))
						continue
					}
					delete(left, keyOf(d, p))
					if err := verify(p, check(w)); err != nil {
						t.Errorf("%s: %v", keyOf(d, p), err)
					}
				}
			}
			for key := range left {
				t.Errorf("there is no panel %q", key)
			}
		})
	}
}
