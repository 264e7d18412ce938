package main

import (
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// attrs are attributes by their names in the contract: the exact value, or a check
// where that varies.
type attrs map[string]any

// check says what a value must be that is not known before.
type check struct {
	what string
	ok   func(any) bool
}

func matches(pattern string) check {
	compiled := regexp.MustCompile(pattern)
	return check{what: pattern, ok: func(v any) bool {
		s, ok := v.(string)
		return ok && compiled.MatchString(s)
	}}
}

func number(what string, ok func(float64) bool) check {
	return check{what: what, ok: func(v any) bool {
		n, isNumber := v.(float64)
		return isNumber && ok(n)
	}}
}

var (
	spanID      = matches(`^[0-9a-f]{16}$`)
	traceID     = matches(`^[0-9a-f]{32}$`)
	someText    = matches(`.`)
	positive    = number("a positive number", func(n float64) bool { return n > 0 })
	notNegative = number("a number, not negative", func(n float64) bool { return n >= 0 })
)

// wanted is a transaction as the contract has it, with all that belongs to it.
type wanted struct {
	visit                             *visit
	kind, name, result, outcome, user string
	attrs                             attrs // but those that all have
	spans                             []wantedSpan
	failure                           *wantedFailure
}

type wantedSpan struct {
	name, newRelic string // Elastic's, New Relic's
	typ            string // dotted
	destination    string
	outcome        string
	attrs          attrs // but those that all have
}

// wantedFailure is an error document.
type wantedFailure struct {
	message, class string
	cause          *[3]string // of Elastic: message, module and type
	panic          bool
	recent         any // what happened before, if the document tells
}

const success, failure = "success", "failure"

func send(name string, length float64) wantedSpan {
	return wantedSpan{
		name: "send " + name, newRelic: "Custom/send " + name, typ: "websocket.send", outcome: success,
		attrs: attrs{"websocket.message.type": "text", "websocket.message.length": length},
	}
}

func authenticate(outcome string) wantedSpan {
	return wantedSpan{name: "authenticate", newRelic: "Custom/authenticate", typ: "app", outcome: outcome}
}

func upgrade() wantedSpan {
	return wantedSpan{name: "upgrade", newRelic: "Custom/upgrade", typ: "websocket.upgrade", outcome: success}
}

func publish(outcome string) wantedSpan {
	return wantedSpan{
		name: "PUBLISH", newRelic: "MessageBroker/Redis/Topic/Produce/Named/PUBLISH",
		typ: "messaging.redis.publish", destination: "redis", outcome: outcome,
	}
}

func callBilling() wantedSpan {
	return wantedSpan{
		name: "GET billing", newRelic: "External/billing:80/http/GET",
		typ: "external.http", destination: "billing:80", outcome: success,
		attrs: attrs{"http.request.method": "GET", "http.response.status_code": 200.0, "server.address": "billing", "websocket.message.name": "billing.status"},
	}
}

// accepted is a handshake that was.
func accepted(v *visit, user string, own attrs) wanted {
	all := attrs{"http.response.status_code": 101.0, "websocket.subprotocol": "bearer"}
	maps.Copy(all, own)
	return wanted{
		visit: v, kind: "Connection", name: "CONNECT /ws", result: "HTTP 1xx", outcome: success, user: user, attrs: all,
		spans: []wantedSpan{authenticate(success), upgrade()},
	}
}

// refusal is a handshake that was refused.
func refusal(v *visit, status int, reason string, own attrs, spans ...wantedSpan) wanted {
	all := attrs{"http.response.status_code": float64(status), "websocket.refusal.reason": reason}
	maps.Copy(all, own)
	return wanted{
		visit: v, kind: "Connection", name: "CONNECT /ws", result: fmt.Sprintf("HTTP %dxx", status/100), outcome: success,
		attrs: all, spans: spans,
	}
}

// handled is a message.
func handled(v *visit, user, name string, length float64, spans ...wantedSpan) wanted {
	return wanted{
		visit: v, kind: "Message", name: name, result: "ok", outcome: success, user: user,
		attrs: attrs{
			"websocket.message.type": "text", "websocket.message.direction": "inbound", "websocket.message.length": length,
		},
		spans: spans,
	}
}

// broadcast is what a message that was said becomes, when it has come back through
// Redis. Its visit is that of the speaker.
func broadcast(v *visit, user, room string) wanted {
	message := fmt.Sprintf(`{"type":"chat.said","room":%q,"user":%q,"text":"text-secret"}`, room, user)
	return wanted{
		visit: v, kind: "Message", name: "broadcast chat.said", result: "ok", outcome: success,
		attrs: attrs{
			"websocket.event": "broadcast", "websocket.message.type": "text", "websocket.message.direction": "outbound",
			"websocket.message.length":       float64(len(message)),
			"websocket.broadcast.recipients": 1.0, "websocket.broadcast.failed": 0.0,
			"websocket.broadcast.slowest_write": positive,
		},
	}
}

func (w *wanted) isBroadcast() bool { return strings.HasPrefix(w.name, "broadcast ") }

// end is that of a connection.
func end(v *visit, user, cause string, own attrs) wanted {
	all := attrs{
		"websocket.close.cause":         cause,
		"websocket.connection.duration": positive,
		"websocket.messages.received":   v.messagesReceived, "websocket.messages.sent": v.messagesSent,
		"websocket.bytes.received": v.received, "websocket.bytes.sent": v.sent,
	}
	maps.Copy(all, own)
	return wanted{
		visit: v, kind: "Disconnection", name: "DISCONNECT /ws", result: cause, outcome: success, user: user, attrs: all,
	}
}

// contractOf is all that the back ends must have been told of the visits.
func contractOf(v *visits) []wanted {
	panicked := refusal(v.panicked, 500, "upgrade_failed", nil, authenticate(failure))
	panicked.outcome = failure
	panicked.failure = &wantedFailure{message: "cannot verify", class: "panic", panic: true}

	// Before anything else, so that nobody knows who it is.
	otherSite := refusal(v.otherSite, 403, "origin", attrs{"websocket.origin": "https://evil.example"})

	failed := handled(v.ada, "Ada", "chat.say", 53, publish(failure), send("error", 62))
	failed.result, failed.outcome = "error", failure
	failed.failure = &wantedFailure{
		message: "the message was not sent, try again: LOADING the dataset", class: "*proto.LoadingError",
		cause:  &[3]string{"LOADING the dataset", "github.com/redis/go-redis/v9/internal/proto", "LoadingError"},
		recent: matches(`^_OTHER ok \(.*; billing\.status ok .*; chat\.say ok .*; chat\.join ok .*; handshake `),
	}

	vanished := end(v.dan, "Dan", "read_error", attrs{
		"websocket.close.code": "none", "websocket.close.initiator": "network", "websocket.ping.rtt": positive,
	})
	vanished.outcome = "unknown"

	return []wanted{
		accepted(v.bob, "Bob", nil),
		handled(v.bob, "Bob", "chat.join", 33, send("chat.joined", 35)),
		handled(v.bob, "Bob", "chat.say", 53, publish(success)),
		broadcast(v.bob, "Bob", "tea"),
		end(v.bob, "Bob", "normal", attrs{
			"websocket.close.code": "1000", "websocket.close.initiator": "client", "websocket.ping.rtt": positive,
		}),

		refusal(v.badToken, 401, "token_malformed", nil, authenticate(failure)),
		panicked,
		otherSite,

		accepted(v.ada, "Ada", attrs{"websocket.origin": "http://" + v.ada.host + ":" + v.ada.port}),
		handled(v.ada, "Ada", "chat.join", 33, send("chat.joined", 35)),
		handled(v.ada, "Ada", "chat.say", 53, publish(success)),
		broadcast(v.ada, "Ada", "tea"),
		handled(v.ada, "Ada", "billing.status", 25, callBilling(), send("billing.status", 56)),
		handled(v.ada, "Ada", "_OTHER", 22, send("error", 50)),
		failed,
		end(v.ada, "Ada", "normal", attrs{
			"websocket.close.code": "1000", "websocket.close.initiator": "client", "websocket.ping.rtt": positive,
			"websocket.close.reason": "bye",
		}),

		accepted(v.cleo, "Cleo", nil),
		handled(v.cleo, "Cleo", "chat.join", 33, send("chat.joined", 35)),
		handled(v.cleo, "Cleo", "chat.say", 53, publish(success)),
		broadcast(v.cleo, "Cleo", "den"),
		end(v.cleo, "Cleo", "drain", attrs{ // without a round trip
			"websocket.close.code": "1001", "websocket.close.initiator": "server", "websocket.close.reason": "going away",
		}),

		accepted(v.dan, "Dan", nil),
		handled(v.dan, "Dan", "chat.join", 33, send("chat.joined", 35)),
		handled(v.dan, "Dan", "chat.say", 53, publish(success)),
		broadcast(v.dan, "Dan", "tea"),
		vanished,
	}
}

// key tells the transactions of this test apart.
func (w *wanted) key() string { return keyOf(w.kind+"/"+w.name, w.result, w.visit.name) }

func keyOf(name, result, who any) string { return fmt.Sprintf("%v %v of %v", name, result, who) }

// common adds what every transaction, span and error has.
func (w *wanted) common(own attrs) attrs {
	all := attrs{
		"websocket.event":         map[string]string{"Connection": "connect", "Message": "message", "Disconnection": "disconnect"}[w.kind],
		"websocket.connection.id": w.visit.id,
		"http.route":              "/ws",
	}
	if w.isBroadcast() {
		delete(all, "websocket.connection.id") // it is of many
	}
	maps.Copy(all, own)
	return all
}

// told is what a back end was told. A document is its leaves by their paths, which
// are the back end's own.
type told struct {
	where        string
	transactions map[string]*toldTransaction
	spelling     spelling
	strays       []string // documents that belong to none
}

type toldTransaction struct {
	id, trace, span   string // span: what is below, or linked to it, names
	leaves            document
	spans             map[string]document // by name
	root              document            // the span that New Relic makes of it
	errors, errorLogs []document          // errorLogs: New Relic's error traces
}

type document map[string]any

// spelling is how a back end writes what the contract wants.
type spelling interface {
	transaction(w *wanted, connect *toldTransaction) document
	span(w *wanted, s *wantedSpan, in *toldTransaction) (name string, want document)
	failure(w *wanted, in, connect *toldTransaction) document
	// more looks at what the other has not.
	more(t *testing.T, w *wanted, got, connect *toldTransaction)
	path(attr string) string
}

// checkContract compares all that a back end was told with the contract, in both
// directions.
func checkContract(t *testing.T, contract []wanted, got *told) {
	t.Helper()
	for _, stray := range got.strays {
		t.Errorf("%s has %s", got.where, stray)
	}
	missing := map[string]bool{}
	for key := range got.transactions {
		missing[key] = true
	}
	for i := range contract {
		w := &contract[i]
		what := got.where + ": " + w.key()
		found := got.transactions[w.key()]
		delete(missing, w.key())
		if found == nil {
			t.Errorf("%s is missing", what)
			continue
		}
		connect := found
		switch {
		case w.isBroadcast(): // in a trace that it goes on with
		case w.kind != "Connection":
			connect = got.transactions[keyOf("Connection/CONNECT /ws", "HTTP 1xx", w.visit.name)]
			if connect == nil || connect.trace == found.trace {
				t.Errorf("%s is not a trace of its own beside CONNECT", what)
				continue
			}
		}
		compare(t, what, found.leaves, got.spelling.transaction(w, connect))
		if len(found.spans) != len(w.spans) {
			t.Errorf("%s has %d spans, want %d: %v", what, len(found.spans), len(w.spans), slices.Sorted(maps.Keys(found.spans)))
		}
		for j := range w.spans {
			name, want := got.spelling.span(w, &w.spans[j], found)
			if found.spans[name] == nil {
				t.Errorf("%s has no span %s, but %v", what, name, slices.Sorted(maps.Keys(found.spans)))
				continue
			}
			compare(t, what+": span "+name, found.spans[name], want)
		}
		switch {
		case w.failure == nil && len(found.errors) > 0, w.failure != nil && len(found.errors) != 1:
			t.Errorf("%s has %d errors: %v", what, len(found.errors), found.errors)
		case w.failure != nil:
			compare(t, what+": error", found.errors[0], got.spelling.failure(w, found, connect))
		}
		got.spelling.more(t, w, found, connect)
	}
	for key := range missing {
		t.Errorf("%s was told of %s, which did not happen: %v", got.where, key, got.transactions[key].leaves)
	}
}

// compare compares the leaves of a document.
func compare(t *testing.T, what string, got, want document) {
	t.Helper()
	for path, w := range want {
		value, there := got[path]
		checked, isCheck := w.(check)
		switch {
		case isCheck && !(there && checked.ok(value)):
			t.Errorf("%s: %s is %#v, want %s", what, path, value, checked.what)
		case !isCheck && (!there || value != w):
			t.Errorf("%s: %s is %#v, want %#v", what, path, value, w)
		}
	}
	for path, value := range got {
		if _, known := want[path]; !known {
			t.Errorf("%s: %s, which is %#v, is not in the contract", what, path, value)
		}
	}
}

// checkAgreement looks for the same values in both, where they vary.
func checkAgreement(t *testing.T, contract []wanted, a, b *told) {
	t.Helper()
	for i := range contract {
		w := &contract[i]
		x, y := a.transactions[w.key()], b.transactions[w.key()]
		if x == nil || y == nil {
			continue // which was said
		}
		for name, want := range w.attrs {
			if _, varies := want.(check); !varies {
				continue
			}
			if of, other := x.leaves[a.spelling.path(name)], y.leaves[b.spelling.path(name)]; of != other {
				t.Errorf("%s: %s is %v for %s and %v for %s", w.key(), name, of, a.where, other, b.where)
			}
		}
	}
}

// checkDurations compares those of single connections with the histograms.
func (b *both) checkDurations(t *testing.T, contract []wanted, got *told) {
	t.Helper()
	route := b.agent.Stats().Routes[0]
	for name, want := range map[string]float64{
		"websocket.connection.duration": route.ConnectionDuration.Sum.Seconds(),
		"websocket.ping.rtt":            route.PingRTT.Sum.Seconds(),
	} {
		sum := 0.0
		for i := range contract {
			if found := got.transactions[contract[i].key()]; found != nil {
				seconds, _ := found.leaves[got.spelling.path(name)].(float64)
				sum += seconds
			}
		}
		if math.Abs(sum-want) > 1e-6 {
			t.Errorf("%s sums to %v s, want %v s", name, sum, want)
		}
	}
}

// leavesOf adds the leaves of a JSON value.
func (d document) leavesOf(path string, value any) {
	switch value := value.(type) {
	case map[string]any:
		for name, inner := range value {
			d.leavesOf(strings.TrimPrefix(path+"."+name, "."), inner)
		}
	case []any:
		for i, inner := range value {
			d.leavesOf(fmt.Sprintf("%s.%d", path, i), inner)
		}
	default:
		d[path] = value
	}
}
