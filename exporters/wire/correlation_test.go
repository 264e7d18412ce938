package wire

import (
	"slices"
	"strings"
	"testing"

	"github.com/apmws/go-apmws/apmws"
	"github.com/apmws/go-apmws/exporters/wire/collector"
	"github.com/apmws/go-apmws/exporters/wire/life"
)

// identified is a transaction that a line may point to.
type identified struct{ connection, name, kind string }

// elasticTransactions are Elastic's, by trace.id and transaction.id.
func (r *Recording) elasticTransactions() map[[2]string]identified {
	all := map[[2]string]identified{}
	for _, d := range r.Documents {
		if d.Text("processor.event") == "transaction" {
			all[[2]string{d.Text("trace.id"), d.Text("transaction.id")}] = identified{
				d.Text("labels.websocket_connection_id"), d.Text("transaction.name"), d.Text("transaction.type"),
			}
		}
	}
	return all
}

// newRelicTransactions are New Relic's, by trace.id and span.id.
func (r *Recording) newRelicTransactions() map[[2]string]identified {
	roots := map[string]collector.Event{}
	for _, s := range r.Harvest.Spans {
		if s.Intrinsics["nr.entryPoint"] == true {
			roots[text(s.Intrinsics["transactionId"])] = s
		}
	}
	all := map[[2]string]identified{}
	for _, tx := range r.Harvest.Transactions {
		kind, _, _ := strings.Cut(strings.TrimPrefix(tx.Name(), newRelicPrefix), "/")
		span := text(roots[text(tx.Intrinsics["guid"])].Intrinsics["guid"])
		if span == "" && strings.HasPrefix(shortName(tx.Name()), "broadcast ") {
			continue // it is in the trace of the message that it is below, and lines are that one's
		}
		all[[2]string{text(tx.Intrinsics["traceId"]), span}] = identified{
			text(tx.User["websocket.connection.id"]), shortName(tx.Name()), strings.TrimSuffix(kind, "Kept"),
		}
	}
	return all
}

const (
	lineTrace       = "trace.id"
	lineTransaction = "transaction.id"
	lineSpan        = "span.id"
	lineConnection  = "labels.websocket_connection_id"
	lineMessage     = "labels.websocket_message_name"
	lineEvent       = "labels.websocket_event"
)

// idFields are all by which a line may be joined with a transaction.
var idFields = []string{
	lineTrace, lineTransaction, lineSpan, "newrelic." + lineTrace, "newrelic." + lineSpan,
	"newrelic." + lineTransaction, "elastic." + lineTrace, "elastic." + lineTransaction, "elastic." + lineSpan,
}

// ids are those fields of a line that it has.
func ids(line life.Line) (fields []string) {
	for _, field := range idFields {
		if line[field] != nil {
			fields = append(fields, field)
		}
	}
	return fields
}

// unrecorded reports whether nobody recorded the message of a line when that was
// written: nobody has recorded it at all, or only when it had been handled.
func unrecorded(story *life.Story, line life.Line) bool {
	return line.Str("event.action") == "" && slices.ContainsFunc(story.Messages, func(m *life.Message) bool {
		return m.Name == line.Str(lineMessage) && (m.Fate == life.Unrecorded || m.Fate == life.Late)
	})
}

// ofTheAgent are the actions of lines that are the agent's own: of no connection, and
// with no id.
var ofTheAgent = []string{"websocket-draining", "websocket-drained"}

// isOfTheAgent reports whether a line is, and fails where such a line has an id.
func isOfTheAgent(t *testing.T, line life.Line) bool {
	t.Helper()
	if !slices.Contains(ofTheAgent, line.Str("event.action")) {
		return false
	}
	if fields := ids(line); len(fields) != 0 || line[lineConnection] != nil {
		t.Errorf("a line of the agent's has %q, and the connection %v: %v", fields, line[lineConnection], line)
	}
	return true
}

// expectation is by which fields lines point to the transactions of a back end.
type expectation struct {
	vendor       string
	fields       [2]string
	transactions map[[2]string]identified
}

