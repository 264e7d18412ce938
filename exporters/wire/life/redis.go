package life

import (
	"context"
	"errors"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/apmws/go-apmws/apmws"
)

// RedisSpans is a hook for go-redis v9 that makes each command a span of the
// message that is being handled, in every exporter at once.
type RedisSpans struct{}

// ProcessHook implements redis.Hook.
func (RedisSpans) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		name := strings.ToUpper(cmd.Name()) // and nothing else: keys and values are data
		opts := apmws.SpanOptions{Type: "db.redis.query", Destination: "redis"}
		if name == "PUBLISH" {
			opts.Type = "messaging.redis.publish"
		}
		ctx, span := apmws.StartSpan(ctx, name, opts)
		err := next(ctx, cmd)
		if errors.Is(err, redis.Nil) {
			span.End(nil) // there is no such key, which is an answer
		} else {
			span.End(err)
		}
		return err
	}
}

// DialHook implements redis.Hook.
func (RedisSpans) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessPipelineHook implements redis.Hook. The application has no pipelines; the
// client's own greet a new connection.
func (RedisSpans) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}
