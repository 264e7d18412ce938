package main

import (
	"fmt"
	"strings"
	"testing"
)

// elasticSpelling is the contract as Elastic's agent writes it.
type elasticSpelling struct{}

// path implements spelling.
func (elasticSpelling) path(attr string) string {
	switch attr {
	case "http.response.status_code":
		return "context.response.status_code"
	case "user.id":
		return "context.user.id"
	}
	return "context.tags." + strings.ReplaceAll(attr, ".", "_")
}

func (e elasticSpelling) attrs(into document, all attrs) {
	for name, value := range all {
		into[e.path(name)] = value
	}
}

func (e elasticSpelling) user(into document, user string) {
	if user != "" {
		into[e.path("user.id")] = user
	}
}

// request adds that of CONNECT.
func (elasticSpelling) request(into document, w *wanted) {
	if w.kind != "Connection" {
		return
	}
	for name, value := range map[string]string{
		"method": "GET", "http_version": "1.1", "socket.remote_address": "127.0.0.1", "headers.User-Agent": "the-agent",
		"url.protocol": "http", "url.hostname": w.visit.host, "url.port": w.visit.port, "url.pathname": "/ws",
		"url.full": "http://" + w.visit.host + ":" + w.visit.port + "/ws",
	} {
		into["context.request."+name] = value
	}
}

// transaction implements spelling.
func (e elasticSpelling) transaction(w *wanted, connect *toldTransaction) document {
	want := document{
		"id": spanID, "trace_id": traceID, "timestamp": positive, "duration": notNegative, "sample_rate": 1.0,
		"type": w.kind, "name": w.name, "result": w.result, "outcome": w.outcome,
		"span_count.started": float64(len(w.spans)), "span_count.dropped": 0.0,
	}
	e.attrs(want, w.common(w.attrs))
	e.user(want, w.user)
	e.request(want, w)
	switch {
	case w.isBroadcast():
		want["parent_id"] = spanID
	case w.kind != "Connection":
		want["links.0.trace_id"], want["links.0.span_id"] = connect.trace, connect.span
	}
	return want
}

// span implements spelling.
func (e elasticSpelling) span(w *wanted, s *wantedSpan, in *toldTransaction) (name string, want document) {
	want = document{
		"id": spanID, "trace_id": in.trace, "transaction_id": in.id, "parent_id": in.id,
		"timestamp": positive, "duration": notNegative, "sample_rate": 1.0,
		"name": s.name, "outcome": s.outcome,
	}
	parts := strings.Split(s.typ, ".")
	for i, field := range []string{"type", "subtype", "action"}[:len(parts)] {
		want[field] = parts[i]
	}
	if s.destination != "" {
		want["context.destination.service.name"] = ""
		want["context.destination.service.resource"] = s.destination
		want["context.destination.service.type"] = parts[0]
		want["context.service.target.type"] = parts[1]
		if s.destination != parts[1] {
			want["context.service.target.name"] = s.destination
		}
	}
	e.attrs(want, w.common(s.attrs))
	if status, ok := want["context.response.status_code"]; ok { // a span has it elsewhere
		delete(want, "context.response.status_code")
		want["context.http.status_code"] = status
	}
	return s.name, want
}

// failure implements spelling.
func (e elasticSpelling) failure(w *wanted, in, _ *toldTransaction) document {
	f := w.failure
	want := document{
		"id": traceID, "trace_id": in.trace, "transaction_id": in.id, "parent_id": in.id, "timestamp": positive,
		"transaction.name": w.name, "transaction.type": w.kind, "transaction.sampled": true,
		"culprit": w.name, "exception.handled": !f.panic, "exception.message": f.message, "exception.type": f.class,
	}
	if f.panic {
		want["culprit"] = someText
		want["exception.stacktrace.0.function"] = someText
	}
	if f.cause != nil {
		for i, field := range []string{"message", "module", "type"} {
			want["exception.cause.0."+field] = f.cause[i]
		}
		want["exception.cause.0.handled"] = true
	}
	e.attrs(want, w.common(w.attrs))
	if f.recent != nil {
		e.attrs(want, attrs{"websocket.connection.recent": f.recent})
	}
	e.user(want, w.user)
	e.request(want, w)
	return want
}

// more implements spelling.
func (elasticSpelling) more(*testing.T, *wanted, *toldTransaction, *toldTransaction) {}

// leaves are those of an event, without stack traces but for their first function:
// the agent adds them to spans that take long.
func (e *event) leaves() document {
	all := document{}
	all.leavesOf("", e.all)
	for path := range all {
		ofSpan := e.kind == "span" && strings.HasPrefix(path, "stacktrace.")
		ofError := strings.HasPrefix(path, "exception.stacktrace.") && path != "exception.stacktrace.0.function"
		if ofSpan || ofError {
			delete(all, path)
		}
	}
	return all
}

// says tells by the trace whose message it begins with.
func (in *intake) says(v *visits) map[string]string {
	all := map[string]string{}
	found, _ := in.all("transaction", "chat.say")
	for _, e := range found {
		all[e.TraceID] = v.whose(e.Context.Tags["websocket_connection_id"], "")
	}
	return all
}

// tell gathers what Elastic was told.
func (in *intake) tell(v *visits, says map[string]string) *told {
	got := &told{where: "Elastic", transactions: map[string]*toldTransaction{}, spelling: elasticSpelling{}}
	byID := map[string]*toldTransaction{}
	found, _ := in.all("transaction", "")
	for _, e := range found {
		tx := &toldTransaction{id: e.ID, trace: e.TraceID, span: e.ID, leaves: e.leaves(), spans: map[string]document{}}
		key := keyOf(e.Type+"/"+e.Name, e.Result, v.whose(e.Context.Tags["websocket_connection_id"], says[e.TraceID]))
		if got.transactions[key] != nil {
			got.strays = append(got.strays, "a second "+key)
		}
		got.transactions[key], byID[e.ID] = tx, tx
	}
	spans, _ := in.all("span", "")
	for _, e := range spans {
		tx := byID[e.TransactionID]
		if tx == nil || tx.spans[e.Name] != nil {
			got.strays = append(got.strays, fmt.Sprint("a span too many: ", e.all))
			continue
		}
		tx.spans[e.Name] = e.leaves()
	}
	errs, _ := in.all("error", "")
	for _, e := range errs {
		if tx := byID[e.TransactionID]; tx != nil {
			tx.errors = append(tx.errors, e.leaves())
		} else {
			got.strays = append(got.strays, fmt.Sprint("an error of no transaction: ", e.all))
		}
	}
	return got
}