// checkLines looks at every line that is about a connection: it has the ids that are
// expected, and no other, and they lead to its own transaction.
func checkLines(t *testing.T, r *Recording, expected ...expectation) {
	t.Helper()
	own, all, without := 0, 0, 0
	for _, line := range r.Story.Lines {
		if isOfTheAgent(t, line) {
			continue
		}
		if line[lineConnection] == nil {
			t.Errorf("a line is about no connection: %v", line)
			continue
		}
		all++
		if line.Str("event.action") == "" {
			own++
		}
		if r.Story.NameOf(line.Str(lineConnection)) == "" {
			t.Errorf("a line has the id of no connection: %v", line)
		}
		if unrecorded(r.Story, line) {
			without++
			if fields := ids(line); len(fields) != 0 {
				t.Errorf("nobody records the message, and its line has %q: %v", fields, line)
			}
			continue
		}
		var want []string
		for _, e := range expected {
			want = append(want, e.fields[:]...)
			e.check(t, line)
		}
		got := ids(line)
		slices.Sort(want)
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("a line has the ids %q, want %q: %v", got, want, line)
		}
	}
	// Each message has a line of the application's, but those that are left to chance;
	// each handshake has one at least.
	if own < len(r.Story.Messages)-life.Quotes+len(r.Story.Connections) || all < 2*own || without != 3 {
		t.Errorf("of %d lines %d are the application's, %d of messages that nobody recorded then", all, own, without)
	}
}

func (e *expectation) check(t *testing.T, line life.Line) {
	t.Helper()
	got, ok := e.transactions[[2]string{line.Str(e.fields[0]), line.Str(e.fields[1])}]
	want := identified{connection: line.Str(lineConnection), name: line.Str(lineMessage), kind: "Message"}
	if line.Str(lineEvent) != "message" { // the end is told under the ids of CONNECT, too
		want.name, want.kind = "CONNECT "+line.Str("labels.http_route"), "Connection"
	}
	if !ok || got != want {
		t.Errorf("%s has by the ids of a line %+v (%v), want %+v: %v", e.vendor, got, ok, want, line)
	}
	if strings.HasPrefix(e.fields[0], "newrelic.") || e.vendor == "New Relic" {
		prefix := strings.TrimSuffix(e.fields[0], lineTrace)
		if line.Str(prefix+"entity.guid") != collector.EntityGUID || line.Str(prefix+"entity.name") != collector.AppName ||
			line.Str(prefix+"entity.type") != "SERVICE" || line.Str(prefix+"hostname") == "" {
			t.Errorf("a line lacks New Relic's entity: %v", line)
		}
	}
}

func (r *Recording) byElastic(prefix string) expectation {
	return expectation{"Elastic", [2]string{prefix + lineTrace, prefix + lineTransaction}, r.elasticTransactions()}
}

func (r *Recording) byNewRelic(prefix string) expectation {
	return expectation{"New Relic", [2]string{prefix + lineTrace, prefix + lineSpan}, r.newRelicTransactions()}
}

// TestCorrelation: every line within a connection or a message leads to its
// transaction in each back end: by the plain names in the first of them, under its own
// name in the second.
func TestCorrelation(t *testing.T) {
	t.Run("Elastic first", func(t *testing.T) {
		r := recorded(t, setup{})
		checkLines(t, r, r.byElastic(""), r.byNewRelic("newrelic."))
	})
	t.Run("New Relic first", func(t *testing.T) {
		r := recorded(t, setup{exporters: func(to *backends) []apmws.Exporter {
			return []apmws.Exporter{to.newRelic(), to.elastic(), to.view()}
		}})
		checkLines(t, r, r.byNewRelic(""), r.byElastic("elastic."))
	})
	t.Run("live page first", func(t *testing.T) { // it has no ids
		r := recorded(t, setup{exporters: func(to *backends) []apmws.Exporter {
			return []apmws.Exporter{to.view(), to.elastic(), to.newRelic()}
		}})
		checkLines(t, r, r.byElastic(""), r.byNewRelic("newrelic."))
	})
	t.Run("Elastic alone", func(t *testing.T) {
		r := recorded(t, setup{exporters: func(to *backends) []apmws.Exporter { return []apmws.Exporter{to.elastic()} }})
		checkLines(t, r, r.byElastic(""))
	})
	t.Run("New Relic alone", func(t *testing.T) {
		r := recorded(t, setup{exporters: func(to *backends) []apmws.Exporter { return []apmws.Exporter{to.newRelic()} }})
		checkLines(t, r, r.byNewRelic(""))
	})
}

