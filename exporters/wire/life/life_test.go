package life

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"testing"

	"github.com/apmws/go-apmws/apmws"
	"github.com/apmws/go-apmws/apmws/semconv"
)

// TestLifeIsWhole holds the script against the library's own lists: what is added
// there has to happen here.
func TestLifeIsWhole(t *testing.T) {
	story, err := Live(t.Context(), Options{Exporters: func() []apmws.Exporter { return nil }})
	if err != nil {
		t.Fatal(err)
	}
	var causes []string
	for _, c := range story.Connections {
		causes = append(causes, string(c.Cause))
	}
	known := declared(t, "../../../apmws/closecause.go", "Cause")
	if len(known) < 10 {
		t.Errorf("the library declares the causes %q alone", known)
	}
	for _, cause := range known {
		if !slices.Contains(causes, cause) {
			t.Errorf("no connection ends by %s", cause)
		}
	}
	var reasons []string
	statuses := map[int]bool{}
	for _, r := range story.Refusals {
		reasons = append(reasons, r.Reason)
		statuses[r.Status/100] = true
	}
	known = append(declared(t, "../../../apmws/lifecycle.go", "reason"), "quota", semconv.Other)
	if len(known) < 8 {
		t.Errorf("the library declares the reasons %q alone", known)
	}
	for _, reason := range known {
		if !slices.Contains(reasons, reason) {
			t.Errorf("no handshake is refused for %s", reason)
		}
	}
	if !statuses[0] || !statuses[4] || !statuses[5] {
		t.Errorf("statuses of refusals: %v", statuses)
	}
	for _, result := range declared(t, "../../../apmws/message.go", "result") {
		if !slices.ContainsFunc(story.Messages, func(m *Message) bool { return m.Result == result }) {
			t.Errorf("no message has the result %s", result)
		}
	}
}

// declared returns the string constants of a file whose names begin with a prefix.
func declared(t *testing.T, path, prefix string) (values []string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 || len(spec.Names[0].Name) <= len(prefix) || spec.Names[0].Name[:len(prefix)] != prefix {
			return true
		}
		if lit, ok := spec.Values[0].(*ast.BasicLit); ok && lit.Kind == token.STRING {
			value, err := strconv.Unquote(lit.Value)
			if err != nil {
				t.Fatal(err)
			}
			values = append(values, value)
		}
		return true
	})
	return values
}

// TestStatsAreTheStory compares the agents' counters with what the clients know.
func TestStatsAreTheStory(t *testing.T) {
	story, err := Live(t.Context(), Options{Exporters: func() []apmws.Exporter { return nil }})
	if err != nil {
		t.Fatal(err)
	}
	type counts struct{ opened, received, sent, bytesReceived, bytesSent, unanswered, answered, handled int64 }
	want, got := map[string]*counts{}, map[string]*counts{}
	of := func(all map[string]*counts, route string) *counts {
		if all[route] == nil {
			all[route] = &counts{}
		}
		return all[route]
	}
	for _, c := range story.Connections {
		n := of(want, c.Route)
		n.opened++
		n.received += c.MessagesReceived
		n.sent += c.MessagesSent
		n.bytesReceived += c.BytesReceived
		n.bytesSent += c.BytesSent
		n.unanswered += c.PingsUnanswered
		n.answered += c.PingsAnswered
	}
	for _, m := range story.Messages {
		of(want, m.Route).handled++
	}
	for _, stats := range story.Stats {
		for _, r := range stats.Routes {
			n := of(got, r.Route)
			*n = counts{
				r.ConnectionsOpened, r.MessagesReceived, r.MessagesSent, r.BytesReceived, r.BytesSent,
				r.PingsUnanswered, int64(r.PingRTT.Count), 0,
			}
			for _, m := range r.Messages {
				n.handled += int64(m.Duration.Count)
			}
			if r.ConnectionsActive != 0 {
				t.Errorf("%d connections of %s are still open", r.ConnectionsActive, r.Route)
			}
		}
	}
	for route, n := range want {
		if g := of(got, route); *g != *n {
			t.Errorf("%s: counted %+v, want %+v", route, *g, *n)
		}
	}
}
