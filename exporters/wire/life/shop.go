package life

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"

	"github.com/apmws/go-apmws/apmws"
)

// envelope is what clients and the application say to each other.
type envelope struct {
	Type        string `json:"type"`
	Traceparent string `json:"traceparent,omitempty"`
	Tracestate  string `json:"tracestate,omitempty"`
	Note        string `json:"note,omitempty"` // nobody's business
}

// headerScript is the header by which a client says how its handshake is to go.
const headerScript = "X-Script"

// headerBilling is the header of clients whose subscription is looked up.
const headerBilling = "X-Billing"

// authenticate is the hook of the endpoints.
func (s *server) authenticate(ctx context.Context, r *http.Request) (context.Context, error) {
	s.notes.note(r)
	zerolog.Ctx(ctx).Info().Msg("session looked up")
	if r.Header.Get(headerBilling) != "" {
		if err := s.call(ctx, "billing.example", "/subscription"); err != nil {
			return ctx, err
		}
	}
	user, _, _ := strings.Cut(r.UserAgent(), "/")
	switch r.Header.Get(headerScript) {
	case "":
	case "unauthenticated":
		return ctx, errors.New("the session has expired")
	case "panic":
		panic("the session store is nil")
	case "forbidden":
		return ctx, apmws.Refuse(http.StatusForbidden, "")
	case "draining":
		return ctx, apmws.Refuse(http.StatusServiceUnavailable, "draining")
	case "quota":
		apmws.FromContext(ctx).SetUser(user) // whose quota it is
		return ctx, apmws.Refuse(http.StatusTooManyRequests, "quota")
	case "teapot":
		return ctx, apmws.Refuse(http.StatusTeapot, "teapot")
	}
	apmws.FromContext(ctx).SetUser(user)
	return context.WithValue(ctx, noConnectKey{}, r.Header.Get("X-Connect") == "fail"), nil
}

// noConnectKey finds whether the Connect hook is to fail.
type noConnectKey struct{}

// connected is the Connect hook of /shop.
func (s *server) connected(ctx context.Context, conn *apmws.Conn) (context.Context, error) {
	if fails, _ := ctx.Value(noConnectKey{}).(bool); fails {
		return ctx, errors.New("the basket cannot be loaded")
	}
	zerolog.Ctx(ctx).Info().Msg("basket loaded")
	return ctx, reply(ctx, "welcome")
}

// closed is the Close hook of /shop.
func (s *server) closed(ctx context.Context, conn *apmws.Conn, _ error) {
	zerolog.Ctx(ctx).Info().Msg("basket kept")
	if conn.User() == "Ada" {
		_ = s.call(ctx, "baskets.example", "/keep") // nobody is left who could be told
	}
}

// reply sends a message to the peer.
func reply(ctx context.Context, name string) error {
	return apmws.FromContext(ctx).WriteJSON(ctx, envelope{Type: name, Note: secretPayload})
}

// sorry answers a message that has failed, and returns why.
func sorry(ctx context.Context, why error) error {
	if err := reply(ctx, "sorry"); err != nil {
		return err
	}
	return why
}

// shop handles the messages of /shop, /deflate and /relay.
func (s *server) shop(ctx context.Context, m apmws.Message) error {
	s.notes.noteMessage(m)
	var e envelope
	if len(m.Data) > 0 {
		if err := json.Unmarshal(m.Data, &e); err != nil {
			return err
		}
	}
	zerolog.Ctx(ctx).Info().Msg("message taken")
	switch e.Type {
	case "order.place":
		place(ctx)
	case "order.store":
		return errors.Join(s.save(ctx), reply(ctx, "reply"))
	case "order.pay":
		return errors.Join(post(ctx, s.elastic, "/charge"), post(ctx, s.newRelic, "/receipt"),
			s.call(ctx, "billing.example", "/invoice"), reply(ctx, "reply"))
	case "order.refund":
		return sorry(ctx, errors.Join(post(ctx, s.elastic, "/refund"), post(ctx, s.newRelic, "/refund"),
			s.call(ctx, "billing.example", "/refund")))
	case "order.fail":
		return sorry(ctx, fmt.Errorf("order refused: %w", errSoldOut))
	case "order.wait":
		expired, cancel := context.WithDeadline(ctx, time.Unix(0, 0))
		defer cancel()
		return sorry(ctx, fmt.Errorf("stock: %w", expired.Err()))
	case "order.crash":
		panic("the basket is nil")
	case "end.application":
		return apmws.Close(4001, "signed in elsewhere")
	case "end.failure":
		return fmt.Errorf("ledger: %w", apmws.Close(websocket.CloseInternalServerErr, "try again later"))
	case "end.away":
		return apmws.FromContext(ctx).Close(websocket.CloseGoingAway, "restarting")
	case "end.silence":
		return fallSilent(ctx)
	case "hello":
		if err := pingPeer(ctx); err != nil {
			return err
		}
	}
	return reply(ctx, "reply")
}

