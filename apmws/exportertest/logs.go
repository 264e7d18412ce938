package exportertest

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"
	"sync"

	"github.com/apmws/go-apmws/apmws"
)

// lines are log lines in memory.
type lines struct {
	mu  sync.Mutex
	all bytes.Buffer
}

// Write implements io.Writer.
func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.Write(p)
}

// parsed returns the lines' fields.
func (l *lines) parsed(k *kit) (all []map[string]any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range bytes.Lines(l.all.Bytes()) {
		fields := make(map[string]any)
		if err := json.Unmarshal(line, &fields); err != nil {
			k.fatalf("a log line is no JSON: %v: %s", err, line)
		}
		all = append(all, fields)
	}
	return all
}

// loggerTo returns a logger of the type of an option, without an import of its
// package: the kit's dependencies are those of whoever uses it.
func loggerTo[L interface{ Output(io.Writer) L }](_ *L, to io.Writer) *L {
	var none L
	logger := none.Output(to)
	return &logger
}

// logged is an exporter as the agent's log lines know it.
type logged struct {
	s      *session
	prefix string // of its fields, with a dot; empty for the first one that has ids
}

// loggedBy returns the exporters whose ids are in log lines. Only the first
// LogCorrelator needs no prefix, and not where there are ids already.
func loggedBy(all []*session) (found []logged) {
	plain := true
	for _, s := range all {
		correlator, correlates := s.Exporter.(apmws.LogCorrelator)
		prefix := ""
		if correlates && !(plain && len(found) == 0) {
			prefix = correlator.Vendor() + "."
		}
		plain = plain && !correlates
		c := s.openConn()
		c.closed(apmws.ConnEnd{})
		_, identifies := c.span.(apmws.Identifier)
		if identifies && !s.Limits.NoIDs && (correlates || len(found) == 0) {
			found = append(found, logged{s: s, prefix: prefix})
		}
	}
	return found
}

func checkTogetherLogs(k *kit) {
	all, exporters := k.sessions()
	known := loggedBy(all)
	if len(known) == 0 {
		return
	}
	var out lines
	opts := apmws.Options{Exporters: exporters}
	opts.Logger = loggerTo(opts.Logger, &out)
	l := newLife()
	s := k.serve(l, opts)
	defer s.close()
	l.run(s)

	ids := make(map[string]map[string]bool) // by prefix
	for _, x := range known {
		if ids[x.prefix] == nil {
			ids[x.prefix] = make(map[string]bool)
		}
		for _, t := range x.s.sent().Transactions {
			ids[x.prefix][t.TraceID], ids[x.prefix][t.SpanID] = true, true
		}
	}
	seen := 0
	for _, fields := range out.parsed(k) {
		switch fields["event.action"] {
		case "websocket-connected", "websocket-refused", "websocket-message":
			seen++
			for prefix := range ids {
				k.wantLogged(fields, prefix, ids)
			}
		}
	}
	if seen == 0 {
		k.errorf("the agent has written no line about a connection")
	}
}

// wantLogged checks a line's fields with a prefix.
func (k *kit) wantLogged(fields map[string]any, prefix string, ids map[string]map[string]bool) {
	named := false
	for key, value := range fields {
		text, _ := value.(string)
		if !isID(text) || prefixOf(key, ids) != prefix || strings.HasPrefix(key, "labels.") {
			continue
		}
		named = true
		if !ids[prefix][text] {
			k.errorf("a line has %s = %s, which is not found in the back end", key, text)
		}
	}
	if !named {
		k.errorf("the line %q has no id with the prefix %q", fields["message"], prefix)
	}
}

// prefixOf returns the longest prefix of a key that is some exporter's.
func prefixOf(key string, ids map[string]map[string]bool) (longest string) {
	for prefix := range ids {
		if strings.HasPrefix(key, prefix) && len(prefix) > len(longest) {
			longest = prefix
		}
	}
	return longest
}
