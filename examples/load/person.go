package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"time"

	"github.com/gorilla/websocket"

	"github.com/apmws/go-apmws/apmws"
)

const (
	intruders    = 15                     // of a hundred visits are preceded by a handshake that must be refused
	shortRest    = 500 * time.Millisecond // between two visits of a person, at most
	tokenExpired = 4401                   // the chat's close code for that
)

// person pays one visit after the other, all as the same user. It is not safe for
// concurrent use: while a Dialer runs it is that one's, its random numbers excepted.
type person struct {
	f     *fleet
	user  string
	rng   *rand.Rand
	token token
	node  int // which is tried next, or connected to
}

func newPerson(f *fleet, n int) *person {
	return &person{
		f: f, user: fmt.Sprintf("%s %d", givenNames[n%len(givenNames)], n+1),
		rng:  rand.New(rand.NewPCG(f.cfg.seed, uint64(n))),
		node: n,
	}
}

var givenNames = [...]string{"Ada", "Bob", "Cleo", "Dan", "Eve", "Finn", "Gil", "Hana", "Ivo", "June"}

// run pays visits until ctx ends.
func (p *person) run(ctx context.Context) {
	// Not all at once: a chat that has just started has no thousand users.
	if !sleep(ctx, p.upTo(p.f.gathering())) {
		return
	}
	for ctx.Err() == nil {
		if p.rng.IntN(100) < intruders {
			p.intrude(ctx)
		}
		v := newVisit(p, anyManner(p.rng))
		v.run(ctx)
		rest := shortRest
		if v.turnedAway() {
			rest = p.f.cfg.maxDelay
		}
		sleep(ctx, p.upTo(rest))
		p.node = p.rng.IntN(len(p.f.cfg.chat))
	}
}

// credentials is the Token hook: a login, unless there is a token that is good.
func (p *person) credentials(ctx context.Context) (string, time.Time, error) {
	if !p.token.fresh(time.Now()) {
		got, err := p.f.chat.login(ctx, p.node, p.user)
		if err != nil {
			return "", time.Time{}, err
		}
		p.token = got
	}
	return p.token.text, p.token.expires, nil
}

// reach connects to the node that it is the turn of. receive is the size of the
// socket's receive buffer in bytes, 0 for the system's own.
func (p *person) reach(ctx context.Context, network string, receive int) (net.Conn, error) {
	p.f.attempts.add(time.Now())
	conn, err := p.f.network.DialContext(ctx, network, p.f.chat.address(p.node))
	if err == nil && receive > 0 {
		setReceiveBuffer(conn, receive)
	}
	return conn, err
}

// setReceiveBuffer makes the peer feel soon that nobody reads. A system that
// does not take the size has a larger buffer, which only takes longer to fill.
func setReceiveBuffer(conn net.Conn, size int) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetReadBuffer(size)
	}
}

// setBack is called when a connection is lost, or cannot be made: the next attempt
// is made at another node.
func (p *person) setBack(err error, wasOpen bool) {
	p.node++
	if wasOpen {
		if websocket.IsCloseError(err, tokenExpired) {
			p.token = token{}
		}
		return
	}
	if p.failed(err) == http.StatusUnauthorized {
		p.token = token{} // the chat may have started anew, with another secret
	}
}

// failed counts a handshake that failed. It returns the status of the answer, 0
// when there was none.
func (p *person) failed(err error) (status int) {
	var refusal *apmws.RefusalError
	if errors.As(err, &refusal) {
		p.f.counts.add(refused)
		status = refusal.Status
	} else {
		p.f.counts.add(unreachable)
	}
	p.f.fail(err)
	return status
}

// upTo returns a random time of up to d.
func (p *person) upTo(d time.Duration) time.Duration {
	return time.Duration(p.rng.Int64N(int64(d) + 1))
}

// sleep waits, and reports false when ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
