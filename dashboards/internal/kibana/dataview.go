package kibana

// DataView names the indices that panels read, and how their fields are shown.
type DataView struct {
	ID         string
	Attributes DataViewAttributes
}

// DataViewAttributes are what Kibana stores of a data view.
type DataViewAttributes struct {
	Title         string                          `json:"title"` // the indices' pattern
	Name          string                          `json:"name"`
	TimeFieldName string                          `json:"timeFieldName"`
	AllowNoIndex  bool                            `json:"allowNoIndex"` // no error before the first data
	AllowHidden   bool                            `json:"allowHidden"`
	Fields        Encoded[[]string]               `json:"fields"`
	FieldAttrs    Encoded[map[string]string]      `json:"fieldAttrs"`
	FieldFormats  Encoded[map[string]FieldFormat] `json:"fieldFormatMap"`
	RuntimeFields Encoded[map[string]string]      `json:"runtimeFieldMap"`
	SourceFilters Encoded[[]string]               `json:"sourceFilters"`
}

// FieldFormat is how a field is shown wherever a panel does not say otherwise.
type FieldFormat struct {
	ID     string         `json:"id"`
	Params map[string]any `json:"params"`
}

// NewDataView returns a data view over a pattern of indices.
func NewDataView(id, name, pattern string, formats map[string]FieldFormat) *DataView {
	if formats == nil {
		formats = map[string]FieldFormat{}
	}
	return &DataView{ID: id, Attributes: DataViewAttributes{
		Title: pattern, Name: name, TimeFieldName: TimeField, AllowNoIndex: true,
		Fields: Encoded[[]string]{[]string{}}, FieldAttrs: Encoded[map[string]string]{map[string]string{}},
		FieldFormats:  Encoded[map[string]FieldFormat]{formats},
		RuntimeFields: Encoded[map[string]string]{map[string]string{}}, SourceFilters: Encoded[[]string]{[]string{}},
	}}
}

// TimeField is the time of every document.
const TimeField = "@timestamp"

// DurationOf shows numbers of a unit, such as microseconds, as people read them.
func DurationOf(unit string) FieldFormat {
	return FieldFormat{ID: "duration", Params: map[string]any{
		"inputFormat": unit, "outputFormat": "humanizePrecise", "outputPrecision": 2,
		"showSuffix": true, "useShortSuffix": true, "includeSpaceWithSuffix": true,
	}}
}

// BytesOf shows numbers of bytes.
func BytesOf() FieldFormat {
	return FieldFormat{ID: "bytes", Params: map[string]any{"pattern": "0,0.[0]b"}}
}

// LinkTo makes values links, to a path below Kibana's own.
func LinkTo(path string) FieldFormat {
	return FieldFormat{ID: "url", Params: map[string]any{"urlTemplate": path, "labelTemplate": "{{value}}"}}
}
