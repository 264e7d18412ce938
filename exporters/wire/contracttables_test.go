package wire

import (
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/apmws/go-apmws/apmws"
	"github.com/apmws/go-apmws/exporters/wire/intake"
)

// set keeps each of the values once.
func set(values ...string) map[string]bool {
	all := map[string]bool{}
	for _, v := range values {
		all[v] = true
	}
	return all
}

// pattern makes a regular expression of a name on the page, in which <…> stands for
// anything, <route> for what begins with a slash or is a name, <method> for one of HTTP.
func pattern(name string) *regexp.Regexp {
	name = strings.NewReplacer("<route>", "[a-z/].*", "<method>", "[A-Z_]+").Replace(regexp.QuoteMeta(name))
	return regexp.MustCompile("^" + placeholder.ReplaceAllString(name, ".+") + "$")
}

var placeholder = regexp.MustCompile(`<[a-z]+>`)

// TestContractTransactions: the transactions of both back ends have the types, names
// and results that TELEMETRY.md gives, and outcomes by its rules.
func TestContractTransactions(t *testing.T) {
	r, page := recorded(t, setup{}), readContractPage(t)
	rows := map[string][]string{}
	for _, row := range page.rows(t, "Transactions") {
		event := map[string]string{"handshake": "connect", "message": "message", "broadcast": "broadcast", "end": "disconnect"}[row[0]]
		rows[event] = row
	}
	// No program can read these. They are what is checked below.
	for event, rule := range map[string]string{
		"connect":    "failure for 5xx, `none`, a handler's error or panic, and whatever a `Dialer` gets but a connection; else success",
		"message":    "failure unless `ok`",
		"broadcast":  "failure for `error`; else success",
		"disconnect": `failure for causes marked \*, unknown for those marked ~, else success`,
	} {
		if rows[event] == nil || rows[event][5] != rule {
			t.Fatalf("the page's outcome of %s is not %q", event, rule)
		}
	}
	failed := map[string]bool{} // CONNECT of an accepted handshake
	for _, c := range r.Story.Connections {
		failed[c.ID] = c.Name == "Oz" // whose Connect hook fails
	}
	seen := map[string]map[string]bool{"connect": {}, "message": {}, "broadcast": {}, "disconnect": {}}
	elastic := map[string]intake.Document{}
	for _, d := range r.Documents {
		if d.Text("processor.event") != "transaction" {
			continue
		}
		event, result := d.Text("labels.websocket_event"), d.Text("transaction.result")
		row := rows[event]
		if row == nil || d.Text("transaction.type") != names(row[1])[0] {
			t.Errorf("the page does not have transactions %s of type %s", event, d.Text("transaction.type"))
			continue
		}
		if event != "message" && !pattern(names(row[2])[0]).MatchString(d.Text("transaction.name")) {
			t.Errorf("a transaction %s is named %s, want %s", event, d.Text("transaction.name"), row[2])
		}
		seen[event][result] = true
		want := apmws.OutcomeSuccess
		switch event {
		case "connect":
			if result == "HTTP 5xx" || result == "none" || failed[d.Text("labels.websocket_connection_id")] {
				want = apmws.OutcomeFailure
			}
		case "message":
			if result != "ok" {
				want = apmws.OutcomeFailure
			}
		case "broadcast":
			if result == "error" {
				want = apmws.OutcomeFailure
			}
		case "disconnect":
			want = apmws.CloseCause(d.Text("labels.websocket_close_cause")).Outcome()
			if result != d.Text("labels.websocket_close_cause") {
				t.Errorf("an end for %s has the result %s", d.Text("labels.websocket_close_cause"), result)
			}
		}
		if got := d.Text("event.outcome"); got != string(want) {
			t.Errorf("%s with the result %s has the outcome %s, want %s", d.Text("transaction.name"), result, got, want)
		}
		elastic[d.Text("labels.websocket_connection_id")+d.Text("transaction.name")+result] = d
	}
	for _, event := range []string{"message", "broadcast"} {
		if want := set(names(rows[event][4])...); !maps.Equal(seen[event], want) {
			t.Errorf("transactions %s have the results %v, want %v", event, seen[event], want)
		}
	}
	handshake := names(rows["connect"][4])
	for result := range seen["connect"] {
		if !slices.Contains(handshake, result) && !regexp.MustCompile(`^HTTP [1-5]xx$`).MatchString(result) {
			t.Errorf("a handshake has the result %s", result)
		}
	}
	for _, result := range handshake {
		if !seen["connect"][result] {
			t.Errorf("no handshake has the result %s", result)
		}
	}

	_, kept, _ := strings.Cut(page.text, "New Relic puts `OtherTransaction/Go/`")
	kept = names(kept)[0]
	for _, tx := range r.Harvest.Transactions {
		event, result := text(tx.User["websocket.event"]), text(tx.User["result"])
		name := strings.TrimPrefix(tx.Name(), newRelicPrefix)
		late := event == "message" && tx.User["websocket.message.duration"] != nil
		want := names(rows[event][3])[0]
		if late {
			want = kept
		}
		if !pattern(want).MatchString(name) {
			t.Errorf("New Relic has a transaction %s that is named %s, want %s", event, name, want)
		}
		if d := elastic[text(tx.User["websocket.connection.id"])+shortName(tx.Name())+result]; d == nil || d["event.outcome"] != tx.User["event.outcome"] {
			t.Errorf("New Relic has %s with the result %s and the outcome %v, Elastic %v", name, result, tx.User["event.outcome"], d["event.outcome"])
		}
	}
}

