package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"strings"
	"time"

	"github.com/gorilla/websocket"
)

// incidentUsers are those of the incident, a visitor each.
func incidentUsers() []string { return []string{"Ada", "Bob", "Cleo", "Dan", "Eve"} }

const visitorWait = 5 * time.Second // for each answer

// visitor is a client as a browser is one: it signs in once, keeps cookies, and
// connects again when a connection has ended.
type visitor struct {
	user, url string // of the chat
	token     string // empty: not signed in
	http      http.Client
	dialer    websocket.Dialer
}

func newVisitor(user, url string) *visitor {
	jar, err := cookiejar.New(nil)
	if err != nil {
		panic(err) // not without options
	}
	return &visitor{
		user: user, url: url,
		http:   http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: visitorWait, Jar: jar},
		dialer: websocket.Dialer{HandshakeTimeout: visitorWait, Jar: jar},
	}
}

// send starts the visitors, spread over the time from one visit to the next.
func (i *incident) send(url string) {
	users := incidentUsers()
	for n, user := range users {
		i.visitors.Go(func() {
			v := newVisitor(user, url)
			for wait := 2 * i.pause * time.Duration(n) / time.Duration(len(users)); i.sleep(wait); wait = i.pause {
				if err := v.visit(i); err != nil {
					i.server.cfg.log.Warn().Err(err).Str("event.action", "visitor").Str("user.id", user).Msg("a visitor had no luck")
				}
			}
		})
	}
}

// sleep reports whether the visitors go on.
func (i *incident) sleep(d time.Duration) bool {
	select {
	case <-i.stopped:
		return false
	case <-time.After(d):
		return true
	}
}

// visit connects, stays for a moment, and leaves.
func (v *visitor) visit(i *incident) error {
	if err := v.signIn(); err != nil {
		return err
	}
	header := http.Header{"Authorization": {"Bearer " + v.token}, "User-Agent": {"chat-visitor"}}
	conn, res, err := v.dialer.Dial("ws"+strings.TrimPrefix(v.url, "http")+strings.TrimPrefix(incidentPath, "/"), header)
	if err != nil {
		if res != nil && res.StatusCode == http.StatusUnauthorized {
			v.token = "" // it has expired
		}
		return err
	}
	defer conn.Close()
	i.sleep(i.pause)
	deadline := time.Now().Add(visitorWait)
	_ = conn.SetReadDeadline(deadline) // fails when the connection is closed, which reading will tell
	leave := websocket.FormatCloseMessage(websocket.CloseGoingAway, "")
	if err := conn.WriteControl(websocket.CloseMessage, leave, deadline); err != nil {
		return err
	}
	if _, _, err := conn.ReadMessage(); !websocket.IsCloseError(err, websocket.CloseGoingAway) {
		return err
	}
	return nil
}

// signIn gets a token, unless there is one.
func (v *visitor) signIn() error {
	if v.token != "" {
		return nil
	}
	body, err := json.Marshal(map[string]string{"user": v.user})
	if err != nil {
		return err
	}
	res, err := v.http.Post(v.url+"login", "application/json", bytes.NewReader(body))
	if err != nil {
		return err
	}
	defer res.Body.Close()
	var answer struct {
		Token string `json:"token"`
	}
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil || answer.Token == "" {
		return fmt.Errorf("sign-in is answered by %s", res.Status)
	}
	v.token = answer.Token
	return nil
}
