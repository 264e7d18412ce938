// The budgets command prints what apmws costs, beside its budgets: the time and
// the allocations of a message, the throughput and the CPU time of an echo
// server, the memory of an idle connection.
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

// budgets measure, in order.
var budgets = [...]func(context.Context, settings) (*table, error){budget1, budget2, budget3, budget4}

// run is main in the parent. The tables go to out.
func run(ctx context.Context, args []string, out, messages io.Writer) error {
	flags := flag.NewFlagSet("budgets", flag.ContinueOnError)
	flags.SetOutput(messages)
	only := flags.Int("budget", 0, "the `number` of one budget, 1 to 4; 0 for all")
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
	if *only < 0 || *only > len(budgets) || flags.NArg() > 0 {
		flags.Usage()
		return errors.New("there are budgets 1 to 4")
	}
	var failed []error
	for i, budget := range budgets {
		if *only != 0 && *only != i+1 {
			continue
		}
		t, err := budget(ctx, s)
		if err == nil {
			err = t.print(out)
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("budget %d: %w", i+1, err))
		}
	}
	return errors.Join(failed...)
}
