package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
	"github.com/rs/zerolog"

	"github.com/apmws/go-apmws/apmws"
)

// channel carries what is said in all rooms to all nodes.
const channel = "apmws-chat"

// redisWait is how long Redis may take for one command, unless the URL says so by its
// read_timeout.
const redisWait = 3 * time.Second

// bus carries messages between the nodes, through Redis.
type bus struct {
	client       *redis.Client
	wait         time.Duration // for one command
	subscription *redis.PubSub
	embedded     *miniredis.Miniredis // nil: a real Redis
	received     chan struct{}        // closed when the last message was delivered
	log          zerolog.Logger
}

// deliver hands a message from Redis to the members of a room. parent is where it
// comes from: what the node that published it was doing, if that was recorded. Who may
// publish is trusted with that, and with whose message it is.
type deliver func(parent apmws.SpanContext, room string, message []byte)

// newBus connects to the Redis at url, or to one of its own, and calls deliver
// for every message from then on, one after the other. ctx bounds the start.
func newBus(ctx context.Context, url string, log zerolog.Logger, to deliver) (*bus, error) {
	b := &bus{received: make(chan struct{}), log: log}
	if url == "" {
		embedded, err := miniredis.Run()
		if err != nil {
			return nil, fmt.Errorf("redis: %w", err)
		}
		b.embedded = embedded
		url = "redis://" + embedded.Addr() + "?read_timeout=1m" // it is as slow as this process
		log.Info().Msg("REDIS_URL is not set: using an embedded Redis, for this process alone")
	}
	opts, err := redis.ParseURL(url)
	if err != nil {
		// The error would show the URL, and with it the password.
		return nil, errors.New("REDIS_URL is not a redis:// URL")
	}
	opts.ContextTimeoutEnabled = true
	if b.wait = opts.ReadTimeout; b.wait <= 0 {
		b.wait = redisWait
	}
	// What go-redis does by itself, renewing the subscription, has no context of
	// ours: these bound it.
	opts.DialTimeout, opts.ReadTimeout, opts.WriteTimeout = b.wait, b.wait, b.wait
	// What is published again because the answer is late is said twice.
	opts.DialerRetries, opts.MaxRetries = 1, -1
	opts.DisableIdentity = true
	opts.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	b.client = redis.NewClient(opts)
	b.client.AddHook(redisSpans{})

	ctx, cancel := context.WithTimeout(ctx, b.wait)
	defer cancel()
	b.subscription = b.client.Subscribe(ctx, channel)
	if _, err := b.subscription.Receive(ctx); err != nil {
		close(b.received)
		return nil, errors.Join(fmt.Errorf("redis: %w", err), b.close())
	}
	go b.receive(b.subscription.Channel(), to)
	return b, nil
}

// receive returns when the subscription is closed; go-redis renews one that
// Redis has lost.
func (b *bus) receive(messages <-chan *redis.Message, to deliver) {
	defer close(b.received)
	for message := range messages {
		payload := []byte(message.Payload)
		var what said
		if err := json.Unmarshal(payload, &what); err != nil {
			b.log.Warn().Str("event.action", "redis-message").Msg("a message from Redis is not ours")
			continue
		}
		// One that is malformed is as good as none.
		parent, _ := apmws.ParseTraceParent(apmws.JSONTraceContext(apmws.TextMessage, payload))
		what.Type = typeSaid
		if data, err := json.Marshal(what); err == nil { // strings always can be
			to(parent, what.Room, data) // to browsers it goes without the trace context
		}
	}
}

// publish hands a message to all nodes, with the trace context of what it does for
// that: so what they send out belongs to the trace of the message in hand.
func (b *bus) publish(ctx context.Context, what said) (err error) {
	ctx, span := apmws.StartSpan(ctx, publishSpan, apmws.SpanOptions{Type: "messaging.redis.publish", Destination: "redis"})
	defer func() { span.End(err) }()
	data, err := json.Marshal(what)
	if err != nil {
		return err
	}
	if data, err = apmws.AppendJSONTraceContext(nil, data, apmws.SpanContextFromContext(ctx)); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, b.wait)
	defer cancel()
	return b.client.Publish(ctx, channel, data).Err()
}

func (b *bus) close() error {
	err := b.subscription.Close()
	<-b.received
	err = errors.Join(err, b.client.Close())
	if b.embedded != nil {
		b.embedded.Close()
	}
	return err
}
