package exportertest_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/apmws/go-apmws/apmws"
	"github.com/apmws/go-apmws/apmws/exportertest"
)

// What a program's handler makes of a handshake, seen by a Recorder.
func ExampleRecorder() {
	recorder := exportertest.NewRecorder()
	agent := apmws.New(apmws.Options{Exporters: []apmws.Exporter{recorder}})
	handler := agent.Handler("/rooms/{id}", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, span := apmws.StartSpan(r.Context(), "authenticate", apmws.SpanOptions{})
		span.End(context.Canceled)
		http.Error(w, "who are you?", http.StatusUnauthorized)
	}))

	r := httptest.NewRequest(http.MethodGet, "/rooms/7", nil)
	r.Header.Set("Connection", "Upgrade")
	r.Header.Set("Upgrade", "websocket")
	handler.ServeHTTP(httptest.NewRecorder(), r)

	sent, _ := recorder.Sent()
	for _, t := range sent.Transactions {
		fmt.Println(t.Type, t.Name, t.Result, t.Outcome)
		for _, s := range t.Spans {
			fmt.Println("  span", s.Name, s.Outcome)
		}
	}
	// Output:
	// Connection CONNECT /rooms/{id} HTTP 4xx success
	//   span authenticate failure
}