// TestContractSpans: the spans that the library makes by itself have the types that
// TELEMETRY.md gives, and there are no others.
func TestContractSpans(t *testing.T) {
	r, page := recorded(t, setup{}), readContractPage(t)
	rows := page.rows(t, "Spans")
	rows = rows[:len(rows)-1] // the last is about the application's
	seen := map[string]bool{}
	for _, d := range r.Documents {
		if d.Text("processor.event") != "span" || d.Text("labels.websocket_event") == "" {
			continue
		}
		typ := d.Text("span.type")
		if subtype := d.Text("span.subtype"); subtype != "" {
			typ += "." + subtype
		}
		found := slices.IndexFunc(rows, func(row []string) bool {
			return pattern(names(row[0])[0]).MatchString(d.Text("span.name"))
		})
		if found < 0 {
			if typ == "app" || !strings.HasPrefix(typ, "websocket") {
				continue // the application's
			}
			t.Errorf("the page does not have the span %s of type %s", d.Text("span.name"), typ)
			continue
		}
		seen[rows[found][0]] = true
		if want := names(rows[found][1])[0]; typ != want {
			t.Errorf("the span %s is of type %s, want %s", d.Text("span.name"), typ, want)
		}
	}
	for _, row := range rows {
		if !seen[row[0]] {
			t.Errorf("there is no span %s", row[0])
		}
	}
	for _, made := range []string{"authenticate", "upgrade", "dial", "send <name>", "<method> <host>"} {
		if !slices.ContainsFunc(rows, func(row []string) bool { return row[0] == "`"+made+"`" }) {
			t.Errorf("the page does not have the span %s", made)
		}
	}
}

var (
	hexDigits = regexp.MustCompile(`([0-9]+) hex digits`)
	atMost    = regexp.MustCompile(`at most ([0-9]+) (bytes|characters)`)
)

// TestContractValues: of attributes with a list of values, each of these is in the
// documents, and no other; and strings are as long as TELEMETRY.md says.
func TestContractValues(t *testing.T) {
	r, page := recorded(t, setup{}), readContractPage(t)
	tables := slices.Concat(page.rows(t, "Attributes"), page.rows(t, "New Relic's own attributes"))
	for _, row := range tables {
		name, kind := names(row[0])[0], row[1]
		inElastic := ""
		if len(row) > 3 {
			inElastic = names(row[3])[0]
		}
		var values []string
		for _, d := range r.Documents {
			if v, ok := d[inElastic].(string); ok {
				values = append(values, v)
			}
		}
		for _, tx := range r.Harvest.Transactions {
			if v, ok := tx.User[name].(string); ok {
				values = append(values, v)
			}
		}
		if got, want := set(values...), set(names(kind)...); strings.HasPrefix(kind, "`") && !maps.Equal(got, want) {
			t.Errorf("%s has the values %v, want %v", name, got, want)
		}
		for _, v := range values {
			if digits := hexDigits.FindStringSubmatch(kind); digits != nil && !regexp.MustCompile("^[0-9a-f]{"+digits[1]+"}$").MatchString(v) {
				t.Errorf("%s is %q, want %s", name, v, kind)
			}
			if most := atMost.FindStringSubmatch(kind); most != nil {
				limit, err := strconv.Atoi(most[1])
				if err != nil {
					t.Fatal(err)
				}
				if length := map[string]int{"bytes": len(v), "characters": utf8.RuneCountInString(v)}[most[2]]; length > limit {
					t.Errorf("%s is %q of %d %s", name, v, length, most[2])
				}
			}
		}
	}
}

// TestContractErrors: an error has all labels of its transaction, and its user, and
// tells of the past where that is not in order.
func TestContractErrors(t *testing.T) {
	r := recorded(t, setup{})
	transactions := map[string]intake.Document{}
	for _, d := range r.Documents {
		if d.Text("processor.event") == "transaction" {
			transactions[d.Text("transaction.id")] = d
		}
	}
	got, want := map[string]int{}, map[string]int{}
	for _, d := range r.Documents {
		if d.Text("processor.event") != "error" {
			continue
		}
		tx := transactions[d.Text("transaction.id")]
		if tx == nil {
			t.Errorf("an error has no transaction: %v", d)
			continue
		}
		got[tx.Text("transaction.type")]++
		for field, value := range tx {
			if (isLabel(field) || field == "user.id" || field == "client.ip" || field == "http.response.status_code") && d[field] != value {
				t.Errorf("%s is %v on %s, and %v on its error", field, value, tx.Text("transaction.name"), d[field])
			}
		}
	}
	for _, e := range r.Harvest.Errors {
		if past, ok := e.User["websocket.connection.recent"].(string); ok && (!strings.HasSuffix(past, " ago") || len(past) > 255) {
			t.Errorf("New Relic has the past in parts: %q", past)
		}
	}
	// A refusal is no error, whatever its status; a panic is.
	want["Connection"] = 2
	for _, m := range r.Story.Messages {
		if m.Result != "ok" {
			want["Message"]++
		}
	}
	for _, c := range r.Story.Connections {
		if c.Cause.Outcome() == apmws.OutcomeFailure {
			want["Disconnection"]++
		}
	}
	if !maps.Equal(got, want) {
		t.Errorf("there are errors of %v, want %v", got, want)
	}
	for name, n := range map[string]int{"error events": len(r.Harvest.Errors), "error traces": len(r.Harvest.ErrorTraces)} {
		if n != want["Connection"]+want["Message"]+want["Disconnection"] {
			t.Errorf("New Relic has %d %s, want one for each of %v", n, name, want)
		}
	}
}
