package main

import (
	"context"
	"fmt"
	"io"
	stdlog "log"
	"os"
	"time"

	"github.com/rs/zerolog"
	"go.elastic.co/ecszerolog"
)

// newLogger returns the logger of the whole process: one JSON object a line in
// the Elastic Common Schema, or lines for people. As an application may and a
// library must not, ecszerolog.New sets zerolog's global field names.
func newLogger(out io.Writer, cfg config) zerolog.Logger {
	level := zerolog.InfoLevel
	if cfg.debug {
		level = zerolog.DebugLevel
	}
	if cfg.pretty {
		lines := zerolog.ConsoleWriter{Out: out, NoColor: !terminal(out), TimeFormat: time.TimeOnly}
		return zerolog.New(lines).Level(level).With().Timestamp().Logger()
	}
	return ecszerolog.New(out, ecszerolog.Level(level)).With().
		Str("service.name", cfg.service).
		Str("service.environment", cfg.environment).
		Logger()
}

func terminal(out io.Writer) bool {
	f, ok := out.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// serverLog takes what net/http complains of, mostly peers that speak no HTTP
// or no TLS.
func serverLog(log zerolog.Logger) *stdlog.Logger {
	return stdlog.New(lineWriter{log}, "", 0)
}

// lineWriter logs each line that is written to it.
type lineWriter struct{ log zerolog.Logger }

func (w lineWriter) Write(line []byte) (int, error) {
	n := len(line)
	if n > 0 && line[n-1] == '\n' {
		line = line[:n-1]
	}
	w.log.Warn().Str("event.action", "http-server").Msg(string(line))
	return n, nil
}

// redisLog takes what go-redis has to say, which would go to standard error.
type redisLog struct{ log zerolog.Logger }

// Printf implements go-redis' logger.
func (l redisLog) Printf(_ context.Context, format string, args ...any) {
	l.log.Warn().Str("event.action", "redis-client").Msg(fmt.Sprintf(format, args...))
}

// newRelicLog takes what New Relic's agent has to say, which would go nowhere.
type newRelicLog struct{ log zerolog.Logger }

func (l newRelicLog) write(level zerolog.Level, what string, details map[string]any) {
	l.log.WithLevel(level).Str("event.action", "newrelic-agent").Msg(fmt.Sprint(what, " ", details))
}

// Error implements newrelic.Logger.
func (l newRelicLog) Error(what string, details map[string]any) {
	l.write(zerolog.ErrorLevel, what, details)
}

// Warn implements newrelic.Logger.
func (l newRelicLog) Warn(what string, details map[string]any) {
	l.write(zerolog.WarnLevel, what, details)
}

// Info implements newrelic.Logger.
func (l newRelicLog) Info(what string, details map[string]any) {
	l.write(zerolog.InfoLevel, what, details)
}

// Debug implements newrelic.Logger. The agent would show all that it sends.
func (l newRelicLog) Debug(string, map[string]any) {}

// DebugEnabled implements newrelic.Logger.
func (l newRelicLog) DebugEnabled() bool { return false }
