//go:build !race

package proof

import (
	"slices"
	"testing"
	"time"

	"github.com/apmws/go-apmws/dashboards/internal/boards"
	"github.com/apmws/go-apmws/dashboards/internal/evaluate"
)

// The incident and the restart, as the script has them.
const (
	loopingUser    = "integration-7"
	loopingAddress = "203.0.113.77"
	billing        = "api.billing.example:443"
	billingHost    = "api.billing.example"
	rooms          = "chat › /ws/rooms/{room}"
	restarted      = "chat › chat-2"

	incidentBegins = 18
	incidentEnds   = 28
	restartBegins  = 40
	restartEnds    = 42
)

// chart is a series of a panel as a person reads it: a value for each minute.
type chart []float64

// read returns the values of the column of that label; where there is none, −1.
func (s *scene) read(t *testing.T, panels []*evaluate.Panel, title, label, key string) chart {
	t.Helper()
	p := panel(t, panels, title)
	id := columnOf(t, p, label)
	minutes := make(chart, int(s.End.Sub(s.Start).Minutes()))
	for i := range minutes {
		minutes[i] = -1
	}
	for _, row := range p.Tables[mainLayer].Rows {
		at, ok := row["time"].(time.Time)
		if !ok || key != "" && row["split"] != key {
			continue
		}
		if n, ok := row[id].(float64); ok {
			minutes[int(at.Sub(s.Start).Minutes())] = n
		}
	}
	return minutes
}

func columnOf(t *testing.T, p *evaluate.Panel, label string) string {
	t.Helper()
	layer := p.Panel.Config.Attributes.Lens.State.Sources.FormBased.Layers[mainLayer]
	for _, id := range p.Tables[mainLayer].Columns {
		if layer.Columns[id].Label == label {
			return id
		}
	}
	t.Fatalf("%s has no column %q", p.Panel.Title, label)
	return ""
}

// mean is that of the minutes from one to another.
func (c chart) mean(from, to int) float64 {
	sum := 0.0
	for _, n := range c[from:to] {
		sum += n
	}
	return sum / float64(to-from)
}

// TestIncident: that a user's clients are in a loop, and that another service pays
// for it, can be read from the dashboards.
func TestIncident(t *testing.T) {
	s := newScene(t)
	n := 0.0
	for _, x := range s.world.whole().of(s.world.connects) {
		if x.user == loopingUser {
			n++
		}
		if (x.user == loopingUser) != (x.address == loopingAddress) {
			t.Fatalf("%+v is not as the script is told to be", x)
		}
	}
	connections := s.show(t, s.dashboard(t, boards.ConnectionsID))
	for title, who := range map[string]string{"Users with most handshakes": loopingUser, "Addresses with most handshakes": loopingAddress} {
		p := panel(t, connections, title)
		first, second := p.Tables[mainLayer].Rows[0], p.Tables[mainLayer].Rows[1]
		handshakes := columnOf(t, p, "Handshakes")
		if first["split"] != who || first[handshakes] != n || number(second[handshakes])*5 > n {
			t.Errorf("%s: %v and %v, want %s with %v far above all others", title, first, second, who, n)
		}
	}
	const quiet = 5 // minutes until the rest of it is over
	outbound := s.show(t, s.dashboard(t, boards.OutboundID))
	const callers = "Outbound calls per minute by host and caller"
	for _, c := range []struct {
		what  string
		times float64 // what is usual, at least
		of    chart
	}{
		{"calls to billing", 1.5, s.read(t, outbound, "Calls per minute by destination", "Calls", billing)},
		{"mean time of a call to billing", 2, s.read(t, outbound, "Mean time of a call by destination", "Mean time", billing)},
		{"calls to billing in handshakes", 2, s.read(t, outbound, callers, "Calls", billingHost+" › CONNECT")},
		{"churn", 2, s.read(t, connections, "Reconnect churn by route", "Churn", rooms)},
		// Those of all routes and environments.
		{"connects", 1.5, s.read(t, connections, "Handshakes per minute by status", "101", "")},
	} {
		before, within, after := c.of.mean(0, incidentBegins), c.of.mean(incidentBegins, incidentEnds), c.of.mean(incidentEnds+quiet, restartBegins)
		t.Logf("%s: %.3g before, %.3g within, %.3g after", c.what, before, within, after)
		if within < c.times*before || within < c.times*after {
			t.Errorf("%s: %v before, %v within, and %v after the incident", c.what, before, within, after)
		}
	}
	// No message calls more often than before.
	for _, caller := range []string{"notify.subscribe", "_OTHER"} {
		of := s.read(t, outbound, callers, "Calls", billingHost+" › "+caller)
		if before, within := of.mean(0, incidentBegins), of.mean(incidentBegins, incidentEnds); before <= 0 || within > 2*before {
			t.Errorf("calls to billing by %s: %v before, %v within the incident", caller, before, within)
		}
	}
	s.checkCallers(t, outbound)
}

