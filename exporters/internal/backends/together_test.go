package backends

import (
	"os"
	"testing"

	"github.com/apmws/go-apmws/apmws/exportertest"
	"github.com/apmws/go-apmws/exporters/internal/alone"
)

func TestMain(m *testing.M) {
	alone.Offline()
	os.Exit(m.Run())
}

// TestTogether: back ends of one agent, in any order and several of one vendor,
// each get all that they get alone.
func TestTogether(t *testing.T) {
	t.Run("three vendors", func(t *testing.T) { exportertest.RunTogether(t, Elastic, NewRelic, Live) })
	t.Run("the other way round", func(t *testing.T) { exportertest.RunTogether(t, Live, NewRelic, Elastic) })
	t.Run("two of each", func(t *testing.T) { exportertest.RunTogether(t, NewRelic, Elastic, NewRelic, Elastic) })
}
