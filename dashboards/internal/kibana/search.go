package kibana

// Search is a saved search: the documents themselves, in columns.
type Search struct {
	ID         string
	References []Reference
	Attributes SearchAttributes
}

// SearchAttributes are what Kibana stores of a saved search.
type SearchAttributes struct {
	Title       string      `json:"title"`
	Description string      `json:"description"`
	Columns     []string    `json:"columns"`
	Sort        [][2]string `json:"sort"`
	Grid        SearchGrid  `json:"grid"`
	HideChart   bool        `json:"hideChart"`
	IsTextBased bool        `json:"isTextBasedQuery"`
	TimeRestore bool        `json:"timeRestore"`
	Meta        SearchMeta  `json:"kibanaSavedObjectMeta"`
}

// SearchGrid is how wide the columns are that do not share what is left.
type SearchGrid struct {
	Columns map[string]SearchColumn `json:"columns,omitempty"`
}

// SearchColumn is how wide a column is, in pixels.
type SearchColumn struct {
	Width int `json:"width"`
}

// SearchMeta wraps what is searched for.
type SearchMeta struct {
	SearchSource Encoded[SearchSource] `json:"searchSourceJSON"`
}

// SearchSource is what is searched for, and where.
type SearchSource struct {
	Filter       []any  `json:"filter"`
	HighlightAll bool   `json:"highlightAll,omitempty"`
	IndexRefName string `json:"indexRefName,omitempty"`
	Query        Query  `json:"query"`
	Version      bool   `json:"version,omitempty"`
}

// Query is in the Kibana Query Language.
type Query struct {
	Language string `json:"language"`
	Query    string `json:"query"`
}

// KQL makes a query of its text.
func KQL(query string) Query { return Query{Language: "kuery", Query: query} }

const searchIndex = "kibanaSavedObjectMeta.searchSourceJSON.index"

// NewSearch returns a saved search, the newest documents first.
func NewSearch(id, title, description string, view *DataView, query string, columns ...string) *Search {
	return &Search{
		ID:         id,
		References: []Reference{{ID: view.ID, Name: searchIndex, Type: TypeDataView}},
		Attributes: SearchAttributes{
			Title: title, Description: description, Columns: columns, Sort: [][2]string{{TimeField, "desc"}},
			HideChart: true,
			Meta: SearchMeta{Encoded[SearchSource]{SearchSource{
				Filter: []any{}, HighlightAll: true, IndexRefName: searchIndex, Query: KQL(query), Version: true,
			}}},
		},
	}
}

// DataView returns the id of the data view that is searched, or the empty string.
func (s *Search) DataView() string { return refersTo(s.References, searchIndex, TypeDataView) }

// Query returns what is searched for.
func (s *Search) Query() string { return s.Attributes.Meta.SearchSource.Value.Query.Query }

func refersTo(references []Reference, name, kind string) string {
	for _, r := range references {
		if r.Name == name && r.Type == kind {
			return r.ID
		}
	}
	return ""
}

// Widths sets how wide columns are, in pixels.
func (s *Search) Widths(widths map[string]int) *Search {
	s.Attributes.Grid.Columns = make(map[string]SearchColumn)
	for name, width := range widths {
		s.Attributes.Grid.Columns[name] = SearchColumn{width}
	}
	return s
}
