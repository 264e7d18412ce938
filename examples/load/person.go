package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"
)

const (
	intruders = 15                     // of a hundred connections are preceded by a handshake that must be refused
	shortRest = 500 * time.Millisecond // between two connections of a person, at most
)

// person opens one connection after the other, all for the same user. It is not
// safe for concurrent use.
type person struct {
	f     *fleet
	user  string
	rng   *rand.Rand
	token string // empty: to be asked for
	wait  backoff
}

func newPerson(f *fleet, n int) *person {
	return &person{
		f: f, user: fmt.Sprintf("%s %d", givenNames[n%len(givenNames)], n+1),
		rng:  rand.New(rand.NewPCG(f.cfg.seed, uint64(n))),
		wait: f.cfg.backoff,
	}
}

var givenNames = [...]string{"Ada", "Bob", "Cleo", "Dan", "Eve", "Finn", "Gil", "Hana", "Ivo", "June"}

// run opens connections until ctx ends.
func (p *person) run(ctx context.Context) {
	// Not all at once: a chat that has just started has no thousand users.
	if !sleep(ctx, p.upTo(p.f.gathering())) {
		return
	}
	for ctx.Err() == nil {
		if p.rng.IntN(100) < intruders {
			p.intrude(ctx)
		}
		p.visit(ctx)
	}
}

// visit is one connection, or the wait after one that could not be opened.
func (p *person) visit(ctx context.Context) {
	m := anyManner(p.rng)
	receive := 0
	if m == slow || m == freezes {
		receive = slowBuffer
	}
	if p.token == "" && !p.login(ctx) {
		sleep(ctx, p.wait.next(p.rng))
		return
	}
	conn, err := p.f.chat.dial(ctx, credentials{token: p.token}, receive)
	if err != nil {
		if p.failed(ctx, err) == http.StatusUnauthorized {
			p.token = "" // the chat may have started anew, with another secret
		}
		sleep(ctx, p.wait.next(p.rng))
		return
	}
	p.f.counts.add(opened)
	l := &life{
		f: p.f, conn: conn, manner: m, user: p.user,
		talk: talk{rng: p.rng, rooms: p.f.rooms, room: p.f.rooms[p.rng.IntN(len(p.f.rooms))]},
		done: make(chan struct{}), over: make(chan struct{}),
	}
	if l.run(ctx) || m == freezes {
		p.wait.reset()
		sleep(ctx, p.upTo(shortRest))
	} else {
		sleep(ctx, p.wait.next(p.rng))
	}
}

// login asks for a token, and reports whether there is one.
func (p *person) login(ctx context.Context) bool {
	token, err := p.f.chat.login(ctx, p.user)
	if err != nil {
		if ctx.Err() == nil {
			p.f.counts.add(unreachable)
			p.f.fail(err)
		}
		return false
	}
	p.token = token
	return true
}

// intrude does a handshake that the chat must refuse.
func (p *person) intrude(ctx context.Context) {
	attempts := []credentials{{}, {token: "wrong"}}
	if p.token != "" {
		attempts = append(attempts, credentials{token: p.token, origin: "https://elsewhere.example"})
	}
	conn, err := p.f.chat.dial(ctx, attempts[p.rng.IntN(len(attempts))], 0)
	if err == nil {
		p.f.counts.add(opened)
		p.f.counts.add(vanished)
		conn.Close()
		return
	}
	p.failed(ctx, err)
}

// failed counts a handshake that failed. It returns the status of the answer, 0
// when there was none.
func (p *person) failed(ctx context.Context, err error) (status int) {
	var r *refusal
	switch {
	case errors.As(err, &r):
		p.f.counts.add(refused)
		status = r.status
	case ctx.Err() != nil:
		return 0 // it was given up
	default:
		p.f.counts.add(unreachable)
	}
	p.f.fail(err)
	return status
}

// upTo returns a random time of up to d.
func (p *person) upTo(d time.Duration) time.Duration {
	return time.Duration(p.rng.Int64N(int64(d) + 1))
}
