package exportertest

import (
	"context"
	"log/slog"
	"net/http"

	"github.com/apmws/go-apmws/apmws"
	"github.com/apmws/go-apmws/apmws/semconv"
)

// mappingRules are those about names, results, outcomes and users.
func mappingRules() []rule {
	return []rule{
		{
			"connect",
			"CONNECT has the name, result, outcome and status of its handshake, whether that was accepted, refused or never answered, and is recorded when that ends",
			checkConnect,
		},
		{
			"message",
			"a message has the name, result and outcome of its events: ok, error, panic, timeout",
			checkMessage,
		},
		{
			"disconnect",
			"DISCONNECT has the name of its event, the close cause as its result, and that cause's outcome",
			checkDisconnect,
		},
		{
			"user",
			"a transaction has the user of its end, also when that was set after the start",
			checkUser,
		},
	}
}

// want checks what a transaction says of itself.
func (g *sent) want(t *Transaction, name, result string, outcome apmws.Outcome) {
	if t.Name != name || t.Result != result || t.Outcome != outcome {
		g.errorf("%s has name %q, result %q, outcome %q; want %q, %q, %q", t.Type, t.Name, t.Result, t.Outcome, name, result, outcome)
	}
}

func checkConnect(k *kit) {
	s := k.session()
	ends := []apmws.OpenEnd{
		{Accepted: true, Status: http.StatusSwitchingProtocols, Result: "HTTP 1xx", Outcome: apmws.OutcomeSuccess},
		{Status: http.StatusUnauthorized, Result: "HTTP 4xx", Outcome: apmws.OutcomeSuccess},
		{Status: http.StatusInternalServerError, Result: "HTTP 5xx", Outcome: apmws.OutcomeFailure},
		{Result: semconv.None, Outcome: apmws.OutcomeFailure},
		{Accepted: true, Status: http.StatusSwitchingProtocols, Result: "HTTP 1xx", Outcome: apmws.OutcomeFailure}, // an Endpoint's Connect failed
	}
	conns := make([]*conn, len(ends))
	for i, end := range ends {
		conns[i] = s.connect(context.Background(), apmws.ConnStart{Route: "/rooms/{id}", Name: "CONNECT /rooms/{id}"})
		if !end.Accepted {
			end.Attrs = []slog.Attr{slog.String(semconv.RefusalReason, "forbidden")}
		}
		conns[i].opened(end)
	}
	g := s.sent() // none of them has been closed
	for i, end := range ends {
		t := g.connect(conns[i])
		g.want(t, "CONNECT /rooms/{id}", end.Result, end.Outcome)
		if end.Status != 0 {
			g.wantAttrs("CONNECT", t.Attrs, []slog.Attr{slog.Int(semconv.StatusCode, end.Status)})
		} else if status, ok := g.attr(t.Attrs, semconv.StatusCode); ok && !isNumber(status, 0) {
			g.errorf("CONNECT without an answer has the status %v", status)
		}
		if !end.Accepted {
			g.wantAttrs("CONNECT", t.Attrs, []slog.Attr{slog.String(semconv.RefusalReason, "forbidden")})
		}
		if len(t.Errors) > 0 {
			g.errorf("CONNECT with the result %s and no Failure has an error: %q", end.Result, t.Errors[0].Message)
		}
	}
}

func checkMessage(k *kit) {
	s := k.session()
	c := s.openConn()
	ends := []apmws.MessageEnd{
		{Result: "ok", Outcome: apmws.OutcomeSuccess},
		{Result: "error", Outcome: apmws.OutcomeFailure},
		{Result: "panic", Outcome: apmws.OutcomeFailure},
		{Result: "timeout", Outcome: apmws.OutcomeFailure},
	}
	var told []*message
	for _, name := range []string{"chat.say", semconv.Other} {
		for _, end := range ends {
			m := c.message(apmws.MessageStart{Name: name})
			if end.Result != "ok" {
				end.Failure = m.failure("it failed")
			}
			m.end(end)
			told = append(told, m)
		}
	}
	g := s.sent()
	for i, m := range told {
		end := ends[i%len(ends)]
		g.want(g.message(m), m.start.Name, end.Result, end.Outcome)
	}
}

// causes are the close causes of the contract.
func causes() []apmws.CloseCause {
	return []apmws.CloseCause{
		apmws.CauseNormal, apmws.CauseGoingAway, apmws.CauseApplication, apmws.CauseHeartbeatTimeout,
		apmws.CauseReadError, apmws.CauseProtocolError, apmws.CauseMessageTooBig, apmws.CauseWriteError,
		apmws.CauseHandlerError, apmws.CausePanic, apmws.CauseSlowConsumer,
	}
}

func checkDisconnect(k *kit) {
	s := k.session()
	all := causes()
	conns := make([]*conn, len(all))
	for i, cause := range all {
		c := s.openConn()
		end := apmws.ConnEnd{Result: string(cause), Outcome: cause.Outcome()}
		if cause.Outcome() == apmws.OutcomeFailure {
			end.Failure = &apmws.Failure{Message: "it went wrong", Type: string(cause), Attrs: common(semconv.EventDisconnect, &c.start)}
		}
		c.closed(end)
		conns[i] = c
	}
	g := s.sent()
	for i, cause := range all {
		t := g.disconnect(conns[i])
		g.want(t, "DISCONNECT /rooms/{id}", string(cause), cause.Outcome())
		g.wantAttrs("DISCONNECT", t.Attrs, []slog.Attr{
			slog.String(semconv.CloseCause, string(cause)), slog.Int(semconv.MessagesReceived, 7),
		})
	}
}

func checkUser(k *kit) {
	s := k.session()
	nobody := s.openConn()
	nobody.closed(apmws.ConnEnd{})

	c := s.connect(context.Background(), apmws.ConnStart{})
	c.opened(apmws.OpenEnd{Accepted: true, User: "ada"})
	known := c.message(apmws.MessageStart{User: "ada"})
	known.end(apmws.MessageEnd{User: "ada"})
	late := c.message(apmws.MessageStart{})
	late.end(apmws.MessageEnd{User: "grace"})
	changed := c.message(apmws.MessageStart{User: "ada"})
	changed.end(apmws.MessageEnd{User: "grace"})
	c.closed(apmws.ConnEnd{User: "grace"})

	g := s.sent()
	for _, x := range []struct {
		what string
		t    *Transaction
		user string
	}{
		{"CONNECT", g.connect(c), "ada"},
		{"a message", g.message(known), "ada"},
		{"a message whose user was set late", g.message(late), "grace"},
		{"a message whose user was changed", g.message(changed), "grace"},
		{"DISCONNECT", g.disconnect(c), "grace"},
		{"CONNECT of nobody", g.connect(nobody), ""},
		{"DISCONNECT of nobody", g.disconnect(nobody), ""},
	} {
		if x.t.User != x.user {
			g.errorf("%s has the user %q, want %q", x.what, x.t.User, x.user)
		}
	}
}
