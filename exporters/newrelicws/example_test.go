package newrelicws_test

import (
	"context"
	"log"
	"net/http"
	"time"

	"github.com/newrelic/go-agent/v3/newrelic"

	"github.com/apmws/go-apmws/apmws"
	"github.com/apmws/go-apmws/exporters/newrelicws"
)

// The application is made as in any program that uses New Relic; here the
// variables NEW_RELIC_LICENSE_KEY, NEW_RELIC_APP_NAME and the like configure it.
func ExampleNew() {
	app, err := newrelic.NewApplication(newrelic.ConfigFromEnvironment())
	if err != nil {
		log.Print(err) // app is nil, and nothing is recorded
	}
	agent := apmws.New(apmws.Options{
		Exporters: []apmws.Exporter{newrelicws.New(app)},
		Messages:  apmws.MessageOptions{Name: apmws.JSONField("type"), Names: []string{"chat.join", "chat.say"}},
	})

	mux := http.NewServeMux()
	mux.Handle("/ws", agent.Handler("/ws", http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		// the handler as it was
	})))
	// log.Fatal(http.ListenAndServe("127.0.0.1:8080", mux))

	// Before the program ends: hand over what is left, and then send it.
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := agent.Shutdown(ctx); err != nil {
		log.Print(err)
	}
	app.Shutdown(5 * time.Second)
}