var errSoldOut = errors.New("sold out")

// pingPeer sends a ping.
func pingPeer(ctx context.Context) error {
	return apmws.FromContext(ctx).WebSocket().WriteControl(websocket.PingMessage, []byte("beat"), time.Now().Add(Patience))
}

// fallSilent pings a peer that does not read, and so does not answer.
func fallSilent(ctx context.Context) error {
	apmws.FromContext(ctx).Heartbeat(apmws.Heartbeat{Interval: 20 * time.Millisecond, Timeout: 200 * time.Millisecond})
	return nil
}

// place has spans of the application's: nested, failed, and side by side.
func place(ctx context.Context) {
	within, validate := apmws.StartSpan(ctx, "validate", apmws.SpanOptions{})
	zerolog.Ctx(within).Info().Msg("order validated")
	_, prices := apmws.StartSpan(within, "load prices", apmws.SpanOptions{Type: "db.postgresql.query", Destination: "postgresql"})
	prices.End(nil)
	validate.End(nil)

	_, voucher := apmws.StartSpan(ctx, "apply voucher", apmws.SpanOptions{Type: "app.voucher"})
	voucher.End(errors.New("no such voucher"))

	_, rates := apmws.StartSpan(ctx, "GET parcels.example", apmws.SpanOptions{Type: "external.http", Destination: "parcels.example:443"})
	rates.End(nil)

	var all, begun sync.WaitGroup
	checks := []string{"check address", "check credit", "check stock"}
	begun.Add(len(checks))
	for _, check := range checks {
		all.Go(func() {
			within, span := apmws.StartSpan(ctx, check, apmws.SpanOptions{})
			begun.Done()
			begun.Wait() // all are under way at the same time
			zerolog.Ctx(within).Info().Msg(check)
			_, below := apmws.StartSpan(within, check+" again", apmws.SpanOptions{})
			below.End(nil)
			span.End(nil)
		})
	}
	all.Wait()
}

// save calls Redis through all there is.
func (s *server) save(ctx context.Context) error {
	err := s.redis.Get(ctx, "basket:none").Err()
	if errors.Is(err, redis.Nil) { // there is none, which is an answer
		err = nil
	}
	return errors.Join(err,
		s.redis.Set(ctx, "basket:"+secretPayload, secretPayload, 0).Err(),
		s.redis.Publish(ctx, "orders:"+secretPayload, secretPayload).Err(),
		s.redisES.Incr(ctx, "orders:"+secretPayload).Err(),
		s.redisNR.HSet(ctx, "order:"+secretPayload, "note", secretPayload).Err())
}

// files handles the messages of /files.
func (s *server) files(ctx context.Context, m apmws.Message) error {
	zerolog.Ctx(ctx).Info().Msg("message taken")
	if strings.HasPrefix(string(m.Data), `{"type":"file.stall"`) {
		// As when the peer has not read for too long.
		if err := apmws.FromContext(ctx).WebSocket().SetWriteDeadline(time.Unix(1, 0)); err != nil {
			return err
		}
	}
	return apmws.FromContext(ctx).Write(ctx, m.Type, m.Data)
}

// feed handles the messages of the agent that samples.
func (s *server) feed(ctx context.Context, m apmws.Message) error {
	begun := time.Now()
	var e envelope
	if err := json.Unmarshal(m.Data, &e); err != nil {
		return err
	}
	if e.Type != "feed.quote" {
		zerolog.Ctx(ctx).Info().Msg("message taken")
	}
	_, span := apmws.StartSpan(ctx, "look up", apmws.SpanOptions{})
	span.End(nil)
	switch e.Type {
	case "feed.always", "feed.tick": // of which one is recorded
		return errors.Join(s.call(ctx, "quotes.example", "/quote"), reply(ctx, "reply"))
	case "feed.fail":
		return sorry(ctx, errSoldOut)
	case "feed.slow":
		<-time.After(SlowFrom + time.Until(begun)) // it is slow by taking that long
	}
	return reply(ctx, "reply")
}
