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
	writeJSON(w, http.StatusOK, map[string]string{"token": token})
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
		return ctx, &problem{"sign in first", errUnauthenticated}
	}
	user, err := s.cfg.verify(ctx, token)
	if err != nil {
		return ctx, &problem{"your sign-in is not valid, sign in again", fmt.Errorf("%w: %w", errUnauthenticated, err)}
	}
	apmws.FromContext(ctx).SetUser(user)
	if s.hub.closed() {
		return ctx, &problem{goingAway, apmws.Refuse(http.StatusServiceUnavailable, "draining")}
	}
	return ctx, nil
}

var errUnauthenticated = apmws.Refuse(http.StatusUnauthorized, "unauthenticated")

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
