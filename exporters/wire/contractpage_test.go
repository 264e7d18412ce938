package wire

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// contractPage is TELEMETRY.md: its text, and its tables by the heading above them.
type contractPage struct {
	text   string
	tables map[string][][]string // rows of cells, without the header
}

func readContractPage(t *testing.T) *contractPage {
	t.Helper()
	text, err := os.ReadFile("../../apmws/TELEMETRY.md")
	if err != nil {
		t.Fatal(err)
	}
	p := &contractPage{text: string(text), tables: map[string][][]string{}}
	heading, begun := "", false
	for line := range strings.Lines(p.text) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "#") {
			heading = strings.TrimLeft(line, "# ")
		}
		if !strings.HasPrefix(line, "|") {
			begun = false
			continue
		}
		if !begun && p.tables[heading] != nil {
			heading += " +" // a second table below the same heading
		}
		if begun && !strings.HasPrefix(line, "|---") {
			p.tables[heading] = append(p.tables[heading], cells(line))
		}
		begun = true
	}
	return p
}

func cells(row string) []string {
	all := strings.Split(strings.Trim(row, "|"), "|")
	for i := range all {
		all[i] = strings.TrimSpace(all[i])
	}
	return all
}

var codeSpan = regexp.MustCompile("`([^`]+)`")

// names are the code spans of a text.
func names(text string) []string {
	var all []string
	for _, span := range codeSpan.FindAllStringSubmatch(text, -1) {
		all = append(all, span[1])
	}
	return all
}

// rows are those of a table, which must have some.
func (p *contractPage) rows(t *testing.T, heading string) [][]string {
	t.Helper()
	if len(p.tables[heading]) == 0 {
		t.Fatalf("the page has no table below %q", heading)
	}
	return p.tables[heading]
}

// column are the names in a column of a table.
func (p *contractPage) column(t *testing.T, heading string, column int) []string {
	t.Helper()
	var all []string
	for _, row := range p.rows(t, heading) {
		all = append(all, names(row[column])...)
	}
	return all
}

// attribute is a row of a table of attributes.
type attribute struct {
	name    string
	elastic string   // field
	number  bool     // else a string
	on      []string // kinds of documents
}

// kinds of documents that attributes are on.
var kinds = []string{"connect", "message", "disconnect", "broadcast", "spans", "send", "calls", "errors"}

// attributes are those of a table. The Elastic field, if there is one, is in the
// fourth column.
func (p *contractPage) attributes(t *testing.T, heading string) []attribute {
	t.Helper()
	var all []attribute
	for _, row := range p.rows(t, heading) {
		a := attribute{name: strings.Trim(row[0], "`"), number: strings.HasPrefix(row[1], "number")}
		if len(row) > 3 {
			a.elastic = strings.Trim(row[3], "`")
		}
		for part := range strings.SplitSeq(row[2], ",") {
			if part = strings.TrimSpace(part); slices.Contains(kinds, part) {
				a.on = append(a.on, part)
			} else if !strings.HasPrefix(part, "when ") {
				t.Errorf("the page has %s on %q", a.name, part)
			}
		}
		all = append(all, a)
	}
	return all
}
