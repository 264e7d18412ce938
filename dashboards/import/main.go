// The import command imports the dashboards into a Kibana, 8.12 or newer.
//
//	go run ./dashboards/import -kibana https://kibana.example.com -space team
//	go run github.com/apmws/go-apmws/dashboards/import@latest -kibana http://localhost:5601 -user elastic
//
// API key and password are best given in the environment, as KIBANA_API_KEY and
// KIBANA_PASSWORD; other users of the machine see a command line.
//
// The exit status is 0 when all dashboards have been imported, 2 for a conflict,
// 3 for missing references, 4 when Kibana does not know the credentials or they
// lack rights, 5 when Kibana is too old, 6 when the space does not exist, 64 for a
// wrong command line, and 1 for all else. go run makes 1 of each but 0; for
// scripts, build the command:
//
//	go build -o import-dashboards ./dashboards/import
//
// Standard output has the dashboards' addresses when all have been imported.
// Standard error says what failed, what to do, and what was imported in spite of
// it. An interrupt and SIGTERM end an import.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"syscall"

	"github.com/apmws/go-apmws/dashboards"
)

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	status := run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr)
	cancel()
	os.Exit(status)
}

// The exit statuses.
const (
	statusOK = iota
	statusOther
	statusConflict
	statusMissingReferences
	statusAuth
	statusVersion
	statusSpace
	statusUsage = 64 // EX_USAGE of sysexits.h; that of package flag is taken
)

// run is main.
func run(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) int {
	s, err := parse(args, getenv, stderr)
	if errors.Is(err, errHelp) {
		return statusOK
	}
	if err != nil {
		fmt.Fprintf(stderr, "import: %v\nFor help: import -h\n", err)
		return statusUsage
	}
	if s.file != "" {
		if s.options.File, err = os.ReadFile(s.file); err != nil {
			fmt.Fprintf(stderr, "import: the file cannot be read: %v\n", err)
			return statusOther
		}
	}
	if s.print {
		if _, err := stdout.Write(dashboards.Kibana()); err != nil {
			fmt.Fprintf(stderr, "import: %v\n", err)
			return statusOther
		}
		return statusOK
	}
	if s.ca != "" {
		if s.options.Client, err = trusting(s.ca); err != nil {
			fmt.Fprintf(stderr, "import: %v\n", err)
			return statusOther
		}
	}
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	report, err := dashboards.ImportKibana(ctx, s.kibana, s.options)
	if err != nil {
		return explain(stderr, err, report, s.file != "")
	}
	write(stdout, "Imported into Kibana", report)
	warn(stderr, report)
	return statusOK
}

// trusting returns a client that trusts the certificates in a PEM file, too.
func trusting(file string) (*http.Client, error) {
	certificates, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("the CA's certificate cannot be read: %w", err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(certificates) {
		return nil, errors.New("the file given by -ca holds no certificate in PEM form")
	}
	return &http.Client{Transport: &http.Transport{
		Proxy:             http.ProxyFromEnvironment,
		TLSClientConfig:   &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12},
		ForceAttemptHTTP2: true,
	}}, nil
}

// warn repeats the warnings of an import.
func warn(w io.Writer, report *dashboards.Report) {
	for _, warning := range report.Warnings {
		fmt.Fprintf(w, "Warning: %s.\n", warning)
	}
}

// write tells what was imported, and where the dashboards are.
func write(w io.Writer, what string, report *dashboards.Report) {
	overwritten := 0
	for _, o := range report.Objects {
		if o.Overwritten {
			overwritten++
		}
	}
	fmt.Fprintf(w, "%s %s: %d objects, %d of which were there before.\n", what, report.Version, len(report.Objects), overwritten)
	for _, o := range report.Objects {
		if o.StoredAs != o.ID {
			fmt.Fprintf(w, "%s %s has the id %s here, since another space has that id.\n", o.Type, o.ID, o.StoredAs)
		}
	}
	for _, o := range report.Objects {
		if o.URL != "" {
			fmt.Fprintf(w, "\n%s\n  %s\n", o.Title, o.URL)
		}
	}
}
