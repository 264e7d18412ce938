package exportertest

import (
	"context"
	"log/slog"
	"strconv"
	"sync"

	"github.com/apmws/go-apmws/apmws"
	"github.com/apmws/go-apmws/apmws/semconv"
)

// sharingRules are those about several connections and goroutines.
func sharingRules() []rule {
	return []rule{
		{
			"connections",
			"connections share no state: each has its own transactions, attributes, users and end",
			checkConnections,
		},
		{
			"concurrent",
			"everything may be called from many goroutines at once, and each event is recorded once, with its own attributes, spans, error and link",
			checkConcurrent,
		},
	}
}

func checkConnections(k *kit) {
	s := k.session()
	names := []string{"ada", "grace", "mary"}
	conns := make([]*conn, len(names))
	messages := make([]*message, len(names))
	mark := func(i int) []slog.Attr { return []slog.Attr{slog.String("kit.of", names[i])} }
	for i, name := range names {
		route := "/" + name
		conns[i] = s.connect(context.Background(), apmws.ConnStart{Route: route, Attrs: mark(i)})
	}
	for i, name := range names {
		conns[i].opened(apmws.OpenEnd{Accepted: true, User: name})
	}
	for i, name := range names {
		messages[i] = conns[i].message(apmws.MessageStart{Name: "chat." + name, User: name, Attrs: mark(i)})
	}
	conns[0].closed(apmws.ConnEnd{User: names[0], Attrs: mark(0)})
	for i, name := range names {
		if canSpan(messages[i].span) {
			s.child(messages[i].ctx, messages[i].span, apmws.SpanStart{Name: "span " + name}).end(apmws.SpanEnd{})
		}
		messages[i].end(apmws.MessageEnd{User: name})
	}
	for i := 1; i < len(names); i++ {
		conns[i].closed(apmws.ConnEnd{User: names[i], Attrs: mark(i)})
	}

	g := s.sent()
	for i, name := range names {
		connect, told, end := g.connect(conns[i]), g.message(messages[i]), g.disconnect(conns[i])
		for _, t := range []*Transaction{connect, told, end} {
			if t.User != name {
				g.errorf("%s of %s has the user %q", t.Type, name, t.User)
			}
			g.wantAttrs(t.Type, t.Attrs, append(mark(i), slog.String(semconv.Route, "/"+name)))
		}
		g.want(connect, "CONNECT /"+name, "HTTP 1xx", apmws.OutcomeSuccess)
		g.want(told, "chat."+name, "ok", apmws.OutcomeSuccess)
		g.want(end, "DISCONNECT /"+name, "normal", apmws.OutcomeSuccess)
		if canSpan(messages[i].span) {
			g.wantBelow(told, "span "+name, told.SpanID)
		}
		if !g.Limits.NoIDs {
			g.wantOwnConnect(told, connect)
			g.wantOwnConnect(end, connect)
		}
	}
}

// What checkConcurrent records, few enough for back ends that keep a share of many.
const (
	concurrentConns    = 8
	concurrentMessages = 48 // of each
)

func checkConcurrent(k *kit) {
	s := k.session()
	var all sync.WaitGroup
	var mu sync.Mutex
	var conns []*conn
	var messages []*message
	for range concurrentConns {
		k.spawn(&all, func() {
			c := s.connect(context.Background(), apmws.ConnStart{})
			if canSpan(c.span) {
				s.child(c.ctx, c.span, apmws.SpanStart{Name: "authenticate"}).end(apmws.SpanEnd{})
			}
			c.opened(apmws.OpenEnd{Accepted: true, User: userOf(c)})
			told := c.manyMessages(k)
			c.closed(apmws.ConnEnd{User: userOf(c)})
			mu.Lock()
			defer mu.Unlock()
			conns, messages = append(conns, c), append(messages, told...)
		})
	}
	all.Wait()

	g := s.sent()
	if want := concurrentConns * (concurrentMessages + 2); len(g.Transactions) != want {
		g.errorf("there are %d transactions, want %d", len(g.Transactions), want)
	}
	for _, c := range conns {
		g.wantOneOfMany(c, g.connect(c))
		g.wantOneOfMany(c, g.disconnect(c))
	}
	for _, m := range messages {
		t := g.message(m)
		g.wantOneOfMany(m.c, t)
		if m.start.Name == nameFails {
			g.want(t, nameFails, "error", apmws.OutcomeFailure)
			g.wantError("a message among many", t, m.failure(textOf(m)))
		} else {
			g.want(t, "chat.say", "ok", apmws.OutcomeSuccess)
			g.wantError("a message among many", t, nil)
		}
		g.wantAttrs("a message among many", t.Attrs, []slog.Attr{slog.Int64("kit.same", m.n)})
		if canSpan(m.span) {
			g.wantAttrs("a span among many", g.wantBelow(t, "load", t.SpanID).Attrs, []slog.Attr{slog.Int64("kit.same", m.n)})
		}
	}
}

// wantOneOfMany checks what a transaction has of its connection.
func (g *sent) wantOneOfMany(c *conn, t *Transaction) {
	if user := userOf(c); t.User != user {
		g.errorf("%s among many has the user %q, want %q", t.Type, t.User, user)
	}
	if t.Type != semconv.TypeConnection && !g.Limits.NoIDs {
		g.wantOwnConnect(t, g.connect(c))
	}
}

// nameFails is the name of messages that fail.
const nameFails = "chat.fail"

// What tells connections and failures among many apart.
func userOf(c *conn) string    { return "user of " + c.start.ID }
func textOf(m *message) string { return "message " + strconv.FormatInt(m.n, 10) + " has failed" }

// manyMessages records messages of a connection on several goroutines.
func (c *conn) manyMessages(k *kit) (told []*message) {
	const goroutines = 4
	var all sync.WaitGroup
	var mu sync.Mutex
	for range goroutines {
		k.spawn(&all, func() {
			for i := range concurrentMessages / goroutines {
				start := apmws.MessageStart{User: userOf(c)}
				if i == 0 {
					start.Name = nameFails
				}
				m := c.message(start)
				same := []slog.Attr{slog.Int64("kit.same", m.n)}
				if canSpan(m.span) {
					c.s.child(m.ctx, m.span, apmws.SpanStart{Name: "load", Attrs: same}).end(apmws.SpanEnd{})
				}
				if id, ok := m.span.(apmws.Identifier); ok {
					id.SpanContext()
				}
				end := apmws.MessageEnd{Attrs: same, User: userOf(c)}
				if i == 0 {
					end.Result, end.Outcome, end.Failure = "error", apmws.OutcomeFailure, m.failure(textOf(m))
				}
				m.end(end)
				mu.Lock()
				told = append(told, m)
				mu.Unlock()
			}
		})
	}
	all.Wait()
	return told
}
