package main

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/gorilla/websocket"
)

// both is a chat that reports to stand-ins for Elastic and New Relic at once.
type both struct {
	*node
	redis     *miniredis.Miniredis
	intake    *intake
	collector *collector
}

func startBoth(t *testing.T) *both {
	t.Helper()
	b := &both{redis: miniredis.RunT(t), intake: startIntake(t), collector: newCollector(t)}
	for name, value := range map[string]string{
		"SERVER_URL": b.intake.URL, "API_REQUEST_TIME": "100ms", "CLOUD_PROVIDER": "none", "CENTRAL_CONFIG": "false",
	} {
		t.Setenv("ELASTIC_APM_"+name, value)
	}
	b.node = startNode(t, func(cfg *config) {
		cfg.redisURL, cfg.secret = "redis://"+b.redis.Addr(), []byte("jwt-secret-jwt-secret")
		cfg.elastic, cfg.newRelic, cfg.newRelicOption = b.intake.URL, licenceKey, b.collector.configure
	})
	connected(t, b.newRelic) // it drops what comes before
	return b
}

// record is what a back end was told of a transaction, in one spelling.
type record struct {
	name                  string // with the type before it
	trace, id, link       string // link: the trace of CONNECT
	result, outcome, user string
	attrs                 map[string]any // names spelled as in Elastic
}

// key tells the records of this test apart.
func (r record) key() string { return r.name + " " + r.result }

func (in *intake) records(t *testing.T) map[string]record {
	all := map[string]record{}
	found, _ := in.all("transaction", "")
	for _, e := range found {
		r := record{
			name: e.Type + "/" + e.Name, trace: e.TraceID, id: e.ID,
			result: e.Result, outcome: e.Outcome, user: e.Context.User.ID, attrs: e.Context.Tags,
		}
		for _, link := range e.Links {
			r.link += link.TraceID
		}
		if _, again := all[r.key()]; again {
			t.Errorf("there are two %s", r.key())
		}
		all[r.key()] = r
	}
	return all
}

func (c *collector) records(t *testing.T) map[string]record {
	all := map[string]record{}
	for _, e := range c.all(nrTransaction, "") {
		r := record{
			name:  strings.TrimPrefix(e.str("name"), "OtherTransaction/Go/"),
			trace: e.str("traceId"), id: e.str("guid"), attrs: map[string]any{},
		}
		for name, value := range e.user {
			r.attrs[strings.ReplaceAll(name, ".", "_")] = value
		}
		r.link, _ = r.attrs["websocket_connection_trace_id"].(string)
		r.result, _ = r.attrs["result"].(string)
		r.outcome, _ = r.attrs["event_outcome"].(string)
		r.user, _ = r.attrs["user_id"].(string)
		if _, again := all[r.key()]; again {
			t.Errorf("there are two %s", r.key())
		}
		all[r.key()] = r
	}
	return all
}

// TestBoth feeds one chat with all there is, and looks at what each of two back
// ends gets of it: all, and nothing of the other's.
func TestBoth(t *testing.T) {
	b := startBoth(t)
	token := signIn(t, b.url, "Ada")
	conn, _, err := dial(t, wsURL(b.url)+"?access=query-secret", http.Header{
		"Sec-Websocket-Protocol": {"bearer, " + token},
		"Cookie":                 {"session=cookie-secret"},
		"Referer":                {b.url + "?from=referer-secret"},
		"Origin":                 {strings.TrimSuffix(b.url, "/")},
	})
	if err != nil {
		t.Fatal(err)
	}
	ada := &peer{conn, t}
	ada.send(`{"type":"chat.join","room":"tea"}`)
	ada.expect(map[string]string{"type": "chat.joined", "room": "tea"})
	ada.say("tea", "text-secret")
	ada.expect(sayings("tea", "Ada", "text-secret"))
	ada.send(`{"type":"billing.status"}`)
	ada.expect(map[string]string{"type": "billing.status", "plan": "free", "state": "active"})
	ada.send(`{"type":"type-secret"}`)
	ada.expectError("unknown type")
	b.redis.SetError("LOADING the dataset")
	ada.say("tea", "text-secret")
	ada.expectError("was not sent")
	b.redis.SetError("")
	refused := http.Header{"Authorization": {"Bearer header-secret"}}
	if _, res, err := dial(t, wsURL(b.url)+"?q=query-secret", refused); err == nil || res.StatusCode != http.StatusUnauthorized {
		t.Fatalf("a bad token is answered by %v (%v)", res, err)
	}
	live := liveData(t, b.url)
	closeFrame := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "bye")
	if err := ada.WriteControl(websocket.CloseMessage, closeFrame, time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	b.log.wait(t, "disconnected", 1, action("websocket-disconnected"))
	b.stop() // sends all

	elastic, newRelic := b.intake.records(t), b.collector.records(t)
	checkRecords(t, "Elastic", elastic)
	checkRecords(t, "New Relic", newRelic)
	b.checkSpans(t, elastic, newRelic)
	b.checkErrors(t, elastic, newRelic)
	b.checkMetrics(t)
	b.checkIDs(t, elastic)
	b.checkLog(t, elastic, newRelic)

	places := map[string]string{
		"Elastic": b.intake.sent(), "New Relic": b.collector.sent(), "the log": b.log.String(), "the live page": live,
	}
	secrets := append(strings.Split(token, "."), token, "text-secret", "query-secret", "cookie-secret",
		"referer-secret", "header-secret", "jwt-secret", "type-secret", "licence-secret", "access=")
	for where, text := range places {
		for _, secret := range secrets {
			if strings.Contains(text, secret) {
				t.Errorf("%s shows %q", where, secret)
			}
		}
	}
}

