package boards

import (
	"strings"

	"github.com/apmws/go-apmws/apmws/semconv"
)

// Fields of all documents.
const (
	service     = "service.name"
	environment = "service.environment"
	node        = "service.node.name"
)

// Fields of the contract that are the same on transactions, metrics, errors and log
// lines, which one control can thus filter.
const (
	route        = "labels.http_route"
	connectionID = "labels.websocket_connection_id"
	closeCause   = "labels.websocket_close_cause"
	host         = "labels.server_address"
)

// label is the field of an attribute that is a string.
func label(attribute string) string { return "labels." + strings.ReplaceAll(attribute, ".", "_") }

// number is the field of an attribute that is a number.
func number(attribute string) string {
	return "numeric_labels." + strings.ReplaceAll(attribute, ".", "_")
}

// Fields of transactions, in Elastic's names.
const (
	name        = "transaction.name"
	result      = "transaction.result"
	duration    = "transaction.duration.us"
	transaction = "transaction.id"
	user        = semconv.UserID
	address     = "client.ip"
)

// Which documents.
const (
	connects    = `processor.event: transaction and labels.websocket_event: "connect"`
	messages    = `processor.event: transaction and labels.websocket_event: "message"`
	disconnects = `processor.event: transaction and labels.websocket_event: "disconnect"`
	broadcasts  = `processor.event: transaction and labels.websocket_event: "broadcast"`
	spans       = `processor.event: span and labels.websocket_event: *`
	errorsOnly  = `processor.event: error and labels.websocket_event: *`
	failed      = `labels.event_outcome: "failure"`
)

// metric returns a query for documents that hold one of these metrics.
func metric(names ...string) string {
	if len(names) == 1 {
		return "processor.event: metric and " + names[0] + ": *"
	}
	return "processor.event: metric and (" + strings.Join(names, ": * or ") + ": *)"
}

// is returns a query for a value, as it is.
func is(field, value string) string { return field + `: "` + value + `"` }

// oneOf returns a query for any of the values.
func oneOf(field string, values ...string) string {
	return field + `: ("` + strings.Join(values, `" or "`) + `")`
}

func and(queries ...string) string { return strings.Join(queries, " and ") }
