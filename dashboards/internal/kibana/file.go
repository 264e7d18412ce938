// Package kibana is a model of Kibana's saved objects, as far as these dashboards
// need it, in the form that Kibana 8.12 and everything newer can import: the types
// are written to a file and read from one.
//
// The same types serve the generator and what evaluates its file. Whether they are
// what Kibana expects is for package lint to say, which does not use them.
package kibana

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
)

// Versions of the form in which the objects are written: the oldest that mean the
// same to every Kibana since 8.12, which migrates them by itself. A newer one makes
// an older Kibana refuse the file; without one, Kibana runs migrations of years ago
// that lose settings.
const (
	coreVersion      = "8.8.0"
	dashboardVersion = "8.9.0"
	dataViewVersion  = "8.0.0"
	searchVersion    = "8.0.0"
)

// Types of saved objects.
const (
	TypeDashboard = "dashboard"
	TypeDataView  = "index-pattern"
	TypeSearch    = "search"
)

// File is all that is imported at once.
type File struct {
	DataViews  []*DataView
	Searches   []*Search
	Dashboards []*Dashboard
}

// Reference is how one object names another. Kibana rewrites the id when it imports
// into a space where it is taken, so that ids stand nowhere else.
type Reference struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	Type string `json:"type"`
}

// object is the frame of every saved object, in the order in which it is written.
type object struct {
	Type        string          `json:"type"`
	ID          string          `json:"id"`
	Attributes  json.RawMessage `json:"attributes"`
	References  []Reference     `json:"references"`
	Managed     bool            `json:"managed"`
	CoreVersion string          `json:"coreMigrationVersion"`
	TypeVersion string          `json:"typeMigrationVersion"`
}

// summary is the last line of a file.
type summary struct {
	ExcludedObjects      []string `json:"excludedObjects"`
	ExcludedObjectsCount int      `json:"excludedObjectsCount"`
	ExportedCount        int      `json:"exportedCount"`
	MissingRefCount      int      `json:"missingRefCount"`
	MissingReferences    []string `json:"missingReferences"`
}

// Write returns the file: one object a line, what is referred to first.
func (f *File) Write() ([]byte, error) {
	var out bytes.Buffer
	count := 0
	add := func(kind, id, version string, attributes any, references []Reference) error {
		encoded, err := encode(attributes)
		if err != nil {
			return fmt.Errorf("%s %s: %w", kind, id, err)
		}
		line, err := encode(object{
			Type: kind, ID: id, Attributes: encoded, References: append([]Reference{}, references...),
			CoreVersion: coreVersion, TypeVersion: version,
		})
		if err != nil {
			return fmt.Errorf("%s %s: %w", kind, id, err)
		}
		count++
		out.Write(line)
		out.WriteByte('\n')
		return nil
	}
	for _, v := range f.DataViews {
		if err := add(TypeDataView, v.ID, dataViewVersion, v.Attributes, nil); err != nil {
			return nil, err
		}
	}
	for _, s := range f.Searches {
		if err := add(TypeSearch, s.ID, searchVersion, s.Attributes, s.References); err != nil {
			return nil, err
		}
	}
	for _, d := range f.Dashboards {
		if err := add(TypeDashboard, d.ID, dashboardVersion, d.Attributes, d.References); err != nil {
			return nil, err
		}
	}
	last, err := encode(summary{ExcludedObjects: []string{}, ExportedCount: count, MissingReferences: []string{}})
	if err != nil {
		return nil, err
	}
	out.Write(last)
	out.WriteByte('\n')
	return out.Bytes(), nil
}

// Read reads a file that Write has made. What the types do not know is an error.
func Read(ndjson []byte) (*File, error) {
	f := new(File)
	for i, line := range bytes.Split(bytes.TrimSpace(ndjson), []byte("\n")) {
		if bytes.Contains(line, []byte(`"exportedCount"`)) {
			continue
		}
		if err := f.read(line); err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
	}
	return f, nil
}

func (f *File) read(line []byte) error {
	var o object
	if err := decode(line, &o); err != nil {
		return err
	}
	var attributes any
	switch o.Type {
	case TypeDataView:
		v := &DataView{ID: o.ID}
		f.DataViews, attributes = append(f.DataViews, v), &v.Attributes
	case TypeSearch:
		s := &Search{ID: o.ID, References: o.References}
		f.Searches, attributes = append(f.Searches, s), &s.Attributes
	case TypeDashboard:
		d := &Dashboard{ID: o.ID, References: o.References}
		f.Dashboards, attributes = append(f.Dashboards, d), &d.Attributes
	default:
		return fmt.Errorf("object %s is of type %q", o.ID, o.Type)
	}
	if err := decode(o.Attributes, attributes); err != nil {
		return fmt.Errorf("%s %s: %w", o.Type, o.ID, err)
	}
	return nil
}

// Search returns the saved search of that id, or nil.
func (f *File) Search(id string) *Search {
	i := slices.IndexFunc(f.Searches, func(s *Search) bool { return s.ID == id })
	if i < 0 {
		return nil
	}
	return f.Searches[i]
}

// Encoded is a value that Kibana keeps as a string of JSON within JSON.
type Encoded[T any] struct{ Value T }

// MarshalJSON implements json.Marshaler.
func (e Encoded[T]) MarshalJSON() ([]byte, error) {
	inner, err := encode(e.Value)
	if err != nil {
		return nil, err
	}
	return encode(string(inner))
}

// UnmarshalJSON implements json.Unmarshaler.
func (e *Encoded[T]) UnmarshalJSON(data []byte) error {
	var inner string
	if err := json.Unmarshal(data, &inner); err != nil {
		return err
	}
	return decode([]byte(inner), &e.Value)
}

// encode writes < and > as they are: queries are full of them, and people read them.
func encode(value any) ([]byte, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return nil, err
	}
	return bytes.TrimRight(out.Bytes(), "\n"), nil
}

// decode refuses what the types do not know.
func decode(data []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	return decoder.Decode(into)
}
