package kql

import "testing"

func TestMatch(t *testing.T) {
	doc := map[string]any{
		"processor.event":              "transaction",
		"transaction.name":             "chat.say",
		"transaction.duration.us":      1500.0,
		"http.response.status_code":    101.0,
		"transaction.sampled":          true,
		"labels.websocket_close_code":  "1000",
		"labels.websocket_event":       "message",
		"labels.note":                  `a "quoted" \ or * thing`,
		"message":                      "WebSocket peer lost, code=1006",
		"error.exception.message":      "Broken pipe",
		"process.args":                 []any{"serve", "-addr", 8080.0, nil},
		"websocket.ping.rtt":           map[string]any{"values": []any{1.0}, "counts": []any{2.0}},
		"@timestamp":                   "2026-01-01T10:00:00.000Z",
		"user.id":                      nil,
		"span.links":                   []any{},
		"websocket.connections.active": 0.0,
	}
	for _, test := range []struct {
		query string
		want  bool
	}{
		{"", true},
		{"  ", true},
		{"*", true},
		{"*: *", true},

		{"processor.event: transaction", true},
		{"processor.event:transaction", true},
		{"processor.event : transaction ", true},
		{`"processor.event": "transaction"`, true},
		{"processor.event: Transaction", false},
		{"processor.event: trans", false},
		{"missing: transaction", false},

		{"transaction.duration.us: 1500", true},
		{"transaction.duration.us: \"1500\"", true},
		{"transaction.duration.us: 1.5e3", true},
		{"transaction.duration.us: 0x5DC", false},
		{"transaction.duration.us: nan", false},
		{"transaction.duration.us: 15*", false},
		{"websocket.connections.active: 0", true},
		{"websocket.connections.active: -0", true},
		{"labels.websocket_close_code: 1000", true},
		{"labels.websocket_close_code: 1e3", false},
		{"transaction.sampled: true", true},
		{"transaction.sampled: \"true\"", true},
		{"transaction.sampled: false", false},
		{"transaction.sampled: 1", false},

		{"transaction.name: *", true},
		{"transaction.name: \"*\"", false},
		{"transaction.name: \\*", false},
		{"user.id: *", false},
		{"span.links: *", false},
		{"missing: *", false},
		{"not missing: *", true},
		{"websocket.ping.rtt: *", true},
		{"websocket.ping.rtt: 1", false},
		{"websocket.ping.rtt > 0", false},
		{"process.args: *", true},

		{"transaction.name: chat.*", true},
		{"transaction.name: *say", true},
		{"transaction.name: c*t*y", true},
		{"transaction.name: chat.s*say", false},
		{"transaction.name: *x*", false},
		{"transaction.name: chat.say*say", false},
		{"transaction.name: **", true},
		{"labels.*: 1000", true},
		{"labels.*: 1001", false},
		{"labels.*_code: 1000", true},
		{"labels.*_code > 0", true},
		{"*: transaction", true},
		{"*: nothing", false},
		{"labels.\\*: 1000", false},

		{"http.response.status_code >= 101", true},
		{"http.response.status_code > 101", false},
		{"http.response.status_code<102", true},
		{"http.response.status_code <= 100.5", false},
		{"http.response.status_code < many", false},
		{"missing < 1", false},
		{`@timestamp >= "2026-01-01T00:00:00.000Z"`, true},
		{`@timestamp < "2026-01-01T10:00:00.000Z"`, false},
		{"process.args > 8000", true},

		{"processor.event: transaction and labels.websocket_event: message", true},
		{"processor.event: transaction AND labels.websocket_event: connect", false},
		{"processor.event: span or labels.websocket_event: message", true},
		{"processor.event: span Or labels.websocket_event: connect", false},
		{"NOT processor.event: span", true},
		// and binds closer than or, not closest.
		{"processor.event: transaction or missing: 1 and missing: 2", true},
		{"(processor.event: transaction or missing: 1) and missing: 2", false},
		{"not processor.event: span and missing: 1", false},
		{"not (processor.event: span and missing: 1)", true},

		{"labels.websocket_event: (connect or message)", true},
		{"labels.websocket_event: (connect or disconnect)", false},
		{"labels.websocket_event: (not connect and not disconnect)", true},
		{"labels.websocket_event: (mess* and not (connect or message))", false},
		{"process.args: (serve and 8080)", true},
		{"process.args: (serve and 8081)", false},

		{`labels.note: "a \"quoted\" \\ or * thing"`, true},
		{`labels.note: a \"quoted\" \\ \or \* thing`, true},
		{`labels.note: a \u0022quoted\u0022 *`, true},

		{"message: lost", true},
		{"message: LOST", true},
		{"message: los", false},
		{"message: los*", true},
		{"message: Los*", true},
		{"message: peer found", true},
		{"message: nobody found", false},
		{`message: "peer lost"`, true},
		{`message: "lost peer"`, false},
		{`message: "lost code 1006"`, true},
		{`message: "..."`, false},
		{"error.exception.message: pipe", true},

		{"transaction", true},
		{"chat.s*", true},
		{"pipe", true},
		{"1500", true},
		{"nowhere", false},
		{`"peer lost"`, true},
	} {
		q, err := Parse(test.query)
		if err != nil {
			t.Errorf("%s: %v", test.query, err)
			continue
		}
		if got := q.Match(doc); got != test.want {
			t.Errorf("%s: got %v", test.query, got)
		}
	}
}

// A document may lack everything, and be shared.
func TestMatchNothing(t *testing.T) {
	q, err := Parse("a: 1 or b > 2 or c: *")
	if err != nil {
		t.Fatal(err)
	}
	if q.Match(nil) {
		t.Error("a document without fields matches")
	}
}
