package apmws

import (
	"slices"
	"strings"

	"github.com/rs/zerolog"

	"github.com/apmws/go-apmws/apmws/semconv"
)

// Cookies that middleware sets when the handler has returned are set too late:
// the 101 has been written, and no other answer follows.

const (
	maxCookieNames = 8  // in a log line
	maxCookieName  = 64 // bytes
)

var labelCookieNames = label("websocket.cookie.names")

// cookiePairs returns what identifies the cookies of Set-Cookie headers: their
// names and values, without attributes such as Max-Age, which counts down.
func cookiePairs(headers []string) []string {
	pairs := make([]string, 0, len(headers))
	for _, h := range headers {
		pairs = append(pairs, cookiePair(h))
	}
	return pairs
}

func cookiePair(header string) string {
	pair, _, _ := strings.Cut(header, ";")
	return strings.TrimSpace(pair)
}

// lostCookies returns the names of the cookies that were set and not sent, each
// once. A name that is no token (RFC 6265, section 4.1.1) may be a value, and is
// replaced.
func lostCookies(set, sent []string) (names []string) {
	for _, header := range set {
		pair := cookiePair(header)
		if slices.Contains(sent, pair) {
			continue
		}
		name, _, found := strings.Cut(pair, "=")
		if name = strings.TrimSpace(name); !found || name == "" || len(name) > maxCookieName || strings.Trim(name, tokenChars) != "" {
			name = semconv.Other
		}
		if !slices.Contains(names, name) {
			if names = append(names, name); len(names) == maxCookieNames {
				break
			}
		}
	}
	return names
}

// reportLostCookies looks for cookies that were set after the 101 had been
// written. It is called when the handler has returned, so that nobody inside it
// sets any more.
func (c *Conn) reportLostCookies(rec *responseRecorder) {
	if c.agent.logger == nil || !rec.hijacked {
		return
	}
	c.mu.Lock()
	accepted := c.state == open || c.state == closed
	c.mu.Unlock()
	if !accepted {
		return
	}
	var sent []string
	if pairs := rec.cookies.Load(); pairs != nil {
		sent = *pairs
	}
	names := lostCookies(rec.Header()[setCookie], sent)
	if len(names) == 0 {
		return
	}
	e := c.line(zerolog.WarnLevel, "websocket-cookie-lost", semconv.EventConnect, c.scope.ids)
	if e == nil {
		return
	}
	e.Str(labelCookieNames, strings.Join(names, " ")).
		Str("error.message", "set when the 101 had been written: cookies must be set before the upgrade, with Endpoint in BeforeUpgrade").
		Msg("websocket cookie lost")
}
