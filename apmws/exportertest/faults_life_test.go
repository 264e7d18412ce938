package exportertest

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"slices"
	"sync"

	"github.com/apmws/go-apmws/apmws"
	"github.com/apmws/go-apmws/apmws/semconv"
)

func lateFaults() []fault {
	return []fault{
		{name: "a second end of a message is a second message", broken: []string{"ends-twice", "crowd"}, hooks: func() hooks {
			var mu sync.Mutex
			ended := make(map[*shimMessage]bool)
			return hooks{messageEnd: func(m *shimMessage, e apmws.MessageEnd, next func(apmws.MessageEnd)) {
				mu.Lock()
				second := ended[m]
				ended[m] = true
				mu.Unlock()
				if second {
					_, inner := m.c.inner.StartMessage(context.Background(), m.start)
					next = inner.End
				}
				next(e)
			}}
		}},
		{name: "a second end of a connection is a second DISCONNECT", broken: []string{"ends-twice"}, hooks: func() hooks {
			ended := make(map[*shimConn]bool)
			return hooks{connEnd: func(c *shimConn, e apmws.ConnEnd, next func(apmws.ConnEnd)) {
				if ended[c] {
					_, inner := c.s.recorder.StartConn(context.Background(), c.start)
					next = inner.End
				}
				ended[c] = true
				next(e)
			}}
		}},
		{name: "a second end of a handshake counts", broken: []string{"ends-twice"}, edit: editEach(semconv.TypeConnection, func(t *Transaction) { t.User = again })},
		{name: "a second end of a span counts", broken: []string{"ends-twice"}, edit: editSpans(func(_ *Transaction, x *Span) { x.Outcome = apmws.OutcomeFailure })},
		{name: "a second end panics", broken: []string{"ends-twice"}, hooks: always(hooks{
			messageEnd: func(m *shimMessage, e apmws.MessageEnd, next func(apmws.MessageEnd)) {
				if e.User == again {
					panic("the transaction has ended")
				}
				next(e)
			},
		})},
		{name: "messages end with their connection", broken: []string{"ends-late"}, hooks: always(hooks{
			messageEnd: func(m *shimMessage, e apmws.MessageEnd, next func(apmws.MessageEnd)) {
				m.c.mu.Lock()
				closed := m.c.closed
				m.c.mu.Unlock()
				if !closed {
					next(e)
				}
			},
		})},
		{name: "spans of what has ended panic", broken: []string{"starts-late"}, hooks: always(hooks{
			parent: func(_ context.Context, own *shimParent) *shimParent {
				if own.hasEnded() {
					panic("the transaction has ended")
				}
				return own
			},
		})},
		{name: "spans of what has ended go to what is open", broken: []string{"starts-late"}, hooks: func() hooks {
			var last *shimParent
			return hooks{
				returns: func(_ string, ctx context.Context, handle any) context.Context {
					last = handle.(*shimParent)
					return ctx
				},
				parent: func(_ context.Context, own *shimParent) *shimParent {
					if own.hasEnded() {
						return last
					}
					return own
				},
			}
		}},
		{name: "a span's late end panics", broken: []string{"spans-late"}, hooks: always(hooks{
			spanEnd: func(s *shimSpan, e apmws.SpanEnd, next func(apmws.SpanEnd)) {
				if s.root.hasEnded() {
					panic("the transaction has ended")
				}
				next(e)
			},
		})},
		{name: "a transaction has its spans' outcome", broken: []string{"spans-late"}, edit: editEach("", func(t *Transaction) {
			for _, x := range t.Spans {
				t.Outcome = x.Outcome
			}
		})},
		{name: "DISCONNECT waits for all messages", broken: []string{"never-ended", "ends-late"}, hooks: always(hooks{
			connEnd: func(c *shimConn, e apmws.ConnEnd, next func(apmws.ConnEnd)) {
				c.mu.Lock()
				open := c.open
				c.mu.Unlock()
				if open == 0 {
					next(e)
				}
			},
		})},
		{name: "messages wait for their spans", broken: []string{"never-ended"}, hooks: always(hooks{
			messageEnd: func(m *shimMessage, e apmws.MessageEnd, next func(apmws.MessageEnd)) {
				m.mu.Lock()
				defer m.mu.Unlock()
				if !slices.ContainsFunc(m.stack, func(s *shimSpan) bool { return !s.hasEnded() }) {
					next(e)
				}
			},
		})},
		{name: "handles are used again", broken: []string{"crowd"}, hooks: func() hooks {
			var mu sync.Mutex
			var free []*shimMessage
			return hooks{
				takeMessage: func() *shimMessage {
					mu.Lock()
					defer mu.Unlock()
					if len(free) == 0 {
						return nil
					}
					m := free[len(free)-1]
					free = free[:len(free)-1]
					return m
				},
				messageEnd: func(m *shimMessage, e apmws.MessageEnd, next func(apmws.MessageEnd)) {
					next(e)
					mu.Lock()
					defer mu.Unlock()
					free = append(free, m)
				},
			}
		}},
	}
}

