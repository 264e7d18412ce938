package wire

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/apmws/go-apmws/exporters/wire/life"
)

// symbols are the names by which golden files call what differs between lives. Each
// is made of the story: Ada's second hello has the same in every life.
type symbols struct {
	story  *life.Story
	vendor string            // before the names of what only one of them has
	names  map[string]string // by id
	places map[string]int    // of connections in the story, by id
	lines  map[string]int    // the first line that has the id
	taken  map[string]bool
}

func newSymbols(story *life.Story) *symbols {
	s := &symbols{
		story: story, names: map[string]string{}, places: map[string]int{}, lines: map[string]int{},
		taken: map[string]bool{},
	}
	maps.Copy(s.names, story.Remote)
	for _, c := range story.Connections {
		s.name(c.ID, "connection "+c.Name)
		s.places[c.ID] = len(s.places)
	}
	for _, r := range story.Refusals {
		s.name(r.ID, "handshake "+r.Name)
		s.places[r.ID] = len(s.places)
	}
	for i, line := range story.Lines {
		for _, value := range line {
			if id, ok := value.(string); ok && isID(id) {
				if _, known := s.lines[id]; !known {
					s.lines[id] = i
				}
			}
		}
	}
	return s
}

// name names an id, unless that has a name: a trace that is continued has that of
// its beginning.
func (s *symbols) name(id, name string) {
	if id != "" && s.names[id] == "" {
		s.names[id] = name
	}
}

// unique returns a name that has not been given yet: with a number where there are
// several.
func (s *symbols) unique(what, of string) string {
	what = s.vendor + what
	for n := 1; ; n++ {
		name := what + of
		if n > 1 {
			name = fmt.Sprint(what, " ", n, of)
		}
		if !s.taken[name] {
			s.taken[name] = true
			return name
		}
	}
}

// entry is a transaction, span or error of either back end, before it is rendered.
type entry struct {
	doc        document
	connection string // id, or empty where only its transaction has it
	own        string // id
	transact   string // id of its transaction
	trace      string
	name       string
	at         float64
	place      []int // in its file
}

// document is a flat map of fields, in golden files one object.
type document map[string]any

// transactions names transactions, with their traces, in the order in which they
// happened, and returns them in that of the story. roots are the ids of the spans
// that stand for transactions, where those have one of their own.
func (s *symbols) transactions(all []*entry, roots map[string]string) []*entry {
	slices.SortFunc(all, func(a, b *entry) int {
		return cmp.Or(
			cmp.Compare(s.places[a.connection], s.places[b.connection]),
			// Clocks of back ends are coarse; the log is in order, and so is the story.
			// Ends have no ids in the log, nor has what is recorded after the fact.
			cmp.Compare(s.firstLine(a), s.firstLine(b)),
			cmp.Compare(s.toldAs(a), s.toldAs(b)),
			cmp.Compare(a.at, b.at),
		)
	})
	for i, tx := range all {
		what, _, _ := strings.Cut(tx.name, " /")
		name := s.unique(what, " of "+s.story.NameOf(tx.connection))
		s.name(tx.own, name)
		s.name(tx.trace, s.vendor+"trace of "+strings.TrimPrefix(name, s.vendor))
		if root := roots[tx.own]; root != "" {
			s.name(root, s.vendor+"span of "+strings.TrimPrefix(name, s.vendor))
		}
		tx.place = []int{i}
	}
	return all
}

func (s *symbols) firstLine(tx *entry) int {
	for _, id := range []string{tx.own, tx.trace} {
		if line, ok := s.lines[id]; ok && !strings.HasPrefix(tx.name, "DISCONNECT") {
			return line
		}
	}
	return len(s.story.Lines)
}

