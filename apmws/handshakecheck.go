package apmws

import (
	"bufio"
	"errors"
	"net"
	"net/http"
)

// check makes gorilla's checks of a handshake, and answers one that does not pass.
func (e *endpoint) check(w http.ResponseWriter, r *http.Request) (passed bool) {
	var c handshakeCheck
	_, _ = e.checks.Upgrade(&c, r, nil) // its error is in c
	if !c.passed {
		e.upgradeRefused(w, r, c.status, c.err)
	}
	return c.passed
}

// handshakeCheck is given to gorilla in the place of a ResponseWriter: gorilla asks for
// the connection when it has checked all.
type handshakeCheck struct {
	passed bool
	status int
	err    error
}

// noteRefusal is the Upgrader's Error.
func noteRefusal(w http.ResponseWriter, _ *http.Request, status int, err error) {
	c := w.(*handshakeCheck)
	c.status, c.err = status, err
}

var errChecked = errors.New("apmws: a check of a handshake has no connection")

// Hijack implements http.Hijacker.
func (c *handshakeCheck) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c.passed = true
	return nil, nil, errChecked
}

// Header implements http.ResponseWriter.
func (c *handshakeCheck) Header() http.Header { return http.Header{} }

// WriteHeader implements http.ResponseWriter.
func (c *handshakeCheck) WriteHeader(int) {}

// Write implements http.ResponseWriter.
func (c *handshakeCheck) Write(b []byte) (int, error) { return len(b), nil }
