//go:build !race

package proof

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apmws/go-apmws/apmws"
	"github.com/apmws/go-apmws/dashboards/internal/boards"
	"github.com/apmws/go-apmws/dashboards/internal/evaluate"
	"github.com/apmws/go-apmws/exporters/wire/hour"
)

// line is one of a story: a transaction, or a line of the log.
type line struct {
	at   int64 // ms since 1970
	text string
}

// story is what happened on a connection.
type story struct {
	transactions, log []line
}

func (s *story) transaction(at time.Time, name, result string) {
	s.transactions = append(s.transactions, line{at.UnixMilli(), name + ": " + result})
}

func (s *story) logs(at time.Time, text string) {
	s.log = append(s.log, line{at.UnixMilli(), text})
}

// storyOf is what the script has made of a connection.
func (s *scene) storyOf(c *hour.Connection) story {
	var told story
	told.transaction(c.Opened, "CONNECT "+c.Route, "HTTP 1xx")
	told.logs(c.Opened, "websocket handshake")
	told.logs(c.Opened.Add(c.HandshakeTook), "websocket connected")
	for _, m := range s.Driven.Messages {
		if m.Connection != c {
			continue
		}
		recorded := slices.ContainsFunc(s.world.messages, func(x *fact) bool {
			return x.connection == c && x.told.Equal(m.At.Truncate(time.Millisecond))
		})
		if recorded {
			told.transaction(m.At, m.Name, m.Result)
		}
		switch {
		case m.Name == "file.share" && !m.Failed():
			told.logs(m.Done(), "file stored")
		case m.Name == "chat.join" && !m.Failed():
			told.logs(m.Done(), "room joined")
			told.logs(m.Done(), "websocket message")
		case m.Failed():
			told.logs(m.Done(), "websocket message")
		}
	}
	if !c.Closed.IsZero() {
		told.transaction(c.Closed, "DISCONNECT "+c.Route, string(c.Cause))
		told.logs(c.Closed, "websocket disconnected")
		if c.Route == "/ws/news" && c.Cause == apmws.CauseHeartbeatTimeout { // by the library's heartbeat
			told.logs(c.Closed, "websocket peer lost")
		}
	}
	return told
}

// storyOfRefusal is that of a handshake that was refused.
func storyOfRefusal(r *hour.Refusal) story {
	var told story
	told.transaction(r.At, "CONNECT "+r.Route, fmt.Sprintf("HTTP %dxx", r.Status/100))
	told.logs(r.At, "websocket handshake")
	if r.Reason == "quota" {
		told.logs(r.At.Add(r.Took), "quota exceeded")
	}
	told.logs(r.At.Add(r.Took), "websocket refused")
	return told
}

// TestStory: a click on a connection makes the dashboard of errors tell all that
// happened on it, and nothing else.
func TestStory(t *testing.T) {
	s := newScene(t)
	type kind struct {
		name string
		is   func(c *hour.Connection, errors float64) bool
	}
	inTheHour := func(c *hour.Connection) bool { return c.Opened.After(s.Start) && !c.Closed.IsZero() }
	causedBy := func(cause apmws.CloseCause) func(*hour.Connection, float64) bool {
		return func(c *hour.Connection, _ float64) bool { return inTheHour(c) && c.Cause == cause }
	}
	errorsOf := make(map[*hour.Connection]float64)
	for _, x := range s.world.errors {
		errorsOf[x.connection]++
	}
	for _, k := range []kind{
		{"several errors", func(c *hour.Connection, errors float64) bool {
			return inTheHour(c) && errors > 1 && !isFault(string(c.Cause))
		}},
		{"panicked", causedBy(apmws.CausePanic)},
		{"gave up", causedBy(apmws.CauseHandlerError)},
		{"never read", causedBy(apmws.CauseWriteError)},
		{"silent", causedBy(apmws.CauseHeartbeatTimeout)},
		{"lost by the library", func(c *hour.Connection, _ float64) bool {
			return inTheHour(c) && c.Cause == apmws.CauseHeartbeatTimeout && c.Route == "/ws/news"
		}},
		{"too slow", causedBy(apmws.CauseSlowConsumer)},
		{"too old", causedBy(apmws.CauseMaxAge)},
		{"drained", causedBy(apmws.CauseDrain)},
		{"sent away", causedBy(apmws.CauseApplication)},
		{"sampled", func(c *hour.Connection, errors float64) bool {
			return inTheHour(c) && c.Service == "feeds" && c.MessagesReceived > 20 && errors > 0
		}},
		{"on level 1", func(c *hour.Connection, _ float64) bool {
			return inTheHour(c) && c.Route == "/ws/notify" && c.MessagesReceived > 5
		}},
		{"still open", func(c *hour.Connection, _ float64) bool { return c.Opened.After(s.Start) && c.Closed.IsZero() }},
		{"long", func(c *hour.Connection, _ float64) bool {
			return c.Closed.Sub(c.Opened) > 12*time.Hour && c.MessagesReceived > 5
		}},
	} {
		t.Run(k.name, func(t *testing.T) {
			i := slices.IndexFunc(s.Driven.Connections, func(c *hour.Connection) bool { return k.is(c, errorsOf[c]) })
			if i < 0 {
				t.Fatal("there is none")
			}
			c := s.Driven.Connections[i]
			s.checkStory(t, s.idOf(t, c.Node, c.Opened), s.storyOf(c), c.Opened, func(x *fact) bool { return x.connection == c })
		})
	}
	t.Run("refused", func(t *testing.T) {
		for _, reason := range []string{"quota", "origin", "unauthenticated", "draining"} {
			i := slices.IndexFunc(s.Driven.Refusals, func(r *hour.Refusal) bool { return r.At.After(s.Start) && r.Reason == reason })
			if i < 0 {
				t.Fatalf("nobody was refused for %s", reason)
			}
			r := s.Driven.Refusals[i]
			id := s.idOf(t, r.Node, r.At)
			s.checkStory(t, id, storyOfRefusal(r), r.At, func(x *fact) bool { return x.id == id })
		}
	})
}

