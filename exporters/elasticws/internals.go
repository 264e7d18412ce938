package elasticws

import (
	"reflect"
	"sync"
	"time"
	"unsafe"

	"go.elastic.co/apm/v2"
)

// Three things that Elastic's API does not give are done to the transaction
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
