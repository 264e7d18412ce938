package wire

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/apmws/go-apmws/exporters/wire/collector"
	"github.com/apmws/go-apmws/exporters/wire/intake"
	"github.com/apmws/go-apmws/exporters/wire/life"
)

// appeared is what the documents of a kind hold: the values of each field.
type appeared map[string][]any

// observed are the documents of a back end by their kind.
type observed map[string]*struct {
	count  int
	fields appeared
}

func newObserved() observed {
	o := observed{}
	for _, kind := range kinds {
		o[kind] = &struct {
			count  int
			fields appeared
		}{fields: appeared{}}
	}
	return o
}

func (o observed) add(kind string, fields map[string]any) {
	o[kind].count++
	for field, value := range fields {
		o[kind].fields[field] = append(o[kind].fields[field], value)
	}
}

// ofSpans says whether a kind is one of spans, which have what all spans have.
func ofSpans(kind string) bool { return kind == "spans" || kind == "send" || kind == "calls" }

// everywhere are the attributes that no document of ours lacks on which they may be.
var everywhere = []string{"websocket.event", "websocket.connection.id", "http.route"}

// check compares what a back end has with the attributes that the page promises:
// those that are missing, those that are of another kind, and those that are in a
// document for which they are not promised. spell is how the back end spells an
// attribute; ours says of a field whether the page is to answer for it.
func (o observed) check(t *testing.T, promised []attribute, spell func(attribute) string, ours func(field string) bool) {
	t.Helper()
	for _, kind := range kinds {
		may := map[string]bool{}
		for _, a := range promised {
			field := spell(a)
			// Errors have the attributes of their transactions.
			ofTransaction := slices.ContainsFunc(a.on, func(on string) bool { return !ofSpans(on) })
			if !slices.Contains(a.on, kind) && !(kind == "errors" && ofTransaction) && !(ofSpans(kind) && slices.Contains(a.on, "spans")) {
				continue
			}
			may[field] = true
			values := o[kind].fields[field]
			if len(values) == 0 && slices.Contains(a.on, kind) {
				t.Errorf("no document of kind %s has %s", kind, field)
			}
			if len(values) != o[kind].count && slices.Contains(everywhere, a.name) {
				t.Errorf("%d of %d documents of kind %s have %s", len(values), o[kind].count, kind, field)
			}
			for _, value := range values {
				if _, isNumber := value.(float64); isNumber != a.number {
					t.Errorf("%s is %v (%T) on %s", field, value, value, kind)
					break
				}
			}
		}
		for field, values := range o[kind].fields {
			if ours(field) && !may[field] {
				t.Errorf("%s of kind %s is not promised: %v", field, kind, values[0])
			}
		}
	}
}

// TestContract: what TELEMETRY.md promises of attributes is in the documents of
// both back ends, where and as it says, and nothing else is.
func TestContract(t *testing.T) {
	r, page := recorded(t, setup{}), readContractPage(t)
	attributes := page.attributes(t, "Attributes")
	t.Run("Elastic", func(t *testing.T) { checkElastic(t, r, page, attributes) })
	t.Run("New Relic", func(t *testing.T) { checkNewRelic(t, r, page, attributes) })
}

// elasticKind tells the kind that a document is of; none for one of an integration.
func elasticKind(d intake.Document) string {
	event := d.Text("labels.websocket_event")
	switch {
	case event == "":
		return ""
	case d.Text("processor.event") == "error":
		return "errors"
	case d.Text("processor.event") == "span" && strings.HasPrefix(d.Text("span.name"), "send "):
		return "send"
	case d.Text("processor.event") == "span" && d.Text("labels.server_address") != "":
		return "calls"
	case d.Text("processor.event") == "span":
		return "spans"
	}
	return event
}

func checkElastic(t *testing.T, r *Recording, page *contractPage, attributes []attribute) {
	o, streams, foreign := newObserved(), map[string]string{}, 0
	for _, d := range r.Documents {
		if strings.HasPrefix(d.Stream(), "metrics-") {
			continue
		}
		kind := elasticKind(d)
		if kind == "" {
			foreign++
			checkForeign(t, d)
			continue
		}
		o.add(kind, d)
		streams[kind] = d.Stream()
	}
	if foreign == 0 {
		t.Error("no span of an integration: there is one for each call of the partner's")
	}
	o.check(t, attributes, func(a attribute) string { return a.elastic }, isLabel)

	// What is no label is the agent's, or in a table of its own.
	own := map[string][]string{}
	for _, row := range page.rows(t, "Elastic's own fields") {
		for _, field := range names(row[0]) {
			own[field] = append(own[field], elasticKindsOn(row[1])...)
		}
	}
	for field, on := range own {
		for _, kind := range on {
			if !slices.ContainsFunc(slices.Collect(maps.Keys(o[kind].fields)), func(have string) bool { return covers(field, have) }) {
				t.Errorf("no document of kind %s has %s", kind, field)
			}
		}
	}
	for _, kind := range kinds {
		for have, values := range o[kind].fields {
			if isLabel(have) || slices.ContainsFunc(agentsOwn, func(field string) bool { return covers(field, have) }) ||
				slices.ContainsFunc(attributes, func(a attribute) bool { return a.elastic == have }) {
				continue
			}
			promised := false
			for field, on := range own {
				ofKind := slices.Contains(on, kind) || ofSpans(kind) && slices.Contains(on, "spans")
				promised = promised || covers(field, have) && (ofKind || kind == "errors")
			}
			if !promised {
				t.Errorf("%s of kind %s is not on the page: %v", have, kind, values[0])
			}
		}
	}

	// All that the page names can be aggregated in Kibana.
	for _, a := range attributes {
		for _, kind := range a.on {
			if typ, ok := intake.FieldType(streams[kind], a.elastic); !ok || !intake.Aggregatable(typ) {
				t.Errorf("%s of kind %s is of type %q in %s, which cannot be aggregated", a.elastic, kind, typ, streams[kind])
			}
		}
	}
}

