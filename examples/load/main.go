// Command load is people for the chat server of examples/chat: they sign in,
// talk, wander between rooms, come and go. Some do what nobody should: they show
// a wrong token, send what the chat does not know, read slowly, freeze, or vanish
// without a goodbye. So every panel of the dashboards has something to show. Each of
// them is an apmws.Dialer, and comes back when the chat is lost.
//
//	go run ./examples/chat &
//	go run ./examples/load -url http://127.0.0.1:8080 -connections 20
//
// It ends after -for, or with SIGINT or SIGTERM, and says then what it did.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run makes traffic until ctx ends or the time is over, and returns the exit
// code: 0, 1 where not one connection could be opened, 2 for a wrong command
// line.
func run(ctx context.Context, args []string, out, complaints io.Writer) int {
	cfg, err := configFrom(args, complaints)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2 // configFrom has said why
	}
	return newFleet(cfg).drive(ctx, out, complaints)
}

// drive is run, once it is known what is to be done.
func (f *fleet) drive(ctx context.Context, out, complaints io.Writer) int {
	if f.cfg.duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, f.cfg.duration)
		defer cancel()
	}
	f.run(ctx, out)
	f.summary(out)
	if f.counts.get(opened) == 0 {
		fmt.Fprintln(complaints, "not one connection could be opened:", f.lastFailure())
		return 1
	}
	return 0
}
