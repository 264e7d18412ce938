package hour

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gorilla/websocket"
	"github.com/rs/zerolog"

	"github.com/apmws/go-apmws/apmws"
	"github.com/apmws/go-apmws/apmws/semconv"
)

// Names of messages.
const (
	saySay       = "chat.say"
	sayTyping    = "chat.typing"
	sayJoin      = "chat.join"
	sayLeave     = "chat.leave"
	sayHistory   = "chat.history"
	shareFile    = "file.share"
	notifyAck    = "notify.ack"
	notifyTopic  = "notify.subscribe"
	quoteTopic   = "quote.subscribe"
	quoteTick    = "quote.tick"
	unregistered = "chat.reaction"
)

func roomNames() []string {
	return []string{saySay, sayTyping, sayJoin, sayLeave, sayHistory, shareFile}
}
func notifyNames() []string { return []string{notifyAck, notifyTopic} }
func quoteNames() []string  { return []string{quoteTopic, quoteTick} }

// registered reports whether a name is registered for a route.
func registered(route, name string) bool {
	switch route {
	case routeNotify:
		return slices.Contains(notifyNames(), name)
	case routeNews:
		return slices.Contains(newsNames(), name)
	case routeQuotes:
		return slices.Contains(quoteNames(), name)
	default:
		return slices.Contains(roomNames(), name)
	}
}

const (
	kickedCode = 4001
	panicText  = "runtime error: index out of range [50] with length 50"
)

// What clients ask to go wrong.
const (
	doPanic = "panic"
	doKick  = "kick"
	doBreak = "break"
	doStall = "stall"
	doWait  = "wait"
)

// What goes wrong by chance.
var (
	errPool    = errors.New("redis: connection pool timeout")
	errFull    = errors.New("room is full")
	errStore   = errors.New("file store: 503 Service Unavailable")
	errStale   = errors.New("quote feed is stale")
	errExpired = errors.New("the token has expired")
)

// What servers call but for partners.
var (
	redisGet     = callee{"GET session", "db.redis.get", "redis"}
	redisPublish = callee{"PUBLISH", "messaging.redis.publish", "redis"}
	insert       = callee{"INSERT INTO messages", "db.postgresql.query", "postgresql"}
	selectRoom   = callee{"SELECT FROM rooms", "db.postgresql.query", "postgresql"}
	selectPast   = callee{"SELECT FROM messages", "db.postgresql.query", "postgresql"}
)

// authenticate is the hook of the endpoints.
func (n *node) authenticate(ctx context.Context, _ *http.Request) (context.Context, error) {
	v := visitOf(ctx)
	v.call(ctx, semconv.Handshake, redisGet, v.server.lasts(900*time.Microsecond, 0.4), nil)
	if v.refuse == unauthenticated {
		return ctx, errExpired
	}
	apmws.FromContext(ctx).SetUser(v.user)
	if v.route == routeRooms {
		n.askBilling(ctx, v, semconv.Handshake)
	}
	switch v.refuse {
	case forbidden:
		return ctx, apmws.Refuse(http.StatusForbidden, "")
	case overQuota:
		zerolog.Ctx(ctx).Warn().Msg("quota exceeded")
		return ctx, apmws.Refuse(http.StatusTooManyRequests, string(overQuota))
	default:
		return ctx, nil
	}
}

// room handles the messages of rooms.
func (n *node) room(ctx context.Context, v *visit, e envelope) error {
	c := apmws.FromContext(ctx)
	switch e.Do {
	case doPanic:
		v.call(ctx, e.Type, selectPast, v.server.lasts(150*time.Millisecond, 0.5), nil)
		panic(panicText)
	case doKick:
		time.Sleep(v.server.lasts(4*time.Millisecond, 0.4))
		return apmws.Close(kickedCode, "signed in elsewhere")
	case doBreak:
		time.Sleep(v.server.lasts(30*time.Millisecond, 0.4))
		v.ends(apmws.CauseHandlerError, "1011", "server")
		return fmt.Errorf("the room's state is lost: %w", apmws.Close(websocket.CloseInternalServerErr, "try again later"))
	}
	if err := n.chat(ctx, v, c, e); err != nil {
		if sent := v.send(ctx, c, `{"type":"sorry"}`); sent != nil {
			return sent
		}
		return err
	}
	if e.Type != sayJoin {
		ctx = v.outside // not worth a span
	}
	return v.send(ctx, c, `{"type":"ack"}`)
}

