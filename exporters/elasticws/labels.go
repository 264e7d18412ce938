package elasticws

import (
	"fmt"
	"log/slog"
	"math"
	"reflect"
	"time"
	"unicode/utf8"

	"go.elastic.co/apm/v2"
	"go.elastic.co/apm/v2/model"

	"github.com/apmws/go-apmws/apmws/semconv"
)

// labelled is an *apm.Context or an *apm.SpanContext.
type labelled interface {
	SetLabel(key string, value any)
	SetHTTPStatusCode(code int)
}

// connLabels are values that every transaction of a connection has. A label's
// value is an interface: these are made once.
type connLabels struct {
	id, route           string
	boxedID, boxedRoute any
	tags                tagsField
}

func newConnLabels(id, route string, tags tagsField) connLabels {
	if utf8.RuneCountInString(route) > maxLabel {
		tags = -1 // SetLabel cuts it
	}
	return connLabels{id: id, route: route, boxedID: id, boxedRoute: route, tags: tags}
}

// maxLabel is how long a label may be, in characters.
const maxLabel = 1024

// set sets attributes as labels; leave says which to leave out, nil for none.
// What Elastic has a field for goes there.
func (l *connLabels) set(to labelled, attrs []slog.Attr, leave func(key string) bool) {
	for i := range attrs {
		attr := &attrs[i]
		if leave == nil || !leave(attr.Key) {
			l.setAttr(to, attr.Key, attr.Value)
		}
	}
}

// setMessage is set for a transaction of type Message.
func (l *connLabels) setMessage(to *apm.Context, attrs []slog.Attr) {
	tags := l.tags.of(to)
	if tags == nil {
		l.set(to, attrs, nil)
		return
	}
	for i := range attrs {
		attr := &attrs[i]
		if label, ok := l.usual(attr); ok {
			*tags = append(*tags, label)
		} else {
			l.setAttr(to, attr.Key, attr.Value)
		}
	}
}

// usual returns the label of an attribute that every message has.
func (l *connLabels) usual(attr *slog.Attr) (label model.IfaceMapItem, ok bool) {
	label.Key = labelKey(attr.Key)
	if label.Key == attr.Key {
		return label, false
	}
	if attr.Value.Kind() == slog.KindInt64 {
		label.Value = attr.Value.Int64()
		return label, true
	}
	if attr.Value.Kind() == slog.KindString {
		label.Value, ok = l.known(attr.Value.String())
	}
	return label, ok
}

func (l *connLabels) setAttr(to labelled, key string, value slog.Value) {
	switch key {
	case "":
		return
	case semconv.StatusCode:
		if value.Kind() == slog.KindInt64 {
			to.SetHTTPStatusCode(int(value.Int64()))
			return
		}
	case semconv.UserID:
		if user, ok := to.(interface{ SetUserID(id string) }); ok {
			user.SetUserID(value.Resolve().String())
			return
		}
	}
	key = labelKey(key)
	switch value.Kind() {
	case slog.KindString:
		to.SetLabel(key, l.boxed(value.String()))
	case slog.KindInt64:
		to.SetLabel(key, value.Int64())
	case slog.KindUint64:
		to.SetLabel(key, value.Uint64())
	case slog.KindFloat64:
		setFloat(to, key, value.Float64())
	case slog.KindBool:
		to.SetLabel(key, value.Bool())
	case slog.KindDuration:
		setFloat(to, key, value.Duration().Seconds())
	case slog.KindTime:
		to.SetLabel(key, value.Time().Format(time.RFC3339Nano))
	case slog.KindGroup:
		for _, attr := range value.Group() {
			l.setAttr(to, key+"."+attr.Key, attr.Value)
		}
	case slog.KindLogValuer:
		l.setAttr(to, key, value.Resolve())
	default:
		setAny(to, key, value.Any())
	}
}

// setFloat leaves out what JSON cannot hold: the agent's request would be
// malformed.
func setFloat(to labelled, key string, f float64) {
	if !math.IsNaN(f) && !math.IsInf(f, 0) {
		to.SetLabel(key, f)
	}
}

// setAny sets a value of a type that slog does not know: numbers and booleans
// of named types as such, the rest as text.
func setAny(to labelled, key string, value any) {
	switch value.(type) {
	case nil:
		return
	case error, fmt.Stringer:
		to.SetLabel(key, fmt.Sprint(value))
		return
	}
	switch v := reflect.ValueOf(value); {
	case v.CanInt():
		to.SetLabel(key, v.Int())
	case v.CanUint():
		to.SetLabel(key, v.Uint())
	case v.CanFloat():
		setFloat(to, key, v.Float())
	case v.Kind() == reflect.Bool:
		to.SetLabel(key, v.Bool())
	default:
		to.SetLabel(key, fmt.Sprint(value))
	}
}

// boxed returns s as an interface, without an allocation for the values that
// every message has.
func (l *connLabels) boxed(s string) any {
	if known, ok := l.known(s); ok {
		return known
	}
	return s
}

// known returns a value that every message has as an interface.
func (l *connLabels) known(s string) (boxed any, ok bool) {
	switch s {
	case semconv.EventMessage:
		return semconv.EventMessage, true
	case "text":
		return "text", true
	case "binary":
		return "binary", true
	case "inbound":
		return "inbound", true
	}
	// Not in the switch: there all would be compared one after the other.
	if s == l.id {
		return l.boxedID, true
	}
	if s == l.route {
		return l.boxedRoute, true
	}
	return nil, false
}

// labelKey returns a key as Elastic spells it, for those that every message has.
// The agent would do the same at the price of an allocation.
func labelKey(key string) string {
	switch key {
	case semconv.Event:
		return "websocket_event"
	case semconv.ConnectionID:
		return "websocket_connection_id"
	case semconv.Route:
		return "http_route"
	case semconv.MessageType:
		return "websocket_message_type"
	case semconv.MessageLength:
		return "websocket_message_length"
	case semconv.MessageDirection:
		return "websocket_message_direction"
	default:
		return key
	}
}