const (
	opened       = "Connection/CONNECT /ws HTTP 1xx"
	turnedAway   = "Connection/CONNECT /ws HTTP 4xx"
	failedSaying = "Message/chat.say error"
	ended        = "Disconnection/DISCONNECT /ws normal"
)

// checkRecords compares all transactions with the contract.
func checkRecords(t *testing.T, where string, all map[string]record) {
	t.Helper()
	connect := all[opened]
	message := func(length float64) map[string]any {
		return map[string]any{
			"websocket_event": "message", "websocket_message_type": "text", "websocket_message_direction": "inbound",
			"websocket_message_length": length,
		}
	}
	wanted := map[string]map[string]any{
		opened:                      {"websocket_event": "connect", "websocket_subprotocol": "bearer"},
		turnedAway:                  {"websocket_event": "connect", "websocket_refusal_reason": "unauthenticated"},
		"Message/chat.join ok":      message(33),
		"Message/chat.say ok":       message(54),
		"Message/billing.status ok": message(25),
		"Message/_OTHER ok":         message(22),
		failedSaying:                message(54),
		ended: {
			"websocket_event": "disconnect", "websocket_close_code": "1000", "websocket_close_reason": "bye",
			"websocket_close_initiator": "client", "websocket_close_cause": "normal",
			"websocket_messages_received": 5.0, "websocket_messages_sent": 5.0, "websocket_bytes_received": 188.0,
		},
	}
	if len(all) != len(wanted) {
		t.Errorf("%s has %d kinds of transactions, want %d: %v", where, len(all), len(wanted), all)
	}
	for key, attrs := range wanted {
		got, ok := all[key]
		outcome, user, connection := "success", "Ada", connect.attrs["websocket_connection_id"]
		switch key {
		case failedSaying:
			outcome = "failure"
		case turnedAway:
			user, connection = "", got.attrs["websocket_connection_id"]
		}
		if !ok || got.outcome != outcome || got.user != user || got.attrs["http_route"] != "/ws" ||
			connection == nil || got.attrs["websocket_connection_id"] != connection {
			t.Errorf("%s: %s is %+v", where, key, got)
		}
		for name, want := range attrs {
			if got.attrs[name] != want {
				t.Errorf("%s: %s of %s is %v, want %v", where, name, key, got.attrs[name], want)
			}
		}
		switch key {
		case opened, turnedAway:
		default: // a trace of its own, linked to CONNECT
			if got.link != connect.trace || got.trace == connect.trace {
				t.Errorf("%s: %s is not linked: %+v", where, key, got)
			}
		}
	}
}

// checkSpans looks for each span, below its transaction.
func (b *both) checkSpans(t *testing.T, elastic, newRelic map[string]record) {
	t.Helper()
	for _, want := range []struct{ elastic, newRelic, below string }{
		{"authenticate", "Custom/authenticate", opened},
		{"authenticate", "Custom/authenticate", turnedAway},
		{"upgrade", "Custom/upgrade", opened},
		{"send chat.joined", "Custom/send chat.joined", "Message/chat.join ok"},
		{"PUBLISH", "MessageBroker/Redis/Topic/Produce/Named/PUBLISH", "Message/chat.say ok"},
		{"PUBLISH", "MessageBroker/Redis/Topic/Produce/Named/PUBLISH", failedSaying},
		{"send error", "Custom/send error", failedSaying},
		{"send error", "Custom/send error", "Message/_OTHER ok"},
		{"GET billing", "External/billing/http/GET billing", "Message/billing.status ok"},
		{"send billing.status", "Custom/send billing.status", "Message/billing.status ok"},
	} {
		n := 0
		spans, _ := b.intake.all("span", want.elastic)
		for _, span := range spans {
			if span.TransactionID == elastic[want.below].id && span.TraceID == elastic[want.below].trace {
				n++
			}
		}
		if n != 1 {
			t.Errorf("Elastic has %d spans %s below %s: %+v", n, want.elastic, want.below, spans)
		}
		n = 0
		segments := b.collector.all(nrSpan, want.newRelic)
		for _, s := range segments {
			if s.str("transactionId") == newRelic[want.below].id && s.str("traceId") == newRelic[want.below].trace {
				n++
			}
		}
		if n != 1 {
			t.Errorf("New Relic has %d spans %s below %s: %+v", n, want.newRelic, want.below, segments)
		}
	}
}

