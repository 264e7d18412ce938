//go:build !race

package proof

import (
	"math"
	"testing"

	"github.com/apmws/go-apmws/exporters/wire/hour"
)

// TestSampled: where the application samples, the panels that say so show about the
// part that is to be kept, and all that failed or was slow; and what is not sampled
// stays exact: see TestNumbers.
func TestSampled(t *testing.T) {
	s := newScene(t)
	ordinary := func(x *fact) bool { return x.Service == "feeds" && !x.failed && x.took < hour.SlowFrom }
	n, kept := s.world.handled.where(ordinary).total(), s.world.messages.where(ordinary).total()
	// Each is kept or not by itself: six standard deviations happen once in 500
	// million runs.
	want := n * hour.SampleRate
	margin := 6 * math.Sqrt(want*(1-hour.SampleRate))
	if n < 500 || math.Abs(kept-want) > margin {
		t.Errorf("%v of %v are kept, want %v ± %v", kept, n, want, margin)
	}
	special := func(x *fact) bool { return x.Service == "feeds" && !ordinary(x) }
	if n, kept := s.world.handled.where(special).total(), s.world.messages.where(special).total(); n < 5 || kept != n {
		t.Errorf("of %v failed and slow messages %v are kept", n, kept)
	}
}