// agentsOwn are fields that Elastic's agent, or the APM Server, adds to all that it
// sends, whoever has made it.
var agentsOwn = []string{
	"@timestamp", "agent", "data_stream", "event.dataset", "event.success_count", "host", "parent.id", "process", "processor.event",
	"service.environment", "service.framework", "service.language", "service.name", "service.node.name", "service.runtime",
	"service.version", "span.id", "span.representative_count", "timestamp.us", "trace.id", "transaction.id",
	"transaction.representative_count", "transaction.sampled", "transaction.span_count",
	"error.id", "error.grouping_name", "span.stacktrace",
}

// covers says whether a field is the one that is named, or is below it.
func covers(named, field string) bool {
	return field == named || strings.HasPrefix(field, named+".")
}

func isLabel(field string) bool {
	return strings.HasPrefix(field, "labels.") || strings.HasPrefix(field, "numeric_labels.")
}

// elasticKindsOn reads the second column of the table of Elastic's own fields.
func elasticKindsOn(column string) []string {
	switch column {
	case "every transaction":
		return []string{"connect", "message", "disconnect", "broadcast"}
	case "every span", "spans with a destination":
		return []string{"spans"}
	}
	return strings.Split(column, ", ")
}

// checkForeign: spans of integrations are no business of the page, and nothing else
// is without the event.
func checkForeign(t *testing.T, d intake.Document) {
	t.Helper()
	if d.Text("processor.event") != "span" {
		t.Errorf("a document has no event: %v", d)
	}
	for field := range d {
		if isLabel(field) {
			t.Errorf("a span of an integration has %s", field)
		}
	}
}

// newRelicAgents are attributes that New Relic's agent makes of what it is told.
var newRelicAgents = []string{
	"http.statusCode", "httpResponseCode", "enduser.id", "error.class", "error.message", "http.method",
	"parent.transportType", "db.statement",
	"parent.account", "parent.app", "parent.transportDuration", "parent.type", // of a broadcast that is in another transaction
}

func checkNewRelic(t *testing.T, r *Recording, page *contractPage, attributes []attribute) {
	all := slices.Concat(attributes, page.attributes(t, "New Relic's own attributes"))
	o := newObserved()
	add := func(e collector.Event, kind string) {
		fields := maps.Clone(e.User)
		for name, value := range e.Agent {
			if !slices.Contains(newRelicAgents, name) {
				t.Errorf("the agent adds %s to %s: %v", name, kind, value)
			}
			if name == "http.statusCode" { // of an answer that is no error, else ours
				fields[name] = value
			}
		}
		o.add(kind, fields)
	}
	for _, e := range r.Harvest.Transactions {
		add(e, fmt.Sprint(e.User["websocket.event"]))
	}
	for _, e := range r.Harvest.Spans {
		switch name := e.Name(); {
		case e.Intrinsics["nr.entryPoint"] == true:
			add(e, fmt.Sprint(e.User["websocket.event"]))
		case len(e.User) == 0: // of an integration
		case strings.HasPrefix(name, "Custom/send "):
			add(e, "send")
		case e.User["server.address"] != nil:
			add(e, "calls")
		default:
			add(e, "spans")
		}
	}
	for _, e := range r.Harvest.Errors {
		add(e, "errors")
	}
	for _, e := range r.Harvest.ErrorTraces {
		add(e.Event, "errors")
	}
	o.check(t, all, func(a attribute) string { return a.name }, func(string) bool { return true })
}

