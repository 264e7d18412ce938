package apmws

import (
	"errors"
	"fmt"

	"github.com/gorilla/websocket"
)

// ErrCloseCode is returned by Conn.Close for a close code that must not be sent
// (RFC 6455, section 7.4).
var ErrCloseCode = errors.New("apmws: close code cannot be sent")

// Close returns an error that, returned by a message handler or wrapped in what
// it returns, makes Serve send a close frame with that code and reason and
// return. The reason is cut to the 123 bytes that a close frame can hold
// (RFC 6455, section 5.5.1). A code that must not be sent (section 7.4), such as
// 1006, becomes 1011.
func Close(code int, reason string) error {
	if !validCloseCode(code) {
		code = websocket.CloseInternalServerErr
	}
	return &CloseError{Code: code, Reason: sanitize(reason, maxCloseReason)}
}

// validCloseCode reports whether a close frame may carry the code: those that
// are registered for it, and the application's own.
func validCloseCode(code int) bool {
	switch code {
	case 1004, websocket.CloseNoStatusReceived, websocket.CloseAbnormalClosure:
		return false
	}
	return code >= 1000 && code <= 1014 || code >= 3000 && code <= 4999
}

// CloseError is the error made by Close.
type CloseError struct {
	Code   int
	Reason string
}

// Error implements error.
func (e *CloseError) Error() string {
	return fmt.Sprintf("apmws: close %d %s", e.Code, e.Reason)
}

// failure reports whether the code says that something went wrong: the codes of
// RFC 6455, section 7.4.1, but 1000 and 1001. Those from 3000 on are the
// application's ordinary business.
func (e *CloseError) failure() bool {
	return e.Code < 3000 && e.Code != websocket.CloseNormalClosure && e.Code != websocket.CloseGoingAway
}

// PanicError is returned by Serve after a message handler has panicked.
type PanicError struct {
	Value any    // what panic was called with
	Stack []byte // as runtime/debug.Stack prints it
}

// Error implements error.
func (e *PanicError) Error() string {
	return fmt.Sprintf("apmws: message handler panicked: %v", e.Value)
}

// Unwrap returns the panic's value when that is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}
