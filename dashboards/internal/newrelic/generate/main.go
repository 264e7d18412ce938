// Command generate writes the dashboard for New Relic. It is run at the root of the
// repository: go run ./dashboards/internal/newrelic/generate.
package main

import (
	"log"
	"os"

	"github.com/apmws/go-apmws/dashboards/internal/newrelic"
)

func main() {
	content, err := newrelic.JSON()
	if err == nil {
		err = os.WriteFile("dashboards/newrelic/apmws.json", content, 0o600)
	}
	if err != nil {
		log.Fatal(err)
	}
}
