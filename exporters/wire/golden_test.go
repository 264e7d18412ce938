package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/apmws/go-apmws/exporters/wire/life"
)

var update = flag.Bool("update", false, "write the golden files anew")

// shared is the recording of the zero setup, which most tests look at. The first who
// asks makes it; nobody changes it.
var shared struct {
	sync.Mutex
	*Recording
}

// recorded records a life.
func recorded(t *testing.T, s setup) *Recording {
	t.Helper()
	var r *Recording
	if isZero := s.exporters == nil && !s.unsampled; isZero {
		shared.Lock()
		defer shared.Unlock()
		r = shared.Recording
		defer func() { shared.Recording = r }()
	}
	if r == nil {
		var err error
		for range 3 {
			if r, err = s.record(t.Context()); !errors.Is(err, ErrBlocked) {
				break
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(r.Rejected...); err != nil {
		t.Errorf("the APM Server has rejected: %v", err)
	}
	if err := errors.Join(r.Problems...); err != nil {
		t.Errorf("New Relic would refuse: %v", err)
	}
	return r
}

// TestGolden compares what reaches the back ends, and the log, with the golden files.
func TestGolden(t *testing.T) {
	r := recorded(t, setup{})
	s := newSymbols(r.Story)
	files, ofElastic := r.elasticGolden(s)
	newRelic, ofNewRelic := r.newRelicGolden(s)
	maps.Copy(files, newRelic)
	for name := range files {
		if strings.HasSuffix(name, "metrics") || strings.HasSuffix(name, "aggregates") {
			sortDocuments(files[name])
		}
	}
	files["log"] = r.logGolden(s) // last, since the ids have their names from the others

	// Both get the same of what is left to chance, and neither all nor nothing.
	if ofElastic != ofNewRelic || ofElastic == 0 || ofElastic == life.Quotes {
		t.Errorf("of %d messages at a rate of %v Elastic has %d, New Relic %d", life.Quotes, life.ChanceRate, ofElastic, ofNewRelic)
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		checkGolden(t, name, files[name])
	}
	if *update {
		return
	}
	if err := filepath.WalkDir("testdata", func(path string, d fs.DirEntry, err error) error {
		if name := strings.TrimSuffix(strings.TrimPrefix(filepath.ToSlash(path), "testdata/"), ".json"); err == nil && !d.IsDir() && files[name] == nil {
			t.Errorf("nothing writes %s any more", path)
		}
		return err
	}); err != nil {
		t.Error(err)
	}
}

// checkGolden compares documents with a golden file.
func checkGolden(t *testing.T, name string, documents []document) {
	t.Helper()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(documents); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(b.String(), "<an unknown id>") {
		t.Errorf("%s holds ids that nobody has given", name)
	}
	path := filepath.Join("testdata", filepath.FromSlash(name)+".json")
	if *update {
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, b.Bytes(), 0o644)); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := b.Bytes(); !bytes.Equal(got, want) {
		t.Errorf("%s differs from %s (to take it over: go test -run Golden -update .)\n%s", name, path, firstDifference(got, want))
	}
}

// firstDifference shows where two texts part, and what is around that.
func firstDifference(got, want []byte) string {
	g, w := strings.Split(string(got), "\n"), strings.Split(string(want), "\n")
	i := 0
	for i < len(g) && i < len(w) && g[i] == w[i] {
		i++
	}
	around := func(lines []string) string {
		return strings.Join(lines[min(len(lines), max(0, i-12)):min(len(lines), i+8)], "\n")
	}
	return "got:\n" + around(g) + "\nwant:\n" + around(w)
}

// logGolden are the lines of the log, by connection.
func (r *Recording) logGolden(s *symbols) []document {
	lines := slices.Clone(r.Story.Lines)
	slices.SortStableFunc(lines, func(a, b life.Line) int {
		return s.places[a.Str("labels.websocket_connection_id")] - s.places[b.Str("labels.websocket_connection_id")]
	})
	// Those that are written side by side.
	for i := 0; i < len(lines); i++ {
		last := i
		for last < len(lines) && strings.HasPrefix(lines[last].Str("message"), "check ") {
			last++
		}
		slices.SortFunc(lines[i:last], func(a, b life.Line) int { return strings.Compare(a.Str("message"), b.Str("message")) })
		i = max(i, last-1)
	}
	all := make([]document, 0, len(lines))
	for _, line := range lines {
		n := document{}
		for field, value := range line {
			switch field {
			case "@timestamp", "event.duration":
				value = "<time>"
			case "newrelic.hostname", "newrelic.entity.guid", "newrelic.entity.name", "newrelic.entity.type", "service.name", "level":
				continue // the same on each
			case "error.stack_trace":
				value = "<stack>"
			}
			n[field] = s.value(field, value)
		}
		all = append(all, n)
	}
	return all
}

// TestNothingSecret looks for what was on its way and is nobody's business.
func TestNothingSecret(t *testing.T) {
	r := recorded(t, setup{})
	lines, err := json.Marshal(r.Story.Lines)
	if err != nil {
		t.Fatal(err)
	}
	places := map[string]string{
		"Elastic": r.ElasticSent, "New Relic": r.NewRelicSent, "the log": string(lines),
		"the live pages": strings.Join(r.LivePages, "\n"),
	}
	ada := r.Story.Connections[0].ID
	for where, text := range places {
		if !strings.Contains(text, ada) {
			t.Errorf("%s tells nothing", where)
		}
		for _, secret := range r.Story.Secrets {
			if i := strings.Index(text, secret); i >= 0 {
				t.Errorf("%s shows %q: …%s…", where, secret, text[max(0, i-200):min(len(text), i+50)])
			}
		}
	}
}