// toldAs is the place in the story of the first message of that name on its
// connection; what is no message comes last.
func (s *symbols) toldAs(tx *entry) int {
	i := slices.IndexFunc(s.story.Messages, func(m *life.Message) bool {
		return m.Name == tx.name && m.Connection == s.story.NameOf(tx.connection)
	})
	if i < 0 {
		return len(s.story.Messages)
	}
	return i
}

// below names spans or errors by their transactions, and returns them in the order of
// those, and then of their names: those that are side by side have no other.
func (s *symbols) below(transactions, all []*entry, what string) []*entry {
	places := map[string]int{}
	for i, tx := range transactions {
		places[tx.own] = i
	}
	slices.SortFunc(all, func(a, b *entry) int {
		return cmp.Or(
			cmp.Compare(places[a.transact], places[b.transact]), cmp.Compare(a.name, b.name), cmp.Compare(a.at, b.at),
		)
	})
	for _, e := range all {
		s.name(e.own, s.unique(strings.TrimSpace(what+" "+e.name), " in "+strings.TrimPrefix(s.names[e.transact], s.vendor)))
	}
	return all
}

// oneQuote returns the transactions with the first of those that were left to chance
// alone, and how many those were.
func oneQuote(all []*entry) (kept []*entry, quotes int) {
	first := slices.MinFunc(append([]*entry{{at: 1e300}}, all...), func(a, b *entry) int {
		return cmp.Compare(a.quotedAt(), b.quotedAt())
	})
	return slices.DeleteFunc(all, func(e *entry) bool {
		if !e.isQuote() {
			return false
		}
		quotes++
		return e != first
	}), quotes
}

func (e *entry) isQuote() bool { return strings.HasSuffix(e.name, "feed.quote") }

func (e *entry) quotedAt() float64 {
	if e.isQuote() {
		return e.at
	}
	return 1e300
}

// only returns the entries whose transactions are there.
func only(all, transactions []*entry) []*entry {
	return slices.DeleteFunc(all, func(e *entry) bool {
		return !slices.ContainsFunc(transactions, func(tx *entry) bool { return tx.own == e.transact })
	})
}

var (
	anID      = regexp.MustCompile(`^([0-9a-f]{16}|[0-9a-f]{32})$`)
	localPort = regexp.MustCompile(`127\.0\.0\.1:[0-9]+`)
	blocked   = regexp.MustCompile(`write blocked[^;]*; `)
	aTime     = regexp.MustCompile(`\b[0-9][0-9.]*(ns|µs|ms|s)\b`)
	instance  = regexp.MustCompile(`^(Datastore/instance/Redis/).*`)
	codeLine  = regexp.MustCompile(`\.go:[0-9]+`)
)

// maxRecent is how many events of the past New Relic has room for, however long
// their times are.
const maxRecent = 3

func isID(s string) bool { return anID.MatchString(s) }

// text replaces what differs between lives.
func (s *symbols) text(field, value string) string {
	if isID(value) {
		if name := s.names[value]; name != "" {
			return "<" + name + ">"
		}
		return "<an unknown id>" // which a test looks for
	}
	value = localPort.ReplaceAllString(value, "127.0.0.1:<port>")
	if strings.HasSuffix(field, "connection.recent") || strings.HasSuffix(field, "connection_recent") {
		// On a busy machine a write may have taken long; that is no part of the script.
		value = aTime.ReplaceAllString(blocked.ReplaceAllString(value, ""), "<time>")
		moments := strings.SplitAfter(value, "; ")
		if ofNewRelic := strings.HasSuffix(field, "connection.recent"); ofNewRelic && len(moments) > maxRecent {
			value = strings.Join(moments[:maxRecent], "") + "…" // where it was cut depends on the times
		}
	}
	return value
}

// value replaces what differs between lives.
func (s *symbols) value(field string, value any) any {
	switch value := value.(type) {
	case string:
		return s.text(field, value)
	case []any:
		all := make([]any, len(value))
		for i := range value {
			all[i] = s.value(field, value[i])
		}
		return all
	default:
		return value
	}
}
