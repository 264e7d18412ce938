package apmws_test

import (
	"context"
	"errors"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/apmws/go-apmws/apmws"
)

// A server that leaves without losing anything: the agent first, while the server still
// answers those who come.
func ExampleAgent_Shutdown() {
	agent := apmws.New(apmws.Options{})
	mux := http.NewServeMux()
	mux.Handle("/ws", agent.Handler("/ws", http.HandlerFunc(echo)))
	mux.HandleFunc("/ready", func(w http.ResponseWriter, _ *http.Request) {
		if agent.Draining() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	server := &http.Server{Addr: "127.0.0.1:8080", Handler: mux, ReadHeaderTimeout: 10 * time.Second}

	serve := func() error {
		signals := []os.Signal{os.Interrupt, syscall.SIGTERM}
		first, stop := signal.NotifyContext(context.Background(), signals...)
		go func() { _ = server.ListenAndServe() }()
		<-first.Done()
		stop()
		second, stop := signal.NotifyContext(context.Background(), signals...) // ends it at once
		defer stop()
		ctx, cancel := context.WithTimeout(second, 25*time.Second) // less than Kubernetes' 30
		defer cancel()
		return errors.Join(agent.Shutdown(ctx), server.Shutdown(ctx)) // in this order
	}
	_ = serve // log.Print(serve())
}