// underLoad mixes up two failed messages of different connections when there are
// many.
func underLoad(mix func(t, u *Transaction)) func(*Telemetry) {
	return func(telemetry *Telemetry) {
		const load = 100
		if len(telemetry.Transactions) < load {
			return
		}
		var first *Transaction
		for i := range telemetry.Transactions {
			switch t := &telemetry.Transactions[i]; {
			case t.Name != nameFails:
			case first == nil:
				first = t
			case first.User != t.User:
				mix(first, t)
				return
			}
		}
	}
}

func sharingFaults() []fault {
	return []fault{
		{name: "the last user is everybody's", broken: []string{"connections"}, edit: func(telemetry *Telemetry) {
			user := ""
			for _, t := range telemetry.Transactions {
				if t.User != "" {
					user = t.User
				}
			}
			editEach("", func(t *Transaction) { t.User = user })(telemetry)
		}},
		{name: "links to the last connection", broken: []string{"connections", "links"}, edit: func(telemetry *Telemetry) {
			var last Link
			editEach(semconv.TypeConnection, func(t *Transaction) { last = Link{t.TraceID, t.SpanID} })(telemetry)
			editEach("", func(t *Transaction) {
				if len(t.Links) > 0 {
					t.Links[0] = last
				}
			})(telemetry)
		}},
		{name: "the route of the first connection", broken: []string{"connections"}, edit: func(telemetry *Telemetry) {
			route := telemetry.Transactions[0].Attrs[semconv.Route]
			editEach("", func(t *Transaction) { t.Attrs[semconv.Route] = route })(telemetry)
		}},
		{name: "no more than 300 fit in", broken: []string{"concurrent"}, edit: func(telemetry *Telemetry) {
			telemetry.Transactions = telemetry.Transactions[:min(300, len(telemetry.Transactions))]
		}},
		{name: "some are sent twice", broken: []string{"concurrent"}, edit: func(telemetry *Telemetry) {
			telemetry.Transactions = append(telemetry.Transactions, telemetry.Transactions[0])
		}},
		{name: "under load, the link of another connection", broken: []string{"concurrent"}, edit: underLoad(func(t, u *Transaction) { t.Links, u.Links = u.Links, t.Links })},
		{name: "under load, the user of another connection", broken: []string{"concurrent"}, edit: underLoad(func(t, u *Transaction) { t.User, u.User = u.User, t.User })},
		{name: "under load, the error of another message", broken: []string{"concurrent"}, edit: underLoad(func(t, u *Transaction) { t.Errors, u.Errors = u.Errors, t.Errors })},
		{name: "attributes of another message", broken: []string{"concurrent", "crowd"}, edit: func(telemetry *Telemetry) {
			for i := 1; i < len(telemetry.Transactions); i++ {
				a, b := telemetry.Transactions[i-1].Attrs, telemetry.Transactions[i].Attrs
				a["kit.same"], b["kit.same"] = b["kit.same"], a["kit.same"]
			}
		}},
	}
}

