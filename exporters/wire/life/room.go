package life

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/gorilla/websocket"
	"github.com/rs/zerolog"

	"github.com/apmws/go-apmws/apmws"
)

// room is what the connections of /room have in common.
type room struct {
	mu      sync.Mutex
	members []*apmws.Conn // in the order in which they came, also those that have gone
}

// joined is the Connect hook of /room.
func (r *room) joined(ctx context.Context, conn *apmws.Conn) (context.Context, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.members = append(r.members, conn)
	return ctx, nil
}

func (r *room) all() []*apmws.Conn {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.members)
}

func roomMessages() apmws.MessageOptions {
	return apmws.MessageOptions{
		Name:      apmws.JSONField("type"),
		Names:     []string{"room.say", "room.flood"},
		SendNames: []string{"room.news", "room.left", "flood"},
	}
}

// The trace context that comes with the news.
const (
	brokersTrace = "5ca1ab1e5ca1ab1e5ca1ab1e5ca1ab1e"
	brokersSpan  = "5ca1ab1e5ca1ab1e"
)

const (
	// socketBuffer is that of each end of a flooded connection. By themselves they
	// grow to what the system allows.
	socketBuffer = 64 << 10 // bytes
	// flood is more than the sockets of a connection hold. It is soon read: the peer
	// has as long for it as a close frame may take, also on a busy machine.
	flood = 1 << 20 // bytes
)

// talk handles the messages of /room.
func (s *server) talk(ctx context.Context, m apmws.Message) error {
	s.notes.noteMessage(m)
	var e envelope
	if err := json.Unmarshal(m.Data, &e); err != nil {
		return err
	}
	zerolog.Ctx(ctx).Info().Msg("message taken")
	conn := apmws.FromContext(ctx)
	if e.Type == "room.flood" {
		socket, ok := conn.WebSocket().NetConn().(interface{ SetWriteBuffer(bytes int) error })
		if !ok {
			return errors.New("life: the socket's buffer cannot be set")
		}
		if err := socket.SetWriteBuffer(socketBuffer); err != nil {
			return err
		}
		// Of which the peer reads nothing before there is more.
		wave := slices.Concat([]byte(`{"type":"flood","note":"`+secretPayload), slices.Repeat([]byte("."), flood), []byte(`"}`))
		return errors.Join(conn.Send(ctx, apmws.TextMessage, wave),
			conn.Send(ctx, apmws.TextMessage, encode(envelope{Type: "room.news"})),
			conn.Send(ctx, apmws.TextMessage, encode(envelope{Type: "room.left"})))
	}
	within, span := apmws.StartSpan(ctx, "tell all", apmws.SpanOptions{})
	result := s.agent.Broadcast(within, m, slices.Values(s.room.all()), apmws.BroadcastOptions{})
	span.End(result.Err)
	return nil
}

// news tells the members of what has come from elsewhere, with the trace context
// that it came with.
func (s *server) news(ctx context.Context, name string, from apmws.SpanContext, to ...*apmws.Conn) {
	m := apmws.Message{Data: encode(envelope{Type: name, Note: secretPayload})}
	s.agent.Broadcast(ctx, m, slices.Values(to), apmws.BroadcastOptions{Parent: from})
}

// roommate opens a connection to /room.
func (p *play) roommate(name string, told Connection) *client {
	told.Route, told.Level, told.User = "/room", 3, name
	return p.open(&visit{name: name, path: "/room"}, told)
}

// spread tells of a broadcast of a message of that length.
func (p *play) spread(b Broadcast) {
	b.Route, b.Type = "/room", apmws.TextMessage.String()
	p.story.Broadcasts = append(p.story.Broadcasts, &b)
}

// later lets the next broadcast begin in another millisecond, as New Relic has times:
// which of two ends first is not scripted.
func (p *play) later() {
	if p.err == nil {
		<-time.After(2 * time.Millisecond)
	}
}

// broadcasts are connections with a send queue, and what is sent to all of them.
func (p *play) broadcasts() {
	normal := Connection{Cause: apmws.CauseNormal, Code: "1000", Initiator: "client"}
	uma, vic := p.roommate("Uma", normal), p.roommate("Vic", normal)
	say := encode(envelope{Type: "room.say", Note: secretPayload})
	uma.send(say, Message{Name: "room.say"})
	uma.receive()
	vic.receive()
	p.spread(Broadcast{Name: "room.say", Length: len(say), Recipients: 2, Result: "ok"})
	vic.leave(websocket.CloseNormalClosure, "")

	p.later()
	uma.send(say, Message{Name: "room.say"})
	uma.receive()
	p.spread(Broadcast{Name: "room.say", Length: len(say), Recipients: 2, Failed: 1, Result: "partial"})
	p.later()
	if p.err == nil {
		members := p.server.room.all()
		from, err := apmws.ParseTraceParent("00-"+brokersTrace+"-"+brokersSpan+"-01", "")
		p.failIf("trace context", err)
		p.server.news(p.ctx, "room.news", from, members[0])
		p.later()
		p.server.news(p.ctx, "room.left", apmws.SpanContext{}, members[1])
	}
	news := len(encode(envelope{Type: "room.news", Note: secretPayload}))
	uma.receive()
	p.spread(Broadcast{Name: "room.news", Length: news, Recipients: 1, Result: "ok"})
	p.spread(Broadcast{Name: "room.left", Length: news, Recipients: 1, Failed: 1, Result: "error"})
	uma.leave(websocket.CloseNormalClosure, "")

	wes := p.roommate("Wes", Connection{Cause: apmws.CauseSlowConsumer, Code: "1013", Initiator: "server", QueueDropped: 2})
	if p.err == nil {
		p.failIf("the socket of Wes", wes.wire.Conn.(*net.TCPConn).SetReadBuffer(socketBuffer))
	}
	wes.send(encode(envelope{Type: "room.flood"}), Message{Name: "room.flood", Result: "error"})
	if p.err == nil {
		p.failIf("the flood", p.server.book.waitAction(p.ctx, "websocket-message", wes.story.ID))
	}
	wes.receive()
	wes.expectClose(websocket.CloseTryAgainLater)
}
