// Command generate writes the dashboards' files. It is run at the root of the
// repository:
//
//	go run ./dashboards/internal/generate
//
// The pictures beside them are drawn by make dashboards, which runs this first.
package main

import (
	"fmt"
	"os"

	"github.com/apmws/go-apmws/dashboards/internal/boards"
	"github.com/apmws/go-apmws/dashboards/internal/newrelic"
)

func main() {
	for path, content := range map[string]func() ([]byte, error){
		"dashboards/kibana/apmws.ndjson": boards.File().Write,
		"dashboards/newrelic/apmws.json": newrelic.JSON,
	} {
		written, err := content()
		if err == nil {
			err = os.WriteFile(path, written, 0o644)
		}
		if err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", path, err)
			os.Exit(1)
		}
	}
}
