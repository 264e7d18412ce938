package wire

import (
	"os"
	"testing"

	"github.com/apmws/go-apmws/exporters/internal/alone"
)

func TestMain(m *testing.M) {
	alone.Elastic()
	alone.Offline()
	os.Exit(m.Run())
}
