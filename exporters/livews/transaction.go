package livews

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/apmws/go-apmws/apmws"
)

// transaction is what is kept of one. It is the handle of a message too. A nil
// transaction records nothing.
type transaction struct {
	view       *View
	typ, name  string
	connection string
	route      string
	start      time.Time

	entry // the history's

	mu           sync.Mutex // never held together with the history's
	user         string
	ended        bool
	duration     time.Duration
	result       string
	outcome      apmws.Outcome
	failure      *failure
	attrs        attributes
	spans        []*span
	spansDropped int

	// inline holds the attributes of most messages, to save an allocation.
	inline [8]slog.Attr
}

type failure struct{ message, typ string }

// ending is what the events that end a transaction have in common.
type ending struct {
	time    time.Time
	result  string
	outcome apmws.Outcome
	user    string
	failure *apmws.Failure
	attrs   []slog.Attr
}

// End implements apmws.MessageSpan.
func (t *transaction) End(end apmws.MessageEnd) {
	if t != nil {
		t.end(ending{end.Time, end.Result, end.Outcome, end.User, end.Failure, end.Attrs})
	}
}

func (t *transaction) end(e ending) {
	t.mu.Lock()
	if t.ended {
		t.mu.Unlock()
		return
	}
	t.ended = true
	t.duration = max(0, e.time.Sub(t.start))
	t.result, t.outcome = cut(e.result, maxText), e.outcome
	if e.user != "" {
		t.user = cut(e.user, maxText)
	}
	if e.failure != nil {
		t.failure = &failure{cut(e.failure.Message, maxErrorText), cut(e.failure.Type, maxText)}
	}
	t.attrs.set(e.attrs)
	t.mu.Unlock()
	t.view.history.finish(t, e.outcome == apmws.OutcomeFailure)
}

// StartSpan implements apmws.SpanStarter.
func (t *transaction) StartSpan(ctx context.Context, start apmws.SpanStart) (context.Context, apmws.ChildSpan) {
	if t == nil {
		return ctx, nil
	}
	return t.startSpan(ctx, 0, start)
}

// startSpan starts a span below the span with the number parent; 0 is the
// transaction itself.
func (t *transaction) startSpan(ctx context.Context, parent int, start apmws.SpanStart) (context.Context, apmws.ChildSpan) {
	t.mu.Lock()
	ended := t.ended
	var s *span
	if len(t.spans) < t.view.opts.MaxSpans {
		s = &span{
			transaction: t, number: len(t.spans) + 1, parent: parent,
			name: cut(start.Name, maxText), typ: cut(start.Type, maxText),
			destination: cut(start.Destination, maxText), start: start.Time,
		}
		s.attrs.setExcept(start.Attrs, t.attrs.list)
		t.spans = append(t.spans, s)
	} else {
		t.spansDropped++
	}
	t.mu.Unlock()
	if ended {
		t.view.history.changed(t)
	}
	if s == nil {
		return ctx, nil
	}
	return ctx, s
}

// span is what is kept of one, and its handle. The transaction's mutex guards
// what changes.
type span struct {
	transaction    *transaction
	number, parent int // numbers count from 1
	name, typ      string
	destination    string
	start          time.Time

	ended    bool
	duration time.Duration
	outcome  apmws.Outcome
	attrs    attributes // those that the transaction does not have
}

// StartSpan implements apmws.SpanStarter.
func (s *span) StartSpan(ctx context.Context, start apmws.SpanStart) (context.Context, apmws.ChildSpan) {
	if s == nil {
		return ctx, nil
	}
	return s.transaction.startSpan(ctx, s.number, start)
}

// End implements apmws.ChildSpan. It may come after the transaction's.
func (s *span) End(end apmws.SpanEnd) {
	if s == nil {
		return
	}
	t := s.transaction
	t.mu.Lock()
	if s.ended {
		t.mu.Unlock()
		return
	}
	s.ended = true
	s.duration = max(0, end.Time.Sub(s.start))
	s.outcome = end.Outcome
	s.attrs.setExcept(end.Attrs, t.attrs.list)
	late := t.ended
	t.mu.Unlock()
	if late {
		t.view.history.changed(t)
	}
}
