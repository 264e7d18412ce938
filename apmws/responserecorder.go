package apmws

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"sync/atomic"
)

// responseRecorder notes how a handshake is answered, and taps the connection
// when it is hijacked.
type responseRecorder struct {
	http.ResponseWriter
	conn     *Conn
	status   int                      // 0: none written
	cookies  atomic.Pointer[[]string] // those that the 101 had, as cookiePairs; nil: none
	written  int32                    // bytes of the body, up to maxHeld
	sent     bool                     // the answer, or its beginning, has left net/http's buffers
	hijacked bool
	tried    bool // to hijack
	returned bool // the handler has
}

// asWriter returns a ResponseWriter that has the optional methods of the one
// underneath which libraries and frameworks decide by.
func (w *responseRecorder) asWriter() http.ResponseWriter {
	under := w.ResponseWriter
	_, flush := under.(http.Flusher)
	_, flushError := under.(interface{ FlushError() error })
	_, notify := under.(closeNotifier)
	_, readFrom := under.(io.ReaderFrom)
	_, headerNow := under.(headerWriter)
	h, f := hijackMethod{w}, flushMethod{w}
	switch hijack := canHijack(under); {
	case hijack && flush && flushError && notify && readFrom: // net/http's own
		return struct {
			*responseRecorder
			hijackMethod
			flushMethod
			flushErrorMethod
			notifyMethod
			readFromMethod
		}{w, h, f, flushErrorMethod{w}, notifyMethod{w}, readFromMethod{w}}
	case hijack && flush && notify && headerNow: // gin's
		return struct {
			*responseRecorder
			hijackMethod
			flushMethod
			notifyMethod
			headerNowMethod
		}{w, h, f, notifyMethod{w}, headerNowMethod{w}}
	case hijack && headerNow:
		return struct {
			*responseRecorder
			hijackMethod
			headerNowMethod
		}{w, h, headerNowMethod{w}}
	case hijack && flush:
		return struct {
			*responseRecorder
			hijackMethod
			flushMethod
		}{w, h, f}
	case hijack:
		return struct {
			*responseRecorder
			hijackMethod
		}{w, h}
	case flush:
		return struct {
			*responseRecorder
			flushMethod
		}{w, f}
	default:
		return w
	}
}

// canHijack looks for a Hijacker as http.ResponseController does.
func canHijack(w http.ResponseWriter) bool {
	for {
		switch t := w.(type) {
		case http.Hijacker:
			return true
		case interface{ Unwrap() http.ResponseWriter }:
			w = t.Unwrap()
		default:
			return false
		}
	}
}

