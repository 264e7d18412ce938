package elasticws

import (
	"context"

	"go.elastic.co/apm/v2"
)

// carrier is a context that carries a transaction, and perhaps a span, for
// Elastic's API. The handles contain one, so that a message costs no further
// allocation for its context. It answers for everything that Elastic keeps in a
// context: a span or a request of something outside must not be found together
// with the transaction here.
type carrier struct {
	context.Context
	exporter *Exporter
	tx       *apm.Transaction // nil: nothing is to be found
	span     *apm.Span        // nil: directly below the transaction
}

// carrierKey finds the innermost carrier of a context.
type carrierKey struct{}

// Value implements context.Context.
func (c *carrier) Value(key any) any {
	keys := &c.exporter.keys
	switch key {
	case carrierKey{}:
		return c
	case keys.transaction:
		return c.tx
	case keys.span:
		return c.span
	case keys.body:
		return (*apm.BodyCapturer)(nil)
	default:
		return c.Context.Value(key)
	}
}

// context returns the context in which Elastic's API finds what c carries.
func (c *carrier) context() context.Context {
	if c.exporter.keys != (contextKeys{}) {
		return c
	}
	ctx := apm.ContextWithBodyCapturer(c, nil)
	ctx = apm.ContextWithTransaction(ctx, c.tx)
	return apm.ContextWithSpan(ctx, c.span)
}

// beneath returns ctx without the transactions that other carriers than tx's have
// put on top: those of other Exporters of the same agent.
func beneath(ctx context.Context, tx *apm.Transaction) context.Context {
	for {
		found := apm.TransactionFromContext(ctx)
		c, _ := ctx.Value(carrierKey{}).(*carrier)
		if c == nil || c.tx != found || found == tx {
			return ctx
		}
		ctx = c.Context
	}
}

// Mask implements apmws.Masker.
func (e *Exporter) Mask(ctx context.Context) context.Context {
	if apm.TransactionFromContext(ctx) == nil && apm.SpanFromContext(ctx) == nil {
		return ctx
	}
	return (&carrier{Context: ctx, exporter: e}).context()
}

// contextKeys are the keys under which Elastic's API looks into a context. It
// does not export them, but its look-ups tell. They are zero when a bridge to
// another API, such as apmot, has replaced the look-ups by its own.
type contextKeys struct{ transaction, span, body any }

func findContextKeys() contextKeys {
	var keys contextKeys
	probe := keyProbe{Context: context.Background()}
	apm.TransactionFromContext(&probe)
	keys.transaction = probe.key
	apm.SpanFromContext(&probe)
	keys.span = probe.key
	apm.BodyCapturerFromContext(&probe)
	keys.body = probe.key

	c := &carrier{
		Context:  context.Background(),
		exporter: &Exporter{keys: keys},
		tx:       new(apm.Transaction),
		span:     new(apm.Span),
	}
	if apm.TransactionFromContext(c) != c.tx || apm.SpanFromContext(c) != c.span {
		return contextKeys{}
	}
	return keys
}

// keyProbe remembers the key that it was last asked for.
type keyProbe struct {
	context.Context
	key any
}

// Value implements context.Context.
func (p *keyProbe) Value(key any) any {
	p.key = key
	return nil
}