func identityFaults() []fault {
	return []fault{
		{name: "no ids after the end", broken: []string{"identifier"}, hooks: always(hooks{
			ids: func(p *shimParent, ids apmws.SpanContext) apmws.SpanContext {
				if p.hasEnded() {
					return apmws.SpanContext{}
				}
				return ids
			},
		})},
		{name: "new ids each time", broken: []string{"identifier"}, hooks: always(hooks{
			ids: func(*shimParent, apmws.SpanContext) apmws.SpanContext { return remote() },
		})},
		{name: "ids that the back end does not show", broken: []string{"identifier", "together-logs"}, hooks: always(hooks{
			ids: func(_ *shimParent, ids apmws.SpanContext) apmws.SpanContext {
				ids.SpanID[0]++
				return ids
			},
		})},
		{name: "ids where the back end shows none", broken: []string{"identifier"}, limits: limits{Limits: Limits{NoIDs: true}}, hooks: always(hooks{})},
		{name: "no connection's id where there is no other", broken: []string{"attributes"}, limits: limits{Limits: Limits{NoIDs: true}, lacking: true}},
		{name: "fields of no transaction", broken: []string{"log-fields"}, hooks: always(hooks{
			fields: func(ids apmws.SpanContext) []slog.Attr {
				return []slog.Attr{slog.String("trace.id", ids.TraceIDString())}
			},
		})},
		{name: "fields with other ids", broken: []string{"log-fields", "together-logs"}, hooks: always(hooks{
			fields: func(ids apmws.SpanContext) []slog.Attr {
				if !ids.IsValid() {
					return nil
				}
				return []slog.Attr{slog.String("trace.id", ids.TraceIDString()), slog.String("span.id", remote().SpanIDString())}
			},
		})},
		{name: "fields without ids", broken: []string{"log-fields", "together-logs"}, hooks: always(hooks{
			fields: func(apmws.SpanContext) []slog.Attr { return []slog.Attr{slog.String("entity.name", "chat")} },
		})},
		{name: "fields that are no strings", broken: []string{"log-fields"}, hooks: always(hooks{
			fields: func(ids apmws.SpanContext) []slog.Attr { return []slog.Attr{slog.Any("trace.id", ids.TraceID)} },
		})},
		{name: "a prefix with a dot", broken: []string{"log-fields"}, hooks: always(hooks{vendor: "shim."})},
	}
}

