package exportertest

import (
	"encoding/hex"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/apmws/go-apmws/apmws/semconv"
)

// sent is what a back end has got of a session.
type sent struct {
	*session
	Telemetry
}

// sent reads what the back end has got, and checks that it can be read.
func (s *session) sent() *sent {
	telemetry, err := s.Sent()
	if err != nil {
		s.fatalf("Sent: %v", err)
	}
	g := &sent{session: s, Telemetry: telemetry}
	for i := range g.Transactions {
		t := &g.Transactions[i]
		switch t.Type {
		case semconv.TypeConnection, semconv.TypeMessage, semconv.TypeDisconnection:
		default:
			s.fatalf("transaction %q has the type %q", t.Name, t.Type)
		}
		if !s.Limits.NoIDs && (!isHex(t.TraceID, 16) || !isHex(t.SpanID, 8) || t.ParentID != "" && !isHex(t.ParentID, 8)) {
			s.fatalf("transaction %q has the ids %q, %q, %q: not hexadecimal, or not 16, 8 and 8 bytes", t.Name, t.TraceID, t.SpanID, t.ParentID)
		}
	}
	return g
}

// isHex reports whether an id consists of n bytes in lower-case digits.
func isHex(id string, n int) bool {
	_, err := hex.DecodeString(id)
	return err == nil && len(id) == 2*n && strings.ToLower(id) == id
}

// spelled is how the back end spells a name.
func (s *session) spelled(name string) string {
	if s.Limits.Spelling == nil {
		return name
	}
	return s.Limits.Spelling(name)
}

// attr returns an attribute.
func (s *session) attr(attrs map[string]any, name string) (value any, ok bool) {
	value, ok = attrs[s.spelled(name)]
	return value, ok
}

// of returns the transactions of that type and connection.
func (g *sent) of(typ, connection string) (found []*Transaction) {
	for i := range g.Transactions {
		t := &g.Transactions[i]
		if id, _ := g.attr(t.Attrs, semconv.ConnectionID); t.Type == typ && id == connection {
			found = append(found, t)
		}
	}
	return found
}

// connect returns the CONNECT of a connection, disconnect its DISCONNECT.
func (g *sent) connect(c *conn) *Transaction { return g.single(semconv.TypeConnection, c) }

func (g *sent) disconnect(c *conn) *Transaction { return g.single(semconv.TypeDisconnection, c) }

func (g *sent) single(typ string, c *conn) *Transaction {
	found := g.of(typ, c.start.ID)
	if len(found) != 1 {
		g.fatalf("%d transactions of the type %s with the connection's id, want 1, among %s", len(found), typ, g.listed())
	}
	return found[0]
}

