package elasticws

import (
	"reflect"
	"sync"
	"time"
	"unsafe"

	"go.elastic.co/apm/v2"
	"go.elastic.co/apm/v2/model"
)

// Four things that Elastic's API does not give are done to the transaction
// itself. Each is looked for by name and type, and done without where it is not
// what it was in version 2.7.

// startOf returns a transaction's start. Elastic's API does not tell it, and
// without it the time that was spent outside the agent would be missing from the
// duration, though the spans of that time are there. When the field is not what
// it was in version 2.7, the result is seen.
func startOf(tx *apm.Transaction, seen time.Time) time.Time {
	if tx.TransactionData == nil {
		return seen
	}
	field := reflect.ValueOf(tx.TransactionData).Elem().FieldByName("timestamp")
	if !field.IsValid() || field.Type() != reflect.TypeFor[time.Time]() {
		return seen
	}
	start := *(*time.Time)(unsafe.Pointer(field.UnsafeAddr()))
	if start.IsZero() || start.After(seen) {
		return seen
	}
	return start
}

// lockOf returns the lock that the agent holds while it starts a span of a
// transaction or ends it, or nil.
func lockOf(tx *apm.Transaction) *sync.RWMutex {
	field := reflect.ValueOf(tx).Elem().FieldByName("mu")
	if !field.IsValid() || field.Type() != reflect.TypeFor[sync.RWMutex]() {
		return nil
	}
	return (*sync.RWMutex)(unsafe.Pointer(field.UnsafeAddr()))
}

// neverSend makes a transaction that is ended vanish, as one that was started
// while the tracer did not record.
func neverSend(tx *apm.Transaction) {
	field := reflect.ValueOf(tx.TransactionData).Elem().FieldByName("recording")
	if field.IsValid() && field.Kind() == reflect.Bool {
		*(*bool)(unsafe.Pointer(field.UnsafeAddr())) = false
	}
}

// tagsField is where an apm.Context keeps its labels, less than 0 when that is not
// known. SetLabel looks for characters to replace in every key, counts those of
// every string, and copies that to the heap: for the labels that all messages have,
// that is five allocations more than needed.
type tagsField int

func findTags() tagsField {
	field, ok := reflect.TypeFor[apm.Context]().FieldByName("model")
	if !ok || field.Type != reflect.TypeFor[model.Context]() {
		return -1
	}
	found := tagsField(field.Offset)
	var probe apm.Context
	probe.SetLabel("a.b", "c")
	if tags := *found.of(&probe); len(tags) != 1 || tags[0] != (model.IfaceMapItem{Key: "a_b", Value: "c"}) {
		return -1
	}
	return found
}

// of returns the labels of a context, or nil.
func (f tagsField) of(c *apm.Context) *model.IfaceMap {
	if f < 0 {
		return nil
	}
	return &(*model.Context)(unsafe.Add(unsafe.Pointer(c), f)).Tags
}
