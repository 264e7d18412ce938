package main

import (
	"encoding/json"
	"net/http"
	"time"
)

const bodyWait = 5 * time.Second // for a request's body

// boundBody gives up a request whose promised body does not come, also where
// nothing reads it: net/http does, before it sends the answer. The server's
// ReadTimeout would do so too, but ends requests without a body as well: a live
// page that is being watched, a handshake whose authentication takes long.
func boundBody(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength != 0 {
		// Fails when the connection is closed, which reading will tell.
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyWait))
	}
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the peer may have gone
}

func writeError(w http.ResponseWriter, status int, text string) {
	writeJSON(w, status, map[string]string{"error": text})
}