// checkCallers: the tables say that it is the handshakes of one route that call, each
// of them once.
func (s *scene) checkCallers(t *testing.T, outbound []*evaluate.Panel) {
	t.Helper()
	whose := panel(t, outbound, "Whose calls are these?")
	ofBilling := slices.DeleteFunc(slices.Clone(whose.Tables[mainLayer].Rows), func(row map[string]any) bool {
		return row["host"] != billingHost
	})
	calls, before := columnOf(t, whose, "Calls"), columnOf(t, whose, "A week ago")
	first, second := ofBilling[0], ofBilling[1]
	if first["route"] != "/ws/rooms/{room}" || first["split"] != "CONNECT" || number(first[calls]) < 2*number(first[before]) ||
		number(first[calls]) < 2*number(second[calls]) {
		t.Errorf("billing is called by %v and %v", first, second)
	}
	each := panel(t, outbound, "Calls for each connection")
	perHandshake := columnOf(t, each, "Per handshake")
	for _, row := range each.Tables[mainLayer].Rows {
		least, most := 0.0, 0.0
		if row["split"] == "/ws/rooms/{room}" {
			least, most = 0.8, 1 // some are refused before
		}
		if n := number(row[perHandshake]); n < least || n > most {
			t.Errorf("%v calls in each handshake of %v, want %v to %v", n, row["split"], least, most)
		}
	}
}

// TestRestart: that a server was restarted can be read from the dashboards.
func TestRestart(t *testing.T) {
	s := newScene(t)
	overview, connections := s.show(t, s.dashboard(t, boards.OverviewID)), s.show(t, s.dashboard(t, boards.ConnectionsID))
	open := s.read(t, overview, "Open connections by node", "Open connections", restarted)
	if before, at, after := open.mean(0, restartBegins), open[restartBegins+1], open.mean(restartEnds+10, len(open)); before < 3 || at > 0 || after < before/4 {
		t.Errorf("open on %s: %v before, %v in minute %d, %v after", restarted, before, at, restartBegins+1, after)
	}
	for _, other := range []string{"chat › chat-1", "chat › chat-3"} {
		if of := s.read(t, overview, "Open connections by node", "Open connections", other); of[restartEnds] <= of[restartBegins-1] {
			t.Errorf("%s has %v before, %v after", other, of[restartBegins-1], of[restartEnds])
		}
	}
	for _, c := range []struct {
		what string
		of   chart
	}{
		{"503", s.read(t, connections, "Handshakes per minute by status", "503", "")},
		{"draining", s.read(t, connections, "Refusals per minute by reason", "Refusals", "draining")},
	} {
		for minute, n := range c.of {
			if during := minute >= restartBegins && minute < restartEnds; n != 0 && !during {
				t.Errorf("%s: %v in minute %d", c.what, n, minute)
			}
		}
		if c.of.mean(restartBegins, restartEnds) == 0 {
			t.Errorf("%s: none in the restart", c.what)
		}
	}
	for what, of := range map[string]chart{
		"1001":  s.read(t, connections, "Closes per minute by code", "Connections", "1001"),
		"drain": s.read(t, connections, "Closes per minute by cause", "Closes", "drain"),
	} {
		if of[restartBegins] <= 0 || of[restartBegins] < 3*of.mean(incidentEnds, restartBegins) {
			t.Errorf("%s: %v in minute %d, %v before", what, of[restartBegins], restartBegins, of.mean(incidentEnds, restartBegins))
		}
	}
}
