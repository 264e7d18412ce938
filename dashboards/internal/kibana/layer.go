package kibana

// Metric operations and buckets, with the parameters that Kibana's editor would
// give them.

func metric(op, field string) *Column {
	c := &Column{CustomLabel: true, DataType: "number", Operation: op, Scale: "ratio", Field: field, Params: &Params{}}
	if field == "" {
		c.Field = Records
	}
	switch op {
	case OpCount, OpSum, OpUniqueCount:
		// Of what has not happened, nothing is reported.
		c.Params.EmptyAsNull = ptr(false)
	}
	return c
}

// MetricOf returns a metric of a field; of documents, where field is empty.
func MetricOf(op, field, label string) *Column {
	c := metric(op, field)
	c.Label = label
	return c
}

// PercentileOf returns a percentile of a field.
func PercentileOf(percentile float64, field, label string) *Column {
	c := MetricOf(OpPercentile, field, label)
	c.Params.Percentile = percentile
	return c
}

// LastOf returns the newest value of a field; dataType is number, string, ip or date.
func LastOf(field, label, dataType string) *Column {
	c := MetricOf(OpLastValue, field, label)
	c.Params.SortField, c.Params.ShowArrayValues = TimeField, ptr(false)
	exists := KQL(`"` + field + `": *`)
	c.Filter = &exists
	if c.DataType = dataType; dataType == "string" || dataType == "ip" {
		c.Scale = "ordinal"
	}
	return c
}

// Over returns the time, in intervals that fit the time range.
func Over() *Column {
	return &Column{
		Label: TimeField, DataType: "date", Operation: OpDateHistogram, Bucketed: true, Scale: "interval", Field: TimeField,
		// A part of an interval may hold a whole report, or none.
		Params: &Params{Interval: "auto", IncludeEmptyRows: ptr(true), DropPartials: ptr(true)},
	}
}

// Every makes the intervals of a column that Over has made no shorter than that, such
// as 1m. Kibana makes them longer where the time range would have too many of them.
func (c *Column) Every(least string) *Column {
	c.Params.Interval = least
	return c
}

// TopOf returns the size values of a field with the most of a metric, a column of
// that id. More than one field: their values together. dataType is string, number
// or ip.
func TopOf(label, dataType string, size int, metricID string, fields ...string) *Column {
	c := &Column{
		Label: label, CustomLabel: true, DataType: dataType, Operation: OpTerms, Bucketed: true, Scale: "ordinal", Field: fields[0],
		Params: &Params{
			Size: size, OrderBy: &OrderBy{Type: "column", ColumnID: metricID}, OrderDirection: "desc",
			OtherBucket: ptr(false), MissingBucket: ptr(false), ParentFormat: &ParentFormat{ID: "terms"},
			Include: []string{}, Exclude: []string{}, IncludeIsRegex: ptr(false), ExcludeIsRegex: ptr(false),
		},
	}
	if len(fields) > 1 {
		c.DataType = "string"
		c.Params.SecondaryFields = fields[1:]
		c.Params.ParentFormat.ID = "multi_terms"
	}
	return c
}

// Ranked returns the column, which TopOf has made, with another order: by a metric
// that the layer need not have.
func (c *Column) Ranked(by *Column) *Column {
	c.Params.OrderBy, c.Params.OrderAgg = &OrderBy{Type: "custom"}, by
	return c
}

// WithOther returns the column, which TopOf has made, with a bucket for what is not
// among the values with most.
func (c *Column) WithOther() *Column {
	c.Params.OtherBucket = ptr(true)
	return c
}

// Alphabetical returns the column, which TopOf has made, in the order of its values.
func (c *Column) Alphabetical() *Column {
	c.Params.OrderBy, c.Params.OrderDirection = &OrderBy{Type: "alphabetical"}, "asc"
	return c
}

// BucketsOf returns buckets with names of their own, in this order.
func BucketsOf(label string, buckets ...FilterBucket) *Column {
	return &Column{
		Label: label, CustomLabel: true, DataType: "string", Operation: OpFilters, Bucketed: true, Scale: "ordinal",
		Params: &Params{Filters: buckets},
	}
}

// Bucket returns a bucket of those documents.
func Bucket(label, query string) FilterBucket { return FilterBucket{Input: KQL(query), Label: label} }

func ptr[T any](v T) *T { return &v }
