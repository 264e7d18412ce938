package main

import (
	"fmt"
	"maps"
	"strings"
	"testing"
)

// newRelicSpelling is the contract as New Relic's agent writes it. The paths begin
// with the kind of the attribute.
type newRelicSpelling struct{}

// path implements spelling.
func (newRelicSpelling) path(attr string) string { return "user/" + attr }

func (n newRelicSpelling) attrs(into document, all attrs) {
	for name, value := range all {
		into[n.path(name)] = value
	}
}

// ending adds the attributes that transactions have and errors take over.
func (n newRelicSpelling) ending(into document, w *wanted, connect *toldTransaction) {
	n.attrs(into, attrs{"result": w.result, "event.outcome": w.outcome})
	if w.user != "" {
		into["user/user.id"], into["agent/enduser.id"] = w.user, w.user
	}
	if w.isBroadcast() {
		return
	}
	if w.kind != "Connection" {
		n.attrs(into, attrs{"websocket.connection.trace_id": connect.trace, "websocket.connection.span_id": connect.span})
		return
	}
	n.attrs(into, attrs{
		"request.method": "GET", "request.uri": "/ws", "request.headers.host": w.visit.host + ":" + w.visit.port,
		"request.headers.userAgent": "the-agent", "client.address": "127.0.0.1",
	})
	// The agent would make an error of a status that it is told.
	if status := w.attrs["http.response.status_code"]; w.result == "HTTP 1xx" {
		into["agent/http.statusCode"], into["agent/httpResponseCode"] = status, fmt.Sprint(status)
	} else {
		into["user/http.statusCode"] = status
	}
}

func (newRelicSpelling) name(w *wanted) string { return "OtherTransaction/Go/" + w.kind + "/" + w.name }

// transaction implements spelling.
func (n newRelicSpelling) transaction(w *wanted, connect *toldTransaction) document {
	want := document{
		"type": "Transaction", "name": n.name(w), "error": w.failure != nil,
		"guid": spanID, "traceId": traceID, "sampled": true, "priority": positive,
		"timestamp": positive, "duration": notNegative, "totalTime": notNegative,
	}
	for _, s := range w.spans {
		if strings.HasPrefix(s.newRelic, "External/") {
			want["externalCallCount"], want["externalDuration"] = 1.0, positive
		}
	}
	if w.isBroadcast() { // it goes on with a trace of Elastic's
		want["parentSpanId"], want["parent.transportType"] = spanID, "Other"
	}
	n.attrs(want, w.common(w.attrs))
	n.ending(want, w, connect)
	return want
}

// span implements spelling.
func (n newRelicSpelling) span(w *wanted, s *wantedSpan, in *toldTransaction) (name string, want document) {
	want = document{
		"type": "Span", "name": s.newRelic, "category": "generic",
		"guid": spanID, "traceId": in.trace, "transactionId": in.id, "parentId": in.span,
		"sampled": true, "priority": positive, "timestamp": positive, "duration": notNegative,
	}
	if strings.HasPrefix(s.newRelic, "External/") {
		want["category"], want["component"], want["span.kind"] = "http", "http", "client"
		want["agent/http.method"], want["agent/http.statusCode"] = "GET", s.attrs["http.response.status_code"]
	}
	n.attrs(want, w.common(s.attrs))
	n.attrs(want, attrs{"event.outcome": s.outcome})
	return s.newRelic, want
}

// failure implements spelling.
func (n newRelicSpelling) failure(w *wanted, in, connect *toldTransaction) document {
	want := n.errorTrace(w, in, connect)
	delete(want, "totalTime")
	want["type"], want["timestamp"], want["duration"], want["spanId"] = "TransactionError", positive, notNegative, in.span
	return want
}

