package board

import (
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"

	"github.com/apmws/go-apmws/dashboards/grafana/proof/evaluate"
)

func keys[V any](of map[string]V) []string { return slices.Sorted(maps.Keys(of)) }

// answers are what panels show, by title: the value of each series by its name, which
// is that of a stat's one series by "".
type answers map[string]map[string]float64

// expected is computed by hand from what the simulated servers do. A percentile is
// interpolated within its bucket: of 30 of 0.512 to 1.024 ms, half is at 0.768 ms.
var expected = answers{
	"Open connections": {"": 100 * whole},
	"Opened":           {"": 3 * whole},
	"Refused":          {"": 0.25}, // 1 of 1 and 3
	"Messages handled": {"": 40 * whole},
	"Failed":           {"": 0.05}, // 2 of 40
	// 30 in the first bucket, 8 in the second, 2 in the last: 39.6 is 1.6 into those.
	"Handling, p99": {"": 0.008192 + 0.008192*1.6/2},

	"Open by route":    {"/ws": 300, "/rooms/{id}": 600},
	"Open by instance": {"node-0:8080": 300, "node-1:8080": 600},
	"Opened by route":  {"/ws": 9, "/rooms/{id}": 18},
	"Refused by reason": {
		"unauthenticated 401": 0.75 * whole, "origin 403": 0.25 * whole,
	},
	"Closed by cause": {"normal": 2 * whole, "heartbeat_timeout": 0.5 * whole},
	"How long closed connections were open": {
		"p50": 0.008192 * 1.5, "p95": 0.008192 * 1.95, "p99": 0.008192 * 1.99,
	},

	"Messages":        {"received": 40 * whole, "sent": 60 * whole},
	"Bytes":           {"received": 4000 * whole, "sent": 9000 * whole},
	"Handled by name": {"chat.say": 32 * whole, "chat.join": 8 * whole},
	"Failed by name":  {"chat.say": 2 * whole},
	"Handling time": {
		"p50": 0.000512 + 0.000512*20/30,
		"p95": 0.001024 + 0.001024*8/8, // 38 of 40
		"p99": 0.008192 + 0.008192*1.6/2,
	},
	"Handling time by name, p95": {
		"chat.say":  0.008192 + 0.008192*0.4/2, // 30.4 of 32
		"chat.join": 0.001024 * 1.95,
	},

	"Ping round trips": {"p50": 0.000512 * 1.5, "p95": 0.000512 * 1.95, "p99": 0.000512 * 1.99},
	"Unanswered pings": {"node-0:8080": 0.375, "node-1:8080": 0.75},
	"Writes":           {"p50": 0.001024 * 1.5, "p95": 0.001024 * 1.95, "p99": 0.001024 * 1.99},
	"Goroutines blocked in writes": {
		"/ws": 0.09 * 3, "/rooms/{id}": 0.09 * 6,
	},
	"Waiting in send queues":  {"/ws": 15, "/rooms/{id}": 30},
	"Given up by send queues": {"/ws": 0.375 * 3, "/rooms/{id}": 0.375 * 6},

	"Calls by host": {"billing.example": 4 * whole, "search.example": 2 * whole},
	"Calls by route and message": {
		"/ws CONNECT": 9, "/ws chat.say": 9, "/rooms/{id} CONNECT": 18, "/rooms/{id} chat.say": 18,
	},
	"Telemetry dropped": {"elasticws requests": 1.5},
}

// chosen is what the variables stand for.
type chosen struct{ job, instance, route string }

var everything = chosen{".*", ".*", ".*"}

// ask evaluates what a panel asks, as Grafana does: with the variables filled in, and
// each series named by the legend.
func ask(store *evaluate.Store, queries []query, with chosen) (map[string]float64, error) {
	got := map[string]float64{}
	for _, q := range queries {
		text := strings.NewReplacer("$job", with.job, "$instance", with.instance, "$route", with.route,
			"$__rate_interval", minute).Replace(q.expr)
		values, err := store.Instant(text, simulatedEnd())
		if err != nil {
			return nil, err
		}
		for _, v := range values {
			name := q.legend
			for label, value := range v.Labels {
				name = strings.ReplaceAll(name, "{{"+label+"}}", value)
			}
			got[name] = v.Value
		}
	}
	return got, nil
}

func same(a, b map[string]float64) bool {
	return maps.EqualFunc(a, b, func(x, y float64) bool { return math.Abs(x-y) <= 1e-9*math.Abs(y) })
}

// panelsOf returns the panels of the committed file.
func panelsOf(t *testing.T) map[string][]query {
	t.Helper()
	board := committed(t)
	found := map[string][]query{}
	for _, p := range panels(board) {
		var queries []query
		for _, target := range p.Targets {
			q, ok := target.(prometheus.Dataquery)
			if !ok {
				t.Fatalf("%s: a target of the type %T", *p.Title, target)
			}
			queries = append(queries, query{q.Expr, *q.LegendFormat})
		}
		found[*p.Title] = queries
	}
	return found
}

