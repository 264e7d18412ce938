package newrelicws_test

import (
	"os"
	"testing"

	"github.com/apmws/go-apmws/apmws/exportertest"
	"github.com/apmws/go-apmws/exporters/internal/alone"
	"github.com/apmws/go-apmws/exporters/internal/backends"
)

func TestMain(m *testing.M) {
	alone.Offline()
	os.Exit(m.Run())
}

// TestConformance: what every exporter owes, read from what New Relic's collector gets.
func TestConformance(t *testing.T) { exportertest.Run(t, backends.NewRelic) }
