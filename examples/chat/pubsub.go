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
)

// channel carries what is said in all rooms to all nodes.
const channel = "apmws-chat"

const (
	redisWait = 3 * time.Second // for one command, its retries included
	redisStep = 1 * time.Second // for each connection, read and write of it
)

// bus carries messages between the nodes, through Redis.
type bus struct {
	client       *redis.Client
	subscription *redis.PubSub
	embedded     *miniredis.Miniredis // nil: a real Redis
	received     chan struct{}        // closed when the last message was delivered
	log          zerolog.Logger
}

// newBus connects to the Redis at url, or to one of its own, and calls deliver
// for every message from then on, one after the other. ctx bounds the start.
func newBus(ctx context.Context, url string, log zerolog.Logger, deliver func(room string, message []byte)) (*bus, error) {
	b := &bus{received: make(chan struct{}), log: log}
	if url == "" {
		embedded, err := miniredis.Run()
		if err != nil {
			return nil, fmt.Errorf("redis: %w", err)
		}
		b.embedded = embedded
		url = "redis://" + embedded.Addr()
		log.Info().Msg("REDIS_URL is not set: using an embedded Redis, for this process alone")
	}
	opts, err := redis.ParseURL(url)
	if err != nil {
		// The error would show the URL, and with it the password.
		return nil, errors.New("REDIS_URL is not a redis:// URL")
	}
	opts.ContextTimeoutEnabled = true
	// What go-redis does by itself, renewing the subscription, has no context of
	// ours: these bound it.
	opts.DialTimeout, opts.ReadTimeout, opts.WriteTimeout = redisStep, redisStep, redisStep
	opts.DialerRetries, opts.MaxRetries = 1, 1
	opts.DisableIdentity = true
	opts.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	b.client = redis.NewClient(opts)
	b.client.AddHook(redisSpans{})

	ctx, cancel := context.WithTimeout(ctx, redisWait)
	defer cancel()
	b.subscription = b.client.Subscribe(ctx, channel)
	if _, err := b.subscription.Receive(ctx); err != nil {
		close(b.received)
		return nil, errors.Join(fmt.Errorf("redis: %w", err), b.close())
	}
	go b.receive(b.subscription.Channel(), deliver)
	return b, nil
}

// receive returns when the subscription is closed; go-redis renews one that
// Redis has lost.
func (b *bus) receive(messages <-chan *redis.Message, deliver func(room string, message []byte)) {
	defer close(b.received)
	for message := range messages {
		var what said
		if err := json.Unmarshal([]byte(message.Payload), &what); err != nil {
			b.log.Warn().Str("event.action", "redis-message").Msg("a message from Redis is not ours")
			continue
		}
		what.Type = typeSaid
		if data, err := json.Marshal(what); err == nil { // strings always can be
			deliver(what.Room, data)
		}
	}
}

// publish hands a message to all nodes.
func (b *bus) publish(ctx context.Context, what said) error {
	data, err := json.Marshal(what)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, redisWait)
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
