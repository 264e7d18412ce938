package main

import (
	"net/http"
	"time"

	"github.com/rs/zerolog"
	"github.com/rs/zerolog/hlog"

	"github.com/apmws/go-apmws/apmws"
)

// accessLog returns a middleware that logs each ordinary request once, after
// its answer, under the field names of apmws' own lines. A WebSocket handshake
// is left to the agent.Handler outside, which logs it when it arrives and when
// it is answered: hlog's line would come when the connection ends, perhaps
// hours later, with a status that was never sent.
//
// It belongs inside of agent.Handler where there is one:
//
//	logged := accessLog(logger, agent.ClientAddress, nil)
//	mux.Handle("/ws", agent.Handler("/ws", logged(handler)))
//	mux.Handle("/", logged(pages))
//
// An agent.Endpoint has nothing inside; handshakes go to it past the log, as in
// routes.
//
// Requests come from the address that client returns. Those for which quiet, if not
// nil, is true are logged at debug level.
func accessLog(log zerolog.Logger, client func(*http.Request) string, quiet func(*http.Request) bool) func(http.Handler) http.Handler {
	write := func(r *http.Request, status, size int, took time.Duration) {
		level := zerolog.InfoLevel
		switch {
		case status >= http.StatusInternalServerError:
			level = zerolog.ErrorLevel
		case quiet != nil && quiet(r):
			level = zerolog.DebugLevel
		}
		logAccess(hlog.FromRequest(r).WithLevel(level), r, client(r), status, size, took)
	}
	return func(next http.Handler) http.Handler {
		logged := hlog.NewHandler(log)(hlog.AccessHandler(write)(next))
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if apmws.FromContext(r.Context()) != nil {
				next.ServeHTTP(w, r)
				return
			}
			logged.ServeHTTP(w, r)
		})
	}
}

// logAccess writes a request's line: never its query, which may hold secrets.
func logAccess(line *zerolog.Event, r *http.Request, client string, status, size int, took time.Duration) {
	outcome := "success"
	switch {
	case status == 0: // nothing was written: the handler panicked, or 200 follows
		outcome = "unknown"
	case status >= http.StatusInternalServerError:
		outcome = "failure"
	}
	if status != 0 {
		line.Int("http.response.status_code", status)
	}
	line.Str("event.action", "http-request").
		Str("http.request.method", cut(r.Method, 16)).
		Str("url.path", cut(r.URL.Path, 1024)).
		Str("client.address", client).
		Str("user_agent.original", cut(r.UserAgent(), 512)).
		Int("http.response.body.bytes", size).
		Str("event.outcome", outcome).
		Int64("event.duration", took.Nanoseconds()).
		Msg("http request")
}

// cut bounds what the peer chose, in bytes.
func cut(s string, limit int) string { return s[:min(len(s), limit)] }
