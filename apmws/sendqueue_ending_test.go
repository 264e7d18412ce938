package apmws

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// TestSendAfterClose: what is sent when the close frame has been written is given up,
// and counted.
func TestSendAfterClose(t *testing.T) {
	s := serveQueue(t, EndpointOptions{SendQueue: SendQueue{Messages: 4}})
	conn := dial(t, s.url, nil)
	c := receive(t, s.conns)
	if err := c.Close(websocket.CloseNormalClosure, ""); err != nil {
		t.Fatal(err)
	}
	if err := c.Send(t.Context(), TextMessage, []byte("too late")); err != nil {
		t.Error(err)
	}
	to := slices.Values([]*Conn{c})
	if r := s.agent.Broadcast(t.Context(), sayAll, to, BroadcastOptions{}); r != (BroadcastResult{Queued: 1}) {
		t.Errorf("Broadcast returned %+v", r)
	}
	s.idle(t)
	if now := s.stats(); now.SendQueueDropped != 2 || now.MessagesSent != 0 {
		t.Errorf("%d dropped and %d written of 2", now.SendQueueDropped, now.MessagesSent)
	}
	if end := s.rec.wait(t, "broadcast-end", 1)[0]; end.result != "error" {
		t.Errorf("the broadcast ended as %s", end.result)
	}
	if _, _, err := conn.ReadMessage(); !websocket.IsCloseError(err, websocket.CloseNormalClosure) {
		t.Errorf("the peer reads %v", err)
	}
	if end := s.rec.wait(t, "disconnect", 1)[0]; end.result != string(CauseNormal) {
		t.Errorf("the cause is %s", end.result)
	}
}

// TestQueuesEnd: in whatever way connections end while others send to them, each
// message is written or counted as dropped, each broadcast ends once, and nothing is
// left behind.
func TestQueuesEnd(t *testing.T) {
	for _, policy := range []SendPolicy{DropNewest, DropOldest, Disconnect} {
		t.Run(fmt.Sprint(policy), func(t *testing.T) { testQueuesEnd(t, policy) })
	}
}

func testQueuesEnd(t *testing.T, policy SendPolicy) {
	const n, goroutines, each = 24, 4, 60
	s := serveQueue(t, EndpointOptions{SendQueue: SendQueue{Messages: 8, Policy: policy}})
	var conns []*Conn
	for i := range n {
		conn := dial(t, s.url, nil)
		c := receive(t, s.conns)
		conns = append(conns, c)
		go func() {
			for {
				if _, _, err := conn.ReadMessage(); err != nil {
					return
				}
			}
		}()
		time.AfterFunc(time.Duration(i)*time.Millisecond, func() {
			switch i % 5 {
			case 0:
				_ = c.Close(websocket.CloseNormalClosure, "bye")
			case 1:
				_ = c.CloseAt(time.Now(), 4000, "bye")
			case 2:
				conn.Close()
			case 3:
				if ws := c.WebSocket(); ws != nil {
					ws.Close()
				}
			}
		})
	}
	shut := make(chan error, 1)
	time.AfterFunc(n*time.Millisecond, func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		shut <- s.agent.Shutdown(ctx)
	})
	var accepted, full, broadcasts atomic.Int64
	note := func(err error) {
		switch {
		case err == nil:
			accepted.Add(1)
		case errors.Is(err, ErrQueueFull):
			full.Add(1)
		case !errors.Is(err, ErrNotServing):
			t.Error(err)
		}
	}
	var group sync.WaitGroup
	for range goroutines {
		group.Go(func() {
			for i := range each {
				for _, c := range conns {
					note(c.Send(t.Context(), BinaryMessage, numbered(i, 1<<10)))
				}
				for _, c := range conns { // one by one, so that what is refused is told apart
					broadcasts.Add(1)
					r := s.agent.Broadcast(t.Context(), sayAll, slices.Values([]*Conn{c}), BroadcastOptions{})
					if r.Err == nil != (r.Queued == 1) || r.Queued+r.Failed != 1 {
						t.Errorf("Broadcast returned %+v", r)
					}
					note(r.Err)
				}
			}
		})
	}
	group.Wait()
	if err := receive(t, shut); err != nil {
		t.Error(err)
	}
	s.idle(t)
	now := s.stats()
	if now.SendQueueMessages != 0 || now.MessagesSent+now.SendQueueDropped != accepted.Load()+full.Load() {
		t.Errorf("%d wait, %d were written and %d dropped of %d and %d", now.SendQueueMessages, now.MessagesSent,
			now.SendQueueDropped, accepted.Load(), full.Load())
	}
	if begun, ended := len(s.rec.all("broadcast")), len(s.rec.all("broadcast-end")); begun != int(broadcasts.Load()) || ended != begun {
		t.Errorf("%d of %d broadcasts began, and %d ended", begun, broadcasts.Load(), ended)
	}
}
