package newrelicws

import (
	"context"

	"github.com/newrelic/go-agent/v3/newrelic"
)

// carrier is a context that carries a transaction for New Relic's API. The
// handles contain one, so that a message costs no further allocation for its
// context.
type carrier struct {
	context.Context
	exporter *Exporter
	tx       *newrelic.Transaction // nil: none is to be found
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
	case keys.gin:
		if c.tx == nil {
			return c.tx
		}
	}
	return c.Context.Value(key)
}

// context returns the context in which New Relic's API finds what c carries.
func (c *carrier) context() context.Context {
	if c.exporter.keys != (contextKeys{}) {
		return c
	}
	return newrelic.NewContext(c, c.tx)
}

// Mask implements apmws.Masker.
func (e *Exporter) Mask(ctx context.Context) context.Context {
	if e.app == nil || newrelic.FromContext(ctx) == nil {
		return ctx
	}
	return (&carrier{Context: ctx, exporter: e}).context()
}

// contextKeys are the keys under which New Relic's API looks into a context: its
// own, and then the one that its middleware for gin uses. It does not export
// them, but its look-up tells. They are zero when the look-up is not what it was
// in version 3.45.
type contextKeys struct{ transaction, gin any }

func findContextKeys() contextKeys {
	probe := keyProbe{Context: context.Background()}
	newrelic.FromContext(&probe)
	if len(probe.asked) != 2 {
		return contextKeys{}
	}
	keys := contextKeys{transaction: probe.asked[0], gin: probe.asked[1]}
	c := &carrier{
		Context:  context.Background(),
		exporter: &Exporter{keys: keys},
		tx:       new(newrelic.Transaction),
	}
	if newrelic.FromContext(c) != c.tx {
		return contextKeys{}
	}
	return keys
}

// keyProbe remembers the keys that it was asked for.
type keyProbe struct {
	context.Context
	asked []any
}

// Value implements context.Context.
func (p *keyProbe) Value(key any) any {
	p.asked = append(p.asked, key)
	return nil
}
