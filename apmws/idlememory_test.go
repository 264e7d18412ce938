//go:build !race

package apmws

import (
	"net/http"
	"net/http/httptest"
	"runtime"
	"testing"
	"unsafe"

	"github.com/gorilla/websocket"
)

// An idle connection holds one of each of these: one more field can cost a whole size class
// of the allocator.
func TestIdleSizes(t *testing.T) {
	for _, test := range []struct {
		what      string
		size, max uintptr
	}{
		{"Conn", unsafe.Sizeof(Conn{}), 288},
		{"tap", unsafe.Sizeof(tap{}), 256},
		{"scope", unsafe.Sizeof(scope{}), 96},
		{"heart", unsafe.Sizeof(heart{}), 64},
	} {
		if test.size > test.max {
			t.Errorf("%s has %d bytes, more than the %d of its size class", test.what, test.size, test.max)
		}
	}
}

// A stack that has been deeper than 4 KiB once has 8 KiB for good, see handler.watch: level 1
// must not need so much more of it than net/http and gorilla do.
func TestIdleStack(t *testing.T) {
	plain, watched := echoServer(t), echoServer(t, New(Options{}))
	const connections = 250
	before := stacksInUse()
	openIdle(t, plain, connections)
	// These are still open below, and so stacks begin with the size that suits them.
	between := stacksInUse()
	openIdle(t, watched, connections)
	after := stacksInUse()

	// What tests before have left may end meanwhile, and make the first difference less.
	without, with := (float64(between)-float64(before))/connections, (float64(after)-float64(between))/connections
	if with > max(without, 4096)+1024 {
		t.Errorf("%.0f bytes of stack for each connection, and %.0f without apmws", with, without)
	}
}

// echoServer returns the address of a server that echoes messages in the usual way, below
// the agents' handlers.
func echoServer(t *testing.T, agents ...*Agent) string {
	t.Helper()
	var upgrader websocket.Upgrader
	var handler http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer conn.Close()
		for {
			typ, text, err := conn.ReadMessage()
			if err != nil {
				return
			}
			if err := conn.WriteMessage(typ, text); err != nil {
				return
			}
		}
	})
	for _, agent := range agents {
		handler = agent.Handler("/ws", handler)
	}
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return "ws" + server.URL[len("http"):]
}

// openIdle opens connections that have had one message, and wait for the next one.
func openIdle(t *testing.T, url string, connections int) {
	t.Helper()
	for range connections {
		conn, resp, err := websocket.DefaultDialer.Dial(url, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		t.Cleanup(func() { conn.Close() })
		if err := conn.WriteMessage(websocket.TextMessage, []byte(`{"type":"chat.say"}`)); err != nil {
			t.Fatal(err)
		}
		if _, _, err := conn.ReadMessage(); err != nil {
			t.Fatal(err)
		}
	}
}

// stacksInUse returns the bytes of all stacks when none can shrink any more.
func stacksInUse() uint64 {
	for range 4 {
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.StackInuse
}
