package kibana

// Column is a column of a layer: a bucket that splits documents, or a metric of
// those in it.
type Column struct {
	Label            string   `json:"label"`
	CustomLabel      bool     `json:"customLabel"`
	DataType         string   `json:"dataType"`
	Operation        string   `json:"operationType"`
	Bucketed         bool     `json:"isBucketed"`
	Scale            string   `json:"scale"`
	Field            string   `json:"sourceField,omitempty"`
	Static           bool     `json:"isStaticValue,omitempty"`
	Filter           *Query   `json:"filter,omitempty"`
	TimeScale        string   `json:"timeScale,omitempty"`        // s, m, h, d: the value for one
	TimeShift        string   `json:"timeShift,omitempty"`        // such as 1w: of a time before
	ReducedTimeRange string   `json:"reducedTimeRange,omitempty"` // such as 5m: of the end alone
	Params           *Params  `json:"params,omitempty"`
	References       []string `json:"references,omitzero"` // other columns
}

// Params are the parameters of an operation: those that it has.
type Params struct {
	EmptyAsNull *bool   `json:"emptyAsNull,omitempty"`
	Format      *Format `json:"format,omitempty"`

	// percentile
	Percentile float64 `json:"percentile,omitempty"`
	// last_value
	SortField       string `json:"sortField,omitempty"`
	ShowArrayValues *bool  `json:"showArrayValues,omitempty"`
	// static_value
	Value string `json:"value,omitempty"`

	// date_histogram
	Interval         string `json:"interval,omitempty"`
	IncludeEmptyRows *bool  `json:"includeEmptyRows,omitempty"`
	DropPartials     *bool  `json:"dropPartials,omitempty"`

	// terms
	Size           int           `json:"size,omitempty"`
	OrderBy        *OrderBy      `json:"orderBy,omitempty"`
	OrderAgg       *Column       `json:"orderAgg,omitempty"` // of OrderBy custom: a metric that is not shown
	OrderDirection string        `json:"orderDirection,omitempty"`
	OtherBucket    *bool         `json:"otherBucket,omitempty"`
	MissingBucket  *bool         `json:"missingBucket,omitempty"`
	ParentFormat   *ParentFormat `json:"parentFormat,omitempty"`
	Include        []string      `json:"include,omitzero"`
	Exclude        []string      `json:"exclude,omitzero"`
	IncludeIsRegex *bool         `json:"includeIsRegex,omitempty"`
	ExcludeIsRegex *bool         `json:"excludeIsRegex,omitempty"`
	// further fields whose values, joined, make a bucket
	SecondaryFields []string `json:"secondaryFields,omitempty"`

	// filters
	Filters []FilterBucket `json:"filters,omitempty"`

	// formula
	Formula         string `json:"formula,omitempty"`
	IsFormulaBroken *bool  `json:"isFormulaBroken,omitempty"`
	// math
	AST *Math `json:"tinymathAst,omitempty"`
}

// OrderBy is what terms are ordered by.
type OrderBy struct {
	Type     string `json:"type"` // column, alphabetical or custom
	ColumnID string `json:"columnId,omitempty"`
}

// ParentFormat is how a bucket is shown.
type ParentFormat struct {
	ID string `json:"id"`
}

// FilterBucket is a bucket with a name of its own.
type FilterBucket struct {
	Input Query  `json:"input"`
	Label string `json:"label"`
}

// Format is how a number is shown.
type Format struct {
	ID     string       `json:"id"` // number, percent, bytes, duration
	Params FormatParams `json:"params"`
}

// FormatParams are the parameters of a format.
type FormatParams struct {
	Decimals int    `json:"decimals"`
	Compact  bool   `json:"compact,omitempty"`
	FromUnit string `json:"fromUnit,omitempty"`
	ToUnit   string `json:"toUnit,omitempty"`
}

// Operations.
const (
	OpCount         = "count"
	OpSum           = "sum"
	OpAverage       = "average"
	OpMin           = "min"
	OpMax           = "max"
	OpMedian        = "median"
	OpPercentile    = "percentile"
	OpUniqueCount   = "unique_count"
	OpLastValue     = "last_value"
	OpDateHistogram = "date_histogram"
	OpTerms         = "terms"
	OpFilters       = "filters"
	OpStaticValue   = "static_value"
	OpFormula       = "formula"
	OpMath          = "math"
)

// Records is the field of a count that counts documents.
const Records = "___records___"

// Number shows numbers with that many decimals.
func Number(decimals int) *Format {
	return &Format{ID: "number", Params: FormatParams{Decimals: decimals}}
}

// Percent shows parts of one as percent.
func Percent(decimals int) *Format {
	return &Format{ID: "percent", Params: FormatParams{Decimals: decimals}}
}

// Bytes shows numbers of bytes.
func Bytes() *Format { return &Format{ID: "bytes", Params: FormatParams{Decimals: 1}} }

// Duration shows times of a unit, seconds or microseconds, as people read them.
func Duration(unit string) *Format {
	return &Format{ID: "duration", Params: FormatParams{
		Decimals: 2, FromUnit: unit, ToUnit: "humanizePrecise", Compact: true,
	}}
}
