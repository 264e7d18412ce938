package newrelicws

import (
	"fmt"
	"log/slog"
	"math"
	"reflect"
	"time"
	"unicode/utf8"

	"github.com/apmws/go-apmws/apmws"
	"github.com/apmws/go-apmws/apmws/semconv"
)

// Attributes that New Relic needs beside those of the contract.
const (
	attrResult     = "result"          // as in the contract's table
	attrStack      = "stack"           // of a panic, its innermost frames
	attrStatusCode = "http.statusCode" // as the agent names it
	attrMethod     = "request.method"
	attrURI        = "request.uri"
	attrHost       = "request.headers.host"
	attrUserAgent  = "request.headers.userAgent"
)

// New Relic's limits: what is beyond is rejected with an error line, an error
// document as a whole.
const (
	maxValue           = 255 // bytes of a string, which the agent would cut, and of a key
	maxAttributes      = 64  // of a transaction
	maxOwnAttributes   = 9   // of them, those that the exporter itself sets
	maxErrorAttributes = 32
)

// attributeSetter is where attributes go. The value is a string, a bool, an
// int64 or a finite float64.
type attributeSetter interface {
	AddAttribute(key string, value any)
}

// connValues are values that every transaction of a connection has. A value is an
// interface: these are made once.
type connValues struct {
	id, route                 string
	boxedID, boxedRoute       any
	connectTrace, connectSpan any // nil: unknown
}

func newConnValues(id, route string, connect apmws.SpanContext) connValues {
	v := connValues{id: id, route: route, boxedID: cut(id), boxedRoute: cut(route)}
	if connect.TraceID != [16]byte{} {
		v.connectTrace = connect.TraceIDString()
	}
	if connect.SpanID != [8]byte{} {
		v.connectSpan = connect.SpanIDString()
	}
	return v
}

// link sets the ids of CONNECT, since New Relic has no span links. There is no
// span id when CONNECT is not sampled: it would lead nowhere.
func (v *connValues) link(to attributeSetter) {
	if v.connectTrace != nil {
		to.AddAttribute(semconv.ConnectTraceID, v.connectTrace)
	}
	if v.connectSpan != nil {
		to.AddAttribute(semconv.ConnectSpanID, v.connectSpan)
	}
}

// set sets attributes.
func (v *connValues) set(to attributeSetter, attrs []slog.Attr) {
	for i := range attrs {
		v.setValue(to, attrs[i].Key, attrs[i].Value)
	}
}

func (v *connValues) setValue(to attributeSetter, key string, value slog.Value) {
	switch value.Kind() {
	case slog.KindString:
		to.AddAttribute(key, v.boxed(value.String()))
	case slog.KindInt64:
		to.AddAttribute(key, value.Int64())
	case slog.KindUint64:
		setUint(to, key, value.Uint64())
	case slog.KindFloat64:
		setFloat(to, key, value.Float64())
	case slog.KindBool:
		to.AddAttribute(key, value.Bool())
	case slog.KindDuration:
		setFloat(to, key, value.Duration().Seconds())
	case slog.KindTime:
		to.AddAttribute(key, value.Time().Format(time.RFC3339Nano))
	case slog.KindGroup:
		for _, attr := range value.Group() {
			v.setValue(to, joinKey(key, attr.Key), attr.Value)
		}
	case slog.KindLogValuer:
		v.setValue(to, key, value.Resolve())
	default:
		setAny(to, key, value.Any())
	}
}

// joinKey is slog's rule for groups: one without a key is inlined.
func joinKey(group, key string) string {
	if group == "" || key == "" {
		return group + key
	}
	return group + "." + key
}

func setUint(to attributeSetter, key string, u uint64) {
	if u > math.MaxInt64 {
		to.AddAttribute(key, float64(u))
	} else {
		to.AddAttribute(key, int64(u))
	}
}

func setFloat(to attributeSetter, key string, f float64) {
	if !math.IsNaN(f) && !math.IsInf(f, 0) {
		to.AddAttribute(key, f)
	}
}

// setAny sets a value of a type that slog does not know: numbers and booleans
// of named types as such, the rest as text.
func setAny(to attributeSetter, key string, value any) {
	switch value.(type) {
	case nil:
		return
	case error, fmt.Stringer:
		to.AddAttribute(key, cut(fmt.Sprint(value)))
		return
	}
	switch v := reflect.ValueOf(value); {
	case v.CanInt():
		to.AddAttribute(key, v.Int())
	case v.CanUint():
		setUint(to, key, v.Uint())
	case v.CanFloat():
		setFloat(to, key, v.Float())
	case v.Kind() == reflect.Bool:
		to.AddAttribute(key, v.Bool())
	default:
		to.AddAttribute(key, cut(fmt.Sprint(value)))
	}
}

// boxed returns s as an interface, without an allocation for the values that
// every message has.
func (v *connValues) boxed(s string) any {
	switch s {
	case semconv.EventMessage:
		return semconv.EventMessage
	case "text":
		return "text"
	case "binary":
		return "binary"
	case "inbound":
		return "inbound"
	}
	// Not in the switch: there all would be compared one after the other.
	if s == v.id {
		return v.boxedID
	}
	if s == v.route {
		return v.boxedRoute
	}
	return cut(s)
}

// cut shortens a string to what New Relic keeps, between characters.
func cut(s string) string { return cutAt(s, maxValue) }

func cutAt(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}

// validKey reports whether the agent takes a key.
func validKey(key string) bool { return key != "" && len(key) <= maxValue }

// errorAttributes are the attributes of an error document.
type errorAttributes struct {
	exporter *Exporter
	all      map[string]any
}

// AddAttribute implements attributeSetter.
func (a *errorAttributes) AddAttribute(key string, value any) {
	if _, known := a.all[key]; !validKey(key) || !known && len(a.all) >= maxErrorAttributes {
		a.exporter.droppedAttributes.Add(1)
		return
	}
	a.all[key] = value
}
