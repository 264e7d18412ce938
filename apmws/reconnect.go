package apmws

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/gorilla/websocket"
)

// pace says how long to wait before the next attempt.
type pace struct{ bound backoff.ExponentialBackOff }

func newPace(first, greatest time.Duration) pace {
	// Without a randomization of its own, which is around the bound and not below it.
	p := pace{backoff.ExponentialBackOff{InitialInterval: first, Multiplier: 2, MaxInterval: greatest}}
	p.bound.Reset()
	return p
}

// next returns a wait of at least that long: with full jitter, as in
// https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/.
func (p *pace) next(atLeast time.Duration) time.Duration {
	return atLeast + rand.N(p.bound.NextBackOff()+1)
}

// maxRetryAfter bounds what a server can ask for.
const maxRetryAfter = time.Hour

// retryAfter returns the wait that an answer asks for (RFC 9110, section 10.2.3).
func retryAfter(header http.Header, now time.Time) time.Duration {
	value := header.Get("Retry-After")
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil || errors.Is(err, strconv.ErrRange) {
		return min(time.Duration(seconds)*time.Second, maxRetryAfter)
	}
	if at, err := http.ParseTime(value); err == nil {
		return min(max(0, at.Sub(now)), maxRetryAfter)
	}
	return 0
}

// Close codes by which servers tell of credentials, after the statuses of HTTP.
const (
	closeUnauthenticated = 4401 // the token has expired
	closeForbidden       = 4403
)

// dialRun is one call of Dialer.Run.
type dialRun struct {
	dialer  *Dialer
	pace    pace
	renewed bool           // the credentials have been renewed since a connection has lasted
	leaving sync.WaitGroup // of connections that others have taken the place of
}

func (r *dialRun) tell(s DialState) {
	if state := r.dialer.opts.State; state != nil {
		state(s)
	}
}

// run is Run. The second context is that of attempts and waits, which the agent's
// shutdown ends, too; a connection that is open it drains.
func (r *dialRun) run(ctx, attempts context.Context) error {
	for {
		if err := r.over(ctx); err != nil {
			return err
		}
		r.tell(DialState{Phase: DialConnecting})
		conn, back := r.dialer.attempt(ctx, attempts)
		if conn != nil {
			back = r.attend(ctx, attempts, conn)
		}
		if err := r.over(ctx); err != nil {
			return err
		}
		if r.hopeless(back) {
			err := &GaveUpError{Err: back.err}
			r.tell(DialState{Phase: DialGaveUp, Err: err})
			return err
		}
		delay := r.pace.next(back.retryAfter)
		r.tell(DialState{Phase: DialWaiting, Delay: delay, Err: back.err})
		wait := time.NewTimer(delay)
		select {
		case <-wait.C:
		case <-attempts.Done():
			wait.Stop()
		}
	}
}

// over returns why nothing is to be done any more.
func (r *dialRun) over(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if r.dialer.agent.stopping.Err() != nil {
		r.tell(DialState{Phase: DialGaveUp, Err: ErrShutDown})
		return ErrShutDown
	}
	return nil
}

// hopeless reports whether no further attempt is to be made. What can be tried once
// more with other credentials is, once.
func (r *dialRun) hopeless(back setback) bool {
	switch {
	case errorIs(back.err, errDialURL), back.code == websocket.ClosePolicyViolation, back.code == closeForbidden:
		return true
	case back.status == http.StatusUnauthorized, back.status == http.StatusForbidden, back.code == closeUnauthenticated:
		again := !r.renewed && (r.dialer.opts.Token != nil || r.dialer.opts.Header != nil)
		r.renewed = true
		return !again
	default:
		return false
	}
}

// attend waits until a connection has ended, also that of those that take its place.
func (r *dialRun) attend(ctx, attempts context.Context, conn *dialled) (back setback) {
	d := r.dialer
	defer func() { conn.abandon() }() // in case State panics
	r.open(conn)
	renewal := time.NewTimer(r.renewIn(conn))
	defer renewal.Stop()
	for {
		select {
		case <-conn.done:
			return r.ended(conn)
		case <-ctx.Done():
			d.current.CompareAndSwap(conn.conn, nil)
			conn.retire()
			return r.ended(conn)
		case <-renewal.C:
		}
		if conn.renew(ctx) {
			renewal.Reset(r.renewIn(conn))
			continue
		}
		next, back := d.attempt(ctx, attempts)
		if next == nil { // what is open works, whatever the server has said of the new one
			renewal.Reset(r.pace.next(back.retryAfter))
			continue
		}
		old := conn
		conn = next
		r.replace(old, next)
		renewal.Reset(r.renewIn(conn))
	}
}

// open tells of a connection.
func (r *dialRun) open(conn *dialled) {
	r.dialer.current.Store(conn.conn)
	r.tell(DialState{Phase: DialOpen, Conn: conn.conn})
}

// replace lets a connection that is open take another's place.
func (r *dialRun) replace(old, next *dialled) {
	r.lasted(old)
	r.leaving.Go(func() { old.leave(websocket.CloseNormalClosure) })
	r.open(next)
}

// ended says why a connection has ended.
func (r *dialRun) ended(conn *dialled) setback {
	r.dialer.current.CompareAndSwap(conn.conn, nil)
	r.lasted(conn)
	return conn.setback()
}

// lasted forgets earlier failures where the connection was a good one.
func (r *dialRun) lasted(conn *dialled) {
	if monotonic()-conn.opened > r.dialer.opts.MaxDelay {
		r.pace.bound.Reset()
		r.renewed = false
	}
}

// noRenewal is how long nothing is done about a token that never expires, or had
// expired when it was new, by a clock that cannot be right: the server will tell.
const noRenewal = 1 << 62 * time.Nanosecond

// renewIn returns when to renew the token: at a random moment, so that clients which
// have got theirs together do not come back together.
func (r *dialRun) renewIn(conn *dialled) time.Duration {
	life := conn.expires.Sub(conn.issued)
	if conn.expires.IsZero() || life <= 0 {
		return noRenewal
	}
	left := life/10*8 + rand.N(life/10+1) - time.Since(conn.issued)
	if left < r.dialer.opts.FirstDelay {
		return r.pace.next(0) // tokens that hardly live at all, perhaps by a wrong clock, are no reason to hurry
	}
	return left
}
