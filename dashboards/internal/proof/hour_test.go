//go:build !race

package proof

import (
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/apmws/go-apmws/dashboards/internal/evaluate"
	"github.com/apmws/go-apmws/dashboards/internal/kibana"
	"github.com/apmws/go-apmws/exporters/wire/hour"
	"github.com/apmws/go-apmws/exporters/wire/intake"
)

// committed is the file that users import.
const committed = "../../kibana/apmws.ndjson"

// scene is the hour, and the dashboards that show it.
type scene struct {
	*hour.Recording
	file      *kibana.File
	ndjson    []byte
	documents map[string][]map[string]any // by the id of the data view
	types     map[string]map[string]string
	world     *world
	known     evaluate.Known

	shown map[string][]*evaluate.Panel // by dashboard and filters
}

// shared is what all tests look at. The first who asks makes it.
var shared struct {
	mu    sync.Mutex
	scene *scene
}

func newScene(t *testing.T) *scene {
	t.Helper()
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.scene != nil {
		return shared.scene
	}
	ndjson, err := os.ReadFile(committed)
	if err != nil {
		t.Fatal(err)
	}
	file, err := kibana.Read(ndjson)
	if err != nil {
		t.Fatal(err)
	}
	s := &scene{
		Recording: hour.Simulate(t, hour.Options{}), file: file, ndjson: ndjson,
		documents: make(map[string][]map[string]any), types: make(map[string]map[string]string),
		shown: make(map[string][]*evaluate.Panel),
	}
	for _, err := range s.Rejected {
		t.Errorf("rejected: %v", err)
	}
	for _, documents := range [][]intake.Document{s.Documents, s.Aggregates, s.Logs} {
		for _, d := range documents {
			view, err := s.viewOf(d)
			if err == nil {
				err = s.learn(view, d)
			}
			if err != nil {
				t.Fatal(err)
			}
			s.documents[view] = append(s.documents[view], d)
		}
	}
	if s.world, err = newWorld(s.Recording); err != nil {
		t.Fatal(err)
	}
	shared.scene = s
	return s
}

// viewOf returns the one data view whose pattern a document's data stream fits.
func (s *scene) viewOf(d intake.Document) (string, error) {
	var views []string
	for _, v := range s.file.DataViews {
		for pattern := range strings.SplitSeq(v.Attributes.Title, ",") {
			if fits, err := path.Match(pattern, d.Stream()); err != nil {
				return "", err
			} else if fits {
				views = append(views, v.ID)
			}
		}
	}
	if len(views) != 1 {
		return "", fmt.Errorf("%s is read by %q", d.Stream(), views)
	}
	return views[0], nil
}

// learn keeps which types the fields of a document have. One with two types is of no
// use in Kibana.
func (s *scene) learn(view string, d intake.Document) error {
	known := s.types[view]
	if known == nil {
		known = make(map[string]string)
		s.types[view] = known
	}
	for field, value := range d {
		typ, ok := typeOf(d, field, value)
		if !ok {
			continue
		}
		if before := known[field]; before != "" && family(before) != family(typ) {
			return fmt.Errorf("%s of data view %s is %s and %s", field, view, before, typ)
		}
		if known[field] == "" {
			known[field] = typ
		}
	}
	return nil
}

// family is what Kibana makes of types: it takes those of the same family together.
func family(typ string) string {
	switch typ {
	case "keyword", "constant_keyword", "wildcard":
		return "keyword"
	case "byte", "long", "float", "double", "scaled_float":
		return "number"
	default:
		return typ
	}
}

func typeOf(d intake.Document, field string, value any) (string, bool) {
	if d.Stream() == "logs-chat-default" {
		return typeInLog(field, value), true
	}
	return d.FieldType(field)
}

// typeInLog is the type of a field in a data stream logs-*-* that has no template of
// its own: what the patterns of ecs@mappings say of the fields in these lines, and
// else keyword for strings and long for whole numbers, as logs@mappings and
// Elasticsearch's dynamic mapping have it.
func typeInLog(field string, value any) string {
	switch {
	case field == "@timestamp":
		return "date"
	case field == "data_stream.type", field == "data_stream.dataset", field == "data_stream.namespace":
		return "constant_keyword"
	case field == "message", field == "error.message":
		return "match_only_text"
	case field == "url.path", field == "error.stack_trace":
		return "wildcard"
	case strings.HasSuffix(field, ".ip"):
		return "ip"
	}
	switch value := value.(type) {
	case bool:
		return "boolean"
	case float64:
		if value == float64(int64(value)) {
			return "long"
		}
		return "float"
	default:
		return "keyword"
	}
}

// fieldType tells the type of fields that some document has.
func (s *scene) fieldType(view, field string) (string, bool) {
	typ, ok := s.types[view][field]
	return typ, ok
}

func (s *scene) dashboard(t *testing.T, id string) *kibana.Dashboard {
	t.Helper()
	i := slices.IndexFunc(s.file.Dashboards, func(d *kibana.Dashboard) bool { return d.ID == id })
	if i < 0 {
		t.Fatalf("there is no dashboard %s", id)
	}
	return s.file.Dashboards[i]
}

// show returns what the panels of a dashboard show of the hour, with filters as those
// of controls. It is computed once.
func (s *scene) show(t *testing.T, d *kibana.Dashboard, filters ...string) []*evaluate.Panel {
	t.Helper()
	key := d.ID + "\x00" + strings.Join(filters, "\x00")
	if s.shown[key] == nil {
		s.shown[key] = s.showFrom(t, s.Start, d, filters...)
	}
	return s.shown[key]
}

// showFrom is as show, but from another time on.
func (s *scene) showFrom(t *testing.T, from time.Time, d *kibana.Dashboard, filters ...string) []*evaluate.Panel {
	t.Helper()
	panels, err := evaluate.Dashboard(s.file, d, evaluate.Options{
		From: from, To: s.End, Filters: filters, FieldType: s.fieldType, Known: &s.known,
		Documents: func(v *kibana.DataView) []map[string]any { return s.documents[v.ID] },
	})
	if err != nil {
		t.Fatal(err)
	}
	return panels
}

// panel returns the panel of that title.
func panel(t *testing.T, panels []*evaluate.Panel, title string) *evaluate.Panel {
	t.Helper()
	i := slices.IndexFunc(panels, func(p *evaluate.Panel) bool { return p.Panel.Title == title })
	if i < 0 {
		t.Fatalf("there is no panel %q", title)
	}
	return panels[i]
}
