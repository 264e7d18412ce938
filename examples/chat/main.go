// Command chat is a chat server that apmws watches from end to end: sign-in
// with a JWT, rooms over Redis, calls to an HTTP API, a live page, and Elastic
// and New Relic when they are configured. Started without any setting it needs no network, no
// account and no Redis:
//
//	go run ./examples/chat
//
// Every setting is in config.go.
package main

import (
	"context"
	"errors"
	"flag"
	"os"
	"os/signal"
	"syscall"

	"github.com/redis/go-redis/v9"
)

func main() { os.Exit(run(os.Args[1:])) }

// run serves until SIGINT or SIGTERM and returns the exit code. A second signal ends
// the wait for messages in hand, with the code 1; a third the process.
func run(args []string) int {
	cfg, err := configFrom(args, os.Getenv, os.Stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2 // configFrom has said why
	}
	cfg.log = newLogger(os.Stdout, cfg)
	redis.SetLogger(redisLog{cfg.log})

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	s, err := start(ctx, cfg)
	if err != nil {
		cfg.log.Error().Err(err).Msg("cannot start")
		return 1
	}
	select {
	case <-ctx.Done():
	case err = <-s.failed:
		cfg.log.Error().Err(err).Msg("cannot go on")
	}
	again, stopAgain := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stopAgain()
	context.AfterFunc(again, stopAgain) // the third signal is the system's again
	stop()
	cfg.log.Info().Msg("shutting down")
	s.shutdown(again)
	cfg.log.Info().Msg("shut down")
	if err != nil || again.Err() != nil {
		return 1
	}
	return 0
}
