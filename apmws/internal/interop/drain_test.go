package interop

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/apmws/go-apmws/apmws"
)

// TestDrainPlainHandlers: whatever a plain handler of any library has read is answered
// before the close frame of Agent.Shutdown, under load, over TCP and TLS; and the
// library's read then ends as if the peer had closed.
func TestDrainPlainHandlers(t *testing.T) {
	eachLibrary(t, func(t *testing.T, l library) {
		eachTransport(t, func(t *testing.T, withTLS bool) { testDrain(t, l, withTLS) })
	})
}

func testDrain(t *testing.T, l library, withTLS bool) {
	const clients = 8
	var mu sync.Mutex
	read, ends := map[string]int{}, 0
	count := func() (n int) {
		mu.Lock()
		defer mu.Unlock()
		for _, x := range read {
			n += x
		}
		return n
	}
	w := newWatch(apmws.Options{})
	s := start(t, w.agent.Handler(route, l.serve(upgrading{}, func(c wsConn, r *http.Request) {
		for {
			op, payload, err := c.receive()
			mu.Lock()
			if err != nil {
				ends++
				mu.Unlock()
				return
			}
			read[r.Header.Get("X-Client")]++
			mu.Unlock()
			if c.send(op, slices.Clone(payload)) != nil {
				t.Error("an answer could not be written")
				return
			}
		}
	})), withTLS)

	var peers sync.WaitGroup
	answers := make([]int, clients)
	for i := range clients {
		dialer := websocket.Dialer{TLSClientConfig: s.clientTLS()}
		if !withTLS {
			dialer.TLSClientConfig = (*tls.Config)(nil)
		}
		conn, _, err := dialer.Dial("ws"+strings.TrimPrefix(s.URL, "http")+route, http.Header{"X-Client": {fmt.Sprint(i)}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		go func() {
			for conn.WriteMessage(websocket.TextMessage, []byte("hello")) == nil {
			}
		}()
		peers.Go(func() {
			for {
				if _, _, err := conn.ReadMessage(); err != nil {
					if !websocket.IsCloseError(err, websocket.CloseGoingAway) {
						t.Errorf("the peer reads %v", err)
					}
					return
				}
				answers[i]++
			}
		})
	}
	eventually(t, "traffic", func() bool { return count() > 50*clients })
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := w.agent.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	peers.Wait()
	eventually(t, "the handlers' ends", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return ends == clients
	})
	for i, n := range answers {
		if got := read[fmt.Sprint(i)]; got != n {
			t.Errorf("of client %d %d messages were read and %d answered", i, got, n)
		}
	}
	if want := []apmws.ClosedStats{{Cause: apmws.CauseDrain, Count: clients}}; !slices.Equal(w.stats(t).Closed, want) {
		t.Errorf("closed: %v", w.stats(t).Closed)
	}
}