// TestCorrelationByConnection: what nobody has recorded leads to the connection's
// other documents by its id.
func TestCorrelationByConnection(t *testing.T) {
	r := recorded(t, setup{})
	kinds := map[string]int{}
	for _, line := range r.Story.Lines {
		if !unrecorded(r.Story, line) {
			continue
		}
		for _, tx := range r.elasticTransactions() {
			if tx.connection == line.Str(lineConnection) {
				kinds["Elastic "+tx.kind]++
			}
		}
		for _, tx := range r.newRelicTransactions() {
			if tx.connection == line.Str(lineConnection) {
				kinds["New Relic "+tx.kind]++
			}
		}
	}
	for _, vendor := range []string{"Elastic ", "New Relic "} {
		if kinds[vendor+"Connection"] != 3 || kinds[vendor+"Disconnection"] != 3 { // of three lines each
			t.Errorf("by the connections' ids there are %v", kinds)
		}
	}
}

// TestCorrelationUnsampled: Elastic keeps nothing of what it has not sampled, so lines
// have the connection's id alone. New Relic keeps the transactions without their spans,
// so lines have the trace's id and no span's.
func TestCorrelationUnsampled(t *testing.T) {
	elastic := func(to *backends) []apmws.Exporter { return []apmws.Exporter{to.elastic()} }
	newRelic := func(to *backends) []apmws.Exporter { return []apmws.Exporter{to.newRelic()} }
	both := func(to *backends) []apmws.Exporter { return []apmws.Exporter{to.elastic(), to.newRelic()} }
	t.Run("Elastic alone", func(t *testing.T) {
		r := recorded(t, setup{unsampled: true, exporters: elastic})
		e := r.byElastic("")
		checkUnsampled(t, r, &e, nil)
	})
	t.Run("New Relic alone", func(t *testing.T) {
		r := recorded(t, setup{unsampled: true, exporters: newRelic})
		n := r.byNewRelic("")
		checkUnsampled(t, r, nil, &n)
	})
	t.Run("both", func(t *testing.T) {
		r := recorded(t, setup{unsampled: true, exporters: both})
		e, n := r.byElastic(""), r.byNewRelic("newrelic.")
		checkUnsampled(t, r, &e, &n)
	})
}

// Traces that clients began and sampled.
var callersTraces = []string{"0af7651916cd43dd8448eb211c80319c", "7bd5c3a1e9f84d26b0c1d2e3f4a59687"}

// checkUnsampled looks at each line of a life in which the vendors' samplers leave out
// what is theirs to decide on.
func checkUnsampled(t *testing.T, r *Recording, elastic, newRelic *expectation) {
	t.Helper()
	kept, leftOut := 0, 0
	for _, line := range r.Story.Lines {
		if isOfTheAgent(t, line) {
			continue
		}
		if r.Story.NameOf(line.Str(lineConnection)) == "" {
			t.Errorf("a line has not the id of its connection: %v", line)
		}
		if unrecorded(r.Story, line) {
			if fields := ids(line); len(fields) != 0 {
				t.Errorf("nobody records the message, and its line has %q: %v", fields, line)
			}
			continue
		}
		var want []string
		// Elastic has what a caller has sampled, or Options.Sampling has chosen.
		chosen := strings.HasPrefix(line.Str(lineMessage), "feed.")
		if elastic != nil && (chosen || slices.Contains(callersTraces, line.Str(lineTrace))) {
			want = append(want, elastic.fields[:]...)
			elastic.check(t, line)
			kept++
		} else {
			leftOut++
		}
		if newRelic != nil {
			want = append(want, newRelic.fields[0])
			newRelic.check(t, line) // without a span's id, as the transaction has no span
		}
		got := ids(line)
		slices.Sort(want)
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("a line of what is not sampled has the ids %q, want %q: %v", got, want, line)
		}
	}
	if leftOut < len(r.Story.Messages)-life.Quotes || elastic != nil && kept == 0 {
		t.Errorf("%d lines are of what is left out, %d of what is kept", leftOut, kept)
	}
}
