package apmws

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// ledger is what handlers were given, by the client that sent it.
type ledger struct {
	mu   sync.Mutex
	read map[string][]string
}

// note notes a message "<client> <number>".
func (l *ledger) note(message string) {
	var client string
	var n int
	_, _ = fmt.Sscanf(message, "%s %d", &client, &n)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.read[client] = append(l.read[client], message)
}

func (l *ledger) of(client string) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.read[client])
}

func (l *ledger) count(client string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.read[client])
}

// busy is a handler's work: mostly short.
func busy() {
	if rand.IntN(8) == 0 {
		time.Sleep(rand.N(2 * time.Millisecond))
	}
}

// answeringServers are servers which note each message and answer it, for each
// way to write one.
func answeringServers(l *ledger) map[string]func(*Agent) http.Handler {
	endpoint := func(opts EndpointOptions, answer func(context.Context, *Conn, []byte) error) func(*Agent) http.Handler {
		opts.Message = func(ctx context.Context, m Message) error {
			l.note(string(m.Data))
			busy()
			return answer(ctx, FromContext(ctx), slices.Clone(m.Data))
		}
		return func(a *Agent) http.Handler { return a.Endpoint("/ws", opts) }
	}
	write := func(ctx context.Context, c *Conn, data []byte) error { return c.Write(ctx, TextMessage, data) }
	gorillas := func(buffer int, each func(*http.Request, *websocket.Conn, []byte) error) func(*Agent) http.Handler {
		return func(a *Agent) http.Handler {
			return a.Handler("/ws", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				conn, err := (&websocket.Upgrader{WriteBufferSize: buffer}).Upgrade(w, r, nil)
				if err != nil {
					return
				}
				defer conn.Close()
				for {
					_, data, err := conn.ReadMessage()
					if err != nil || each(r, conn, data) != nil {
						return
					}
				}
			}))
		}
	}
	return map[string]func(*Agent) http.Handler{
		"an endpoint": endpoint(EndpointOptions{}, write),
		"an endpoint that compresses": endpoint(
			EndpointOptions{Upgrader: websocket.Upgrader{EnableCompression: true, WriteBufferSize: 16}}, write),
		"an endpoint with a queue": endpoint(EndpointOptions{SendQueue: SendQueue{Messages: 10_000}},
			func(ctx context.Context, c *Conn, data []byte) error { return c.Send(ctx, TextMessage, data) }),
		"a handler of gorilla's alone": gorillas(0, func(_ *http.Request, conn *websocket.Conn, data []byte) error {
			l.note(string(data))
			busy()
			return conn.WriteMessage(websocket.TextMessage, data)
		}),
		"fragments": gorillas(8, func(_ *http.Request, conn *websocket.Conn, data []byte) error {
			l.note(string(data))
			w, err := conn.NextWriter(websocket.TextMessage)
			for i := 0; err == nil && i < len(data); i++ {
				_, err = w.Write(data[i : i+1])
			}
			busy()
			return errors.Join(err, w.Close())
		}),
		"transactions of other goroutines": gorillas(0, func(r *http.Request, conn *websocket.Conn, data []byte) error {
			_, tx := StartMessage(r.Context(), MessageInfo{Name: "say", Size: len(data)})
			done := make(chan error)
			go func() {
				l.note(string(data))
				busy()
				err := conn.WriteMessage(websocket.TextMessage, data)
				tx.End(err)
				done <- err
			}()
			return <-done
		}),
		"Serve": func(a *Agent) http.Handler {
			return a.Handler("/ws", serving(func(ctx context.Context, m Message) error {
				l.note(string(m.Data))
				busy()
				return FromContext(ctx).Write(ctx, TextMessage, m.Data)
			}, nil))
		},
	}
}

// talker sends numbered messages without a pause, and notes the answers.
type talker struct {
	name    string
	conn    *websocket.Conn
	answers []string
	end     error
	done    chan struct{}
}

func talk(t *testing.T, name, url string) *talker {
	dialer := &websocket.Dialer{EnableCompression: true}
	conn, _, err := dialer.Dial(url, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	x := &talker{name: name, conn: conn, done: make(chan struct{})}
	go func() {
		for n := 0; ; n++ {
			if conn.WriteMessage(websocket.TextMessage, fmt.Appendf(nil, "%s %d", name, n)) != nil {
				return
			}
		}
	}()
	go func() {
		defer close(x.done)
		for {
			_, data, err := conn.ReadMessage()
			if err != nil {
				x.end = err
				return
			}
			x.answers = append(x.answers, string(data))
		}
	}()
	return x
}

// TestDrainLosesNothing: under load, whatever a handler was given gets its answer
// before the close frame, however it is written.
func TestDrainLosesNothing(t *testing.T) {
	const clients = 10
	l := &ledger{read: map[string][]string{}}
	servers := answeringServers(l)
	for _, name := range slices.Sorted(maps.Keys(servers)) {
		t.Run(name, func(t *testing.T) {
			agent := New(Options{Messages: MessageOptions{Names: []string{"say"}}})
			url := serveWS(t, servers[name](agent))
			var talkers []*talker
			for i := range clients {
				talkers = append(talkers, talk(t, fmt.Sprintf("%s-%d", sanitizeName(name), i), url))
			}
			for _, x := range talkers {
				eventually(t, "each client is heard", func() bool { return l.count(x.name) > 5 })
			}
			ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
			defer cancel()
			if err := agent.Shutdown(ctx); err != nil {
				t.Fatal(err)
			}
			for _, x := range talkers {
				receive(t, x.done)
				if !websocket.IsCloseError(x.end, websocket.CloseGoingAway) {
					t.Errorf("%s: %v", x.name, x.end)
				}
				if read := l.of(x.name); !slices.Equal(read, x.answers) {
					t.Errorf("%s: %d were read and %d answered", x.name, len(read), len(x.answers))
				}
			}
			route := agent.Stats().Routes[0]
			if want := []ClosedStats{{CauseDrain, clients}}; !slices.Equal(route.Closed, want) {
				t.Errorf("closed: %v, want %v", route.Closed, want)
			}
		})
	}
}

func sanitizeName(name string) string {
	b := []byte(name)
	for i, x := range b {
		if x == ' ' || x == '\'' {
			b[i] = '_'
		}
	}
	return string(b)
}