// checkErrors looks for the only failure there was.
func (b *both) checkErrors(t *testing.T, elastic, newRelic map[string]record) {
	t.Helper()
	const text = "the message was not sent, try again: LOADING the dataset"
	documents, _ := b.intake.all("error", "")
	if len(documents) != 1 || documents[0].TransactionID != elastic[failedSaying].id || documents[0].Exception.Message != text {
		t.Errorf("Elastic's errors are %+v", documents)
	}
	events := b.collector.all(nrError, "")
	if len(events) != 1 || events[0].str("guid") != newRelic[failedSaying].id ||
		events[0].str("error.message") != text || events[0].str("error.class") != "*proto.LoadingError" {
		t.Errorf("New Relic's errors are %+v", events)
	}
}

// checkMetrics compares the counters, which are sent as deltas.
func (b *both) checkMetrics(t *testing.T) {
	t.Helper()
	elastic := map[string]float64{}
	sets, _ := b.intake.all("metricset", "")
	for _, set := range sets {
		for name, sample := range set.Samples {
			fields, _ := sample.(map[string]any)
			value, _ := fields["value"].(float64) // a histogram has none
			elastic[name] += value
		}
	}
	for _, want := range []struct {
		elastic, newRelic string
		n                 float64
	}{
		{"websocket.connections.opened", "Connections/Opened", 1},
		{"websocket.connections.refused", "Connections/Refused/unauthenticated", 1},
		{"websocket.connections.closed", "Connections/Closed/normal", 1},
		{"websocket.messages.received", "Messages/Received", 5},
		{"websocket.messages.sent", "Messages/Sent", 5},
		{"websocket.bytes.received", "Bytes/Received", 188},
	} {
		if got, ok := elastic[want.elastic]; !ok || got != want.n {
			t.Errorf("Elastic's sum of %s is %v, want %v", want.elastic, got, want.n)
		}
		if got, ok := b.collector.metrics["Custom/WebSocket/"+want.newRelic]; !ok || got.total != want.n {
			t.Errorf("New Relic's sum of %s is %v, want %v", want.newRelic, got.total, want.n)
		}
	}
	if _, ok := elastic["websocket.connections.active"]; !ok {
		t.Error("Elastic has no gauge of the connections")
	}
	if _, ok := b.collector.metrics["Custom/WebSocket/Connections/Active"]; !ok {
		t.Error("New Relic has no gauge of the connections")
	}
	if got := b.collector.metrics["OtherTransaction/Go/Message/chat.say"].count; got != 2 {
		t.Errorf("New Relic has counted %v chat.say, want 2", got)
	}
}

var idPattern = regexp.MustCompile(`"([0-9a-f]{32}|[0-9a-f]{16})"`)

// checkIDs finds all that looks like an id: the two have those of the connections
// in common, and no other.
func (b *both) checkIDs(t *testing.T, records map[string]record) {
	t.Helper()
	var connections []string
	for _, key := range []string{opened, turnedAway} {
		connections = append(connections, fmt.Sprint(records[key].attrs["websocket_connection_id"]))
	}
	sent := map[string]string{"Elastic": b.intake.sent(), "New Relic": b.collector.sent()}
	for whose, other := range map[string]string{"Elastic": "New Relic", "New Relic": "Elastic"} {
		n := 0
		for _, match := range idPattern.FindAllStringSubmatch(sent[whose], -1) {
			id := match[1]
			if slices.Contains(connections, id) {
				continue
			}
			n++
			if strings.Contains(sent[other], id) {
				t.Errorf("%s has the id %s of %s", other, id, whose)
			}
		}
		if transactions := len(records); n < 3*transactions { // trace, transaction, link or span
			t.Errorf("only %d ids in what %s got", n, whose)
		}
	}
}

// checkLog finds a line of each transaction by the ids of both.
func (b *both) checkLog(t *testing.T, elastic, newRelic map[string]record) {
	t.Helper()
	for key, e := range elastic {
		if key == ended {
			continue // its line has the ids of CONNECT
		}
		found, _ := b.log.all(func(l logLine) bool {
			return l["trace.id"] == e.trace && l["transaction.id"] == e.id && l["newrelic.trace.id"] == newRelic[key].trace
		})
		if len(found) == 0 {
			t.Errorf("no line has the ids of %s: %+v, %+v", key, e, newRelic[key])
		}
	}
	roots := map[string]bool{}
	for _, s := range b.collector.all(nrSpan, "") {
		if s.intrinsics["nr.entryPoint"] == true {
			roots[s.str("traceId")+s.str("guid")] = true
		}
	}
	lines, _ := b.log.all(func(l logLine) bool { return l["labels.websocket_connection_id"] != nil })
	if len(lines) < len(elastic) {
		t.Errorf("%d lines of %d transactions", len(lines), len(elastic))
	}
	for _, l := range lines {
		if l["trace.id"] == nil || !roots[l.str("newrelic.trace.id")+l.str("newrelic.span.id")] || l["newrelic.entity.guid"] != "the-entity" {
			t.Errorf("a line has not the ids of both: %v", l)
		}
	}
}
