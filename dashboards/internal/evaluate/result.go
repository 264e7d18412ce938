// Package evaluate computes what the panels of dashboards would show, over documents
// as Elasticsearch holds them: the queries, filters, buckets, metrics and formulas of
// Lens' layers.
//
// What Kibana or Elasticsearch would refuse is an error, and so is what this package
// does not know; nothing is left out in silence. It differs from them in this:
//
//   - All is in UTC, where Kibana takes the zone of the browser, and days have 24
//     hours.
//   - The end of the time range is not in it. To Kibana it is, with its millisecond.
//   - Numbers of unique values are exact, and percentiles of many values are nearly
//     so, see quantileOf.
//   - Of documents as new as each other the first has the last value; Elasticsearch
//     may take any.
//   - Terms are those of all documents at once, where Elasticsearch combines those of
//     its shards.
//   - Patterns of terms are Go's regular expressions, which are near to Lucene's.
package evaluate

import (
	"time"

	"github.com/apmws/go-apmws/dashboards/internal/kibana"
)

// Panel is what a panel shows.
type Panel struct {
	Panel *kibana.Panel
	// Tables are those of a Lens panel, by the id of the layer.
	Tables map[string]*Table
	// Hits are the documents of a saved search, in its order, and Total how many
	// there are; at most MaxHits are kept.
	Hits  []map[string]any
	Total int
}

// MaxHits is how many documents of a saved search are kept.
const MaxHits = 500

// Table is what a layer is computed to.
type Table struct {
	// Columns are the ids of the columns that are drawn, in the layer's order.
	Columns []string
	// Rows are in the order in which Kibana has them. A value is a float64, a string,
	// a time.Time, or nil where there is none.
	Rows []map[string]any
	// Interval is that of a date histogram, else 0.
	Interval time.Duration
}
