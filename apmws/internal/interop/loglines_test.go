package interop

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
)

// logLines collects what a logger writes.
type logLines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logLines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *logLines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// lines returns the lines whose event.action is one of those given, or all.
func (l *logLines) lines(actions ...string) []map[string]any {
	var lines []map[string]any
	for raw := range bytes.Lines([]byte(l.String())) {
		var line map[string]any
		if err := json.Unmarshal(raw, &line); err != nil {
			panic(fmt.Sprintf("not a JSON line: %q", raw))
		}
		if action, _ := line["event.action"].(string); len(actions) == 0 || slices.Contains(actions, action) {
			lines = append(lines, line)
		}
	}
	return lines
}
