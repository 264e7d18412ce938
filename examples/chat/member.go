package main

import (
	"context"

	"golang.org/x/time/rate"

	"github.com/apmws/go-apmws/apmws"
)

const (
	pace  = 10 // messages that a peer may send per second
	burst = 30 // messages that it may send at once
)

// member is what the chat knows of a connection.
type member struct {
	conn  *apmws.Conn
	pace  *rate.Limiter       // of the peer's own messages
	rooms map[string]struct{} // the hub's, under its lock
}

func newMember(conn *apmws.Conn) *member {
	return &member{conn: conn, pace: rate.NewLimiter(pace, burst)}
}

type memberKey struct{}

func memberOf(ctx context.Context) *member { return ctx.Value(memberKey{}).(*member) }
