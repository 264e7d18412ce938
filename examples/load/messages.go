package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
)

// The messages of the chat.
const (
	typeJoin    = "chat.join"
	typeJoined  = "chat.joined"
	typeSay     = "chat.say"
	typeSaid    = "chat.said"
	typeBilling = "billing.status"
	typeError   = "error"
)

// message is any message of the chat, in both directions.
type message struct {
	Type string `json:"type"`
	Room string `json:"room,omitempty"`
	User string `json:"user,omitempty"`
	Text string `json:"text,omitempty"`
}

func (m message) bytes() []byte {
	raw, err := json.Marshal(m)
	if err != nil {
		panic(err) // strings alone
	}
	return raw
}

// utterance is a message that is about to be sent.
type utterance struct {
	raw     []byte
	echoes  bool // it comes back, with its number
	unknown bool // the chat has no name for it
}

// mix is what people send, in shares of a thousand.
var mix = []struct {
	share int
	make  func(t *talk) utterance
}{
	{850, (*talk).say},
	{70, (*talk).billing},
	{30, (*talk).wander},
	{25, (*talk).dance},
	{12, (*talk).mumble},
	{10, (*talk).nothing},
	{3, (*talk).shout},
}

// talk is what one connection has to say. It is not safe for concurrent use.
type talk struct {
	rng   *rand.Rand
	rooms []string // that there are
	room  string   // that it is in
	seq   uint64   // of the last message that echoes
}

// next returns the next message, by chance.
func (t *talk) next() utterance {
	n := t.rng.IntN(1000)
	for _, kind := range mix {
		if n -= kind.share; n < 0 {
			return kind.make(t)
		}
	}
	panic("the shares are of a thousand") // which a test checks
}

// say says something to the room. The number in front is how the echo is known.
func (t *talk) say() utterance {
	t.seq++
	text := fmt.Sprintf("%d %s", t.seq, t.words(1+t.rng.IntN(30)))
	return utterance{raw: message{Type: typeSay, Room: t.room, Text: text}.bytes(), echoes: true}
}

func (t *talk) billing() utterance { return utterance{raw: message{Type: typeBilling}.bytes()} }

// wander goes to another room, and stays in the old one: the chat allows eight.
func (t *talk) wander() utterance {
	t.room = t.rooms[t.rng.IntN(len(t.rooms))]
	return t.enter()
}

func (t *talk) enter() utterance {
	return utterance{raw: message{Type: typeJoin, Room: t.room}.bytes()}
}

// dance is a type that the chat does not know, of many: what peers make up must
// not become names of transactions.
func (t *talk) dance() utterance {
	return utterance{raw: message{Type: fmt.Sprintf("chat.dance.%d", t.rng.IntN(1000))}.bytes(), unknown: true}
}

func (t *talk) mumble() utterance { return utterance{raw: []byte(t.words(3)), unknown: true} }

// nothing says nothing, which the chat does not take.
func (t *talk) nothing() utterance {
	return utterance{raw: message{Type: typeSay, Room: t.room, Text: " "}.bytes()}
}

// shout is longer than the chat reads: it ends the connection with 1009.
func (t *talk) shout() utterance {
	return utterance{raw: message{Type: typeSay, Room: t.room, Text: strings.Repeat("A", 70<<10)}.bytes()}
}

var vocabulary = strings.Fields("the a tea coffee sun rain train garden river song book window cat dog friend morning " +
	"evening weekend came went saw found lost likes wants knows slowly again never maybe today there here with without")

func (t *talk) words(n int) string {
	chosen := make([]string, n)
	for i := range chosen {
		chosen[i] = vocabulary[t.rng.IntN(len(vocabulary))]
	}
	return strings.Join(chosen, " ")
}
