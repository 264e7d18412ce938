package main

import (
	"fmt"
	"io"
	"os"
	"testing"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"
)

// testLogger sets zerolog's global names once: servers that log already would
// race with a second call. Tests give its copies their own output.
var testLogger zerolog.Logger

func TestMain(m *testing.M) {
	testLogger = newLogger(io.Discard, config{service: "chat-test", environment: "test", debug: true})
	dir, err := os.MkdirTemp("", "chat-test")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	built.dir = dir
	// Of the sessions of an incident: to stop it is a data race.
	sweeper := goleak.IgnoreTopFunction("github.com/alexedwards/scs/v2/memstore.(*MemStore).startCleanup")
	goleak.VerifyTestMain(m, sweeper, goleak.Cleanup(func(code int) {
		if err := os.RemoveAll(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		os.Exit(code)
	}))
}
