package evaluate

import (
	"fmt"
	"io"
	"maps"
	"strconv"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// Scrape adds what a server answers to a scrape, in Prometheus' text format, with
// the labels that discovery gives to the target, such as job and instance. It
// returns the labels of what it has added.
func (s *Store) Scrape(at time.Time, text io.Reader, target Labels) ([]Labels, error) {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(text)
	if err != nil {
		return nil, fmt.Errorf("scrape: %w", err)
	}
	var added []Labels
	add := func(name string, m *dto.Metric, value float64, more ...string) {
		of := Labels{"__name__": name}
		for _, l := range m.GetLabel() {
			of[l.GetName()] = l.GetValue()
		}
		for i := 0; i < len(more); i += 2 {
			of[more[i]] = more[i+1]
		}
		maps.Copy(of, target) // as without honor_labels, but that nothing collides
		s.Add(at, of, value)
		added = append(added, of)
	}
	for name, family := range families {
		for _, m := range family.GetMetric() {
			switch {
			case m.GetHistogram() != nil:
				h := m.GetHistogram()
				add(name+"_sum", m, h.GetSampleSum())
				add(name+"_count", m, float64(h.GetSampleCount()))
				for _, b := range h.GetBucket() {
					bound := strconv.FormatFloat(b.GetUpperBound(), 'g', -1, 64)
					add(name+"_bucket", m, float64(b.GetCumulativeCount()), "le", bound)
				}
			case m.GetCounter() != nil:
				add(name, m, m.GetCounter().GetValue())
			case m.GetGauge() != nil:
				add(name, m, m.GetGauge().GetValue())
			}
		}
	}
	return added, nil
}
