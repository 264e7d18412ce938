package apmws_test

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/gorilla/websocket"
	"github.com/rs/zerolog"
	"github.com/rs/zerolog/hlog"

	"github.com/apmws/go-apmws/apmws"
)

// accessLog logs ordinary requests, each once, after its answer, under the field
// names of apmws. Handshakes are left to apmws, which logs them at once: this
// would print them when the connection ends, hours later. It may stand outside
// of agent.Handler, around a whole mux, or inside.
func accessLog(logger zerolog.Logger, next http.Handler) http.Handler {
	write := func(r *http.Request, status, size int, took time.Duration) {
		client, _, _ := net.SplitHostPort(r.RemoteAddr)
		line := hlog.FromRequest(r).Info().
			Str("event.action", "http-request").
			Str("http.request.method", r.Method).
			Str("url.path", r.URL.Path). // without the query, which may hold secrets
			Str("client.address", client).
			Str("user_agent.original", r.UserAgent()).
			Int("http.response.body.bytes", size).
			Int64("event.duration", took.Nanoseconds())
		if status != 0 { // the handler wrote something
			line.Int("http.response.status_code", status)
		}
		line.Msg("http request")
	}
	logged := hlog.NewHandler(logger)(hlog.AccessHandler(write)(next))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if apmws.IsHandshake(r) {
			next.ServeHTTP(w, r)
			return
		}
		logged.ServeHTTP(w, r)
	})
}

// An access log beside the agent: one line for an ordinary request, the agent's
// lines for a connection, all under the same field names.
func ExampleAgent_Handler_accessLog() {
	lines := make(shortLines, 10)
	logger := zerolog.New(lines) // zerolog.New(os.Stdout).With().Timestamp().Logger()
	agent := apmws.New(apmws.Options{Logger: &logger})

	mux := http.NewServeMux()
	mux.Handle("/ws", agent.Handler("/ws", http.HandlerFunc(echo)))
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	server := httptest.NewServer(accessLog(logger, mux))
	defer server.Close()

	resp, err := http.Get(server.URL + "/healthz")
	if err != nil {
		fmt.Println(err)
		return
	}
	resp.Body.Close()
	fmt.Println(<-lines)
	conn, _, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(server.URL, "http")+"/ws?token=secret", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(<-lines)
	fmt.Println(<-lines)
	conn.Close()
	fmt.Println(<-lines)
	// Output:
	// info: http request, GET /healthz, 200
	// info: websocket handshake, GET /ws
	// info: websocket connected, GET /ws, 101
	// info: websocket disconnected
}

// shortLines is a log's destination that keeps what is the same in every run.
type shortLines chan string

func (l shortLines) Write(line []byte) (int, error) {
	var f struct {
		Level, Message string
		Method         string `json:"http.request.method"`
		Path           string `json:"url.path"`
		Status         int    `json:"http.response.status_code"`
	}
	if err := json.Unmarshal(line, &f); err != nil {
		return 0, err
	}
	short := f.Level + ": " + f.Message
	if f.Path != "" {
		short += ", " + f.Method + " " + f.Path
	}
	if f.Status != 0 {
		short += fmt.Sprint(", ", f.Status)
	}
	l <- short
	return len(line), nil
}