func panels(board dashboard.Dashboard) []dashboard.Panel {
	var all []dashboard.Panel
	for _, p := range board.Panels {
		if p.Panel != nil {
			all = append(all, *p.Panel)
		}
	}
	return all
}

// TestPanels: each panel of the file shows what the simulated servers do.
func TestPanels(t *testing.T) {
	store, all := simulate(), panelsOf(t)
	if a, b := keys(all), keys(expected); !slices.Equal(a, b) {
		t.Errorf("the panels are %q; expected are %q", a, b)
	}
	for title, queries := range all {
		got, err := ask(store, queries, everything)
		if err != nil {
			t.Errorf("%s: %v", title, err)
		} else if !same(got, expected[title]) {
			t.Errorf("%s shows %v, expected is %v", title, got, expected[title])
		}
	}
}

// TestVariables: what is chosen at the top narrows every panel.
func TestVariables(t *testing.T) {
	store, all := simulate(), panelsOf(t)
	for title, queries := range all {
		// The first node and route do a ninth of all, telemetry a third.
		for what, with := range map[string]chosen{
			"job":      {"billing", ".*", ".*"},
			"instance": {".*", "node-2:8080", ".*"},
			"route":    {".*", ".*", "/none"},
		} {
			if title == "Telemetry dropped" && what == "route" {
				continue // which has no route
			}
			if got, err := ask(store, queries, with); err != nil || len(got) > 0 {
				t.Errorf("%s: another %s shows %v, %v", title, what, got, err)
			}
		}
	}
	got, err := ask(store, all["Open connections"], chosen{"chat", "node-1:8080", "/ws|/none"})
	if err != nil || !same(got, map[string]float64{"": 200}) {
		t.Errorf("of one node and route there are %v, %v", got, err)
	}
}

// TestNothingYet: servers that have just begun show noughts or nothing, and no errors.
func TestNothingYet(t *testing.T) {
	store := &evaluate.Store{}
	for at := simulatedStart; !at.After(simulatedEnd()); at = at.Add(step) {
		for _, name := range []string{active, opened, received, sent, bytesIn, bytesOut, unanswered, waiting, givenUp} {
			store.Add(at, evaluate.Labels{"__name__": name, "job": "chat", "instance": "node-0:8080", "http_route": "/ws"}, 0)
		}
		for _, name := range []string{lasted, pingRTT, writing} { // which are there from the start, too
			for _, le := range []string{"0.001024", "0.002048", "+Inf"} {
				store.Add(at, evaluate.Labels{
					"__name__": name + "_bucket", "job": "chat", "instance": "node-0:8080", "http_route": "/ws", "le": le,
				}, 0)
			}
		}
	}
	for title, queries := range panelsOf(t) {
		got, err := ask(store, queries, everything)
		if err != nil {
			t.Errorf("%s: %v", title, err)
		}
		for name, value := range got {
			if value != 0 {
				t.Errorf("%s shows %v for %s", title, value, name)
			}
		}
	}
}

// TestFaultsAreFound: a dashboard that is wrong does not pass for a right one.
func TestFaultsAreFound(t *testing.T) {
	store := simulate()
	for fault, change := range map[string][3]string{
		"a misspelt metric":         {"Open connections", active, "websocket_connection_active"},
		"a misspelt label":          {"Open by route", "http_route)", "http_routes)"},
		"a label that is not there": {"Closed by cause", "websocket_close_cause", "websocket_close_reason"},
		"a rate left out":           {"Opened", "sum(rate(", "sum((("},
		"another percentile":        {"Handling, p99", "0.99", "0.95"},
		"le left out":               {"Handling time by name, p95", "le,", ""},
		"the wrong outcome":         {"Failed by name", `"failure"`, `"success"`},
		"another unit of time":      {"Opened", "[$__rate_interval]", "[$__rate_interval])*60+sum(rate(x[1m]"},
		"a filter left out":         {"Open connections", `http_route=~"$route"`, ""},
	} {
		title, queries := change[0], slices.Clone(panelsOf(t)[change[0]])
		queries[0].expr = strings.ReplaceAll(queries[0].expr, change[1], change[2])
		queries[0].legend = strings.ReplaceAll(queries[0].legend, change[1], change[2])
		got, err := ask(store, queries, everything)
		narrowed, _ := ask(store, queries, chosen{".*", ".*", "/none"})
		if err == nil && same(got, expected[title]) && len(narrowed) == 0 {
			t.Errorf("%s is not found: %s", fault, queries[0].expr)
		}
	}
}
