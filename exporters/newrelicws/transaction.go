package newrelicws

import (
	"context"
	"log/slog"
	"sync"

	"github.com/newrelic/go-agent/v3/newrelic"

	"github.com/apmws/go-apmws/apmws"
	"github.com/apmws/go-apmws/apmws/semconv"
)

// transaction is one of New Relic's transactions and the context of what it
// covers.
type transaction struct {
	carrier
	values     *connValues
	ids        apmws.SpanContext
	attributes int // of events that were set; only while the transaction is started or ended

	mu    sync.Mutex
	ended bool
	lanes int     // made
	idle  []*lane // those without open spans
}

// init takes over a transaction that has just been started, and has continued a
// trace if it was to.
func (t *transaction) init(ctx context.Context, e *Exporter, tx *newrelic.Transaction, ids apmws.SpanContext, values *connValues) {
	t.carrier = carrier{Context: ctx, exporter: e, tx: tx}
	t.values = values
	t.ids = ids
}

// AddAttribute implements attributeSetter: it sets what an event brings along.
func (t *transaction) AddAttribute(key string, value any) {
	if !t.exporter.attributes {
		return
	}
	if !validKey(key) || t.attributes >= maxAttributes-maxOwnAttributes {
		t.exporter.droppedAttributes.Add(1)
		return
	}
	t.attributes++
	t.tx.AddAttribute(key, value)
}

// ownAttributes sets what the exporter itself has to say of a transaction, at most
// maxOwnAttributes. There is room for it however many attributes the events have.
type ownAttributes struct{ t *transaction }

// AddAttribute implements attributeSetter.
func (o ownAttributes) AddAttribute(key string, value any) {
	if o.t.exporter.attributes {
		o.t.tx.AddAttribute(key, value)
	}
}

// ending is how a transaction ended.
type ending struct {
	result  string
	outcome apmws.Outcome
	user    string
	failure *apmws.Failure
	attrs   []slog.Attr
	elapsed slog.Attr // of a message that was recorded after the fact
}

// end ends the transaction, once.
func (t *transaction) end(end *ending) {
	t.mu.Lock()
	if t.ended {
		t.mu.Unlock()
		return
	}
	t.ended = true
	t.mu.Unlock()
	if t.tx.IsEnded() {
		return // by the application; all further calls would be error lines
	}
	t.values.set(t, end.attrs)
	own := ownAttributes{t}
	if end.elapsed.Key != "" {
		t.values.setValue(own, end.elapsed.Key, end.elapsed.Value)
	}
	own.AddAttribute(attrResult, boxedResult(end.result))
	own.AddAttribute(semconv.EventOutcome, boxedOutcome(end.outcome))
	if end.user != "" { // else the application may have set it with New Relic's API
		user := cut(end.user)
		t.tx.SetUserID(user)
		own.AddAttribute(semconv.UserID, user)
	}
	if end.failure != nil {
		// An error belongs to the segment that is open on the handle, and one that is
		// still open is not recorded.
		t.exporter.noticeError(t.tx.NewGoroutine(), t.values, end.failure)
	}
	t.exporter.handoff.end(t.tx)
}

// boxedResult and boxedOutcome return the common values without an allocation.
func boxedResult(result string) any {
	if result == "ok" {
		return "ok"
	}
	return cut(result)
}

func boxedOutcome(outcome apmws.Outcome) any {
	switch outcome {
	case apmws.OutcomeSuccess:
		return "success"
	case apmws.OutcomeFailure:
		return "failure"
	default:
		return cut(string(outcome))
	}
}
