package apmws

import (
	"errors"
	"strconv"
	"time"
)

// DialState is what a Dialer does.
type DialState struct {
	Phase DialPhase
	// Conn is the connection that is open now, with DialOpen.
	Conn *Conn
	// Delay is how long it waits before the next attempt, with DialWaiting.
	Delay time.Duration
	// Err is why there is no connection, with DialWaiting, or will be none, with
	// DialGaveUp: a *RefusalError of a server that has refused, gorilla's error of the
	// read that failed, such as a *websocket.CloseError, ErrPeerLost, ErrShutDown, or
	// that of a hook. Nothing in it but the errors of hooks holds a path or a query.
	Err error
}

// DialPhase is the kind of a DialState.
type DialPhase uint8

// Phases of a Dialer. A connection that takes the place of another whose token
// expires is told as DialOpen alone.
const (
	DialConnecting DialPhase = iota
	DialOpen
	DialWaiting
	DialGaveUp
)

// String returns "connecting", "open", "waiting" or "gave up".
func (p DialPhase) String() string {
	switch p {
	case DialConnecting:
		return "connecting"
	case DialOpen:
		return "open"
	case DialWaiting:
		return "waiting"
	case DialGaveUp:
		return "gave up"
	default:
		return "DialPhase(" + strconv.Itoa(int(p)) + ")"
	}
}

// GaveUpError is returned by Dialer.Run when further attempts are of no use.
type GaveUpError struct {
	// Err is what the server has answered: a *RefusalError for a handshake, with the
	// status, or gorilla's *websocket.CloseError, with the code.
	Err error
}

// Error implements error.
func (e *GaveUpError) Error() string { return "apmws: dialer gave up: " + e.Err.Error() }

// Unwrap returns Err.
func (e *GaveUpError) Unwrap() error { return e.Err }

// setback is why an attempt has failed or a connection has ended.
type setback struct {
	err        error
	status     int           // of the server's refusal; 0: there was none
	code       int           // of the server's close frame, where that came first; 0: none
	retryAfter time.Duration // the least wait
}

// errCancelled stands for an attempt that the context of Run has ended.
var errCancelled = errors.New("apmws: the attempt was cancelled")
