package apmws

import (
	"context"
	"sync/atomic"

	"github.com/rs/zerolog"
)

type (
	connKey  struct{}
	scopeKey struct{}
)

// scope is the context of a connection, a message or a span. While it is live
// it answers from the exporters' context, which carries the vendors'
// transactions; afterwards from the embedded one, which does not: an ended
// transaction must not be found, since Elastic's panics on SetLabel and New
// Relic's races with its harvest. Contexts derived from it follow.
type scope struct {
	context.Context // what remains; also the deadline and the cancellation

	conn    *Conn
	event   string       // of log lines
	ids     identified   // of log lines; nil: none
	message *messageName // nil: it is of none

	root   *scope // of a span: the message or CONNECT; else nil
	live   atomic.Pointer[liveScope]
	logger atomic.Pointer[zerolog.Logger]

	unbounded bool // it is known to have no deadline, which the whole chain is asked for else
}

// liveScope is what ends with the transaction or span.
type liveScope struct {
	ctx    context.Context
	parent spanParent
	weight float64 // how many messages it stands for; 0: one
}

// Value implements context.Context.
func (s *scope) Value(key any) any {
	switch key.(type) {
	case connKey:
		return s.conn
	case scopeKey:
		return s
	}
	if key == loggerKey {
		return s.loggerValue()
	}
	if live := s.current(); live != nil {
		return live.ctx.Value(key)
	}
	return s.Context.Value(key)
}

// current returns what is live, or nil. A span that was left open ends with its
// transaction.
func (s *scope) current() *liveScope {
	if s.root != nil && s.root.live.Load() == nil {
		return nil
	}
	return s.live.Load()
}

// open returns s, or, where s is of a span that has ended, the innermost scope
// around it whose span has not. A context outlives its span where a function
// returns one that it has derived.
func (s *scope) open() *scope {
	for s != nil && s.root != nil && s.current() == nil {
		s = scopeOf(s.Context)
	}
	return s
}

// scopeOf returns the innermost scope of ctx, or nil.
func scopeOf(ctx context.Context) *scope {
	if s, ok := ctx.(*scope); ok {
		return s // mostly
	}
	s, _ := ctx.Value(scopeKey{}).(*scope)
	return s
}

// loggerKey is the key under which zerolog keeps a context's logger. zerolog
// does not export it; its own look-up tells.
var loggerKey = func() any {
	var probe keyProbe
	zerolog.Ctx(&probe)
	return probe.key
}()

type keyProbe struct {
	context.Context
	key any
}

func (p *keyProbe) Value(key any) any {
	p.key = key
	return nil
}

// loggerValue makes the scope's logger when it is first asked for: most
// connections never log, and a logger with fields weighs 600 bytes.
func (s *scope) loggerValue() any {
	if l := s.logger.Load(); l != nil {
		return l
	}
	parent, ok := s.Context.Value(loggerKey).(*zerolog.Logger)
	if !ok {
		parent = s.conn.agent.logger
	}
	if parent == nil {
		return nil
	}
	l := parent.With().Ctx(s).Logger()
	if above := scopeOf(s.Context); above == nil || above.logger.Load() != parent {
		l = l.Hook(idHook{})
	}
	s.logger.CompareAndSwap(nil, &l)
	return s.logger.Load()
}

// idHook writes the ids of the scope that the logger's context belongs to. It
// is a hook and not a set of fields so that a message's logger, which inherits
// the connection's, does not carry two of each.
type idHook struct{}

// Run implements zerolog.Hook.
func (idHook) Run(e *zerolog.Event, _ zerolog.Level, _ string) {
	ctx := e.GetCtx()
	s := scopeOf(ctx)
	if s == nil || ctx.Value(identifiedKey{}) != nil {
		return
	}
	s.conn.logIdentity(e, s.event, s.ids)
	if s.message != nil {
		e.Str("labels.websocket_message_name", s.message.name)
	}
	e.Ctx(context.WithValue(ctx, identifiedKey{}, true))
}

// identifiedKey marks the context of a line that has its ids: a logger may have
// got the hook twice, from the connection and from a message.
type identifiedKey struct{}
