package ill

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/apmws/go-apmws/exporters/internal/alone"
)

func TestMain(m *testing.M) {
	alone.Elastic()
	alone.Offline()
	goleak.VerifyTestMain(m, left()...)
}
