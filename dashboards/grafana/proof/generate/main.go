// Command generate writes the dashboard for Grafana anew: dashboards/grafana/apmws.json
// of the checkout that it is started in.
package main

import (
	"log"
	"os"

	"github.com/apmws/go-apmws/dashboards/grafana/proof/board"
)

func main() {
	file, err := board.File()
	if err != nil {
		log.Fatal(err)
	}
	if err := os.WriteFile("dashboards/grafana/apmws.json", file, 0o644); err != nil {
		log.Fatal(err)
	}
}