func lifecycleFaults() []fault {
	hang := func(context.Context) error { select {} }
	failing := func(context.Context) error { return errors.New("it fails") }
	return []fault{
		{name: "a full buffer blocks", hangs: true, broken: []string{"never-blocks"}, hooks: func() hooks {
			buffer := make(chan struct{}, 1000)
			return hooks{messageEnd: func(_ *shimMessage, e apmws.MessageEnd, next func(apmws.MessageEnd)) {
				buffer <- struct{}{} // nobody reads it
				next(e)
			}}
		}},
		{name: "a call waits for the answer", hangs: true, waits: true, broken: []string{"never-blocks"}},
		{name: "a call never returns", hangs: true, broken: []string{"times", "concurrent", "agent-life"}, hooks: always(hooks{
			messageEnd: func(*shimMessage, apmws.MessageEnd, func(apmws.MessageEnd)) { select {} },
		})},
		{name: "a call ends its goroutine", broken: []string{"times"}, hooks: always(hooks{
			opened: func(*shimConn, apmws.OpenEnd, func(apmws.OpenEnd)) { runtime.Goexit() },
		})},
		{name: "a goroutine for each connection", hangs: true, broken: []string{"goroutines"}, hooks: func() hooks {
			ends := make(map[*shimConn]chan struct{})
			return hooks{
				opened: func(c *shimConn, e apmws.OpenEnd, next func(apmws.OpenEnd)) {
					end := make(chan struct{})
					ends[c] = end
					go func() { <-end }()
					next(e)
				},
				connEnd: func(c *shimConn, e apmws.ConnEnd, next func(apmws.ConnEnd)) {
					close(ends[c])
					next(e)
				},
			}
		}},
		{name: "Flush fails", broken: []string{"flush", "together-flush"}, hooks: always(hooks{flush: failing})},
		{name: "Flush never returns", hangs: true, broken: []string{"flush", "together-flush"}, hooks: always(hooks{flush: hang})},
		{name: "Flush waits for what never comes", hangs: true, broken: []string{"flush"}, hooks: func() hooks {
			return hooks{flush: func(ctx context.Context) error {
				if ctx.Err() != nil {
					select {}
				}
				return nil
			}}
		}},
		{name: "Flush invents an error", broken: []string{"flush"}, hooks: always(hooks{flush: func(ctx context.Context) error {
			if ctx.Err() != nil {
				return errors.New("no time")
			}
			return nil
		}})},
		{name: "Flush is the end", broken: []string{"flush"}, hooks: func() hooks {
			flushed := false
			return hooks{
				flush: func(context.Context) error {
					flushed = true
					return nil
				},
				messageEnd: func(_ *shimMessage, e apmws.MessageEnd, next func(apmws.MessageEnd)) {
					if !flushed {
						next(e)
					}
				},
			}
		}},
		{name: "Shutdown discards", broken: []string{"shutdown"}, hooks: func() hooks {
			shut := false
			h := hooks{shutdown: func(context.Context) error {
				shut = true
				return nil
			}}
			later := make(map[*shimMessage]func())
			h.messageEnd = func(m *shimMessage, e apmws.MessageEnd, next func(apmws.MessageEnd)) { later[m] = func() { next(e) } }
			h.connEnd = func(_ *shimConn, e apmws.ConnEnd, next func(apmws.ConnEnd)) {
				for _, end := range later {
					if !shut {
						end()
					}
				}
				next(e)
			}
			return h
		}},
		{name: "calls after Shutdown panic", broken: []string{"shutdown"}, hooks: func() hooks {
			shut := false
			return hooks{
				shutdown: func(context.Context) error {
					shut = true
					return nil
				},
				connStart: func(context.Context, *apmws.ConnStart) {
					if shut {
						panic("it is over")
					}
				},
			}
		}},
		{name: "a second Shutdown panics", broken: []string{"shutdown"}, hooks: func() hooks {
			done := make(chan struct{})
			return hooks{shutdown: func(context.Context) error {
				close(done)
				return nil
			}}
		}},
		{name: "Shutdown never returns", hangs: true, broken: []string{"shutdown-expired", "shutdown"}, hooks: always(hooks{shutdown: hang})},
		{name: "Shutdown fails", broken: []string{"shutdown-expired", "together-flush"}, hooks: always(hooks{shutdown: failing})},
		{name: "what Attach starts goes on", hangs: true, broken: []string{"attach"}, hooks: func() hooks {
			return hooks{attach: func() { go func() { select {} }() }}
		}},
		{name: "drops are counted anew", broken: []string{"dropped"}, hooks: func() hooks {
			count := int64(3)
			return hooks{dropped: func() []apmws.Dropped {
				defer func() { count = 0 }()
				return []apmws.Dropped{{Reason: "queue_full", Count: count}}
			}}
		}},
		{name: "drops without a reason", broken: []string{"dropped"}, hooks: always(hooks{
			dropped: func() []apmws.Dropped { return []apmws.Dropped{{Count: 1}} },
		})},
		{name: "drops with a name", broken: []string{"dropped"}, hooks: always(hooks{
			dropped: func() []apmws.Dropped { return []apmws.Dropped{{Exporter: "shim", Reason: "queue_full"}} },
		})},
		{name: "drops of one reason twice", broken: []string{"dropped"}, hooks: always(hooks{
			dropped: func() []apmws.Dropped { return []apmws.Dropped{{Reason: "queue_full"}, {Reason: "queue_full"}} },
		})},
		{name: "drops that are forgotten", broken: []string{"dropped"}, hooks: func() hooks {
			calls := 0
			return hooks{dropped: func() []apmws.Dropped {
				if calls++; calls > 2 {
					return nil
				}
				return []apmws.Dropped{{Reason: "queue_full", Count: 1}}
			}}
		}},
	}
}