// idOf returns the id of the connection whose handshake arrived on a node at a time.
func (s *scene) idOf(t *testing.T, node string, at time.Time) string {
	t.Helper()
	for _, x := range s.world.connects {
		if x.Node == node && x.told.Equal(at.Truncate(time.Millisecond)) && x.id != "" {
			return x.id
		}
	}
	t.Fatalf("no handshake arrived on %s at %v", node, at)
	return ""
}

// checkStory compares what the dashboard of errors shows of a connection, since that
// began, with its story.
func (s *scene) checkStory(t *testing.T, id string, want story, began time.Time, is func(*fact) bool) {
	t.Helper()
	d := s.dashboard(t, boards.ErrorsID)
	from := s.Start
	if began.Before(from) {
		from = began.Add(-time.Minute)
	}
	panels := s.showFrom(t, from, d, `labels.websocket_connection_id: "`+id+`"`)
	compareLines(t, "Transactions", panel(t, panels, "Transactions"), want.transactions, func(hit map[string]any) string {
		return fmt.Sprintf("%v: %v", hit["transaction.name"], hit["transaction.result"])
	})
	compareLines(t, "Log lines", panel(t, panels, "Log lines"), want.log, func(hit map[string]any) string {
		return fmt.Sprint(hit["message"])
	})
	// The tables tell of this connection alone. The tiles, which are of all, have no
	// value.
	w := *s.world
	w.start = from
	for _, list := range w.lists() {
		*list = list.where(func(x *fact) bool { return is(x) })
	}
	all := checks()
	for _, p := range panels {
		check := all[keyOf(d, p)]
		if check == nil {
			continue
		}
		want := check(&w)
		if from.Before(s.Start) { // the intervals of a day are of no interest
			delete(want, trendLayer)
			if strings.Contains(p.Panel.Title, "per minute") {
				continue
			}
			p.Tables = map[string]*evaluate.Table{mainLayer: p.Tables[mainLayer]}
		}
		if err := verify(p, want); err != nil {
			t.Errorf("%s: %v", p.Panel.Title, err)
		}
	}
}

// compareLines compares a search with the lines of a story. Both are by time; what
// happened in a millisecond is in any order.
func compareLines(t *testing.T, title string, p *evaluate.Panel, want []line, textOf func(hit map[string]any) string) {
	t.Helper()
	var got []line
	for _, hit := range p.Hits {
		text, _ := hit["@timestamp"].(string)
		at, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, line{at.UnixMilli(), textOf(hit)})
	}
	if !slices.IsSortedFunc(got, func(a, b line) int { return cmp.Compare(b.at, a.at) }) {
		t.Errorf("%s: the newest are not first", title)
	}
	sortLines(got)
	sortLines(want)
	if len(want) == 0 || !slices.Equal(got, want) {
		t.Errorf("%s are\n%v, want\n%v", title, got, want)
	}
}

func sortLines(lines []line) {
	slices.SortFunc(lines, func(a, b line) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.text, b.text)) })
}
