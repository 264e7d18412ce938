package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"testing"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"
)

// testLogger sets zerolog's global names once: servers that log already would
// race with a second call. Tests give its copies their own output.
var testLogger zerolog.Logger

// moreAtOnce lets more tests run at once than there are processors, unless -parallel
// says how many: most of the parallel ones wait, for a browser or until a time is over.
func moreAtOnce() error {
	const name = "test.parallel"
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == name })
	if given {
		return nil
	}
	return flag.Set(name, strconv.Itoa(max(8, runtime.GOMAXPROCS(0))))
}

func TestMain(m *testing.M) {
	testLogger = newLogger(io.Discard, config{service: "chat-test", environment: "test", debug: true})
	dir, err := os.MkdirTemp("", "chat-test")
	if err = errors.Join(err, moreAtOnce()); err != nil {
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
