package exportertest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"slices"

	"github.com/apmws/go-apmws/apmws"
	"github.com/apmws/go-apmws/apmws/semconv"
)

func agentFaults() []fault {
	return []fault{
		{name: "messages of one name are merged", broken: []string{"agent-life"}, edit: func(telemetry *Telemetry) {
			seen := make(map[string]bool)
			remove(func(t *Transaction) bool {
				key := fmt.Sprint(t.Attrs[semconv.ConnectionID], t.Name)
				gone := seen[key]
				seen[key] = true
				return gone
			})(telemetry)
		}},
		{name: "contexts of connections are dumped", broken: []string{"agent-secrets"}, hooks: always(hooks{
			connStart: func(ctx context.Context, e *apmws.ConnStart) {
				e.Attrs = append(slices.Clone(e.Attrs), slog.String("context", fmt.Sprint(ctx.Value(userKey{}))))
			},
		})},
		{name: "contexts of messages are dumped", broken: []string{"agent-secrets"}, hooks: func() hooks {
			var last context.Context
			return hooks{
				returns: func(_ string, ctx context.Context, _ any) context.Context {
					last = ctx
					return ctx
				},
				messageEnd: func(_ *shimMessage, e apmws.MessageEnd, next func(apmws.MessageEnd)) {
					text, _ := last.Value(userKey{}).(string)
					e.Attrs = append(slices.Clone(e.Attrs), slog.String("context", hex.EncodeToString([]byte(text))))
					next(e)
				},
			}
		}},
		{name: "what was sent is not shown", broken: []string{"agent-secrets"}, edit: func(telemetry *Telemetry) {
			telemetry.Raw = ""
			editEach("", func(t *Transaction) { t.Errors = nil })(telemetry)
		}},
	}
}

// derivedTrace makes a trace id of a connection's.
func derivedTrace(t *Transaction) string {
	sum := sha256.Sum256(fmt.Append(nil, t.Attrs[semconv.ConnectionID], t.Type, t.Attrs[semconv.MessageLength]))
	return hex.EncodeToString(sum[:16])
}

func togetherFaults() []fault {
	shared := parentInContext(userKey{})
	return []fault{
		{name: "trace ids are made of the connection's id", broken: []string{"together-each"}, edit: func(telemetry *Telemetry) {
			traces := make(map[string]string)
			editEach("", func(t *Transaction) {
				traces[t.TraceID] = derivedTrace(t)
				t.TraceID = traces[t.TraceID]
			})(telemetry)
			editEach("", func(t *Transaction) {
				for i := range t.Links {
					if trace, ok := traces[t.Links[i].TraceID]; ok {
						t.Links[i].TraceID = trace
					}
				}
			})(telemetry)
		}},
		{name: "exporters of a kind share what is in the context", broken: []string{"together-each"}, hooks: always(hooks{returns: shared.returns, parent: shared.parent})},
		{name: "spans only where the context has its own", broken: []string{"together-neighbours"}, hooks: func() hooks {
			return parentInContext(new(int))
		}},
		{name: "Attach panics", broken: []string{"together-optional"}, hooks: always(hooks{attach: func() { panic("no agent") }})},
		{name: "Mask panics", broken: []string{"together-optional"}, hooks: always(hooks{mask: func(context.Context) context.Context { panic("no context") }})},
		{name: "Dropped panics", broken: []string{"together-optional"}, hooks: always(hooks{dropped: func() []apmws.Dropped { panic("no counts") }})},
	}
}
