package hour

import (
	"flag"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/apmws/go-apmws/apmws"
)

var (
	out = flag.String("out", "", "directory to write the recording of TestHour to")
	end = flag.String("end", "", `when that ends, in RFC 3339, or "now"`)
)

// shared is the recording that all tests look at. The first who asks makes it.
var shared struct {
	mu        sync.Mutex
	recording *Recording
}

func recorded(t *testing.T) *Recording {
	t.Helper()
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.recording == nil {
		opts := Options{Scale: scale}
		switch *end {
		case "":
		case "now":
			opts.End = time.Now()
		default:
			var err error
			if opts.End, err = time.Parse(time.RFC3339, *end); err != nil {
				t.Fatal(err)
			}
		}
		begun := time.Now()
		shared.recording = Simulate(t, opts)
		t.Logf("simulated in %v", time.Since(begun).Round(time.Millisecond))
	}
	return shared.recording
}

// TestHour shows how much there is, and writes it where that is asked for.
func TestHour(t *testing.T) {
	r := recorded(t)
	for _, err := range r.Rejected {
		t.Errorf("rejected: %v", err)
	}
	if r.End.Sub(r.Start) != time.Hour {
		t.Errorf("from %v to %v", r.Start, r.End)
	}
	t.Logf("%d documents, %d aggregates, %d log lines, %d requests", len(r.Documents), len(r.Aggregates), len(r.Logs), len(r.Requests))
	in := func(at time.Time) bool { return !at.Before(r.Start) && at.Before(r.End) }
	counts := map[string]int{}
	for _, c := range r.Driven.Connections {
		if in(c.Opened) {
			counts["opened on "+c.Route]++
		}
		if c.User == integrationUser {
			counts["of the incident"]++
		}
		if c.OpenAt(r.Start) {
			counts["open at the start"]++
		}
		if c.Closed.IsZero() {
			counts["open at the end"]++
		}
		if c.Closed.Sub(c.Opened) > 20*time.Hour && in(c.Closed) {
			counts["longer than 20 h"]++
		}
	}
	for _, x := range r.Driven.Refusals {
		if in(x.At) {
			counts["refused"]++
		}
	}
	for _, m := range r.Driven.Messages {
		if in(m.At) {
			counts["messages on "+m.Route]++
		}
	}
	for _, w := range r.Driven.Writes {
		if w.Blocked > time.Second {
			counts["writes blocked"]++
		}
	}
	for _, what := range slices.Sorted(maps.Keys(counts)) {
		t.Logf("%6d %s", counts[what], what)
	}
	for what, least := range map[string]int{
		"opened on " + routeRooms: 600, "opened on " + routeNotify: 150, "opened on " + routeQuotes: 80,
		"of the incident": 200, "open at the start": 60, "open at the end": 60, "longer than 20 h": 1, "refused": 100,
		"messages on " + routeRooms: 5000, "messages on " + routeNotify: 1000, "messages on " + routeQuotes: 3000,
		"writes blocked": 10,
	} {
		if least = int(float64(least) * scale); counts[what] < least {
			t.Errorf("%s: %d, want %d at least", what, counts[what], least)
		}
	}
	if *out != "" {
		if err := r.Save(*out); err != nil {
			t.Fatal(err)
		}
	}
}

// TestEverythingOccurs: each close cause and code, each reason and each result.
func TestEverythingOccurs(t *testing.T) {
	checkEverything(t, recorded(t))
}

func checkEverything(t *testing.T, r *Recording) {
	t.Helper()
	want := []string{
		"normal 1000 client", "normal 1005 client", "going_away 1001 client", "drain 1001 server", "max_age 1001 server",
		"slow_consumer none server",
		"application 4001 server", "heartbeat_timeout none network", "read_error none network", "protocol_error 1002 server",
		"message_too_big 1009 server", "write_error none network", "handler_error 1011 server", "panic 1011 server",
		"refused 401 unauthenticated", "refused 403 forbidden", "refused 403 origin", "refused 400 bad_handshake",
		"refused 503 draining", "refused 500 upgrade_failed", "refused 429 quota",
		"result ok", "result error", "result timeout", "result panic",
		"name _OTHER", "name chat.say", "name chat.typing", "name chat.join", "name chat.leave", "name chat.history",
		"name file.share", "name notify.ack", "name notify.subscribe", "name quote.tick", "name quote.subscribe", "name news.read",
		"broadcast ok", "broadcast partial", "queued", "dropped",
		"malformed", "ping answered", "ping lost", "ping skipped",
		"call redis", "call postgresql", "call api.billing.example:443 from CONNECT",
		"call api.billing.example:443 from notify.subscribe", "call api.billing.example:443 from _OTHER",
		"call files.example:443 from file.share", "call market.example:443 from quote.subscribe", "call push.example:443 from none",
		"call failed",
		"line websocket handshake", "line websocket connected", "line websocket refused", "line websocket message",
		"line websocket disconnected", "line room joined", "line websocket peer lost", "line websocket draining",
		"line websocket drained",
	}
	seen := map[string]bool{}
	see := func(format string, args ...any) { seen[fmt.Sprintf(format, args...)] = true }
	in := func(at time.Time) bool { return !at.Before(r.Start) && at.Before(r.End) }
	for _, c := range r.Driven.Connections {
		if in(c.Closed) {
			see("%s %s %s", c.Cause, c.Code, c.Initiator)
		}
	}
	for _, x := range r.Driven.Refusals {
		if in(x.At) {
			see("refused %d %s", x.Status, x.Reason)
		}
	}
	for _, m := range r.Driven.Messages {
		if in(m.At) {
			see("result %s", m.Result)
			see("name %s", m.Name)
		}
	}
	for _, e := range r.Driven.MalformedTraceContexts {
		if in(e.At) {
			see("malformed")
		}
	}
	for _, p := range r.Driven.Pings {
		switch {
		case p.Answered:
			see("ping answered")
		case p.Lost:
			see("ping lost")
		default:
			see("ping skipped")
		}
	}
	for _, c := range r.Driven.Calls {
		if see("call %s", c.Destination); c.Host != "" {
			see("call %s from %s", c.Destination, c.From)
		}
		if c.Outcome == apmws.OutcomeFailure {
			see("call failed")
		}
	}
	for _, b := range r.Driven.Broadcasts {
		see("broadcast %s", b.Result())
	}
	for _, q := range r.Driven.Queued {
		if q.Done.Sub(q.At) > time.Second {
			see("queued")
		}
		if q.Dropped {
			see("dropped")
		}
	}
	for _, d := range r.Logs {
		see("line %s", d.Text("message"))
	}
	for _, what := range want {
		if !seen[what] {
			t.Errorf("never: %s", what)
		}
	}
	causes := map[apmws.CloseCause]bool{}
	for _, c := range r.Driven.Connections {
		causes[c.Cause] = true
	}
	const known = 13 // close causes, and none while a connection is open
	if len(causes) != known+1 {
		t.Errorf("there are %d close causes, not %d: %v", len(causes)-1, known, causes)
	}
}
