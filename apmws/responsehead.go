package apmws

import (
	"bytes"
	"net/http"
	"net/textproto"
	"slices"
	"strings"
)

// maxHead bounds the head of a 101 that is held back until it is whole.
const maxHead = 16 << 10 // bytes

// responseHead collects the head of the answer that a library writes to the
// hijacked connection, to read its status and to add headers.
type responseHead struct {
	add    http.Header // may be nil
	held   []byte
	status int
	// subprotocol is the negotiated one.
	subprotocol string
}

var (
	endOfLine = []byte("\r\n")
	endOfHead = []byte("\r\n\r\n")
)

// take adds b. It reports whether the head is whole, or no 101 that waiting
// for makes sense; rest is what follows it.
func (h *responseHead) take(b []byte) (rest []byte, done bool) {
	from := max(0, len(h.held)-len(endOfHead)+1)
	h.held = append(h.held, b...)
	if i := bytes.Index(h.held[from:], endOfHead); i >= 0 {
		end := from + i + len(endOfHead)
		rest = b[len(b)-(len(h.held)-end):]
		h.held = h.held[:end]
		h.parse()
		return rest, true
	}
	if len(h.held) > maxHead || !h.undecided() {
		h.parse()
		h.add = nil // there is no known place for it
		return nil, true
	}
	return nil, false
}

// undecided reports whether what is held can be the beginning of a 101.
func (h *responseHead) undecided() bool {
	const statusLine = "HTTP/1.x 101"
	n := min(len(h.held), len(statusLine))
	for i := range n {
		if i >= len("HTTP/1.") && n < len(statusLine) {
			break // decide when the status is whole
		}
		if h.held[i] != statusLine[i] && statusLine[i] != 'x' {
			return false
		}
	}
	return true
}

// parse finds the status, or leaves it 0.
func (h *responseHead) parse() {
	line, lines, _ := bytes.Cut(h.held, endOfLine)
	_, status, _ := strings.Cut(string(line), " ")
	if !bytes.HasPrefix(line, []byte("HTTP/1.")) || len(status) < 3 {
		return
	}
	for _, c := range []byte(status[:3]) {
		if c < '0' || c > '9' {
			h.status = 0
			return
		}
		h.status = h.status*10 + int(c-'0')
	}
	for line := range bytes.SplitSeq(lines, endOfLine) {
		name, value, _ := bytes.Cut(line, []byte(":"))
		if strings.EqualFold(string(name), "Sec-WebSocket-Protocol") {
			h.subprotocol = textproto.TrimString(string(value))
		}
	}
}

// bytes returns the head with the added headers, those of a 101 that it does
// not have already.
func (h *responseHead) bytes() []byte {
	if h.status != http.StatusSwitchingProtocols || len(h.add) == 0 {
		return h.held
	}
	present := bytes.Split(h.held, endOfLine)
	out := slices.Clone(h.held[:len(h.held)-len(endOfLine)])
	for name, values := range h.add {
		for _, value := range values {
			line := []byte(name + ": " + headerValue(value))
			if !slices.ContainsFunc(present, func(p []byte) bool { return sameHeader(p, line) }) {
				out = append(append(out, line...), endOfLine...)
			}
		}
	}
	return append(out, endOfLine...)
}

// headerValue makes line breaks harmless, as net/http does.
func headerValue(v string) string {
	return textproto.TrimString(strings.Map(func(r rune) rune {
		if r < ' ' && r != '\t' || r == 0x7f {
			return ' '
		}
		return r
	}, v))
}

// sameHeader compares two header lines: the name without case, the value exactly.
func sameHeader(a, b []byte) bool {
	an, av, _ := bytes.Cut(a, []byte(":"))
	bn, bv, _ := bytes.Cut(b, []byte(":"))
	return bytes.EqualFold(an, bn) && bytes.Equal(bytes.TrimSpace(av), bytes.TrimSpace(bv))
}

// upgradeHeader reports whether a header may be added to a 101.
func upgradeHeader(name string) bool {
	name = textproto.CanonicalMIMEHeaderKey(name)
	switch {
	case name == "Connection", name == "Upgrade", name == "Transfer-Encoding",
		strings.HasPrefix(name, "Content-"), strings.HasPrefix(name, "Sec-Websocket-"):
		return false
	}
	return name != "" && !strings.ContainsAny(name, " \t\r\n:")
}

// checkUpgradeHeaders returns the headers that reach a 101, Set-Cookie first.
func (a *Agent) checkUpgradeHeaders(wanted []string) []string {
	allowed := []string{"Set-Cookie"}
	for _, name := range wanted {
		switch name = textproto.CanonicalMIMEHeaderKey(name); {
		case slices.Contains(allowed, name):
		case upgradeHeader(name):
			allowed = append(allowed, name)
		case a.logger != nil:
			a.logger.Warn().Str("http.response.header.name", name).Msg("websocket upgrade header refused: it is the WebSocket library's to write")
		}
	}
	return allowed
}
