package hour

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Save writes what can be loaded into a real stack to a directory, which it makes if
// need be: each of Requests to intake-00001.ndjson and so on, for the path
// /intake/v2/events of an APM Server with the content type application/x-ndjson,
// and Logs to logs.ndjson, for the path /logs-chat-default/_bulk of Elasticsearch.
func (r *Recording) Save(dir string) error {
	const readable, traversable = 0o644, 0o755
	if err := os.MkdirAll(dir, traversable); err != nil {
		return err
	}
	for i, request := range r.Requests {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("intake-%05d.ndjson", i+1)), request.Body, readable); err != nil {
			return err
		}
	}
	f, err := os.Create(filepath.Join(dir, "logs.ndjson"))
	if err != nil {
		return err
	}
	return errors.Join(r.writeLogs(f), f.Close())
}

// writeLogs writes the log in Elasticsearch's bulk format.
func (r *Recording) writeLogs(f *os.File) error {
	w := bufio.NewWriter(f)
	lines := json.NewEncoder(w)
	action := map[string]any{"create": map[string]any{}}
	for _, d := range r.Logs {
		if err := errors.Join(lines.Encode(action), lines.Encode(d)); err != nil {
			return err
		}
	}
	return w.Flush()
}
