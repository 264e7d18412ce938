package main

import (
	"encoding/json"
	"io"
	"net/http"
	"time"
)

const bodyWait = 5 * time.Second // for a request's body; the server has no timeout for whole requests

// readAll reads a request's body of at most limit bytes; a longer one is an
// *http.MaxBytesError.
func readAll(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	if err := http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyWait)); err != nil {
		return nil, err
	}
	return io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
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
