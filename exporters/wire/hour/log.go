package hour

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

// logTime is the format of @timestamp: always of the same length.
const logTime = "2006-01-02T15:04:05.000000000Z"

// logbook is what all nodes' loggers write to.
type logbook struct {
	mu    sync.Mutex
	lines []string
}

// logger returns a node's logger. Its lines have the fields that ecszerolog's have,
// without its setting of zerolog's global names: those are of the whole process.
func (b *logbook) logger(of nodeSpec) zerolog.Logger {
	at := zerolog.HookFunc(func(e *zerolog.Event, _ zerolog.Level, _ string) {
		e.Str("@timestamp", time.Now().UTC().Format(logTime))
	})
	return zerolog.New(ecs{b}).With().
		Str("ecs.version", "1.6.0").
		Str("service.name", of.service).Str("service.version", of.version).
		Str("service.environment", of.environment).Str("service.node.name", of.name).
		Logger().Hook(at)
}

// ecs gives the level, with which each line begins, the name that it has in ECS.
type ecs struct{ to io.Writer }

// Write implements io.Writer. zerolog writes whole lines.
func (w ecs) Write(line []byte) (int, error) {
	rest, ok := bytes.CutPrefix(line, []byte(`{"`+zerolog.LevelFieldName+`":`))
	if !ok {
		return 0, fmt.Errorf("hour: a log line that does not begin with its level: %s", line)
	}
	if _, err := w.to.Write(slices.Concat([]byte(`{"log.level":`), rest)); err != nil {
		return 0, err
	}
	return len(line), nil
}

// Write implements io.Writer. What is written is a whole line.
func (b *logbook) Write(line []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lines = append(b.lines, strings.TrimSuffix(string(line), "\n"))
	return len(line), nil
}

func (b *logbook) all() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.lines)
}
