// Command after is the server of before with apmws: what its connections and
// messages do is on its standard output and on a page.
package main

import (
	"context"
	"flag"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/gorilla/websocket"
	"github.com/rs/zerolog"

	"github.com/apmws/go-apmws/apmws"
	"github.com/apmws/go-apmws/exporters/livews"
)

var upgrader websocket.Upgrader

func echo(w http.ResponseWriter, r *http.Request) {
	conn, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return // Upgrade has answered
	}
	defer conn.Close()
	// Level 2: each message is a transaction, each answer a span of it.
	_ = apmws.Serve(r.Context(), conn, func(ctx context.Context, m apmws.Message) error {
		return apmws.FromContext(ctx).Write(ctx, m.Type, m.Data)
	})
}

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "address to listen on")
	flag.Parse()

	logger := zerolog.New(os.Stdout).With().Timestamp().Logger()
	live := livews.New(livews.Options{})
	agent := apmws.New(apmws.Options{
		Exporters: []apmws.Exporter{live},
		Logger:    &logger,
		Messages:  apmws.MessageOptions{Name: apmws.JSONField("type"), Names: []string{"hello", "bye"}},
	})

	// Level 1: the handshake, the connection and its end. The page shows who is
	// connected: keep it from the public.
	http.Handle("/echo", agent.Handler("/echo", http.HandlerFunc(echo)))
	http.Handle("/debug/ws/", live)

	log.Printf("listening on ws://%s/echo, live page http://%s/debug/ws/", *addr, *addr)
	server := http.Server{Addr: *addr, ReadHeaderTimeout: 5 * time.Second}
	log.Fatal(server.ListenAndServe())
}
