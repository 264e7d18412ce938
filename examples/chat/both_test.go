package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/gorilla/websocket"

	"github.com/apmws/go-apmws/apmws"
)

// both is a chat that reports to stand-ins for Elastic and New Relic at once.
type both struct {
	*node
	redis     *miniredis.Miniredis
	intake    *intake
	collector *collector
}

// panicToken is a token over which the check of tokens panics.
const panicToken = "panic-token"

func startBoth(t *testing.T) *both {
	t.Helper()
	b := &both{redis: miniredis.RunT(t), intake: startIntake(t), collector: newCollector(t)}
	for name, value := range map[string]string{
		"SERVER_URL": b.intake.URL, "API_REQUEST_TIME": "100ms", "CLOUD_PROVIDER": "none", "CENTRAL_CONFIG": "false",
	} {
		t.Setenv("ELASTIC_APM_"+name, value)
	}
	secret := []byte("jwt-secret-jwt-secret")
	b.node = startNode(t, func(cfg *config) {
		cfg.redisURL, cfg.secret = "redis://"+b.redis.Addr(), secret
		cfg.elastic, cfg.newRelic, cfg.newRelicOption = b.intake.URL, licenceKey, b.collector.configure
		cfg.heartbeat = apmws.Heartbeat{Interval: -1} // a ping when the test says so
		cfg.verify = func(ctx context.Context, token string) (identity, error) {
			if token == panicToken {
				panic("cannot verify")
			}
			return tokens{secret: secret, audience: defaultAudience}.verify(ctx, token)
		}
	})
	connected(t, b.newRelic) // it drops what comes before
	return b
}

// visit is a connection, or a handshake that was refused, and what its client
// knows of it.
type visit struct {
	*peer
	name       string // in this test
	id         string // as the log has it
	host, port string // of the server
	// Messages, and bytes, as the server sees them.
	messagesReceived, messagesSent, received, sent float64
}

// visit makes a handshake that is answered by status.
func (b *both) visit(t *testing.T, name string, status int, token string, header http.Header) *visit {
	t.Helper()
	host, port, err := net.SplitHostPort(strings.TrimSuffix(strings.TrimPrefix(b.url, "http://"), "/"))
	if err != nil {
		t.Fatal(err)
	}
	v := &visit{name: name, host: host, port: port}
	header.Set("User-Agent", "the-agent")
	header.Set("Cookie", "session=cookie-secret")
	header.Set("Referer", b.url+"?from=referer-secret")
	header.Set("Sec-Websocket-Protocol", "bearer, "+token)
	answer := "websocket-connected"
	if status != http.StatusSwitchingProtocols {
		answer = "websocket-refused"
	}
	before, _ := b.log.all(action(answer))
	conn, res, err := dial(t, wsURL(b.url)+"?access=query-secret", header)
	if res == nil || res.StatusCode != status {
		t.Fatalf("the handshake is answered by %v (%v), want %d", res, err, status)
	}
	v.peer = &peer{conn, t}
	v.id = b.log.wait(t, answer, len(before)+1, action(answer))[len(before)].str("labels.websocket_connection_id")
	return v
}

// exchange sends a message, and receives one that has just these fields.
func (v *visit) exchange(message string, want map[string]string) {
	v.t.Helper()
	v.send(message)
	v.messagesReceived++
	v.received += float64(len(message))
	_, answer, err := v.ReadMessage()
	if err != nil {
		v.t.Fatal(err)
	}
	v.messagesSent++
	v.sent += float64(len(answer))
	var got map[string]string
	if json.Unmarshal(answer, &got) != nil || !maps.Equal(got, want) {
		v.t.Fatalf("%s is answered by %s, want %v", message, answer, want)
	}
}

