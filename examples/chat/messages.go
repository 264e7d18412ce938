package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/apmws/go-apmws/apmws"
)

// The types of messages, and so the names of their transactions and spans.
const (
	typeJoin    = "chat.join"
	typeJoined  = "chat.joined"
	typeSay     = "chat.say"
	typeSaid    = "chat.said"
	typeBilling = "billing.status"
	typeRenew   = "auth.renew"   // before the token expires, with another
	typeRenewed = "auth.renewed" // with when that one will
	typePing    = "chat.ping"    // is anybody there? For browsers, where a page sees no pings
	typePong    = "chat.pong"
	typeError   = "error"
)

// received and sent are the names of messages in each direction.
func received() []string { return []string{typeJoin, typeSay, typeBilling, typeRenew, typePing} }
func sent() []string     { return []string{typeJoined, typeSaid, typeRenewed, typePong, typeError} }

// messageName returns the function that names a message by its type. What is
// not JSON has no name, even where a type can be made out at its beginning.
func messageName() apmws.NameFunc {
	field := apmws.JSONField("type")
	return func(dst []byte, typ apmws.MessageType, payload []byte) []byte {
		if typ != apmws.TextMessage || !utf8.Valid(payload) || !json.Valid(payload) {
			return dst
		}
		return field(dst, typ, payload)
	}
}

// incoming is what a peer may send beside the type and the trace context.
type incoming struct {
	Room  string `json:"room"`
	Text  string `json:"text"`
	Token string `json:"token"`
}

type joined struct {
	Type string `json:"type"`
	Room string `json:"room"`
}

type pong struct {
	Type string `json:"type"`
}

type renewed struct {
	Type    string `json:"type"`
	Expires string `json:"expires,omitempty"` // RFC 3339
}

type failed struct {
	Type  string `json:"type"`
	Error string `json:"error"`
	ID    uint64 `json:"id,omitempty"` // that the peer has given to the message, if any
}

// said is a message of a room, to its members and between the nodes.
type said struct {
	Type string `json:"type"`
	Room string `json:"room"`
	User string `json:"user"`
	Text string `json:"text"`
}

// problem is an error with a text for the peer.
type problem struct {
	text  string
	cause error // nil: it is the peer's own mistake
}

func (p *problem) Error() string {
	if p.cause == nil {
		return p.text
	}
	return fmt.Sprintf("%s: %v", p.text, p.cause)
}

func (p *problem) Unwrap() error { return p.cause }

const somethingWrong = "something went wrong" // for the peer; the log says what

// handle handles a message and answers it. What the peer got wrong is answered
// and no more: it is no failure of this server, and must not raise an alarm.
// What went wrong here is answered too, and recorded as the message's failure.
func (s *server) handle(ctx context.Context, m *member, message apmws.Message) error {
	answer, err := s.dispatch(ctx, m, message)
	if err != nil {
		text := somethingWrong
		if p := new(problem); errors.As(err, &p) {
			text = p.text
			if p.cause == nil {
				err = nil
			}
		}
		answer = failed{typeError, text, idOf(message.Data)}
	}
	if answer != nil {
		data, encodeErr := json.Marshal(answer)
		if encodeErr != nil {
			return errors.Join(err, encodeErr)
		}
		// One that there is no room for ends the connection, and is recorded there.
		_ = m.conn.Send(ctx, apmws.TextMessage, data)
	}
	return err
}

// idOf returns the number by which a peer knows its message: of what an error is the
// answer. It is 0 when there is none.
func idOf(data []byte) uint64 {
	var numbered struct {
		ID uint64 `json:"id"`
	}
	if json.Unmarshal(data, &numbered) != nil {
		return 0
	}
	return numbered.ID
}

// dispatch returns the answer, if any.
func (s *server) dispatch(ctx context.Context, m *member, message apmws.Message) (answer any, err error) {
	if !m.pace.Allow() {
		return nil, &problem{text: fmt.Sprintf("too fast: no more than %d messages per second", pace)}
	}
	var in incoming
	name := string(s.messageName(nil, message.Type, message.Data))
	switch name {
	case typeJoin, typeSay:
		if json.Unmarshal(message.Data, &in) != nil || !validName(in.Room) {
			return nil, &problem{text: "the room has no good name; " + nameRule}
		}
	case typeRenew:
		if json.Unmarshal(message.Data, &in) != nil {
			return nil, &problem{text: badSignIn}
		}
	}
	switch name {
	case typeJoin:
		return s.join(m, in.Room)
	case typeSay:
		return nil, s.say(ctx, m, in)
	case typeBilling:
		return s.billing.status(ctx, m.conn.User())
	case typeRenew:
		return s.renew(ctx, m, in.Token)
	case typePing:
		return pong{typePong}, nil
	case "":
		return nil, &problem{text: "a message is a JSON object with a type"}
	default:
		return nil, &problem{text: "unknown type of message"}
	}
}

func (s *server) join(m *member, room string) (answer any, err error) {
	if !s.hub.join(m, room) {
		return nil, &problem{text: fmt.Sprintf("no more than %d rooms at once", maxRooms)}
	}
	return joined{typeJoined, room}, nil
}

// say publishes what was said. It comes back from Redis to the members of the
// room on every node, this one and the speaker included.
func (s *server) say(ctx context.Context, m *member, in incoming) error {
	switch {
	case !s.hub.joined(m, in.Room):
		return &problem{text: "join the room first"}
	case !validText(in.Text):
		return &problem{text: fmt.Sprintf("say something of up to %d characters", maxText)}
	}
	if err := s.bus.publish(ctx, said{Type: typeSaid, Room: in.Room, User: m.conn.User(), Text: in.Text}); err != nil {
		return &problem{text: "the message was not sent, try again", cause: err}
	}
	return nil
}

// deliver sends to the members of a room what came through Redis, in the trace that
// came along. It waits for none of them: each has its queue.
func (s *server) deliver(parent apmws.SpanContext, room string, message []byte) {
	s.agent.Broadcast(context.Background(), apmws.Message{Type: apmws.TextMessage, Data: message},
		slices.Values(s.hub.listeners(room)), apmws.BroadcastOptions{Name: typeSaid, Parent: parent})
}
