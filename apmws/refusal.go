package apmws

import (
	"errors"
	"fmt"
	"net/http"
)

// Refuse returns an error that, returned by EndpointOptions.Authenticate or
// wrapped in what it returns, refuses the handshake with that HTTP status. The
// reason is one of the contract's, such as "unauthenticated", "forbidden" or
// "draining", or registered in Options.RefusalReasons, else it is recorded as
// _OTHER; when it is empty, it is derived from the status. A status that does not
// refuse, less than 300 or more than 599, becomes 500.
func Refuse(status int, reason string) error {
	if status < http.StatusMultipleChoices || status > 599 {
		status = http.StatusInternalServerError
	}
	return &RefusalError{Status: status, Reason: reason}
}

// RefusalError is the error made by Refuse.
type RefusalError struct {
	Status int
	Reason string
}

// Error implements error.
func (e *RefusalError) Error() string {
	return fmt.Sprintf("apmws: handshake refused with %d %s", e.Status, e.Reason)
}

// refusalOf returns the RefusalError in an error of the application, if any. The
// error's own methods may panic.
func refusalOf(err error) (refusal *RefusalError) {
	defer func() { _ = recover() }()
	errors.As(err, &refusal)
	return refusal
}
