package hour

import (
	"strings"
	"time"
)

// live says what a guest says until a time, or until the connection ends.
func (c *client) live(until time.Time) {
	switch {
	case c.ending == endSilence && c.route == routeNews:
		until = until.Add(-newsPatience)
	case c.ending == endSilence:
		until = until.Add(-patience)
	default:
	}
	if c.quiet || !c.sleep(max(0, time.Until(c.busyFrom))+c.chance.between(50*time.Millisecond, 300*time.Millisecond)) {
		c.sleep(time.Until(until))
		return
	}
	first, next, pace := c.talk()
	if c.malformed == inMessage {
		first.Traceparent = nonsense
	}
	if !c.say(first) {
		return
	}
	if c.stall > 0 && c.route == routeNews {
		c.pause.Store(int64(c.stall)) // from the next headline on
		c.sleep(c.stall + 2*headlines)
	} else if c.stall > 0 {
		c.pause.Store(int64(c.stall))
		if !c.say(envelope{Type: sayHistory, Do: doStall}) {
			return
		}
	}
	if c.late && !c.say(envelope{Type: sayHistory, Do: doWait}) {
		return
	}
	for {
		wait, left := 50*time.Millisecond+c.chance.waits(pace), time.Until(until)
		if wait >= left {
			c.sleep(left)
			return
		}
		if !c.sleep(wait) || !c.say(next()) {
			return
		}
	}
}

// talk is what a guest says at first and then, and how often.
func (c *client) talk() (first envelope, next func() envelope, pace time.Duration) {
	switch c.route {
	case routeNotify:
		return envelope{Type: notifyTopic, Text: "mentions"}, func() envelope { return envelope{Type: notifyAck} }, 60 * time.Second
	case routeNews:
		return envelope{Type: newsRead}, func() envelope { return envelope{Type: newsRead} }, 90 * time.Second
	case routeQuotes:
		return envelope{Type: quoteTopic, Text: "all"}, func() envelope { return envelope{Type: quoteTick} }, 10 * time.Second
	default:
		return envelope{Type: sayJoin}, c.chat, 36 * time.Second
	}
}

// chat draws a message of a room.
func (c *client) chat() envelope {
	text := func(least, most int) string { return strings.Repeat("y", least+c.chance.IntN(most-least)) }
	switch x := c.chance.Float64(); {
	case x < 0.46:
		return envelope{Type: saySay, Text: text(4, 280)}
	case x < 0.78:
		return envelope{Type: sayTyping}
	case x < 0.85:
		return envelope{Type: sayHistory}
	case x < 0.89:
		return envelope{Type: shareFile, Text: text(4<<10, 40<<10)}
	case x < 0.94:
		return envelope{Type: sayJoin}
	case x < 0.975:
		return envelope{Type: sayLeave}
	default:
		return envelope{Type: unregistered}
	}
}
