package life

import (
	"errors"
	"net/http"
	"strings"

	"github.com/gorilla/websocket"

	"github.com/apmws/go-apmws/apmws"
	"github.com/apmws/go-apmws/apmws/semconv"
)

// The spans that clients claim to come from.
const (
	adasTrace, adasSpan           = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
	adasMessageTrace, adasMessage = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
	cleosTrace, cleosSpan         = "7bd5c3a1e9f84d26b0c1d2e3f4a59687", "53995c3f42cd8ad8"
)

// perform is the script. halfway is called while Ada and Bob are connected.
func (p *play) perform(halfway func()) {
	p.story.Remote = map[string]string{
		adasTrace: "trace of Ada's client", adasSpan: "span of Ada's client",
		adasMessageTrace: "trace of Ada's message", adasMessage: "span of Ada's message",
		cleosTrace: "trace of Cleo's message", cleosSpan: "span of Cleo's message",
		brokersTrace: "trace of the news", brokersSpan: "span of the news",
	}
	ada, bob := p.openShop()
	if p.err == nil {
		halfway()
	}
	p.orders(ada)
	ada.leave(websocket.CloseNormalClosure, "that is all,\nbye")
	p.called("/shop", "none", "baskets.example") // when she has left
	bob.leave(websocket.CloseGoingAway, "")

	p.otherLevels()
	p.otherMessages()
	p.badEnds()
	p.refusals()
	p.sampled()
	p.broadcasts()
	p.dialled()
}

// openShop opens two connections to the endpoint of level 3: with what a careful
// client brings along, and with nonsense.
func (p *play) openShop() (ada, bob *client) {
	origin := "http://" + p.server.address
	ada = p.open(&visit{name: "Ada", path: "/shop", header: http.Header{
		"Origin":      {origin},
		"Traceparent": {"00-" + adasTrace + "-" + adasSpan + "-01"},
		headerBilling: {"look up"},
	}}, Connection{
		Route: "/shop", Level: 3, User: "Ada", Origin: origin, Subprotocol: "json",
		Cause: apmws.CauseNormal, Code: "1000", Initiator: "client", PingsAnswered: 2,
	})
	p.called("/shop", "CONNECT", "billing.example")
	ada.receive() // welcome
	bob = p.open(&visit{name: "Bob", path: "/shop", header: http.Header{"Traceparent": {"00-nonsense"}}}, Connection{
		Route: "/shop", Level: 3, User: "Bob", Subprotocol: "json",
		Cause: apmws.CauseGoingAway, Code: "1001", Initiator: "client", PingsUnanswered: 1,
	})
	p.story.Malformed++
	bob.receive()
	if p.err == nil {
		bob.SetPingHandler(func(string) error { return nil }) // he answers none
	}
	ada.say(Message{Name: "hello"})
	bob.say(Message{Name: "hello"})
	return ada, bob
}

// orders are messages to the endpoint of level 3.
func (p *play) orders(ada *client) {
	ada.say(Message{Name: "hello"}) // her answer to the ping before comes first
	ada.say(Message{Name: "order.place"})
	ada.say(Message{Name: "order.store"})
	ada.say(Message{Name: "order.pay"})
	p.called("/shop", "order.pay", "billing.example")
	ada.say(Message{Name: "order.refund", Result: "error"})
	p.called("/shop", "order.refund", "billing.example")
	ada.say(Message{Name: "order.fail", Result: "error"})
	ada.say(Message{Name: "order.wait", Result: "timeout"})
	ada.sayIn(envelope{Type: secretName}, Message{Name: semconv.Other})
	ada.sayIn(envelope{Type: "hello", Traceparent: "00-" + adasMessageTrace + "-" + adasMessage + "-01"}, Message{Name: "hello"})
	ada.story.PingsAnswered++
	ada.sayIn(envelope{Type: "order.place", Traceparent: "nonsense"}, Message{Name: "order.place"})
	p.story.Malformed++
}

