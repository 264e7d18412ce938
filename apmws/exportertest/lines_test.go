package exportertest_test

import (
	"testing"

	"github.com/apmws/go-apmws/apmws/exportertest"
)

// TestExample: the exporter of the example meets the rules, made and tested with
// what is exported alone, and so it does beside others.
func TestExample(t *testing.T) {
	exportertest.Run(t, openLines)
	recorder := func(testing.TB) exportertest.Backend { return exportertest.NewRecorder().Backend() }
	exportertest.RunTogether(t, openLines, recorder, openLines)
}