func (n newRelicSpelling) errorTrace(w *wanted, in, connect *toldTransaction) document {
	want := document{
		"transactionName": n.name(w), "error.message": w.failure.message, "error.class": w.failure.class,
		"guid": in.id, "traceId": in.trace, "sampled": true, "priority": positive, "totalTime": notNegative,
	}
	n.attrs(want, w.common(w.attrs))
	n.ending(want, w, connect)
	if w.failure.recent != nil {
		n.attrs(want, attrs{"websocket.connection.recent": w.failure.recent})
	}
	if w.failure.panic {
		n.attrs(want, attrs{"stack": someText})
	}
	return want
}

// more implements spelling: it looks at the span of the transaction itself, and at
// the error trace.
func (n newRelicSpelling) more(t *testing.T, w *wanted, got, connect *toldTransaction) {
	t.Helper()
	want := document{
		"type": "Span", "name": n.name(w), "transaction.name": n.name(w), "category": "generic", "nr.entryPoint": true,
		"guid": spanID, "traceId": got.trace, "transactionId": got.id,
		"sampled": true, "priority": positive, "timestamp": positive, "duration": notNegative,
	}
	n.attrs(want, w.common(w.attrs))
	n.ending(want, w, connect)
	if w.isBroadcast() {
		want["parentId"], want["tracingVendors"], want["agent/parent.transportType"] = spanID, "es", "Other"
	}
	if w.failure != nil {
		want["agent/error.class"], want["agent/error.message"] = w.failure.class, w.failure.message
	}
	what := "New Relic: " + w.key()
	compare(t, what+": its span", got.root, want)
	switch {
	case w.failure == nil && len(got.errorLogs) > 0, w.failure != nil && len(got.errorLogs) != 1:
		t.Errorf("%s has %d error traces: %v", what, len(got.errorLogs), got.errorLogs)
	case w.failure != nil:
		compare(t, what+": error trace", got.errorLogs[0], n.errorTrace(w, got, connect))
	}
}

func (e nrEvent) leaves() document {
	all := document(maps.Clone(e.intrinsics))
	for name, value := range e.user {
		all["user/"+name] = value
	}
	for name, value := range e.agent {
		all["agent/"+name] = value
	}
	return all
}

// tell gathers what New Relic was told.
func (c *collector) tell(v *visits, says map[string]string) *told {
	got := &told{where: "New Relic", transactions: map[string]*toldTransaction{}, spelling: newRelicSpelling{}}
	byID := map[string]*toldTransaction{}
	for _, e := range c.all(nrTransaction, "") {
		tx := &toldTransaction{id: e.str("guid"), trace: e.str("traceId"), leaves: e.leaves(), spans: map[string]document{}}
		key := keyOf(strings.TrimPrefix(e.str("name"), "OtherTransaction/Go/"), e.user["result"], v.whose(e.user["websocket.connection.id"], says[e.str("traceId")]))
		if got.transactions[key] != nil {
			got.strays = append(got.strays, "a second "+key)
		}
		got.transactions[key], byID[tx.id] = tx, tx
	}
	for _, e := range c.all(nrSpan, "") {
		tx, name := byID[e.str("transactionId")], e.str("name")
		switch {
		case tx != nil && tx.root == nil && e.intrinsics["nr.entryPoint"] == true:
			tx.root, tx.span = e.leaves(), e.str("guid")
		case tx != nil && tx.spans[name] == nil && e.intrinsics["nr.entryPoint"] == nil:
			tx.spans[name] = e.leaves()
		default:
			got.strays = append(got.strays, fmt.Sprint("a span too many: ", e))
		}
	}
	for _, kind := range []string{nrError, nrErrorTrace} {
		for _, e := range c.all(kind, "") {
			tx := byID[e.str("guid")]
			switch {
			case tx == nil:
				got.strays = append(got.strays, fmt.Sprint("an error of no transaction: ", e))
			case kind == nrError:
				tx.errors = append(tx.errors, e.leaves())
			default:
				tx.errorLogs = append(tx.errorLogs, e.leaves())
			}
		}
	}
	return got
}
