// The budgets command prints what apmws costs, beside its budgets: the time and
// the allocations of a message, the throughput and the CPU time of an echo
// server, the memory of an idle connection, the cost of its heartbeat and of a broadcast.
//
//	go run ./exporters/internal/budgets
//	go run ./exporters/internal/budgets -budget 2 -rounds 31
//
// Servers run as processes of their own on one core, are loaded in turns, and
// compared by the medians of the rounds' ratios. A machine with less than four
// cores, or with other work to do, makes the figures rough. The exit status is 0
// whether or not a budget is kept, and 1 when something could not be measured.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
)

func main() {
	if spec := os.Getenv(childEnv); spec != "" {
		exit(runChild(spec, os.Stdin, os.Stdout))
	}
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt)
	defer cancel()
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	exit(err)
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "budgets:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// budgets are measured in order. Their numbers are those of the project.
var budgets = [...]struct {
	number  int
	measure func(context.Context, settings) (*table, error)
}{{1, budget1}, {2, budget2}, {3, budget3}, {4, budget4}, {5, budget5}, {6, budget6}}

// run is main in the parent. The tables go to out.
func run(ctx context.Context, args []string, out, messages io.Writer) error {
	flags := flag.NewFlagSet("budgets", flag.ContinueOnError)
	flags.SetOutput(messages)
	only := flags.Int("budget", 0, "the `number` of one budget, 1 to 6; 0 for all")
	quick := flags.Bool("quick", false, "show that everything works; the figures mean nothing")
	rounds := flags.Int("rounds", 0, "compare that often; 0 for the default")
	profiles := flags.String("profiles", "", "`directory` for CPU profiles of the servers")
	if err := flags.Parse(args); err != nil {
		return err
	}
	s := usualSettings()
	if *quick {
		s = quickSettings()
	}
	if *rounds > 0 {
		s.rounds = *rounds
	}
	s.profiles = *profiles
	var failed []error
	known := *only == 0
	for _, b := range budgets {
		known = known || *only == b.number
	}
	if !known || flags.NArg() > 0 {
		flags.Usage()
		return errors.New("there are budgets 1 to 6")
	}
	for _, b := range budgets {
		if *only != 0 && *only != b.number {
			continue
		}
		t, err := b.measure(ctx, s)
		if err == nil {
			err = t.print(out)
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("budget %d: %w", b.number, err))
		}
	}
	return errors.Join(failed...)
}
