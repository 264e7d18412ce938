package interop

import (
	"bytes"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/apmws/go-apmws/apmws"
)

// TestHeartbeatBetweenFrames: pings go out between the frames of what several
// goroutines write, with any library, fragmented and compressed: what is sent
// arrives, and the pings do, too.
func TestHeartbeatBetweenFrames(t *testing.T) {
	t.Parallel()
	// Under traffic without end a ping waits for a second.
	const writers, least, pings, largest = 4, 20, 4, 64 << 10
	for name, compress := range map[string]bool{"plain": false, "compressed": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachLibrary(t, func(t *testing.T, l library) {
				eachTransport(t, func(t *testing.T, withTLS bool) {
					w := newWatch(apmws.Options{})
					enough := func() bool { return w.stats(t).PingRTT.Count >= pings }
					srv := start(t, w.agent.Handler(route, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						apmws.FromContext(r.Context()).Heartbeat(apmws.Heartbeat{Interval: time.Millisecond, Timeout: patience})
						l.serve(upgrading{compress: compress}, func(c wsConn, _ *http.Request) {
							var writing sync.WaitGroup
							var one sync.Mutex // as gorilla and gobwas demand
							until := time.Now().Add(patience)
							send := func(op byte, payload []byte) {
								one.Lock()
								defer one.Unlock()
								if err := c.send(op, payload); err != nil {
									t.Errorf("%d bytes: %v", len(payload), err)
								}
							}
							for i := range writers {
								writing.Go(func() {
									for n := 0; n < least || !enough() && time.Now().Before(until); n++ {
										send(opBinary, numbered(i, n, largest))
									}
								})
							}
							go func() {
								writing.Wait()
								send(opText, []byte("end"))
							}()
							for {
								op, payload, err := c.receive()
								if err != nil {
									return
								}
								send(op, payload)
							}
						}).ServeHTTP(w, r)
					})), withTLS)
					d := websocket.Dialer{TLSClientConfig: srv.clientTLS(), EnableCompression: compress}
					conn, _, err := d.Dial("ws"+strings.TrimPrefix(srv.URL, "http"), nil)
					if err != nil {
						t.Fatal(err)
					}
					defer conn.Close()
					next := [writers]int{}
					for {
						typ, got, err := conn.ReadMessage()
						if err != nil {
							t.Fatal(err)
						}
						if typ == websocket.TextMessage {
							break
						}
						i := int(got[0])
						if want := numbered(i, next[i], largest); !bytes.Equal(got, want) {
							t.Fatalf("message %d of %d has arrived as %d bytes, want %d", next[i], i, len(got), len(want))
						}
						next[i]++
					}
					// It goes on both ways, with the pings in between.
					go func() {
						for n := range least {
							if conn.WriteMessage(websocket.BinaryMessage, numbered(9, n, 1000)) != nil {
								return // the reader says why
							}
							time.Sleep(time.Millisecond)
						}
					}()
					for n := range least {
						if _, got, err := conn.ReadMessage(); err != nil || !bytes.Equal(got, numbered(9, n, 1000)) {
							t.Fatalf("echo %d: %d bytes, %v", n, len(got), err)
						}
					}
					if !enough() {
						t.Errorf("%d round trips, want %d", w.stats(t).PingRTT.Count, pings)
					}
				})
			})
		})
	}
}

// numbered returns the nth message of writer i: the same each time, of any size, and
// neither empty nor easy to compress.
func numbered(i, n, largest int) []byte {
	rnd := rand.NewChaCha8([32]byte{byte(i), byte(n), byte(n >> 8)})
	message := make([]byte, 1+rnd.Uint64()%uint64(largest))
	_, _ = rnd.Read(message) // never fails
	for at := 0; at+64 < len(message); at += 128 {
		clear(message[at : at+64])
	}
	message[0] = byte(i)
	return message
}
