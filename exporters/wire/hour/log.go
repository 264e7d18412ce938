package hour

import (
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

// Write implements io.Writer. zerolog writes whole lines.
func (b *logbook) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lines = append(b.lines, strings.TrimSuffix(string(p), "\n"))
	return len(p), nil
}

// logger returns a node's logger. Its lines are ECS, without zerolog's global names
// for fields, so that the messages' field is what it is by default.
func (b *logbook) logger(of nodeSpec) zerolog.Logger {
	ecs := zerolog.HookFunc(func(e *zerolog.Event, level zerolog.Level, _ string) {
		e.Str("@timestamp", time.Now().UTC().Format(logTime)).Str("log.level", level.String())
	})
	return zerolog.New(b).With().
		Str("service.name", of.service).Str("service.version", of.version).
		Str("service.environment", of.environment).Str("service.node.name", of.name).
		Logger().Hook(ecs)
}

func (b *logbook) all() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.lines)
}
