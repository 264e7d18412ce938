//go:build unix

package main

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// asCommand makes the test binary the command.
const asCommand = "APMWS_TEST_AS_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		main()
	}
	os.Exit(m.Run())
}

// TestSignals: both end an import with a message and a status, as nothing but the
// program itself can.
func TestSignals(t *testing.T) {
	for _, sign := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		t.Run(sign.String(), func(t *testing.T) {
			s := unstarted()
			arrived := make(chan struct{})
			s.at("GET /api/status", func(_ http.ResponseWriter, r *http.Request) {
				close(arrived)
				<-r.Context().Done()
			})
			s.start(t, httptest.NewServer)
			var errs bytes.Buffer
			c := exec.CommandContext(t.Context(), os.Args[0], "-kibana", s.url)
			c.Env = append(os.Environ(), asCommand+"=1")
			c.Stderr = &errs
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			<-arrived
			if err := c.Process.Signal(sign); err != nil {
				t.Fatal(err)
			}
			err := c.Wait()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != statusOther {
				t.Errorf("%v", err)
			}
			for _, phrase := range []string{"interrupted before " + s.url, "What to do: run the import again"} {
				if !strings.Contains(errs.String(), phrase) {
					t.Errorf("%q is not said: %s", phrase, errs.String())
				}
			}
		})
	}
}
