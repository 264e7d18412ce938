package exportertest

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"

	"github.com/apmws/go-apmws/apmws"
)

// life is a script of what a server may see, driven through an agent.
type life struct {
	mu      sync.Mutex
	secrets map[string]string // by where they are
	shared  apmws.SpanContext // that comes in a message
	// look is called, where it is not nil, with the contexts that a program has:
	// "connect", "message" or "span" says of what.
	look func(ctx context.Context, of string)
}

func newLife() *life {
	return &life{secrets: make(map[string]string), shared: remote()}
}

// secret returns what must not leave the server, by where it is.
func (l *life) secret(where string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.secrets[where] == "" {
		l.secrets[where] = "secret" + where + randomHex(8)
	}
	return l.secrets[where]
}

// looked calls look.
func (l *life) looked(ctx context.Context, of string) {
	if l.look != nil {
		l.look(ctx, of)
	}
}

// What a context may belong to.
const (
	ofConnect = "connect"
	ofMessage = "message"
	ofSpan    = "span"
)

// The paths that are not accepted.
const (
	pathRefused = "/rooms/refused"
	pathPanics  = "/rooms/panics"
)

// What a message may ask for.
const (
	commandSay     = "say"
	commandError   = "error"
	commandPanic   = "panic"
	commandTimeout = "timeout"
	commandLinked  = "linked"
	commandCrash   = "crash" // no message: the server closes the connection with 1011
)

func messageNames() []string {
	return []string{"chat.say", "chat.error", "chat.panic", "chat.timeout", "chat.linked"}
}

// The texts of the application's errors, which are recorded.
const (
	textError   = "the room is full"
	textTimeout = "the room does not answer"
)

// handle handles a message. Its size tells it apart from others.
func (l *life) handle(ctx context.Context, payload string) {
	command, _, _ := strings.Cut(payload, " ")
	ctx = context.WithValue(ctx, userKey{}, payload) // as programs do
	info := apmws.MessageInfo{Name: "chat." + command, Size: len(payload)}
	if command == commandLinked {
		info.TraceParent = l.shared.TraceParent()
	}
	ctx, tx := apmws.StartMessage(ctx, info)
	l.looked(ctx, ofMessage)
	switch command {
	case commandError:
		tx.End(applicationError(textError))
	case commandPanic:
		func() {
			defer func() { _ = recover() }()
			defer tx.EndOnPanic()
			thatPanics("the message panicked")
		}()
	case commandTimeout:
		tx.End(fmt.Errorf(textTimeout+": %w", context.DeadlineExceeded))
	default:
		ctx, load := apmws.StartSpan(ctx, "load", apmws.SpanOptions{Attrs: []slog.Attr{slog.Int("kit.rows", 3)}})
		_, call := apmws.StartSpan(ctx, "charge card", apmws.SpanOptions{Type: "external.grpc.call", Destination: "billing.example:443"})
		l.looked(ctx, ofSpan)
		call.End(applicationError("no money"))
		load.End(nil)
		tx.End(nil)
	}
}

// run drives a server through the whole script. It returns when the exporters
// have been told of everything.
func (l *life) run(s *server) {
	c, status := s.dial("/rooms/7")
	if status != http.StatusSwitchingProtocols {
		s.k.fatalf("the handshake was answered with %d", status)
	}
	for i, command := range []string{commandSay, commandError, commandPanic, commandTimeout, commandLinked, commandSay} {
		// All of a size of their own.
		c.say(command + " " + l.secret("payload") + strings.Repeat(".", i*8))
	}
	c.hangUp(opClose, closePayload(1000, "bye"))
	crashing, _ := s.dial("/rooms/8")
	crashing.hangUp(opText, []byte(commandCrash))
	for _, path := range []string{pathRefused, pathPanics} {
		refused, _ := s.dial(path)
		refused.conn.Close()
	}
	const closed, refused = 2, 2
	if !s.k.eventually(func() bool { return s.ends.closed.Load() == closed && s.ends.refused.Load() == refused }) {
		s.k.fatalf("the agent has told of %d closed and %d refused connections, want %d and %d: is a call of an exporter blocked?",
			s.ends.closed.Load(), s.ends.refused.Load(), closed, refused)
	}
}
