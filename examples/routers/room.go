package routers

import (
	"context"
	"net/http"

	"github.com/gorilla/websocket"

	"github.com/apmws/go-apmws/apmws"
)

var upgrader websocket.Upgrader

// room is the handler of a connection to a room: level 2.
func room(w http.ResponseWriter, r *http.Request) { serveRoom(w, r, r.PathValue("id")) }

// serveRoom answers each message with itself after the room's id.
func serveRoom(w http.ResponseWriter, r *http.Request, id string) {
	conn, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return // Upgrade has answered
	}
	defer conn.Close()
	_ = apmws.Serve(r.Context(), conn, func(ctx context.Context, m apmws.Message) error {
		return answer(ctx, id, m)
	})
}

type roomKey struct{}

// roomOptions describe the same room as an endpoint: level 3. chi, gin and echo
// use what holds their parameters for the next request as soon as the handler
// has returned, and that of an endpoint returns after the upgrade. So what
// Message needs is taken before.
func roomOptions() apmws.EndpointOptions {
	return apmws.EndpointOptions{
		Authenticate: func(ctx context.Context, r *http.Request) (context.Context, error) {
			return context.WithValue(ctx, roomKey{}, r.PathValue("id")), nil
		},
		Message: func(ctx context.Context, m apmws.Message) error {
			id, _ := ctx.Value(roomKey{}).(string)
			return answer(ctx, id, m)
		},
	}
}

func answer(ctx context.Context, id string, m apmws.Message) error {
	return apmws.FromContext(ctx).Write(ctx, m.Type, append([]byte(id+": "), m.Data...))
}
