package ill

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	for name, value := range map[string]string{
		"ELASTIC_APM_CLOUD_PROVIDER": "none",
		"ELASTIC_APM_CENTRAL_CONFIG": "false",
	} {
		if err := os.Setenv(name, value); err != nil {
			panic(err)
		}
	}
	goleak.VerifyTestMain(m, left()...)
}
