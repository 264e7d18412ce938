//go:build !race

package proof

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

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

// TestOtherRange: so it is in another time range, whose intervals are no minutes.
func TestOtherRange(t *testing.T) {
	s := newScene(t)
	w, all := s.world.last(30*time.Minute), checks()
	for _, d := range s.file.Dashboards {
		for _, p := range s.showFrom(t, w.start, d) {
			if check := all[keyOf(d, p)]; check != nil {
				if err := verify(p, check(w)); err != nil {
					t.Errorf("%s: %v", keyOf(d, p), err)
				}
			}
		}
	}
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
