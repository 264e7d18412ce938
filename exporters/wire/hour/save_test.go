package hour

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apmws/go-apmws/exporters/wire/intake"
)

// TestSave: what is written can be read again, and names its node. Of an earlier
// and larger recording nothing stays; what is not from Save does.
func TestSave(t *testing.T) {
	r := recorded(t)
	dir := filepath.Join(t.TempDir(), "new [1]")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"intake-99999.ndjson", "bulk-logs-old-default.ndjson", "notes.txt"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("old"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Save(dir); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var files, others []string
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), "intake-") {
			files = append(files, filepath.Join(dir, entry.Name()))
		} else {
			others = append(others, entry.Name())
		}
	}
	if want := []string{
		"bulk-logs-chat-default.ndjson", "bulk-metrics-apm.service_destination.1m-default.ndjson",
		"bulk-metrics-apm.transaction.1m-default.ndjson", "hour.json", "notes.txt",
	}; !slices.Equal(others, want) {
		t.Errorf("there are %q beside the requests, not %q", others, want)
	}
	if len(files) != len(r.Requests) || len(files) == 0 {
		t.Fatalf("%d files of %d requests", len(files), len(r.Requests))
	}
	for i, file := range files {
		checkRequest(t, file, r.Requests[i].Node)
	}
}

// checkRequest checks that a file is a request of that node.
func checkRequest(t *testing.T, file, node string) {
	t.Helper()
	lines := readLines(t, file)
	var first struct {
		Metadata struct {
			Service struct {
				Name string
				Node struct {
					Name string `json:"configured_name"`
				}
			}
			System struct{ Hostname string }
		}
	}
	if err := json.Unmarshal(lines[0], &first); err != nil {
		t.Fatal(err)
	}
	if m := first.Metadata; m.Service.Node.Name != node || m.Service.Name == "" || m.System.Hostname != node+".example" {
		t.Errorf("%s tells of %+v, not of %s", file, m, node)
	}
	for _, line := range lines[1:] {
		var event map[string]json.RawMessage
		if err := json.Unmarshal(line, &event); err != nil || len(event) != 1 {
			t.Fatalf("%s: %v in %s", file, err, line)
		}
	}
}

// TestSaveBulk: the documents that are not made by a request are written as they
// are, for their data stream; and the hour is told.
func TestSaveBulk(t *testing.T) {
	r := recorded(t)
	dir := t.TempDir()
	if err := r.Save(dir); err != nil {
		t.Fatal(err)
	}
	n := 0
	for stream, fields := range map[string][]string{
		"logs-chat-default":                          {"log.level", "message", "service.node.name"},
		"metrics-apm.service_destination.1m-default": {"span.destination.service.resource"},
		"metrics-apm.transaction.1m-default":         {"transaction.name", "transaction.type"},
	} {
		lines := readLines(t, filepath.Join(dir, "bulk-"+stream+".ndjson"))
		n += len(lines) / 2
		for i := 0; i < len(lines); i += 2 {
			var d intake.Document
			if string(lines[i]) != `{"create":{}}` || json.Unmarshal(lines[i+1], &d) != nil {
				t.Fatalf("%s %s", lines[i], lines[i+1])
			}
			for _, field := range append(fields, "@timestamp", "service.name", "service.environment") {
				if d.Text(field) == "" {
					t.Fatalf("no %s in %v", field, d)
				}
			}
			// Elasticsearch takes a whole number alone.
			if count := d.Number("_doc_count"); d.Stream() != stream ||
				strings.Contains(stream, ".transaction.") && (count < 1 || !bytes.Contains(lines[i+1], []byte(`"_doc_count":`+jsonOf(t, int(count))+`,`))) {
				t.Fatalf("%v is in the file of %s", d, stream)
			}
		}
	}
	if n != len(r.Logs)+len(r.Aggregates) || len(r.LogLines) != len(r.Logs) {
		t.Errorf("%d documents of %d, and %d of %d lines", n, len(r.Logs)+len(r.Aggregates), len(r.Logs), len(r.LogLines))
	}
	var about struct {
		Start, End   time.Time
		Environments []string
	}
	if err := json.Unmarshal(readLines(t, filepath.Join(dir, "hour.json"))[0], &about); err != nil {
		t.Fatal(err)
	}
	if !about.Start.Equal(r.Start) || !about.End.Equal(r.End) || !slices.Equal(about.Environments, []string{"production", "staging"}) {
		t.Errorf("the hour is told as %+v", about)
	}
}

func jsonOf(t *testing.T, value any) string {
	t.Helper()
	raw, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func readLines(t *testing.T, file string) (lines [][]byte) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	scanner := bufio.NewScanner(bytes.NewReader(data))
	scanner.Buffer(nil, len(data)+1)
	for scanner.Scan() {
		lines = append(lines, bytes.Clone(scanner.Bytes()))
	}
	if scanner.Err() != nil || len(lines) == 0 {
		t.Fatalf("%s: %d lines, %v", file, len(lines), scanner.Err())
	}
	return lines
}
