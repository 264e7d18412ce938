package livews_test

import (
	"testing"

	"github.com/apmws/go-apmws/apmws/exportertest"
	"github.com/apmws/go-apmws/exporters/internal/backends"
)

// TestConformance: the view keeps the promises of the seam, as a list of what
// happened, read as its page does.
func TestConformance(t *testing.T) { exportertest.Run(t, backends.Live) }
