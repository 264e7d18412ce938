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

	"github.com/gorilla/websocket"
)

const (
	dialWait   = 10 * time.Second // for a login, and for a handshake
	maxAnswer  = 64 << 10         // bytes of a login's answer
	maxMessage = 256 << 10        // bytes of a message from the chat
)

// chat is the server as its clients know it. It is safe for concurrent use.
type chat struct {
	base   *url.URL
	client *http.Client
}

func newChat(base *url.URL) chat {
	return chat{base: base, client: &http.Client{Timeout: dialWait, Transport: &http.Transport{MaxIdleConnsPerHost: 4}}}
}

// refusal is an answer that is not the one hoped for.
type refusal struct{ status int }

func (r *refusal) Error() string {
	return fmt.Sprintf("the chat answers %d %s", r.status, http.StatusText(r.status))
}

// login returns a token for a user. Its errors are a refusal, or those of
// net/http.
func (c chat) login(ctx context.Context, user string) (string, error) {
	body, err := json.Marshal(map[string]string{"user": user})
	if err != nil {
		return "", err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base.JoinPath("login").String(), bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := c.client.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return "", &refusal{res.StatusCode}
	}
	var answer struct {
		Token string `json:"token"`
	}
	if err := json.NewDecoder(io.LimitReader(res.Body, maxAnswer)).Decode(&answer); err != nil {
		return "", fmt.Errorf("login: %w", err)
	}
	return answer.Token, nil
}

// credentials are what a handshake shows of its sender.
type credentials struct {
	token  string // empty: none is shown
	origin string // empty: none, as of a program
}

// dial opens a connection. receive is the size of the socket's receive buffer in
// bytes, 0 for the system's own. Its errors are a refusal, or those of the
// network.
func (c chat) dial(ctx context.Context, who credentials, receive int) (*websocket.Conn, error) {
	var network net.Dialer
	dialer := websocket.Dialer{
		HandshakeTimeout: dialWait,
		ReadBufferSize:   4 << 10,
		WriteBufferSize:  4 << 10,
		NetDialContext: func(ctx context.Context, net, addr string) (net.Conn, error) {
			conn, err := network.DialContext(ctx, net, addr)
			if err == nil && receive > 0 {
				setReceiveBuffer(conn, receive)
			}
			return conn, err
		},
	}
	header := http.Header{}
	if who.token != "" {
		header.Set("Authorization", "Bearer "+who.token)
	}
	if who.origin != "" {
		header.Set("Origin", who.origin)
	}
	at := c.base.JoinPath("ws")
	at.Scheme = map[string]string{"http": "ws", "https": "wss"}[c.base.Scheme]
	conn, res, err := dialer.DialContext(ctx, at.String(), header)
	if err != nil {
		if res != nil {
			return nil, &refusal{res.StatusCode}
		}
		return nil, err
	}
	conn.SetReadLimit(maxMessage)
	return conn, nil
}

// setReceiveBuffer makes the peer feel soon that nobody reads. A system that
// does not take the size has a larger buffer, which only takes longer to fill.
func setReceiveBuffer(conn net.Conn, size int) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetReadBuffer(size)
	}
}
