package hour

import (
	"context"
	"net/http"
	"time"

	"github.com/gorilla/websocket"

	"github.com/apmws/go-apmws/apmws"
	"github.com/apmws/go-apmws/apmws/semconv"
)

// notify is a handler with a loop of its own, on level 1.
func (n *node) notify(w http.ResponseWriter, r *http.Request) {
	v, c := visitOf(r.Context()), apmws.FromContext(r.Context())
	time.Sleep(v.server.lasts(3*time.Millisecond, 0.4)) // the session is looked up
	switch v.refuse {
	case unauthenticated:
		http.Error(w, "who are you?", http.StatusUnauthorized)
		return
	case upgradeFailed:
		w = struct{ http.ResponseWriter }{w} // as a middleware does that forgets http.Hijacker
	default: // what else there is, gorilla refuses
	}
	c.SetUser(v.user)
	upgrader := websocket.Upgrader{}
	ws, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer ws.Close()
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	n.enter(v)
	defer n.leave(v)
	n.beat(ctx, v, ws)
	// A channel, since the clock of the bubble stands while somebody waits for a lock.
	turn := make(chan struct{}, 1)
	write := func(text string) error {
		turn <- struct{}{}
		defer func() { <-turn }()
		return ws.WriteMessage(websocket.TextMessage, []byte(text))
	}
	go n.push(ctx, v, write)
	for {
		typ, data, err := ws.ReadMessage()
		if err != nil {
			v.readEnded(err)
			return
		}
		if n.notified(ctx, v, typ, data, write) != nil {
			return
		}
	}
}

// notified handles a message. It returns the error that ends the loop.
func (n *node) notified(ctx context.Context, v *visit, typ int, data []byte, write func(string) error) (writing error) {
	_ = v.handle(data, func(e envelope) (err error) { // it never fails
		info := apmws.MessageInfo{Name: e.Type, Type: apmws.MessageType(typ), Size: len(data), TraceParent: e.Traceparent}
		ctx, tx := apmws.StartMessage(ctx, info)
		defer tx.EndOnPanic()
		if e.Type == notifyTopic {
			v.call(ctx, e.Type, redisGet, v.server.lasts(time.Millisecond, 0.5), nil)
			n.askBilling(ctx, v, e.Type)
		} else {
			time.Sleep(v.server.lasts(2500*time.Microsecond, 0.6))
		}
		writing = write(`{"type":"ack"}`)
		tx.End(writing)
		return writing
	})
	return writing
}

// push sends notifications until ctx is cancelled.
func (n *node) push(ctx context.Context, v *visit, write func(string) error) {
	c := newChance(v.seed, ^uint64(0))
	next := time.NewTimer(max(0, time.Until(v.busyFrom)) + c.waits(40*time.Second))
	defer next.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-next.C:
		}
		if write(`{"type":"push","text":"somebody has mentioned you"}`) != nil {
			return
		}
		if c.happens(0.2) { // to the telephone, too: from a goroutine of the connection, and of no message
			n.ask(ctx, pushes, answer{semconv.None, c.lasts(30*time.Millisecond, 0.4), http.StatusOK})
		}
		next.Reset(c.waits(40 * time.Second))
	}
}
