package main

import (
	"context"
	"errors"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/apmws/go-apmws/apmws"
)

// redisSpans is a go-redis hook: each command is a span of the message that is
// being handled, in every exporter at once.
type redisSpans struct{}

// ProcessHook implements redis.Hook.
func (redisSpans) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		// The command's name alone: channels, keys and values are data.
		name := strings.ToUpper(cmd.Name())
		opts := apmws.SpanOptions{Type: "db.redis.query", Destination: "redis"}
		if name == "PUBLISH" {
			opts.Type = "messaging.redis.publish"
		}
		ctx, span := apmws.StartSpan(ctx, name, opts)
		err := next(ctx, cmd)
		if errors.Is(err, redis.Nil) { // an answer: there is no such key
			span.End(nil)
		} else {
			span.End(err)
		}
		return err
	}
}

// DialHook implements redis.Hook.
func (redisSpans) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessPipelineHook implements redis.Hook. The chat has no pipelines; the
// client's own, which greet a new connection, are no business of a message.
func (redisSpans) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}