// ping pings who is in a room, as a heartbeat does when it is time.
func (b *both) ping(t *testing.T, v *visit, room string) {
	t.Helper()
	for _, conn := range b.hub.listeners(room) {
		if conn.ID() != v.id {
			continue
		}
		if err := conn.WebSocket().WriteControl(websocket.PingMessage, nil, time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Fatalf("%s is not in %s", v.name, room)
}

func (v *visit) leave(reason string) {
	v.t.Helper()
	frame := websocket.FormatCloseMessage(websocket.CloseNormalClosure, reason)
	if err := v.WriteControl(websocket.CloseMessage, frame, time.Now().Add(patience)); err != nil {
		v.t.Fatal(err)
	}
}

// visits are the connections of the story. What is said comes back after the
// ping, and its pong is answered before what is sent next: so who says something
// has a known round trip.
type visits struct{ bob, ada, cleo, dan, badToken, panicked, otherSite *visit }

func (v *visits) all() []*visit {
	return []*visit{v.bob, v.ada, v.cleo, v.dan, v.badToken, v.panicked, v.otherSite}
}

// whose says which of them has the id of a connection, or what else is known of that.
func (v *visits) whose(connection any, otherwise string) string {
	for _, one := range v.all() {
		if one.id == connection {
			return one.name
		}
	}
	return otherwise
}

const (
	joinTea = `{"type":"chat.join","room":"tea"}`
	sayTea  = `{"type":"chat.say","room":"tea","text":"text-secret"}`
)

func joinedRoom(room string) map[string]string {
	return map[string]string{"type": "chat.joined", "room": room}
}

func answeredError(text string) map[string]string {
	return map[string]string{"type": "error", "error": text}
}

// happen lets all happen, with a report in the middle.
func (b *both) happen(t *testing.T, token func(user string) string) *visits {
	t.Helper()
	v := &visits{}
	v.bob = b.visit(t, "Bob", http.StatusSwitchingProtocols, token("Bob"), http.Header{"Traceparent": {"nonsense"}})
	v.bob.exchange(joinTea, joinedRoom("tea"))
	b.ping(t, v.bob, "tea")
	v.bob.exchange(sayTea, sayings("tea", "Bob", "text-secret"))
	v.bob.leave("")
	b.log.wait(t, "disconnected", 1, action("websocket-disconnected"))
	v.badToken = b.visit(t, "bad token", http.StatusUnauthorized, "header-secret", http.Header{"Authorization": {"Bearer header-secret"}})
	v.panicked = b.visit(t, "panic", http.StatusInternalServerError, panicToken, http.Header{})

	v.ada = b.visit(t, "Ada", http.StatusSwitchingProtocols, token("Ada"), http.Header{"Origin": {strings.TrimSuffix(b.url, "/")}})
	v.ada.exchange(joinTea, joinedRoom("tea"))
	b.ping(t, v.ada, "tea")
	v.ada.exchange(sayTea, sayings("tea", "Ada", "text-secret"))
	v.cleo = b.visit(t, "Cleo", http.StatusSwitchingProtocols, token("Cleo"), http.Header{})
	v.cleo.SetPingHandler(func(string) error { return nil }) // she answers none
	v.cleo.exchange(`{"type":"chat.join","room":"den"}`, joinedRoom("den"))
	b.ping(t, v.cleo, "den")
	v.cleo.exchange(`{"type":"chat.say","room":"den","text":"text-secret"}`, sayings("den", "Cleo", "text-secret"))
	b.report(t)

	v.ada.exchange(`{"type":"billing.status"}`, map[string]string{"type": "billing.status", "plan": "free", "state": "active"})
	v.ada.exchange(`{"type":"type-secret"}`, answeredError("unknown type of message"))
	b.redis.SetError("LOADING the dataset")
	v.ada.exchange(sayTea, answeredError("the message was not sent, try again"))
	b.redis.SetError("")
	v.otherSite = b.visit(t, "other site", http.StatusForbidden, token("Eve"), http.Header{"Origin": {"https://evil.example/?q=query-secret"}})
	v.ada.leave("bye")
	b.log.wait(t, "disconnected", 2, action("websocket-disconnected"))

	v.dan = b.visit(t, "Dan", http.StatusSwitchingProtocols, token("Dan"), http.Header{})
	v.dan.exchange(joinTea, joinedRoom("tea"))
	b.ping(t, v.dan, "tea")
	v.dan.exchange(sayTea, sayings("tea", "Dan", "text-secret"))
	v.dan.Close() // without a word
	b.log.wait(t, "disconnected", 3, action("websocket-disconnected"))
	return v
}

// report makes both back ends get the counters while Ada and Cleo are connected.
func (b *both) report(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	// Elastic's agent does not report anew while it does so on its own account,
	// which may have begun too early.
	for !slices.Contains(b.intake.series()[activeConnections].values, 2) {
		b.tracer.SendMetrics(ctx.Done())
		if err := b.agent.Flush(ctx); err != nil {
			t.Fatal(err)
		}
	}
}

// TestBoth feeds one chat with all there is, and looks at what each of two back
// ends gets of it: the whole contract, no more, and nothing of the other's.
func TestBoth(t *testing.T) {
	b := startBoth(t)
	var tokens []string
	v := b.happen(t, func(user string) string {
		tokens = append(tokens, signIn(t, b.url, user))
		return tokens[len(tokens)-1]
	})
	live := liveData(t, b.url)
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		b.stop() // sends all
	}()
	v.cleo.expectClose(websocket.CloseGoingAway)
	<-stopped

	contract := contractOf(v)
	// The trace that goes through Redis is that of the first back end, for both.
	says := b.intake.says(v)
	elastic, newRelic := b.intake.tell(v, says), b.collector.tell(v, says)
	checkContract(t, contract, elastic)
	checkContract(t, contract, newRelic)
	checkAgreement(t, contract, elastic, newRelic)
	b.checkMetrics(t, v)
	b.checkDurations(t, contract, elastic)
	b.checkIDs(t, v, elastic)
	b.checkLog(t, contract, elastic, newRelic)

	places := map[string]string{
		"Elastic": b.intake.sent(), "New Relic": b.collector.sent(), "the log": b.log.String(), "the live page": live,
	}
	secrets := []string{
		"text-secret", "query-secret", "cookie-secret", "referer-secret", "header-secret", "jwt-secret",
		"type-secret", "licence-secret", "access=", panicToken,
	}
	for _, token := range tokens {
		secrets = append(append(secrets, token), strings.Split(token, ".")...)
	}
	for where, text := range places {
		for _, secret := range secrets {
			if strings.Contains(text, secret) {
				t.Errorf("%s shows %q", where, secret)
			}
		}
	}
}

var idPattern = regexp.MustCompile(`"([0-9a-f]{32}|[0-9a-f]{16})"`)

// checkIDs finds all that looks like an id: the two have those of the connections
// in common, and what goes through Redis, and no other.
func (b *both) checkIDs(t *testing.T, v *visits, elastic *told) {
	t.Helper()
	var common []string
	for _, one := range v.all() {
		common = append(common, one.id)
	}
	for key, tx := range elastic.transactions {
		if parent, ok := tx.leaves["parent_id"].(string); ok && strings.HasPrefix(key, "Message/broadcast ") {
			common = append(common, parent, tx.trace, tx.trace[:len(parent)]) // the agent makes the one of the other
		}
	}
	if n := len(v.all()) + 3*4; len(common) != n {
		t.Errorf("%d ids in common, want %d", len(common), n)
	}
	sent := map[string]string{"Elastic": b.intake.sent(), "New Relic": b.collector.sent()}
	for whose, other := range map[string]string{"Elastic": "New Relic", "New Relic": "Elastic"} {
		n := 0
		for _, match := range idPattern.FindAllStringSubmatch(sent[whose], -1) {
			id := match[1]
			if slices.Contains(common, id) {
				continue
			}
			n++
			if strings.Contains(sent[other], id) {
				t.Errorf("%s has the id %s of %s", other, id, whose)
			}
		}
		if n < 3*len(elastic.transactions) { // trace, transaction, link or span
			t.Errorf("only %d ids in what %s got", n, whose)
		}
	}
}

// checkLog finds a line of each transaction by the ids of both.
func (b *both) checkLog(t *testing.T, contract []wanted, elastic, newRelic *told) {
	t.Helper()
	for i := range contract {
		w := &contract[i]
		if w.kind == "Disconnection" || w.isBroadcast() {
			continue // its line has the ids of CONNECT, or is none
		}
		e, n := elastic.transactions[w.key()], newRelic.transactions[w.key()]
		if e == nil || n == nil {
			continue // which was said
		}
		found, _ := b.log.all(func(l logLine) bool {
			return l["trace.id"] == e.trace && l["transaction.id"] == e.id && l["newrelic.trace.id"] == n.trace &&
				l["newrelic.span.id"] == n.span && l["labels.websocket_connection_id"] == w.visit.id
		})
		if len(found) == 0 {
			t.Errorf("no line has the ids of %s: %+v, %+v", w.key(), e, n)
		}
	}
	roots := map[string]bool{}
	for _, n := range newRelic.transactions {
		roots[fmt.Sprint(n.trace, n.span)] = true
	}
	lines, _ := b.log.all(func(l logLine) bool { return l["labels.websocket_connection_id"] != nil })
	if len(lines) < len(contract) {
		t.Errorf("%d lines of %d transactions", len(lines), len(contract))
	}
	for _, l := range lines {
		if l["trace.id"] == nil || !roots[l.str("newrelic.trace.id")+l.str("newrelic.span.id")] || l["newrelic.entity.guid"] != "the-entity" {
			t.Errorf("a line has not the ids of both: %v", l)
		}
	}
}