// otherLevels are connections to handlers of levels 2 and 1.
func (p *play) otherLevels() {
	cleo := p.open(&visit{name: "Cleo", path: "/relay"}, Connection{
		Route: "/relay", Level: 2, Cause: apmws.CauseReadError, Code: "none", Initiator: "network",
	})
	cleo.say(Message{Name: "relay.forward"})
	cleo.sayIn(envelope{
		Type: "relay.forward", Traceparent: "00-" + cleosTrace + "-" + cleosSpan + "-01",
		Tracestate: "es=s:0.25", // of Elastic's agent: one of four such traces is sampled
	}, Message{Name: "relay.forward"})
	cleo.sayIn(envelope{Type: "relay.unheard-of"}, Message{Name: semconv.Other})
	cleo.vanish() // without a word

	dan := p.open(&visit{name: "Dan", path: "/plain"}, Connection{
		Route: "/plain", Level: 1, Subprotocol: semconv.Other,
		Cause: apmws.CauseNormal, Code: "1005", Initiator: "client", PingsAnswered: 2,
	})
	dan.echo([]byte(secretPayload), Message{})
	dan.echo([]byte{0, 1, 2, 3}, Message{Type: "binary"})
	dan.leave(websocket.CloseNoStatusReceived, "")

	eve := p.open(&visit{name: "Eve", path: "/manual"}, Connection{
		Route: "/manual", Level: 1, User: "Eve", Cause: apmws.CausePanic, Code: "none", Initiator: "server",
	})
	eve.echo(encode(envelope{Type: "hello"}), Message{Name: "hello"})
	eve.echo(encode(envelope{Type: secretName}), Message{Name: semconv.Other})
	eve.send(encode(envelope{Type: "order.crash"}), Message{Name: "order.crash", Result: "panic"})
	eve.awaitEnd()
	if p.err == nil {
		p.failIf("a cookie that is set too late", p.server.book.waitAction(p.ctx, "websocket-cookie-lost", eve.story.ID))
	}
}

// finnsAddress is the address of a client behind a proxy.
const finnsAddress = "203.0.113.9"

// otherMessages are those of other shapes.
func (p *play) otherMessages() {
	// Through a proxy that has appended his address to what he claims.
	forwarded := http.Header{"X-Forwarded-For": {secretHop + ", " + finnsAddress}}
	finn := p.open(&visit{name: "Finn", path: "/deflate", compress: true, header: forwarded}, Connection{
		Route: "/deflate", Level: 3, User: "Finn", Client: finnsAddress, Cause: apmws.CauseNormal, Code: "1000", Initiator: "client",
	})
	finn.sayIn(envelope{Type: "order.store", Note: strings.Repeat("x", 2048)}, Message{Name: "order.store"})
	finn.leave(websocket.CloseNormalClosure, "")

	gus := p.open(&visit{name: "Gus", path: "/files"}, Connection{
		Route: "/files", Level: 3, User: "Gus", Cause: apmws.CauseMessageTooBig, Code: "1009", Initiator: "server",
	})
	gus.echo([]byte{0, 1, 2, 3}, Message{Name: semconv.Other, Type: "binary"})
	gus.echo(nil, Message{Name: semconv.Other, Type: "binary"})
	put := encode(envelope{Type: "file.put", Note: strings.Repeat("y", 120)})
	gus.sendFragmented(put, 50, Message{Name: "file.put"})
	gus.receive()
	if p.err == nil { // never handled, so it is none of the messages
		p.failIf("send", gus.WriteMessage(websocket.BinaryMessage, make([]byte, 2*maxFile)))
	}
	gus.expectClose(websocket.CloseMessageTooBig)
}

// badEnds are connections that end badly, or by the application's will.
func (p *play) badEnds() {
	hal := p.open(&visit{name: "Hal", path: "/files"}, Connection{
		Route: "/files", Level: 3, User: "Hal", Cause: apmws.CauseWriteError, Code: "none", Initiator: "network",
	})
	hal.send(encode(envelope{Type: "file.stall"}), Message{Name: "file.stall", Result: "error"})
	hal.awaitEnd()

	for _, end := range []struct {
		name, message, result string
		code                  int
		told                  Connection
	}{
		{"Ivy", "end.application", "ok", 4001, Connection{Cause: apmws.CauseApplication, Code: "4001", Initiator: "server"}},
		{"Jon", "end.failure", "error", 1011, Connection{Cause: apmws.CauseHandlerError, Code: "1011", Initiator: "server"}},
		{"Kim", "order.crash", "panic", 1011, Connection{Cause: apmws.CausePanic, Code: "1011", Initiator: "server"}},
		{"Lea", "end.away", "ok", 1001, Connection{Cause: apmws.CauseGoingAway, Code: "1001", Initiator: "server"}},
	} {
		c := p.shopper(end.name, end.told)
		c.send(encode(envelope{Type: end.message}), Message{Name: end.message, Result: end.result})
		c.expectClose(end.code)
	}

	maxim := p.shopper("Max", Connection{Cause: apmws.CauseProtocolError, Code: "1002", Initiator: "server"})
	if p.err == nil {
		_, err := maxim.wire.Write([]byte{0x83, 0x80, 0, 0, 0, 0}) // a frame with the reserved opcode 3
		p.failIf("send", err)
	}
	maxim.expectClose(websocket.CloseProtocolError)

	nia := p.shopper("Nia", Connection{
		Cause: apmws.CauseHeartbeatTimeout, Code: "none", Initiator: "network", PingsUnanswered: 1,
	})
	nia.send(encode(envelope{Type: "end.silence"}), Message{Name: "end.silence"})
	nia.awaitEnd() // without reading, so that no ping is answered

	oz := p.open(&visit{name: "Oz", path: "/shop", header: http.Header{"X-Connect": {"fail"}}}, Connection{
		Route: "/shop", Level: 3, User: "Oz", Subprotocol: "json",
		Cause: apmws.CauseHandlerError, Code: "1011", Initiator: "server",
	})
	oz.expectClose(websocket.CloseInternalServerErr)

	quinn := p.open(&visit{name: "Quinn", path: "/brief"}, Connection{
		Route: "/brief", Level: 3, User: "Quinn", Cause: apmws.CauseMaxAge, Code: "1001", Initiator: "server",
	})
	quinn.expectClose(websocket.CloseGoingAway)
}

