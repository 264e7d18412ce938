package apmws

import (
	"bytes"
	"maps"
	"net/http"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
)

// responseHead follows the head of the answer that a library writes to the
// hijacked connection, in whatever pieces, to read its status and to add
// headers to a 101. It passes everything on at once, but for a carriage return
// that may begin the end of the head.
type responseHead struct {
	add         http.Header // may be nil
	status      int         // once the status line is whole; 0: none
	subprotocol string      // the negotiated one
	// sentCookies is called with the cookies of a 101, those that were added
	// included. It may be nil.
	sentCookies func(pairs []string)

	begun   bool     // the status line is whole
	line    []byte   // the current line so far, its first maxHeadLine bytes
	present [][]byte // the lines with names that are in add
	cookies []string // as cookiePairs
	held    bool     // a carriage return at the beginning of a line waits
}

const setCookie = "Set-Cookie"

// maxHeadLine bounds what is kept of a line.
const maxHeadLine = 8 << 10 // bytes

var endOfLine = []byte("\r\n")

// pass returns what is to be written for b. done reports that the head is whole,
// with what follows it in rest, or that there will be no 101; then rest is empty.
func (h *responseHead) pass(b []byte) (out, rest []byte, done bool) {
	if len(b) == 0 {
		return nil, nil, false
	}
	if h.held {
		h.held = false
		if b[0] == '\n' { // the end of the head
			return append(append(h.appendAdded(out), '\r'), b[0]), b[1:], true
		}
		out = append(out, '\r')
	}
	for start := 0; ; {
		end := bytes.IndexByte(b[start:], '\n')
		if end < 0 {
			h.keep(b[start:])
			if len(h.add) > 0 && h.begun && len(h.line) == 1 && h.line[0] == '\r' && len(b) > start {
				h.held = true
				b = b[:len(b)-1]
			}
			return append(out, b...), nil, false
		}
		end += start + 1
		h.keep(b[start:end])
		line := bytes.TrimRight(h.line, "\r\n")
		h.line = h.line[:0]
		switch {
		case !h.begun:
			h.begun = true
			h.status = parseStatus(line)
			if h.status != http.StatusSwitchingProtocols {
				return append(out, b...), nil, true
			}
		case len(line) == 0:
			out = h.appendAdded(append(out, b[:start]...))
			return append(out, b[start:end]...), b[end:], true
		default:
			h.note(line)
		}
		start = end
	}
}

func (h *responseHead) keep(b []byte) {
	h.line = append(h.line, b[:min(len(b), maxHeadLine-len(h.line))]...)
}

// parseStatus returns the status of an HTTP/1 status line, or 0.
func parseStatus(line []byte) int {
	proto, status, _ := strings.Cut(string(line), " ")
	status, _, _ = strings.Cut(status, " ")
	n, err := strconv.Atoi(status)
	if err != nil || !strings.HasPrefix(proto, "HTTP/1.") || n < 100 || n > 999 {
		return 0
	}
	return n
}

// note keeps what matters of a header line.
func (h *responseHead) note(line []byte) {
	name, value, _ := bytes.Cut(line, []byte(":"))
	key := textproto.CanonicalMIMEHeaderKey(string(name))
	if key == "Sec-Websocket-Protocol" {
		h.subprotocol = textproto.TrimString(string(value))
	}
	if _, ok := h.add[key]; ok {
		h.present = append(h.present, headerLine(key, string(value)))
	}
	if key == setCookie {
		h.cookies = append(h.cookies, cookiePair(string(value)))
	}
}

// appendAdded appends the headers to add that the head does not have already. It
// is called once, at the end of the head of a 101.
func (h *responseHead) appendAdded(out []byte) []byte {
	if h.sentCookies != nil {
		h.tellCookies()
	}
	if len(h.add) == 0 {
		return out
	}
	return h.appendLines(out)
}

// tellCookies says which cookies the head has.
//
//go:noinline
func (h *responseHead) tellCookies() {
	if set := h.add[setCookie]; len(h.cookies)+len(set) > 0 {
		h.sentCookies(append(h.cookies, cookiePairs(set)...))
	}
}

// appendLines is apart, since it needs much of the stack, see handler.watch.
//
//go:noinline
func (h *responseHead) appendLines(out []byte) []byte {
	for _, name := range slices.Sorted(maps.Keys(h.add)) {
		for _, value := range h.add[name] {
			line := headerLine(name, value)
			if !slices.ContainsFunc(h.present, func(p []byte) bool { return bytes.Equal(p, line) }) {
				out = append(append(out, line...), endOfLine...)
			}
		}
	}
	return out
}

// headerLine makes line breaks and other control characters harmless. Values
// need not be UTF-8.
func headerLine(name, value string) []byte {
	clean := []byte(value)
	for i, c := range clean {
		if c < ' ' || c == 0x7f {
			clean[i] = ' '
		}
	}
	return append([]byte(name+": "), textproto.TrimBytes(clean)...)
}

// upgradeHeader reports whether a header may be added to a 101.
func upgradeHeader(name string) bool {
	name = textproto.CanonicalMIMEHeaderKey(name)
	switch {
	case name == "Connection", name == "Upgrade", name == "Transfer-Encoding",
		strings.HasPrefix(name, "Content-"), strings.HasPrefix(name, "Sec-Websocket-"):
		return false
	}
	return name != "" && strings.Trim(name, tokenChars) == ""
}

// tokenChars are those of a header's name (RFC 9110, section 5.6.2).
const tokenChars = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

// checkUpgradeHeaders returns the headers that reach a 101, Set-Cookie first.
func (a *Agent) checkUpgradeHeaders(wanted []string) []string {
	allowed := []string{setCookie}
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
