package interop

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/apmws/go-apmws/apmws"
)

// TestDialer: a Dialer and a server that is watched, with each library, count the same,
// pings, fragments and compression included, and agree on the end.
func TestDialer(t *testing.T) {
	payloads := []string{"", "a", strings.Repeat("b", 125), strings.Repeat("c", 126), strings.Repeat("d", 70_000)}
	eachLibrary(t, func(t *testing.T, l library) {
		eachTransport(t, func(t *testing.T, withTLS bool) {
			compress := l.name != "gobwas"
			server := newWatch(apmws.Options{})
			s := start(t, server.agent.Handler(route, l.serve(upgrading{compress: compress}, func(c wsConn, _ *http.Request) {
				_ = c.ping()
				echo(c, nil)
			})), withTLS)
			client := apmws.New(apmws.Options{})
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			var got []string
			err := client.Dialer("feed", "ws"+strings.TrimPrefix(s.URL, "http"), apmws.DialerOptions{
				Dialer: websocket.Dialer{TLSClientConfig: s.clientTLS(), EnableCompression: compress},
				Connect: func(ctx context.Context, conn *apmws.Conn) (context.Context, error) {
					for _, payload := range payloads {
						if err := conn.Write(ctx, apmws.BinaryMessage, []byte(payload)); err != nil {
							return ctx, err
						}
					}
					return ctx, nil
				},
				Message: func(_ context.Context, m apmws.Message) error {
					if got = append(got, string(m.Data)); len(got) == len(payloads) {
						cancel()
					}
					return nil
				},
				Heartbeat: apmws.Heartbeat{Interval: 10 * time.Millisecond},
			}).Run(ctx)
			if !errors.Is(err, context.Canceled) || !slices.Equal(got, payloads) {
				t.Fatalf("%d messages came back, %v", len(got), err)
			}
			end := server.end(t)
			if end.end.Result != "going_away" {
				t.Errorf("the server's end: %+v", end)
			}
			theirs, ours := server.stats(t), client.Stats().Routes[0]
			if theirs.MessagesReceived != ours.MessagesSent || theirs.MessagesSent != ours.MessagesReceived ||
				theirs.BytesReceived != ours.BytesSent || theirs.BytesSent != ours.BytesReceived || ours.MessagesSent != int64(len(payloads)) {
				t.Errorf("the server counts %+v, the client %+v", theirs, ours)
			}
			if len(ours.Closed) != 1 || ours.Closed[0].Cause != apmws.CauseGoingAway {
				t.Errorf("the client's end: %+v", ours.Closed)
			}
		})
	})
}
