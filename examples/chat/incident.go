package main

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/gorilla/websocket"

	"github.com/apmws/go-apmws/apmws"
)

// The incident: a billing API is called far more often than there are users. Before
// the upgrade their plan is asked for, and the answer kept in the session. But scs
// saves a session when its handler answers by WriteHeader or returns, and an upgrade
// does neither in time: the cookie of a session that begins here never reaches the
// client, and so every connection begins another one, and asks again.
//
//	go run ./examples/chat -incident        # the bug
//	go run ./examples/chat -incident=fixed  # and its fix
const incidentPath = "/incident/ws"

// What -incident may be.
const (
	incidentOff   = ""
	incidentBug   = "bug"
	incidentFixed = "fixed"
)

const planKey = "plan" // of the session: a user whose plan has been asked for

// incident is a route with that bug, and clients that connect to it again and again.
type incident struct {
	server   *server
	sessions *scs.SessionManager
	fixed    bool

	pause    time.Duration // of the visitors, connected and not
	visitors sync.WaitGroup
	stopped  chan struct{}
	stop     func() // waits until the visitors have gone; idempotent
}

func newIncident(s *server) *incident {
	i := &incident{
		server: s, sessions: scs.New(), fixed: s.cfg.incident == incidentFixed,
		pause: s.cfg.incidentPause, stopped: make(chan struct{}),
	}
	i.sessions.Lifetime = 10 * time.Minute // with the bug, those that nobody has the cookie of pile up
	if i.pause == 0 {
		i.pause = time.Second
	}
	i.stop = sync.OnceFunc(func() {
		close(i.stopped)
		i.visitors.Wait()
	})
	return i
}

// handler serves the route: the agent outside, so that nothing is missed, then
// scs' middleware, then the endpoint.
func (i *incident) handler() http.Handler {
	opts := apmws.EndpointOptions{
		Upgrader:     websocket.Upgrader{HandshakeTimeout: writeWait, Error: refuse},
		Authenticate: i.authenticate,
		Message:      func(context.Context, apmws.Message) error { return nil },
		ReadLimit:    maxMessage,
	}
	if i.fixed {
		opts.BeforeUpgrade = i.saveSession // the fix
	}
	agent := i.server.agent
	return agent.Handler(incidentPath, i.sessions.LoadAndSave(agent.Endpoint(incidentPath, opts)))
}

// authenticate asks the billing API about a user, unless the session knows the
// answer. A billing API that fails keeps nobody out.
func (i *incident) authenticate(ctx context.Context, r *http.Request) (context.Context, error) {
	ctx, err := i.server.authenticate(ctx, r)
	if err != nil {
		return ctx, err
	}
	user := apmws.FromContext(ctx).User()
	if i.sessions.GetString(ctx, planKey) == user {
		return ctx, nil
	}
	if _, err := i.server.billing.status(ctx, user); err == nil {
		i.sessions.Put(ctx, planKey, user)
	}
	return ctx, nil
}

// saveSession has the session in the store, and its cookie in the 101.
func (i *incident) saveSession(w http.ResponseWriter, r *http.Request) error {
	token, expiry, err := i.sessions.Commit(r.Context())
	if err == nil {
		i.sessions.WriteSessionCookie(r.Context(), w, token, expiry)
	}
	return err
}