// chat does what a message of a room asks for.
func (n *node) chat(ctx context.Context, v *visit, c *apmws.Conn, e envelope) error {
	log := zerolog.Ctx(ctx)
	switch e.Type {
	case saySay:
		v.call(ctx, e.Type, insert, v.server.lasts(6*time.Millisecond, 0.5), nil)
		time.Sleep(v.server.lasts(5*time.Millisecond, 0.6))
		if v.server.happens(0.012) {
			v.call(ctx, e.Type, redisPublish, v.server.lasts(60*time.Millisecond, 0.3), errPool)
			return errPool
		}
		v.call(ctx, e.Type, redisPublish, v.server.lasts(700*time.Microsecond, 0.5), nil)
		n.tell(ctx, v, e.Text)
	case sayTyping:
		time.Sleep(v.server.lasts(time.Millisecond, 0.5))
		v.call(ctx, e.Type, redisPublish, v.server.lasts(600*time.Microsecond, 0.5), nil)
	case sayJoin:
		v.call(ctx, e.Type, selectRoom, v.server.lasts(14*time.Millisecond, 0.5), nil)
		time.Sleep(v.server.lasts(8*time.Millisecond, 0.5))
		if v.server.happens(0.02) {
			return errFull
		}
		log.Info().Str("event.action", "room-joined").Msg("room joined")
	case sayLeave:
		v.call(ctx, e.Type, selectRoom, v.server.lasts(5*time.Millisecond, 0.5), nil)
	case sayHistory:
		return n.history(ctx, v, c, e.Do == doWait || e.Do == "" && v.server.happens(0.03))
	case shareFile:
		store := answer{e.Type, v.server.lasts(90*time.Millisecond, 0.5), http.StatusOK}
		if v.server.happens(0.03) {
			store.takes, store.status = v.server.lasts(400*time.Millisecond, 0.3), http.StatusServiceUnavailable
		}
		if !n.ask(ctx, fileStore, store) {
			return errStore
		}
		log.Info().Str("event.action", "file-stored").Int("file.size", len(e.Text)).Msg("file stored")
	default:
		time.Sleep(v.server.lasts(1500*time.Microsecond, 0.4))
		if v.server.happens(0.7) {
			n.askBilling(ctx, v, semconv.Other)
		}
	}
	return nil
}

// tell sends what somebody has said to another one in the room.
func (n *node) tell(ctx context.Context, v *visit, text string) {
	var others []*visit
	for _, other := range n.visits() {
		if other != v && other.route == routeRooms && other.room == v.room && !other.stalled.Load() {
			others = append(others, other)
		}
	}
	if len(others) > 0 {
		other := one(v.server, others...)
		// Who leaves at this moment is no failure.
		_ = other.send(ctx, other.member, fmt.Sprintf(`{"type":"message","text":%q}`, text))
	}
}

// history sends what was said before.
func (n *node) history(ctx context.Context, v *visit, c *apmws.Conn, late bool) error {
	if late {
		v.call(ctx, sayHistory, selectPast, 2*time.Second, context.DeadlineExceeded)
		return fmt.Errorf("load the history: %w", context.DeadlineExceeded)
	}
	v.call(ctx, sayHistory, selectPast, v.server.lasts(190*time.Millisecond, 0.7), nil)
	for range 4 {
		part := strings.Repeat("x", 2600+v.server.IntN(1000))
		if err := v.send(ctx, c, `{"type":"history","text":"`+part+`"}`); err != nil {
			return err
		}
	}
	return nil
}

// quote handles the messages of quotes.
func (n *node) quote(ctx context.Context, v *visit, e envelope) error {
	c := apmws.FromContext(ctx)
	switch {
	case e.Type == quoteTopic:
		n.ask(ctx, market, answer{e.Type, v.server.lasts(12*time.Millisecond, 0.5), http.StatusOK})
		time.Sleep(v.server.lasts(10*time.Millisecond, 0.5))
	case v.server.happens(0.004):
		time.Sleep(v.server.between(600*time.Millisecond, 1500*time.Millisecond))
	case v.server.happens(0.006):
		time.Sleep(v.server.lasts(3*time.Millisecond, 0.5))
		if err := v.send(ctx, c, `{"type":"sorry"}`); err != nil {
			return err
		}
		return errStale
	default:
		time.Sleep(v.server.lasts(3*time.Millisecond, 0.9))
	}
	return v.send(ctx, c, `{"type":"ack","bid":"101.25","ask":"101.50"}`)
}
