//go:build !race

package proof

import (
	"testing"

	"github.com/apmws/go-apmws/dashboards/internal/lint"
)

// TestLint: the file that users import has no fault that the linter knows, its fields
// being those of real documents.
func TestLint(t *testing.T) {
	s := newScene(t)
	for _, finding := range lint.File(s.ndjson, lint.Options{FieldType: s.fieldType}) {
		t.Error(finding)
	}
}