// shutDown shuts the agents down while a client is still there. Shutdown leaves the
// exporters five seconds, so most is flushed before.
func (p *play) shutDown() error {
	for _, agent := range p.server.agents() {
		p.failIf("flush", agent.Flush(p.ctx))
	}
	ray := p.shopper("Ray", Connection{Cause: apmws.CauseDrain, Code: "1001", Initiator: "server"})
	result := make(chan error, 1)
	go func() {
		var errs []error
		for _, agent := range p.server.agents() {
			errs = append(errs, agent.Shutdown(p.ctx))
		}
		result <- errors.Join(errs...)
	}()
	ray.expectClose(websocket.CloseGoingAway)
	return errors.Join(<-result, p.err)
}

// shopper opens a connection to /shop and reads the welcome.
func (p *play) shopper(name string, told Connection) *client {
	told.Route, told.Level, told.User, told.Subprotocol = "/shop", 3, name, "json"
	c := p.open(&visit{name: name, path: "/shop"}, told)
	c.receive()
	return c
}

// refusals are handshakes that are not accepted, for each reason that there is.
func (p *play) refusals() {
	script := func(name, path, script string) *visit {
		return &visit{name: name, path: path, header: http.Header{headerScript: {script}}}
	}
	p.refused(script("expired", "/shop", "unauthenticated"), Refusal{Route: "/shop", Status: 401, Reason: "unauthenticated"})
	p.refused(script("forbidden", "/shop", "forbidden"), Refusal{Route: "/shop", Status: 403, Reason: "forbidden"})
	p.refused(script("draining", "/shop", "draining"), Refusal{Route: "/shop", Status: 503, Reason: "draining"})
	overQuota := script("over quota", "/shop", "quota")
	overQuota.header.Set(headerBilling, "look up")
	p.called("/shop", "CONNECT", "billing.example")
	p.refused(overQuota, Refusal{Route: "/shop", Status: 429, Reason: "quota"})
	p.refused(script("teapot", "/shop", "teapot"), Refusal{Route: "/shop", Status: 418, Reason: semconv.Other})
	p.refused(script("hook panics", "/shop", "panic"), Refusal{Route: "/shop", Status: 500, Reason: "upgrade_failed"})
	p.refused(&visit{name: "other site", path: "/shop", header: http.Header{
		"Origin": {"https://evil.example/?" + secretQuery},
	}}, Refusal{Route: "/shop", Status: 403, Reason: "origin"})
	p.refusedRaw(&visit{name: "old version", path: "/shop"}, Refusal{Route: "/shop", Status: 400, Reason: "bad_handshake"})
	p.refused(script("denied", "/plain", "denied"), Refusal{Route: "/plain", Status: 401, Reason: "unauthenticated"})
	p.refused(script("hijacker hidden", "/plain", "hidden"), Refusal{Route: "/plain", Status: 500, Reason: "upgrade_failed"})
	p.refused(script("handler panics", "/plain", "panic"), Refusal{Route: "/plain", Reason: "upgrade_failed"})
	p.refused(script("no answer", "/plain", "silent"), Refusal{Route: "/plain", Reason: "upgrade_failed"})
}

// Quotes is how many messages are left to chance: one of them at least is
// recorded, but for one life in 2^64.
const Quotes = 64

// sampled is a connection whose agent decides which messages are recorded.
func (p *play) sampled() {
	pia := p.open(&visit{name: "Pia", path: "/feed"}, Connection{
		Route: "/feed", Level: 3, User: "Pia", Sampling: true,
		Cause: apmws.CauseNormal, Code: "1000", Initiator: "client",
	})
	pia.say(Message{Name: "feed.always"})
	p.called("/feed", "feed.always", "quotes.example")
	pia.say(Message{Name: "feed.tick", Fate: Unrecorded})
	p.called("/feed", "feed.tick", "quotes.example")
	pia.say(Message{Name: "feed.fail", Result: "error", Fate: Late})
	pia.say(Message{Name: "feed.slow", Fate: Late})
	for range Quotes {
		pia.say(Message{Name: "feed.quote", Fate: ByChance})
	}
	pia.leave(websocket.CloseNormalClosure, "")
}
