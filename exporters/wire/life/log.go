package life

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

// logbook is what the logger writes to.
type logbook struct {
	also io.Writer // may be nil

	mu    sync.Mutex
	lines []Line
	more  chan struct{} // closed with the next line
}

// Write implements io.Writer. zerolog writes whole lines.
func (b *logbook) Write(p []byte) (int, error) {
	var line Line
	if err := json.Unmarshal(p, &line); err != nil {
		return 0, fmt.Errorf("life: a log line that is no JSON: %w", err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lines = append(b.lines, line)
	close(b.more)
	b.more = make(chan struct{})
	if b.also != nil {
		return b.also.Write(p)
	}
	return len(p), nil
}

// logger returns an application's logger: its lines are ECS, without zerolog's
// global names for fields.
func (b *logbook) logger() zerolog.Logger {
	ecs := zerolog.HookFunc(func(e *zerolog.Event, level zerolog.Level, _ string) {
		e.Str("@timestamp", time.Now().UTC().Format("2006-01-02T15:04:05.000000Z07:00")).
			Str("log.level", level.String())
	})
	return zerolog.New(b).With().Str("service.name", "shop").Logger().Hook(ecs)
}

// wait waits for a line.
func (b *logbook) wait(ctx context.Context, what string, is func(Line) bool) error {
	for {
		b.mu.Lock()
		found, more := slices.ContainsFunc(b.lines, is), b.more
		b.mu.Unlock()
		if found {
			return nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return fmt.Errorf("life: no line %s in the log: %w", what, ctx.Err())
		}
	}
}

// waitAction waits for a line about a connection or a refused handshake.
func (b *logbook) waitAction(ctx context.Context, action, id string) error {
	return b.wait(ctx, action+" of "+id, func(l Line) bool {
		return l.Str("event.action") == action && l.Str("labels.websocket_connection_id") == id
	})
}

func (b *logbook) all() []Line {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.lines)
}
