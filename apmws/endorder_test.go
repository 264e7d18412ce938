package apmws

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
)

// closedBy waits until the socket of a connection has been closed by this side.
func (c *Conn) closedBy(t *testing.T, what string) {
	t.Helper()
	eventually(t, what+" closes the socket", func() bool {
		tp := c.tapped()
		return tp == nil || tp.closing.Load()
	})
}

// TestEndAfterHooks: whoever closes the socket of an Endpoint's connection, its end is
// reported after the message in hand and the Close hook.
func TestEndAfterHooks(t *testing.T) {
	big := make([]byte, 1<<20)
	for name, x := range map[string]struct {
		opts EndpointOptions
		do   func(t *testing.T, ctx context.Context, c *Conn) error
		gone bool // the peer is
		want string
	}{
		"the handler": {
			do:   func(_ *testing.T, _ context.Context, c *Conn) error { return c.WebSocket().Close() },
			want: "application",
		},
		"the handler, before all others": {
			do: func(_ *testing.T, _ context.Context, c *Conn) error {
				err := c.WebSocket().Close()
				c.cut("", CauseDrain)
				c.lose(c.tapped(), time.Second)
				c.retire("", CauseDrain)
				<-c.retiring.Load().ended
				return err
			},
			want: "application",
		},
		"another goroutine": {
			do: func(t *testing.T, _ context.Context, c *Conn) error {
				go c.WebSocket().Close()
				c.closedBy(t, "another goroutine")
				return nil
			},
			want: "application",
		},
		"a write that fails": {
			do: func(_ *testing.T, ctx context.Context, c *Conn) (err error) {
				for err == nil {
					err = c.Write(ctx, BinaryMessage, big)
				}
				return err
			},
			gone: true, want: "write_error",
		},
		"a write that fails, and a handler that gives up": {
			do: func(_ *testing.T, ctx context.Context, c *Conn) (err error) {
				for err == nil {
					err = c.Write(ctx, BinaryMessage, big)
				}
				return Close(websocket.CloseInternalServerErr, "")
			},
			gone: true, want: "write_error",
		},
		"a write that takes too long": {
			opts: EndpointOptions{WriteTimeout: 50 * time.Millisecond},
			do: func(_ *testing.T, ctx context.Context, c *Conn) (err error) {
				for err == nil {
					err = c.Write(ctx, BinaryMessage, big)
				}
				return err
			},
			want: "write_error",
		},
		"a queue whose peer is slow": {
			opts: EndpointOptions{WriteTimeout: 50 * time.Millisecond, SendQueue: SendQueue{Bytes: 64 << 20}},
			do: func(t *testing.T, ctx context.Context, c *Conn) (err error) {
				for range 30 {
					err = errors.Join(err, c.Send(ctx, BinaryMessage, big))
				}
				c.closedBy(t, "the queue")
				return err
			},
			want: "slow_consumer",
		},
		"a heartbeat": {
			do: func(t *testing.T, _ context.Context, c *Conn) error {
				c.lose(c.tapped(), time.Second)
				return nil
			},
			want: "heartbeat_timeout",
		},
		"a retirement that gives up": {
			do: func(_ *testing.T, _ context.Context, c *Conn) error {
				c.tapped().abandonFor(CauseDrain)
				return nil
			},
			want: "drain",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rec := newRecorder()
			agent := New(Options{Exporters: []Exporter{rec}})
			left := make(chan struct{})
			x.opts.Message = func(ctx context.Context, _ Message) error {
				<-left
				c := FromContext(ctx)
				err := x.do(t, ctx, c)
				c.closedBy(t, name)
				return err
			}
			x.opts.Close = func(_ context.Context, c *Conn, _ error) {
				rec.noted("closed")
				c.SetAttrs(slog.Bool("hook", true))
			}
			conn := dial(t, serveWS(t, agent.Endpoint("/ws", x.opts)), nil)
			if err := conn.NetConn().(*net.TCPConn).SetReadBuffer(4 << 10); err != nil {
				t.Fatal(err)
			}
			send(t, conn, "x")
			if x.gone {
				rec.wait(t, "message", 1)
				_ = conn.NetConn().(*net.TCPConn).SetLinger(0)
				conn.Close()
			}
			close(left)
			end := rec.wait(t, "disconnect", 1)[0]
			if end.result != x.want || end.attrs["hook"] != true {
				t.Errorf("DISCONNECT is %s, %v", end.result, end.attrs)
			}
			var order []string
			for _, kind := range rec.kinds() {
				if kind == "closed" || kind == "message-end _OTHER" || kind == "disconnect DISCONNECT /ws" {
					order = append(order, kind)
				}
			}
			if want := []string{"message-end _OTHER", "closed", "disconnect DISCONNECT /ws"}; !slices.Equal(order, want) {
				t.Errorf("in this order: %v", order)
			}
			eventually(t, "no connection is left", func() bool { return len(agent.Connections()) == 0 })
		})
	}
}

// TestCutOffAfterHooks: the Close hook of a connection that is cut off, and the message
// whose write that ends, come before its end.
func TestCutOffAfterHooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // hooks get half a second
		rec := newRecorder()
		agent := New(Options{Exporters: []Exporter{rec}})
		dialOne := servePipes(t, agent.Endpoint("/ws", EndpointOptions{
			WriteTimeout: -1,
			Heartbeat:    Heartbeat{Interval: -1},
			Message: func(ctx context.Context, m Message) error {
				return FromContext(ctx).Write(ctx, m.Type, m.Data)
			},
			Close: func(_ context.Context, c *Conn, _ error) {
				time.Sleep(reportGrace / 4)
				c.SetAttrs(slog.Bool("hook", true))
			},
		}))
		writing, idle := dialPipe(t, dialOne), dialPipe(t, dialOne)
		send(t, writing, "x") // and never reads
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		closed := make(chan int, 1)
		go func() {
			code, _ := closeCodeOf(t, idle)
			closed <- code
		}()
		if err := agent.Shutdown(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
		ends := rec.all("disconnect")
		if len(ends) != 2 || len(rec.all("message-end")) != 1 {
			t.Fatalf("%d ends and %d messages were reported in time", len(ends), len(rec.all("message-end")))
		}
		for _, end := range ends {
			if end.result != "drain" || end.attrs["hook"] != true {
				t.Errorf("DISCONNECT is %s, %v", end.result, end.attrs)
			}
		}
		if d := agent.Stats().Drain; d.CutOff != 2 {
			t.Errorf("%+v", d)
		}
		if code := <-closed; code != websocket.CloseGoingAway {
			t.Errorf("the idle one was closed with %d", code)
		}
	})
}

// TestCutOffCountsOnce: a connection that comes while others are cut off is counted
// once, whoever finds it first.
func TestCutOffCountsOnce(t *testing.T) {
	c := tapOver(t, &scripted{write: func(b []byte) (int, error) { return len(b), nil }}).conn
	d := &drain{began: time.Now(), changed: make(chan struct{}, 1)}
	d.cutting.Store(true)
	c.agent.drainage.Store(d)
	if !c.claimCutOff(d) {
		t.Fatal("an open connection is not to be cut off")
	}
	c.arrived()
	if n := d.cutOff.Load(); n != 1 || len(c.agent.Connections()) != 1 {
		t.Errorf("it was counted %d times, %d are open", n, len(c.agent.Connections()))
	}
}