// Unwrap lets http.ResponseController reach the writer underneath.
func (w *responseRecorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader implements http.ResponseWriter. Informational answers other than
// 101 are followed by the true one.
func (w *responseRecorder) WriteHeader(status int) {
	if w.status == 0 && (status >= 200 || status == http.StatusSwitchingProtocols) {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (w *responseRecorder) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	n, err := w.ResponseWriter.Write(b)
	w.wrote(int64(n))
	return n, err
}

// maxHeld is less than what makes net/http's buffers, of 2 and 4 KiB, be flushed.
const maxHeld = 6<<10 + 1 // bytes

func (w *responseRecorder) wrote(n int64) {
	w.written = int32(min(int64(w.written)+n, maxHeld))
	w.sent = w.sent || w.written == maxHeld
}

// hijackerHidden reports whether the library found no Hijacker although there
// is one: a middleware in between hides it.
func (w *responseRecorder) hijackerHidden() bool {
	return (w.status == http.StatusInternalServerError || w.status == http.StatusNotImplemented) &&
		!w.tried && canHijack(w.ResponseWriter)
}

// originRefused reports whether gorilla's CheckOrigin refused: its 403 is the
// one that carries the version header.
func (w *responseRecorder) originRefused() bool {
	return w.status == http.StatusForbidden && w.Header().Get("Sec-Websocket-Version") != ""
}

// sends notes that what is written from now on reaches the client.
func (w *responseRecorder) sends() {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	w.sent = true
}

// The optional methods, each in a type of its own to be combined.

type (
	closeNotifier interface{ CloseNotify() <-chan bool }
	headerWriter  interface{ WriteHeaderNow() }

	flushMethod      struct{ w *responseRecorder }
	flushErrorMethod struct{ w *responseRecorder }
	notifyMethod     struct{ w *responseRecorder }
	readFromMethod   struct{ w *responseRecorder }
	headerNowMethod  struct{ w *responseRecorder }
)

// Flush implements http.Flusher.
func (m flushMethod) Flush() {
	m.w.sends()
	m.w.ResponseWriter.(http.Flusher).Flush()
}

// FlushError is what http.ResponseController looks for.
func (m flushErrorMethod) FlushError() error {
	m.w.sends()
	return m.w.ResponseWriter.(interface{ FlushError() error }).FlushError()
}

// CloseNotify implements http.CloseNotifier, which is deprecated, but asserted
// by frameworks.
func (m notifyMethod) CloseNotify() <-chan bool {
	return m.w.ResponseWriter.(closeNotifier).CloseNotify()
}

// ReadFrom implements io.ReaderFrom.
func (m readFromMethod) ReadFrom(src io.Reader) (int64, error) {
	if m.w.status == 0 {
		m.w.status = http.StatusOK
	}
	n, err := m.w.ResponseWriter.(io.ReaderFrom).ReadFrom(src)
	m.w.wrote(n)
	return n, err
}

// WriteHeaderNow is what coder/websocket calls for gin, whose writer only notes
// the status in WriteHeader.
func (m headerNowMethod) WriteHeaderNow() {
	m.w.ResponseWriter.(headerWriter).WriteHeaderNow()
}

type hijackMethod struct{ w *responseRecorder }

// Hijack implements http.Hijacker. The connection it returns is followed.
func (h hijackMethod) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return h.w.hijack()
}

func (w *responseRecorder) hijack() (net.Conn, *bufio.ReadWriter, error) {
	w.tried = true
	netConn, brw, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	w.hijacked = true
	return w.tap(netConn, brw), brw, nil
}

// tap begins to follow the hijacked connection. It is apart from hijack for its needs of
// the stack, see handler.watch.
//
//go:noinline
func (w *responseRecorder) tap(netConn net.Conn, brw *bufio.ReadWriter) net.Conn {
	c := w.conn
	t := &tap{Conn: netConn, conn: c, in: frameParser{fromPeer: true}}
	c.tappedBy(t)

	early, _ := brw.Reader.Peek(brw.Reader.Buffered())
	if len(early) > 0 {
		early = bytes.Clone(early)
		t.early.Store(&early)
		t.hand.Store(handFull) // the library has them already
	}
	observed := t.observedConn()
	resetReader(brw.Reader, early, observed)
	brw.Writer.Reset(observed)

	if w.status == http.StatusSwitchingProtocols {
		// net/http has written the head, with every header that was set.
		c.setSubprotocol(w.Header().Get("Sec-Websocket-Protocol"))
		w.sentCookies(cookiePairs(w.Header()[setCookie]))
		t.enter() // as in a write: the connection does not end before CONNECT
		t.open()
		c.answered(w.status)
		t.leave()
	} else {
		t.head = &responseHead{add: c.agent.headersToAdd(w.Header()), sentCookies: w.sentCookies}
	}
	return observed
}

// sentCookies notes the cookies of a 101.
func (w *responseRecorder) sentCookies(pairs []string) {
	if len(pairs) > 0 {
		w.cookies.Store(&pairs)
	}
}

// resetReader makes br read from conn, with the early bytes in its buffer as
// they were: gorilla refuses a client that does not wait for the answer by
// looking at Buffered.
func resetReader(br *bufio.Reader, early []byte, conn net.Conn) {
	if len(early) == 0 {
		br.Reset(conn)
		return
	}
	br.Reset(&earlyReader{early: early, conn: conn})
	_, _ = br.Peek(len(early)) // cannot fail: they came out of this buffer
}

// earlyReader reads the early bytes and then the connection.
type earlyReader struct {
	early []byte
	conn  net.Conn
}

func (r *earlyReader) Read(b []byte) (int, error) {
	if len(r.early) > 0 {
		n := copy(b, r.early)
		r.early = r.early[n:]
		return n, nil
	}
	return r.conn.Read(b)
}

// headersToAdd picks the headers that are to reach the client in the 101.
func (a *Agent) headersToAdd(set http.Header) http.Header {
	var add http.Header
	for _, name := range a.upgradeHeaders {
		if values := set[name]; len(values) > 0 {
			if add == nil {
				add = make(http.Header, 1)
			}
			add[name] = append([]string(nil), values...)
		}
	}
	return add
}

// setSubprotocol keeps the negotiated subprotocol when its name is known to be
// harmless.
func (c *Conn) setSubprotocol(name string) {
	if name == "" {
		return
	}
	name = c.agent.subprotocols.lookupString(name)
	c.mu.Lock()
	if c.state == connecting {
		c.request.proto = name
	}
	c.mu.Unlock()
}

// commonSubprotocols are registered with IANA or in wide use; none of these
// names can be a token.
var commonSubprotocols = []string{
	"bearer", "graphql-ws", "graphql-transport-ws", "json", "mqtt", "mqttv3.1", "msgpack",
	"ocpp1.6", "ocpp2.0", "ocpp2.0.1", "ocpp2.1", "soap", "stomp", "v10.stomp", "v11.stomp", "v12.stomp",
	"wamp", "wamp.2.cbor", "wamp.2.json", "wamp.2.msgpack", "xmpp", "actioncable-v1-json", "centrifuge-json",
	"centrifuge-protobuf", "protobuf",
}
