// Command generate writes the dashboards' file, dashboards/kibana/apmws.ndjson:
//
//	go run ./dashboards/internal/generate
package main

import (
	"fmt"
	"os"

	"github.com/apmws/go-apmws/dashboards/internal/boards"
)

const file = "dashboards/kibana/apmws.ndjson"

func main() {
	ndjson, err := boards.File().Write()
	if err == nil {
		err = os.WriteFile(file, ndjson, 0o644)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
