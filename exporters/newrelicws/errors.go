package newrelicws

import (
	"errors"
	"log/slog"
	"reflect"
	"strings"

	"github.com/newrelic/go-agent/v3/newrelic"

	"github.com/apmws/go-apmws/apmws"
	"github.com/apmws/go-apmws/apmws/semconv"
)

// noticeError makes the error document of a transaction that has not ended.
// Handles of one transaction differ in the segment that the error belongs to.
func (e *Exporter) noticeError(on *newrelic.Transaction, values *connValues, f *apmws.Failure) {
	if !e.errors {
		return
	}
	class := f.Type
	if f.Panic != nil {
		class = newrelic.PanicErrorClass
	}
	attributes := &errorAttributes{exporter: e, all: make(map[string]any, len(f.Attrs)+1)}
	if stack := panicStack(f.Stack); stack != "" {
		attributes.AddAttribute(attrStack, stack)
	}
	for i := range f.Attrs {
		if value := f.Attrs[i].Value; f.Attrs[i].Key == semconv.ConnectionRecent && value.Kind() == slog.KindString {
			attributes.AddAttribute(semconv.ConnectionRecent, cutList(value.String()))
			continue
		}
		values.setValue(attributes, f.Attrs[i].Key, f.Attrs[i].Value)
	}
	on.NoticeError(newrelic.Error{
		Message:    f.Message,
		Class:      class,
		Attributes: attributes.all,
		Stack:      errorStack(f.Err),
	})
}

// cutList shortens the list of what happened on a connection to what New Relic
// keeps, between two of them.
func cutList(list string) string {
	if len(list) <= maxValue {
		return list
	}
	short := cut(list)
	if i := strings.LastIndex(short, "; "); i > 0 {
		return short[:i]
	}
	return short
}

// errorStack returns the stack that the innermost error has been given where it
// was made: by newrelic.NewStackTrace, or by a package whose errors have a
// StackTrace method that returns program counters. It is never nil: the agent
// would take the stack of this call, which says nothing. The methods are the
// application's and may panic, such as that of a nil pointer.
func errorStack(err error) (stack []uintptr) {
	stack = []uintptr{}
	defer func() { _ = recover() }()
	for ; err != nil; err = errors.Unwrap(err) {
		if counters := stackOf(err); len(counters) > 0 {
			stack = counters
		}
	}
	return stack
}

// stackOf calls StackTrace whatever named type its slice is of.
func stackOf(err error) []uintptr {
	method := reflect.ValueOf(err).MethodByName("StackTrace")
	if !method.IsValid() || method.Type().NumIn() != 0 || method.Type().NumOut() != 1 {
		return nil
	}
	if out := method.Type().Out(0); out.Kind() != reflect.Slice || out.Elem().Kind() != reflect.Uintptr {
		return nil
	}
	result := method.Call(nil)[0]
	counters := make([]uintptr, result.Len())
	for i := range counters {
		counters[i] = uintptr(result.Index(i).Uint())
	}
	return counters
}
