package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/apmws/go-apmws/exporters/livews"
)

// incidentNode is a server with an incident that has gone on for a while and is
// over: how many handshakes there were is what its log has of them.
type incidentNode struct {
	*node
	intake     *intake
	handshakes int
}

func playIncident(t *testing.T, which string) *incidentNode {
	t.Helper()
	n := &incidentNode{intake: startIntake(t)}
	for name, value := range map[string]string{
		"SERVER_URL": n.intake.URL, "API_REQUEST_TIME": "100ms", "CLOUD_PROVIDER": "none", "CENTRAL_CONFIG": "false",
	} {
		t.Setenv("ELASTIC_APM_"+name, value)
	}
	n.node = startNode(t, func(cfg *config) {
		cfg.incident, cfg.incidentPause, cfg.elastic = which, 20*time.Millisecond, n.intake.URL
	})
	for _, user := range incidentUsers() {
		n.log.wait(t, "visits of "+user, 3, of("websocket-connected", user))
	}
	n.incident.stop()
	n.handshakes = n.count(func(l logLine) bool {
		return l["event.action"] == "websocket-handshake" && l["labels.http_route"] == incidentPath &&
			l["client.address"] == "127.0.0.1" && l["user_agent.original"] == "chat-visitor"
	})
	if n.handshakes < 3*len(incidentUsers()) {
		t.Fatalf("%d handshakes", n.handshakes)
	}
	n.log.wait(t, "the last end", n.handshakes, action("websocket-disconnected"))
	return n
}

// of matches a user's lines of an action.
func of(name, user string) func(logLine) bool {
	return func(l logLine) bool { return l["event.action"] == name && l["user.id"] == user }
}

func (n *incidentNode) count(match func(logLine) bool) int {
	found, _ := n.log.all(match)
	return len(found)
}

// checkCalls checks that the billing API's own log, the agent's count, Prometheus'
// and the live page's agree in how many calls the handshakes have made.
func (n *incidentNode) checkCalls(t *testing.T, want int) {
	t.Helper()
	if asked := n.count(action("billing-request")); asked != want {
		t.Errorf("the billing API was asked %d times in %d handshakes, want %d", asked, n.handshakes, want)
	}
	for _, r := range n.agent.Stats().Routes {
		if r.Route != incidentPath {
			continue
		}
		if r.ConnectionsOpened != int64(n.handshakes) || len(r.Refused) != 0 {
			t.Errorf("%d connections and %v refused, want %d", r.ConnectionsOpened, r.Refused, n.handshakes)
		}
		if len(r.Calls) != 1 || r.Calls[0].Name != "CONNECT" || r.Calls[0].Address != "billing" || r.Calls[0].Count != int64(want) {
			t.Errorf("counted %+v, want %d calls", r.Calls, want)
		}
	}
	_, text := request(t, http.MethodGet, n.url+"metrics", "", nil)
	for series, want := range map[string]int{
		`websocket_connections_opened_total{http_route="/incident/ws"}`:                                                       n.handshakes,
		`websocket_outbound_calls_total{http_route="/incident/ws",server_address="billing",websocket_message_name="CONNECT"}`: want,
	} {
		if got := seriesValue(text, series); got != fmt.Sprint(want) {
			t.Errorf("%s is %q, want %d", series, got, want)
		}
	}
	var live livews.Document
	if err := json.Unmarshal([]byte(liveData(t, n.url)), &live); err != nil {
		t.Fatal(err)
	}
	row := livews.Calls{Host: "billing", Route: incidentPath, Name: "CONNECT", Count: int64(want)}
	if len(live.Calls) != 1 || live.Calls[0] != row {
		t.Errorf("the live page has the calls %+v, want %+v", live.Calls, row)
	}
}

// billed returns the users in whose CONNECT the billing API was asked, as Elastic
// has it when all has been sent, and checks Elastic's counter.
func (n *incidentNode) billed(t *testing.T, calls int) (users []string) {
	t.Helper()
	n.stop()
	connects, _ := n.intake.all("transaction", "CONNECT "+incidentPath)
	if len(connects) != n.handshakes {
		t.Errorf("Elastic has %d CONNECTs, want %d", len(connects), n.handshakes)
	}
	above := map[string]event{} // by id
	for _, e := range connects {
		above[e.ID] = e
	}
	authenticates, _ := n.intake.all("span", "authenticate")
	for _, e := range authenticates {
		above[e.ID] = e
	}
	spans, _ := n.intake.all("span", "GET billing")
	for _, span := range spans {
		connect := above[span.TransactionID]
		if connect.kind != "transaction" || above[span.ParentID].Name != "authenticate" || span.Context.Destination.Service.Resource != "billing:80" {
			t.Errorf("a call is not below the authentication of a CONNECT: %+v", span)
		}
		users = append(users, connect.Context.User.ID)
	}
	key := "websocket.outbound.calls http_route=/incident/ws server_address=billing websocket_message_name=CONNECT"
	sum := 0.0
	for _, delta := range n.intake.series()[key].values {
		sum += delta
	}
	if sum != float64(calls) {
		t.Errorf("Elastic's %s comes to %v, want %d", key, sum, calls)
	}
	return users
}

