package livews

import (
	"fmt"
	"log/slog"
	"slices"
	"unicode/utf8"
)

// What is kept of one transaction.
const (
	maxAttrs     = 32   // of the transaction
	maxSpanAttrs = 16   // of each span
	maxText      = 256  // bytes of a name or a value
	maxErrorText = 1024 // bytes of an error's message
)

// attributes are a bounded list with unique keys. The values are strings,
// numbers and booleans.
type attributes struct {
	list    []slog.Attr
	dropped int
}

// set copies a transaction's attributes; a known key gets the new value.
func (a *attributes) set(attrs []slog.Attr) {
	for _, attr := range attrs {
		a.setOne(slog.Attr{Key: cut(attr.Key, maxText), Value: plain(attr.Value)}, maxAttrs)
	}
}

// setExcept copies a span's attributes, but those that its transaction has
// with the same value.
func (a *attributes) setExcept(attrs []slog.Attr, known []slog.Attr) {
	for _, attr := range attrs {
		attr = slog.Attr{Key: cut(attr.Key, maxText), Value: plain(attr.Value)}
		if !slices.ContainsFunc(known, attr.Equal) {
			a.setOne(attr, maxSpanAttrs)
		}
	}
}

func (a *attributes) setOne(attr slog.Attr, limit int) {
	for i := range a.list {
		if a.list[i].Key == attr.Key {
			a.list[i] = attr
			return
		}
	}
	if len(a.list) >= limit {
		a.dropped++
		return
	}
	a.list = append(a.list, attr)
}

// plain returns a value that holds on to nothing of the application's.
func plain(v slog.Value) slog.Value {
	switch v.Kind() {
	case slog.KindBool, slog.KindInt64, slog.KindUint64, slog.KindFloat64:
		return v
	case slog.KindString:
		return slog.StringValue(cut(v.String(), maxText))
	case slog.KindLogValuer:
		return plain(v.Resolve())
	default:
		return slog.StringValue(cut(fmt.Sprint(v.Any()), maxText))
	}
}

// cut returns at most limit bytes of s, and a mark where something is missing.
// What it returns then does not keep the rest of s in memory.
func cut(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	const mark = "…"
	end := limit - len(mark)
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + mark
}