// TestContractMetrics: the metrics that TELEMETRY.md promises are in both back
// ends, with those labels, as a type that can be aggregated, and no others are.
func TestContractMetrics(t *testing.T) {
	r, page := recorded(t, setup{}), readContractPage(t)
	type promise struct{ kind, labels string }
	promised := map[string]promise{}
	var inNewRelic []string
	for _, row := range page.rows(t, "Metrics") {
		kind, _, _ := strings.Cut(row[1], ",")
		var labels []string
		for _, name := range names(row[2]) {
			labels = append(labels, "labels."+strings.ReplaceAll(name, ".", "_"))
		}
		slices.Sort(labels)
		promised[strings.Trim(row[0], "`")] = promise{kind, strings.Join(labels, " ")}
		inNewRelic = append(inNewRelic, names(row[3])...)
	}

	seen := map[string]bool{}
	for _, d := range r.Documents {
		var labels []string
		for field := range d {
			if isLabel(field) {
				labels = append(labels, field)
			}
		}
		slices.Sort(labels)
		for field := range d {
			if !strings.HasPrefix(field, "websocket.") {
				continue
			}
			want := promise{promised[field].kind, strings.Join(labels, " ")}
			if want.kind == "counter" && want.labels == "labels.http_route" && d.Number(field) == 0 && promised[field] != want {
				continue // a 0 by which Elasticsearch gets to know the field
			}
			seen[field] = true
			if promised[field] != want {
				t.Errorf("%s has the labels %s, want %+v", field, want.labels, promised[field])
			}
			typ := map[string]string{"counter": "double", "gauge": "double", "histogram": "histogram"}[want.kind]
			if got, ok := d.FieldType(field); !ok || got != typ || !intake.Aggregatable(got) {
				t.Errorf("%s is of type %q, want %q", field, got, typ)
			}
			for _, label := range labels {
				if got, ok := intake.FieldType(d.Stream(), label); !ok || got != "keyword" {
					t.Errorf("%s of %s is of type %q", label, field, got)
				}
			}
		}
	}
	for name := range promised {
		if !seen[name] {
			t.Errorf("Elastic does not have %s", name)
		}
	}
	checkCustomMetrics(t, r.Harvest, inNewRelic)
}

func checkCustomMetrics(t *testing.T, harvest collector.Harvest, promised []string) {
	t.Helper()
	parameter := regexp.MustCompile(`<[a-z]+>`)
	seen := map[string]bool{}
	for m := range harvest.Metrics {
		name, ours := strings.CutPrefix(m.Name, "Custom/WebSocket/")
		if !ours || m.Scope != "" {
			continue
		}
		found := false
		for _, p := range promised {
			pattern := "^" + parameter.ReplaceAllString(p, `[^/]+`) + "$"
			if regexp.MustCompile(pattern).MatchString(name) {
				found, seen[p] = true, true
			}
		}
		if !found {
			t.Errorf("New Relic has %s, which is not promised", m.Name)
		}
	}
	for _, p := range promised {
		if !seen[p] {
			t.Errorf("New Relic does not have %s", p)
		}
	}
}

var aLevel = regexp.MustCompile(`\b(debug|info|warn|error)\b`)

// TestContractLog: each line has the fields that TELEMETRY.md promises for it, and
// no others.
func TestContractLog(t *testing.T) {
	r, page := recorded(t, setup{}), readContractPage(t)
	lines := map[string][]life.Line{}
	for _, line := range r.Story.Lines {
		kind := strings.TrimPrefix(line.Str("event.action"), "websocket-")
		if kind == "" {
			kind = "application"
		}
		lines[kind] = append(lines[kind], line)
	}
	ids := []string{ // of the page's last paragraph
		"trace.id", "transaction.id", "newrelic.trace.id", "newrelic.span.id", "newrelic.entity.guid",
		"newrelic.entity.name", "newrelic.entity.type", "newrelic.hostname",
	}
	loggers := []string{"@timestamp", "level", "log.level", "message", "service.name"} // the application's own
	may := map[string][]string{}
	for _, row := range page.rows(t, "Log lines +") {
		on := strings.Split(row[1], ", ")
		if row[1] == "all" {
			on = slices.Collect(maps.Keys(lines))
			on = slices.DeleteFunc(on, func(kind string) bool { return slices.Contains(ofTheAgent, "websocket-"+kind) })
		}
		for _, kind := range on {
			may[kind] = append(may[kind], names(row[0])...)
		}
	}
	for _, row := range page.rows(t, "Log lines") {
		kind := strings.TrimPrefix(strings.Trim(row[1], "`"), "websocket-")
		if len(lines[kind]) == 0 {
			t.Errorf("there is no line %s", row[1])
		}
		levels := set(aLevel.FindAllString(row[2], -1)...)
		if strings.HasPrefix(row[2], "as asked for") {
			levels["debug"] = true // which the script asks for
		}
		got := map[string]bool{}
		for _, line := range lines[kind] {
			got[line.Str("log.level")] = true
			if line.Str("message") != strings.Trim(row[0], "`") {
				t.Errorf("a line %s says %q", row[1], line.Str("message"))
			}
		}
		if !maps.Equal(got, levels) {
			t.Errorf("lines %s have the levels %v, want %v", row[1], got, levels)
		}
	}
	for kind, those := range lines {
		ids := ids
		if slices.Contains(ofTheAgent, "websocket-"+kind) {
			ids = nil
		}
		has := map[string]bool{}
		for _, line := range those {
			for field := range line {
				has[field] = true
			}
		}
		for field := range has {
			if !slices.Contains(slices.Concat(may[kind], ids, loggers), field) {
				t.Errorf("%s on a line %s is not promised", field, kind)
			}
		}
		for _, field := range slices.Concat(may[kind], ids) {
			if !has[field] {
				t.Errorf("no line %s has %s", kind, field)
			}
		}
	}
}
