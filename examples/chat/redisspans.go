package main

import (
	"context"
	"errors"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/apmws/go-apmws/apmws"
)

// redisSpans is a go-redis hook: each command is a span of the message that is
// being handled, in every exporter at once. Beside it a vendor's own hook, such as
// nrredis, would make a second one.
type redisSpans struct{}

// ProcessHook implements redis.Hook.
func (redisSpans) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		// The command's name alone: channels, keys and values are data.
		name := strings.ToUpper(cmd.Name())
		if greets(name) || name == publishSpan {
			return next(ctx, cmd)
		}
		ctx, span := apmws.StartSpan(ctx, name, apmws.SpanOptions{Type: "db.redis.query", Destination: "redis"})
		err := next(ctx, cmd)
		if errors.Is(err, redis.Nil) { // an answer: there is no such key
			span.End(nil)
		} else {
			span.End(err)
		}
		return err
	}
}

// publishSpan is the span of the command that bus.publish makes itself: its trace
// context goes with the message, which is made before the command.
const publishSpan = "PUBLISH"

// greets says whether a command sets a new connection up: the client's own
// business, whichever message is the first to need the connection.
func greets(name string) bool {
	switch name {
	case "HELLO", "AUTH", "SELECT", "CLIENT":
		return true
	}
	return false
}

// DialHook implements redis.Hook.
func (redisSpans) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessPipelineHook implements redis.Hook. The chat has no pipelines; the
// client's own greet a new connection.
func (redisSpans) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}
