package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gorilla/websocket"

	"github.com/apmws/go-apmws/apmws"
)

// bearer is the first of the pair of subprotocols by which a browser, which
// cannot set headers on a WebSocket, hands in its token. It is the one that the
// server answers; the token is never sent back.
const bearer = "bearer"

const maxLogin = 1 << 10 // bytes

// login issues a token for the name that is asked for. A real server would ask
// for a password.
func (s *server) login(w http.ResponseWriter, r *http.Request) {
	var body struct {
		User string `json:"user"`
	}
	if s.rebound(r) {
		writeError(w, http.StatusForbidden, wrongHost)
		return
	}
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxLogin))
	if tooLarge := new(http.MaxBytesError); errors.As(err, &tooLarge) {
		writeError(w, http.StatusRequestEntityTooLarge, "the request is too large")
		return
	}
	if err != nil || json.Unmarshal(raw, &body) != nil {
		writeError(w, http.StatusBadRequest, `send {"user":"name"}`)
		return
	}
	if !validName(body.User) {
		writeError(w, http.StatusBadRequest, nameRule)
		return
	}
	token, err := s.tokens.issue(body.User)
	if err != nil {
		s.cfg.log.Error().Err(err).Msg("cannot sign a token")
		writeError(w, http.StatusInternalServerError, somethingWrong)
		return
	}
	writeJSON(w, http.StatusOK, loggedIn{token, int(s.tokens.lifetime.Seconds())})
}

// loggedIn is a token and for how many seconds it is good (RFC 6749, section 5.1),
// which a client can tell whatever its clock says.
type loggedIn struct {
	Token     string `json:"token"`
	ExpiresIn int    `json:"expires_in"`
}

const wrongHost = "this server listens for its own machine alone: call it localhost"

// rebound says whether a request comes from a page of another site whose name
// was made to resolve to this machine (DNS rebinding): to a browser page and
// server are then one site, so the Origin header tells nothing. A server that
// others reach knows not by which names, and does not ask.
func (s *server) rebound(r *http.Request) bool { return s.loopback && !localHost(r.Host) }

// authenticate says whose connection it will be, or refuses the handshake.
func (s *server) authenticate(ctx context.Context, r *http.Request) (context.Context, error) {
	if s.rebound(r) {
		return ctx, &problem{wrongHost, apmws.Refuse(http.StatusForbidden, "origin")}
	}
	token := tokenOf(r)
	if token == "" {
		return ctx, &problem{"sign in first", refuseToken(tokenMissing)}
	}
	who, err := s.cfg.verify(ctx, token)
	if s.agent.Draining() { // since then, and what is not done by now may have been cut off
		return ctx, &problem{goingAway, apmws.Refuse(http.StatusServiceUnavailable, "draining")}
	}
	if err != nil {
		if !errors.As(err, new(*apmws.RefusalError)) {
			err = fmt.Errorf("%w: %w", refuseToken(tokenInvalid), err)
		}
		return ctx, &problem{badSignIn, err}
	}
	conn := apmws.FromContext(ctx)
	conn.SetUser(who.user)
	closeWhenExpired(conn, who)
	return ctx, nil
}

const (
	badSignIn = "your sign-in is not valid, sign in again"
	goingAway = "the server is going away"
)

// closeTokenExpired is the close code of a connection whose token has expired: 4000,
// where the codes of applications begin (RFC 6455, section 7.4.2), and HTTP's 401.
// Who gets it signs in again and comes back.
const closeTokenExpired = 4401

// closeWhenExpired closes a connection when its token expires, unless it has been
// renewed by then.
func closeWhenExpired(conn *apmws.Conn, who identity) {
	_ = conn.CloseAt(who.expires, closeTokenExpired, "token expired") // fails for a code that is none
}

var errOtherUser = errors.New("chat: a token of another user")

// renew takes a new token for the connection that a message came in by. One that is
// not good changes nothing: the old one is good for the rest of its time.
func (s *server) renew(ctx context.Context, m *member, token string) (answer any, err error) {
	within, span := apmws.StartSpan(ctx, "authenticate", apmws.SpanOptions{})
	who, err := s.cfg.verify(within, token)
	text := badSignIn
	if err == nil && who.user != m.conn.User() {
		err, text = errOtherUser, "that sign-in is somebody else's"
	}
	span.End(err)
	if err != nil {
		return nil, &problem{text: text}
	}
	closeWhenExpired(m.conn, who)
	news := renewed{Type: typeRenewed}
	if !who.expires.IsZero() {
		news.Expires = who.expires.UTC().Format(time.RFC3339)
	}
	return news, nil
}

// tokenOf returns the token of a handshake: that of the Authorization header,
// else the subprotocol after "bearer" (RFC 6750, section 2.1, in spirit).
func tokenOf(r *http.Request) string {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if strings.EqualFold(scheme, bearer) {
		return strings.TrimSpace(token)
	}
	offered := websocket.Subprotocols(r)
	if i := slices.Index(offered, bearer); i >= 0 && i+1 < len(offered) {
		return offered[i+1]
	}
	return ""
}
