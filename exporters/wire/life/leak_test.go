package life

import (
	"testing"

	"go.uber.org/goleak"
)

// TestMain finds goroutines that a life has left behind.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
