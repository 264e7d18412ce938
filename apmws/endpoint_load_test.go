package apmws

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/gorilla/websocket"
)

func TestEndpointLoad(t *testing.T) {
	const conns, messages = 200, 50
	rec := newRecorder()
	agent := New(Options{Exporters: []Exporter{rec}})
	before := runtime.NumGoroutine()
	var handled, hooksClosed atomic.Int64
	srv := httptest.NewServer(agent.Endpoint("/ws", EndpointOptions{
		Heartbeat: Heartbeat{Interval: -1}, // a client of gorilla's that cannot answer a ping within a second gives up
		Authenticate: func(ctx context.Context, r *http.Request) (context.Context, error) {
			if r.Header.Get("X-User") == "" {
				return ctx, errors.New("who is it?")
			}
			FromContext(ctx).SetUser(r.Header.Get("X-User"))
			return ctx, nil
		},
		Connect: func(ctx context.Context, conn *Conn) (context.Context, error) {
			if conn.User() == "refused" {
				return ctx, Close(4403, "")
			}
			return ctx, nil
		},
		Message: func(ctx context.Context, m Message) error {
			conn := FromContext(ctx)
			switch text := string(m.Data); text {
			case "close":
				return Close(4000, "")
			case "panic":
				panic(text)
			case "goexit":
				runtime.Goexit()
			case "kill":
				ws := conn.WebSocket()
				go ws.Close()
			default:
				handled.Add(1)
				return conn.Write(ctx, m.Type, m.Data)
			}
			return nil
		},
		Close: func(context.Context, *Conn, error) { hooksClosed.Add(1) },
	}))
	url := "ws" + strings.TrimPrefix(srv.URL, "http")
	ends := []struct {
		end   string
		cause CloseCause
		ask   int64 // messages
	}{
		{"leave", CauseNormal, 0},
		{"vanish", CauseReadError, 0},
		{"close", CauseApplication, 1},
		{"kill", CauseApplication, 1},
		{"panic", CausePanic, 1},
		{"goexit", CauseHandlerError, 1},
		{"refused", CauseApplication, 0},
		{"unauthenticated", "", 0},
	}
	want := map[CloseCause]int64{}
	var opened, refused, received, echoed int64
	var clients sync.WaitGroup
	for i := range conns {
		end := ends[i%len(ends)]
		switch end.end {
		case "unauthenticated":
			refused++
		case "refused":
			opened++
			want[end.cause]++
		default:
			opened++
			echoed += messages
			received += messages + end.ask
			want[end.cause]++
		}
		clients.Go(func() {
			header := http.Header{"X-User": {end.end}}
			if end.end == "unauthenticated" {
				header = nil
			}
			conn, resp, err := websocket.DefaultDialer.Dial(url, header)
			if err != nil {
				if resp == nil || resp.StatusCode != http.StatusUnauthorized || header != nil {
					t.Error(err)
				}
				return
			}
			defer conn.Close()
			if end.end == "refused" {
				if code, _ := closeCodeOf(t, conn); code != 4403 {
					t.Errorf("refused with %d", code)
				}
				return
			}
			for m := range messages {
				text := fmt.Append(nil, m)
				if err := conn.WriteMessage(websocket.TextMessage, text); err != nil {
					t.Error(err)
					return
				}
				if _, data, err := conn.ReadMessage(); err != nil || !bytes.Equal(data, text) {
					t.Errorf("%s, %v", data, err)
					return
				}
			}
			switch end.end {
			case "vanish":
				return
			case "leave":
				_ = conn.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(1000, ""))
			default:
				_ = conn.WriteMessage(websocket.TextMessage, []byte(end.end))
			}
			closeCodeOf(t, conn)
		})
	}
	clients.Wait()
	rec.wait(t, "disconnect", int(opened))
	srv.Close()
	eventually(t, "no goroutine is left", func() bool { return runtime.NumGoroutine() <= before })

	life := map[string]string{}
	for _, kind := range []string{"connect", "opened", "disconnect"} {
		for _, e := range rec.all(kind) {
			life[e.conn] += strings.TrimSpace(kind+" "+e.user) + ";"
		}
	}
	lives := map[string]int{}
	for _, calls := range life {
		lives[calls]++
	}
	wantLives := map[string]int{}
	for i := range conns {
		if end := ends[i%len(ends)].end; end == "unauthenticated" {
			wantLives["connect;opened;"]++
		} else {
			wantLives["connect;opened "+end+";disconnect "+end+";"]++
		}
	}
	if !maps.Equal(lives, wantLives) {
		t.Errorf("connections were recorded as %v, want %v", lives, wantLives)
	}
	stats := agent.Stats().Routes[0]
	eventually(t, "no connection is registered after the end", func() bool { return len(agent.Connections()) == 0 })
	if stats.ConnectionsActive != 0 || stats.ConnectionsOpened != opened {
		t.Errorf("%d opened, %d active", stats.ConnectionsOpened, stats.ConnectionsActive)
	}
	got := map[CloseCause]int64{}
	for _, closed := range stats.Closed {
		if closed.Count > 0 {
			got[closed.Cause] = closed.Count
		}
	}
	if !maps.Equal(got, want) {
		t.Errorf("closed %v, want %v", got, want)
	}
	if len(stats.Refused) != 1 || stats.Refused[0].Count != refused {
		t.Errorf("refused %+v, want %d", stats.Refused, refused)
	}
	if stats.MessagesReceived != received || stats.MessagesSent != echoed || handled.Load() != echoed {
		t.Errorf("%d messages received, want %d; %d sent, %d handled, want %d", stats.MessagesReceived, received, stats.MessagesSent, handled.Load(), echoed)
	}
	if n := hooksClosed.Load(); n != opened-int64(wantLives["connect;opened refused;disconnect refused;"]) {
		t.Errorf("Close was called %d times", n)
	}
	if starts, done := len(rec.all("message")), len(rec.all("message-end")); starts != done || int64(starts) != received {
		t.Errorf("%d messages started, %d ended, want %d", starts, done, received)
	}
}