// TestIncident: with the bug each handshake calls the billing API, and each place
// where one looks leads to the cause: the log, the counters and Elastic's traces.
func TestIncident(t *testing.T) {
	n := playIncident(t, incidentBug)
	n.checkCalls(t, n.handshakes)

	// The log: the same few users come again and again, and each time a session's
	// cookie is lost, of which a warning tells why.
	visits := 0
	for _, user := range incidentUsers() {
		connected := n.count(of("websocket-connected", user))
		visits += connected
		if asked := n.count(of("billing-request", user)); asked != connected {
			t.Errorf("%s has connected %d times and was billed %d times", user, connected, asked)
		}
		lost := n.log.wait(t, "lost cookies of "+user, connected, of("websocket-cookie-lost", user))
		if line := lost[0]; len(lost) != connected || line["log.level"] != "warn" || line["labels.websocket_cookie_names"] != "session" ||
			line["labels.http_route"] != incidentPath || !strings.Contains(line.str("error.message"), "BeforeUpgrade") {
			t.Errorf("%s has connected %d times, and lost cookies by %d lines: %v", user, connected, len(lost), line)
		}
	}
	if visits != n.handshakes {
		t.Errorf("%d visits of the users, %d handshakes", visits, n.handshakes)
	}

	// Elastic: a call below each CONNECT.
	if billed := n.billed(t, n.handshakes); len(billed) != n.handshakes {
		t.Errorf("%d CONNECTs have a call, want %d", len(billed), n.handshakes)
	}
}

// TestIncidentFixed: with the session committed before the upgrade each user is
// billed once, however often they connect.
func TestIncidentFixed(t *testing.T) {
	n := playIncident(t, incidentFixed)
	users := len(incidentUsers())
	n.checkCalls(t, users)
	for _, user := range incidentUsers() {
		if asked := n.count(of("billing-request", user)); asked != 1 {
			t.Errorf("%s was billed %d times", user, asked)
		}
	}
	if lost := n.count(action("websocket-cookie-lost")); lost != 0 {
		t.Errorf("%d cookies were lost", lost)
	}
	seen := map[string]bool{}
	for _, user := range n.billed(t, users) {
		seen[user] = true
	}
	if len(seen) != users {
		t.Errorf("Elastic has calls of %v", seen)
	}
}

// A billing API that fails keeps nobody out, and is asked again.
func TestIncidentWithoutBilling(t *testing.T) {
	n := startNode(t, func(cfg *config) { cfg.incident, cfg.incidentPause = incidentFixed, 20*time.Millisecond })
	n.billing.api.Close()
	connected, _ := n.log.all(action("websocket-connected"))
	n.log.wait(t, "visits", len(connected)+2*len(incidentUsers()), action("websocket-connected"))
}

// A token that has expired is renewed, and -incident needs no other traffic.
func TestVisitorSignsInAgain(t *testing.T) {
	n := startNode(t, func(cfg *config) { cfg.incident, cfg.incidentPause = incidentBug, 20*time.Millisecond })
	v := newVisitor("Zoe", n.url)
	v.token = "expired"
	if err := v.visit(n.incident); err == nil || v.token != "" {
		t.Errorf("a bad token: %v, and it is kept as %q", err, v.token)
	}
	if err := v.visit(n.incident); err != nil {
		t.Error(err)
	}
	n.log.wait(t, "Zoe's visit", 1, of("websocket-connected", "Zoe"))
}

// The flag alone is enough, and the end is as clean as without it.
func TestIncidentCommand(t *testing.T) {
	t.Parallel()
	p := startProcess(t, []string{"-incident"}, nil)
	p.stdout.wait(t, "Ada's lost cookies", 2, of("websocket-cookie-lost", "Ada"))
	p.signal(t, syscall.SIGTERM)
	if code := p.waitExit(t); code != 0 {
		t.Errorf("exit code %d\n%s%s", code, p.stdout, p.stderr)
	}
	if found, _ := p.stdout.all(action("visitor")); len(found) > 0 {
		t.Errorf("visitors complain: %v", found)
	}
}
