package elasticws_test

import (
	"context"
	"log"
	"net/http"
	"time"

	"go.elastic.co/apm/v2"

	"github.com/apmws/go-apmws/apmws"
	"github.com/apmws/go-apmws/exporters/elasticws"
)

// The tracer is made as in any program that uses Elastic APM; here it is the
// default one, which the variables ELASTIC_APM_SERVER_URL and the like
// configure.
func ExampleNew() {
	tracer := apm.DefaultTracer()
	agent := apmws.New(apmws.Options{
		Exporters: []apmws.Exporter{elasticws.New(tracer)},
		Messages:  apmws.MessageOptions{Name: apmws.JSONField("type"), Names: []string{"chat.join", "chat.say"}},
	})

	mux := http.NewServeMux()
	mux.Handle("/ws", agent.Handler("/ws", http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		// the handler as it was
	})))
	// log.Fatal(http.ListenAndServe("127.0.0.1:8080", mux))

	// Before the program ends: report the counters and send what is buffered.
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := agent.Shutdown(ctx); err != nil {
		log.Print(err)
	}
	tracer.Close()
}
