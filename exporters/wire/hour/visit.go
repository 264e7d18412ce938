package hour

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/apmws/go-apmws/apmws"
	"github.com/apmws/go-apmws/apmws/semconv"
)

// visit is one handshake of a guest, and the connection that comes of it.
type visit struct {
	*guest
	node       *node
	book       *book
	server     chance // what is left to chance on the server, one thing after the other
	place      Place
	opened     time.Time
	connection *Connection
	wire       wire
	outside    context.Context // of the connection, outside of any message
	member     *apmws.Conn     // on level 3
	stalled    atomic.Bool     // the client does not read

	mu        sync.Mutex
	addressed []addressed // in the order of the queue
	told      told        // how it has ended; the first who knows says so
}

// Streams of chance of a guest, by the attempt.
const (
	ofServer = iota
	ofClient
	ofPongs
	ofRetry
	streams
)

func (n *node) newVisit(g *guest, attempt uint64) *visit {
	v := &visit{
		guest: g, node: n, book: n.script.book, server: newChance(g.seed, attempt*streams+ofServer),
		place: Place{Service: n.service, Environment: n.environment, Node: n.name, Route: g.route}, opened: time.Now(),
	}
	v.wire.place = v.place
	v.connection = &Connection{
		Place: v.place, User: g.user, Address: g.address, Origin: g.origin, Opened: v.opened,
	}
	return v
}

// visitKey finds the visit that a request belongs to.
type visitKey struct{}

func visitOf(ctx context.Context) *visit {
	v, _ := ctx.Value(visitKey{}).(*visit)
	return v
}

// ends says why the connection ends, unless somebody has already.
func (v *visit) ends(cause apmws.CloseCause, code, initiator string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.told == (told{}) {
		v.told = told{cause, code, initiator}
	}
}

func (v *visit) isOver() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.told != told{}
}

// readEnded notes silence.
func (v *visit) readEnded(err error) {
	if isTimeout(err) || peerLost(err) {
		v.ends(apmws.CauseHeartbeatTimeout, semconv.None, "network")
	}
}

func isTimeout(err error) bool {
	var netErr net.Error
	return errors.As(err, &netErr) && netErr.Timeout()
}

// dismissed notes that the server has sent the guest away, as the close frame says.
func (v *visit) dismissed(reason string) {
	switch reason {
	case "going away":
		v.ends(apmws.CauseDrain, "1001", "server")
	case "max age":
		v.ends(apmws.CauseMaxAge, "1001", "server")
	default: // of the guest's own
	}
}

// envelope is what clients say.
type envelope struct {
	Type        string `json:"type"`
	Traceparent string `json:"traceparent,omitempty"`
	Do          string `json:"do,omitempty"` // what is to go wrong
	Text        string `json:"text,omitempty"`
}

const nonsense = "00-nonsense"

func traceContextOf(_ apmws.MessageType, payload []byte) (traceparent, tracestate string) {
	var e envelope
	if json.Unmarshal(payload, &e) != nil {
		return "", ""
	}
	return e.Traceparent, ""
}

// handle lets a handler handle a message, and notes how.
func (v *visit) handle(data []byte, handler func(envelope) error) (err error) {
	m := &Message{Place: v.place, At: time.Now(), Result: resultPanic, Error: panicText, Length: len(data), Connection: v.connection}
	defer func() {
		m.Took = time.Since(m.At)
		if m.Result == resultPanic {
			v.ends(apmws.CausePanic, "1011", "server")
		}
		note(v.book, &v.book.messages, m)
	}()
	var e envelope
	if err := json.Unmarshal(data, &e); err != nil {
		return fmt.Errorf("hour: the script sends nonsense: %w", err)
	}
	if m.Name = e.Type; !registered(v.route, e.Type) {
		m.Name = semconv.Other
	}
	if e.Traceparent == nonsense {
		note(v.book, &v.book.malformed, Event{Place: v.place, At: m.At})
	}
	err = handler(e)
	m.Result, m.Error = resultOf(err)
	return err
}

// resultOf is what the script expects of an error.
func resultOf(err error) (result, text string) {
	var closing *apmws.CloseError
	switch {
	case err == nil, errors.As(err, &closing) && closing.Code == kickedCode:
		return resultOK, ""
	case errors.Is(err, context.DeadlineExceeded):
		return resultTimeout, err.Error()
	default:
		return resultError, err.Error()
	}
}

// callee is something that servers call.
type callee struct{ span, kind, destination string }

// call lets some time pass in another service.
func (v *visit) call(ctx context.Context, from string, to callee, takes time.Duration, err error) {
	c := Call{
		Place: v.place, At: time.Now(), Name: to.span, Destination: to.destination, Outcome: apmws.OutcomeSuccess, From: from,
	}
	_, span := apmws.StartSpan(ctx, to.span, apmws.SpanOptions{Type: to.kind, Destination: to.destination})
	time.Sleep(takes)
	span.End(err)
	if err != nil {
		c.Outcome = apmws.OutcomeFailure
	}
	c.Took = time.Since(c.At)
	note(v.book, &v.book.calls, c)
}

// send sends a message to a client, and notes when that has not read for too long.
func (v *visit) send(ctx context.Context, c *apmws.Conn, data string) error {
	err := c.Write(ctx, apmws.TextMessage, []byte(data))
	if isTimeout(err) {
		v.ends(apmws.CauseWriteError, semconv.None, "network")
	}
	return err
}
