package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"
)

const (
	loginWait = 10 * time.Second
	maxAnswer = 64 << 10 // bytes of a login's answer
)

// nodes are those of one chat, as its clients know them. It is safe for concurrent
// use.
type nodes struct {
	bases  []*url.URL
	client *http.Client
}

func newNodes(bases []*url.URL) nodes {
	return nodes{bases, &http.Client{Timeout: loginWait, Transport: &http.Transport{MaxIdleConnsPerHost: 4}}}
}

// base returns a node's URL; n is any number.
func (c nodes) base(n int) *url.URL { return c.bases[n%len(c.bases)] }

// socket returns where the chat's socket is: at the first node. The others are
// other addresses of the same thing.
func (c nodes) socket() string {
	at := c.bases[0].JoinPath("ws")
	at.Scheme = map[string]string{"http": "ws", "https": "wss"}[at.Scheme]
	return at.String()
}

// address returns a node's host and port.
func (c nodes) address(n int) string {
	at := c.base(n)
	port := at.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[at.Scheme]
	}
	return net.JoinHostPort(at.Hostname(), port)
}

// token is what a login returns.
type token struct {
	text    string    // empty: there is none
	renewal time.Time // from then on it is better to ask for another; zero: never
	expires time.Time // zero: not known
}

// fresh reports whether the token is good for a while.
func (t token) fresh(now time.Time) bool {
	return t.text != "" && (t.renewal.IsZero() || now.Before(t.renewal))
}

// login returns a token for a user.
func (c nodes) login(ctx context.Context, n int, user string) (token, error) {
	body, err := json.Marshal(map[string]string{"user": user})
	if err != nil {
		return token{}, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base(n).JoinPath("login").String(), bytes.NewReader(body))
	if err != nil {
		return token{}, err
	}
	req.Header.Set("Content-Type", "application/json")
	asked := time.Now()
	res, err := c.client.Do(req)
	if err != nil {
		return token{}, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return token{}, fmt.Errorf("login: the chat answers %d %s", res.StatusCode, http.StatusText(res.StatusCode))
	}
	var answer struct {
		Token     string `json:"token"`
		ExpiresIn int    `json:"expires_in"` // seconds; 0: not told
	}
	if err := json.NewDecoder(io.LimitReader(res.Body, maxAnswer)).Decode(&answer); err != nil {
		return token{}, fmt.Errorf("login: %w", err)
	}
	got := token{text: answer.Token}
	if answer.ExpiresIn > 0 {
		life := time.Duration(answer.ExpiresIn) * time.Second
		// The Dialer asks again when 80 % of it have passed, at the earliest.
		got.renewal, got.expires = asked.Add(life*3/4), asked.Add(life)
	}
	return got, nil
}
