package apmws

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
)

// Refuse returns an error that, returned by EndpointOptions.Authenticate or
// BeforeUpgrade, or wrapped in what they return, refuses the handshake with that HTTP status. The
// reason is one of the contract's, such as "unauthenticated", "forbidden" or
// "draining", or registered in Options.RefusalReasons, else it is recorded as
// _OTHER; when it is empty, it is that of Conn.SetRefusalReason or derived from
// the status. A status that does not refuse, less than 300 or more than 599,
// becomes 500.
func Refuse(status int, reason string) error {
	return &RefusalError{Status: refusalStatus(status), Reason: reason}
}

// RefusalError is the error made by Refuse, and that of a server which has refused a
// Dialer, with Retry-After and WWW-Authenticate of its answer.
type RefusalError struct {
	Status int    // of the answer; one that does not refuse is answered as 500
	Reason string // see Refuse
	// Header is added to the answer: WWW-Authenticate with a 401 (RFC 9110,
	// section 15.5.2), Retry-After with a 503.
	Header http.Header
}

// Error implements error.
func (e *RefusalError) Error() string {
	if e.Reason == "" {
		return fmt.Sprintf("apmws: handshake refused with %d", e.Status)
	}
	return fmt.Sprintf("apmws: handshake refused with %d %s", e.Status, e.Reason)
}

func refusalStatus(status int) int {
	if status < http.StatusMultipleChoices || status > 599 {
		return http.StatusInternalServerError
	}
	return status
}

// refusalOf returns the RefusalError in an error of the application, if any. The
// error's own methods may panic.
func refusalOf(err error) (refusal *RefusalError) {
	defer func() { _ = recover() }()
	return errorAs[*RefusalError](err)
}

// refuse answers a handshake that a hook has refused, with that status unless the
// error has its own.
func (e *endpoint) refuse(w http.ResponseWriter, r *http.Request, c *Conn, err error, status int) {
	if _, panicked := endingOf(err); panicked != nil {
		if errorIs(panicked.Unwrap(), http.ErrAbortHandler) {
			panic(http.ErrAbortHandler)
		}
		c.failed(CausePanic, panicFailure(panicked.Value, panicked.Stack))
		e.answer(w, r, http.StatusInternalServerError, err)
		return
	}
	reason := ""
	if asked := refusalOf(err); asked != nil {
		status, reason = refusalStatus(asked.Status), asked.Reason
		maps.Copy(w.Header(), asked.Header)
	}
	if reason == "" {
		reason = c.refusalReason(refusal{status: status})
	}
	c.refusedFor(reason, newFailure(err))
	e.answer(w, r, status, err)
}

// upgradeRefused answers a handshake that gorilla refuses.
func (e *endpoint) upgradeRefused(w http.ResponseWriter, r *http.Request, status int, err error) {
	// The only 403 of gorilla's is that of CheckOrigin.
	asked := refusal{status: status, originRefused: status == http.StatusForbidden}
	c := FromContext(r.Context())
	c.refusedFor(c.refusalReason(asked), newFailure(err))
	w.Header().Set("Sec-WebSocket-Version", "13") // RFC 6455, section 4.4
	e.answer(w, r, status, err)
}

// refusalReason returns what the application has said, or else what follows
// from the answer that is asked for, whatever Upgrader.Error makes of it.
func (c *Conn) refusalReason(asked refusal) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state == connecting && c.request.reason != "" {
		return c.request.reason
	}
	return asked.reason()
}

func (e *endpoint) answer(w http.ResponseWriter, r *http.Request, status int, err error) {
	if custom := e.opts.Upgrader.Error; custom != nil {
		custom(w, r, status, err)
		return
	}
	http.Error(w, http.StatusText(status), status)
}

var errNoHandshake = errors.New("apmws: not a WebSocket handshake")

// upgradeRequired answers a request that is no handshake.
func (e *endpoint) upgradeRequired(w http.ResponseWriter, r *http.Request) {
	if r.ProtoMajor == 1 { // HTTP/2 has no such headers (RFC 9113, section 8.2.2)
		w.Header().Set("Upgrade", "websocket") // RFC 9110, section 15.5.22
		w.Header().Set("Connection", "Upgrade")
	}
	e.answer(w, r, http.StatusUpgradeRequired, errNoHandshake)
}