// listed names all transactions, for messages.
func (g *sent) listed() string {
	const most = 20
	var b strings.Builder
	for i, t := range g.Transactions {
		if i == most {
			b.WriteString(", …")
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(t.Type + " " + t.Name)
	}
	if b.Len() == 0 {
		return "none at all"
	}
	return b.String()
}

// message returns the transaction of a message, which must be recorded once.
func (g *sent) message(m *message) *Transaction {
	found := g.messages(m)
	if len(found) != 1 {
		g.fatalf("%d transactions of message %d, want 1, among %s", len(found), m.n, g.listed())
	}
	return found[0]
}

// messages returns the transactions of a message.
func (g *sent) messages(m *message) (found []*Transaction) {
	for _, t := range g.of(semconv.TypeMessage, m.c.start.ID) {
		if n, _ := g.attr(t.Attrs, attrNumber); matches(n, slog.Int64Value(m.n), 0) {
			found = append(found, t)
		}
	}
	return found
}

// span returns the only span of that name.
func (g *sent) span(t *Transaction, name string) *Span {
	found := spansNamed(t, name)
	if len(found) != 1 {
		g.fatalf("%s %q has %d spans with the name %q, want 1", t.Type, t.Name, len(found), name)
	}
	return found[0]
}

func spansNamed(t *Transaction, name string) (found []*Span) {
	for i := range t.Spans {
		if t.Spans[i].Name == name {
			found = append(found, &t.Spans[i])
		}
	}
	return found
}

// wantAttrs checks that attributes have arrived with their values.
func (g *sent) wantAttrs(what string, attrs map[string]any, want []slog.Attr) {
	for _, a := range want {
		value, ok := g.attr(attrs, a.Key)
		switch {
		case !ok:
			g.errorf("%s has no attribute %s", what, a.Key)
		case !matches(value, a.Value, g.Limits.MaxString):
			g.errorf("%s has the attribute %s = %s (%T), want %s", what, a.Key, brief(value), value, brief(a.Value))
		}
	}
}

// brief is a value as text that fits into a line.
func brief(value any) string {
	const most = 80
	text := []rune(fmt.Sprint(value))
	if len(text) <= most {
		return string(text)
	}
	return fmt.Sprintf("%s… (%d characters)", string(text[:most]), len(text))
}

// matches compares what has arrived with a string, a number or a boolean.
func matches(got any, want slog.Value, maxString int) bool {
	switch want.Kind() {
	case slog.KindString:
		text, ok := got.(string)
		return ok && (text == want.String() || maxString > 0 && isCut(text, want.String(), maxString))
	case slog.KindInt64:
		return isNumber(got, float64(want.Int64()))
	case slog.KindUint64:
		return isNumber(got, float64(want.Uint64()))
	case slog.KindFloat64:
		return isNumber(got, want.Float64())
	default:
		return got == want.Any()
	}
}

// isNumber compares numbers of any type, as far as text in decimals keeps them.
func isNumber(got any, want float64) bool {
	const slack = 1e-9
	var f float64
	switch v := reflect.ValueOf(got); {
	case v.CanFloat():
		f = v.Float()
	case v.CanInt():
		f = float64(v.Int())
	case v.CanUint():
		f = float64(v.Uint())
	default:
		return false
	}
	difference := max(f-want, want-f)
	return difference <= slack*max(want, -want)
}

// isCut reports whether a text is what remains of another one. There may be a
// mark at its end.
func isCut(got, whole string, limit int) bool {
	if len(whole) <= limit || utf8.RuneCountInString(got) > limit || !utf8.ValidString(got) {
		return false
	}
	const mark = 2 * utf8.UTFMax // bytes: of a mark, and of a character that was not to be split
	start := strings.TrimSuffix(strings.TrimSuffix(got, "…"), "...")
	return strings.HasPrefix(whole, start) && len(got) >= limit-mark
}

// Back ends keep times in fractions of their own.
const (
	startSlack    = time.Millisecond
	durationSlack = 10 * time.Microsecond
	// Under an agent the clock is the machine's, which may be set in between: who
	// keeps times without the monotonic clock's reading has another duration.
	watchedSlack = 50 * time.Millisecond
)

// wantTimes checks times. least is the time that has really passed between the
// calls, for a back end with a clock of its own.
func (g *sent) wantTimes(what string, start, wantStart time.Time, d, wantDuration, least time.Duration) {
	if g.Limits.OwnClock {
		if d < least {
			g.errorf("%s has the duration %v, but %v have passed between the calls", what, d, least)
		}
		return
	}
	g.wantTimesWithin(durationSlack, what, start, wantStart, d, wantDuration)
}

// wantTimesWithin compares times, but for those of a back end with a clock of its
// own.
func (g *sent) wantTimesWithin(slack time.Duration, what string, start, wantStart time.Time, d, wantDuration time.Duration) {
	if g.Limits.OwnClock {
		return
	}
	if off := start.Sub(wantStart); max(off, -off) > startSlack {
		g.errorf("%s starts %v off the event's time", what, off)
	}
	if off := d - wantDuration; max(off, -off) > slack {
		g.errorf("%s has the duration %v, want %v", what, d, wantDuration)
	}
}
