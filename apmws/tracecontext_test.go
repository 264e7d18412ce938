package apmws_test

import (
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/apmws/go-apmws/apmws"
)

var sampleSpan = apmws.SpanContext{
	TraceID: [16]byte{0x0a, 0xf1, 0xc2, 0xd3, 0xe4, 0xf5, 0x06, 0x17, 0x28, 0x39, 0x4a, 0x5b, 0x6c, 0x7d, 0x8e, 0x9f},
	SpanID:  [8]byte{0x10, 0x21, 0x32, 0x43, 0x54, 0x65, 0x76, 0x87},
	Flags:   1,
}

const (
	sampleTraceID = "0af1c2d3e4f5061728394a5b6c7d8e9f"
	sampleSpanID  = "1021324354657687"
)

func ExampleParseTraceParent() {
	sc, err := apmws.ParseTraceParent("00-0af1c2d3e4f5061728394a5b6c7d8e9f-1021324354657687-01", "vendor=a1")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(sc.TraceIDString(), sc.SpanIDString(), sc.Sampled(), sc.State)
	// Output: 0af1c2d3e4f5061728394a5b6c7d8e9f 1021324354657687 true vendor=a1
}

func TestParseTraceParent(t *testing.T) {
	const ids = sampleTraceID + "-" + sampleSpanID
	with := func(flags byte) apmws.SpanContext {
		sc := sampleSpan
		sc.Flags = flags
		return sc
	}
	for _, test := range []struct {
		name, traceparent string
		want              apmws.SpanContext // zero: malformed
	}{
		{"sampled", "00-" + ids + "-01", with(1)},
		{"not sampled", "00-" + ids + "-00", with(0)},
		{"random id", "00-" + ids + "-02", with(2)},
		{"reserved flags cleared", "00-" + ids + "-ff", with(3)},
		{"reserved flags only", "00-" + ids + "-fc", with(0)},
		{"later version", "01-" + ids + "-01", with(1)},
		{"later version with more", "cc-" + ids + "-01-more-to.come\x00", with(1)},
		{"later version with a dash", "cc-" + ids + "-01-", with(1)},
		{"last version", "fe-" + ids + "-01", with(1)},

		{"empty", "", apmws.SpanContext{}},
		{"version ff", "ff-" + ids + "-01", apmws.SpanContext{}},
		{"version ff with more", "ff-" + ids + "-01-x", apmws.SpanContext{}},
		{"version of one digit", "0-" + ids + "-01x", apmws.SpanContext{}},
		{"version no number", "0g-" + ids + "-01", apmws.SpanContext{}},
		{"version in upper case", "CC-" + ids + "-01", apmws.SpanContext{}},
		{"no version", ids + "-01", apmws.SpanContext{}},
		{"version 00 with more", "00-" + ids + "-01-x", apmws.SpanContext{}},
		{"version 00 with a dash", "00-" + ids + "-01-", apmws.SpanContext{}},
		{"later version with more, no dash", "cc-" + ids + "-01.x", apmws.SpanContext{}},
		{"later version, flags too long", "cc-" + ids + "-011", apmws.SpanContext{}},
		{"later version, too short", "cc-" + ids + "-0", apmws.SpanContext{}},
		{"cut", "00-" + ids + "-0", apmws.SpanContext{}},
		{"no flags", "00-" + ids, apmws.SpanContext{}},
		{"flags no number", "00-" + ids + "-0x", apmws.SpanContext{}},
		{"flags in upper case", "00-" + ids + "-0A", apmws.SpanContext{}},
		{"trace id in upper case", "00-" + strings.ToUpper(sampleTraceID) + "-" + sampleSpanID + "-01", apmws.SpanContext{}},
		{"span id in upper case", "00-" + sampleTraceID + "-102132435465768A-01", apmws.SpanContext{}},
		{"trace id all zero", "00-" + strings.Repeat("0", 32) + "-" + sampleSpanID + "-01", apmws.SpanContext{}},
		{"span id all zero", "00-" + sampleTraceID + "-0000000000000000-01", apmws.SpanContext{}},
		{"trace id too short", "00-" + sampleTraceID[1:] + "-" + sampleSpanID + "-01x", apmws.SpanContext{}},
		{"span id too short", "00-" + sampleTraceID + "-" + sampleSpanID[1:] + "-01x", apmws.SpanContext{}},
		{"trace id no number", "00-" + sampleTraceID[:31] + "g-" + sampleSpanID + "-01", apmws.SpanContext{}},
		{"span id no number", "00-" + sampleTraceID + "-" + sampleSpanID[:15] + "\xff-01", apmws.SpanContext{}},
		{"first dash missing", "00_" + ids + "-01", apmws.SpanContext{}},
		{"second dash missing", "00-" + sampleTraceID + "_" + sampleSpanID + "-01", apmws.SpanContext{}},
		{"third dash missing", "00-" + ids + "_01", apmws.SpanContext{}},
		{"space before", " 00-" + ids + "-01", apmws.SpanContext{}},
		{"space after", "00-" + ids + "-01 ", apmws.SpanContext{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			wantErr := test.want == apmws.SpanContext{}
			if !wantErr {
				test.want.State = "k=v"
			}
			got, err := apmws.ParseTraceParent(test.traceparent, "k=v")
			if got != test.want || errors.Is(err, apmws.ErrTraceParent) != wantErr || (err != nil) != wantErr {
				t.Errorf("ParseTraceParent(%q) = %+v, %v, want %+v, error %t", test.traceparent, got, err, test.want, wantErr)
			}
		})
	}
}

func TestParseTraceParentState(t *testing.T) {
	long := func(n int) string { return strings.Repeat("x", n) }
	members := func(n int) string { return strings.TrimSuffix(strings.Repeat("a=1,", n), ",") }
	for _, test := range []struct{ name, state, want string }{
		{"none", "", ""},
		{"one member", "es=s:0.5", "es=s:0.5"},
		{"several members", "a=1,b-_*/@2=x;y:z", "a=1,b-_*/@2=x;y:z"},
		{"tenant", "42@vendor=1", "42@vendor=1"},
		{"spaces and tabs between members", " a=1 ,\tb=2\t, c=3 ", "a=1,b=2,c=3"},
		{"empty members", ",a=1,, ,b=2,", "a=1,b=2"},
		{"only empty members", " ,\t,,", ""},
		{"leading space of a value", "a= 1", "a= 1"},
		{"space inside a value", "a=1 2,b=3", "a=1 2,b=3"},
		{"all printable characters", "a=!\"#$%&'()*+-./:;<>?@[\\]^_`{|}~", "a=!\"#$%&'()*+-./:;<>?@[\\]^_`{|}~"},
		{"duplicate keys", "a=1,a=2", "a=1,a=2"},
		{"32 members", members(32), members(32)},
		{"32 members and empty ones", members(32) + ",,", members(32)},
		{"512 bytes", "a=" + long(252) + ",b=" + long(255), "a=" + long(252) + ",b=" + long(255)},
		{"long key", long(256) + "=1", long(256) + "=1"},
		{"long value", "a=" + long(256), "a=" + long(256)},

		{"513 bytes", "a=" + long(253) + ",b=" + long(255), ""},
		{"513 bytes with a space", "a=" + long(252) + ", b=" + long(255), ""},
		{"33 members", members(33), ""},
		{"key too long", long(257) + "=1", ""},
		{"value too long", "a=" + long(257), ""},
		{"no value", "a=", ""},
		{"blank value", "a= ", ""},
		{"no key", "=1", ""},
		{"no equals sign", "a", ""},
		{"two equals signs", "a=1=2", ""},
		{"one bad member", "a=1,b,c=3", ""},
		{"key in upper case", "A=1", ""},
		{"key beginning with a sign", "_a=1", ""},
		{"key with a dot", "a.b=1", ""},
		{"key with a space", "a b=1", ""},
		{"space before the equals sign", "a =1", ""},
		{"tab in a value", "a=1\t2", ""},
		{"line break", "a=1\r\nb: 2", ""},
		{"line break at the end", "a=1\n", ""},
		{"delete", "a=\x7f", ""},
		{"beyond ASCII", "a=é", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := apmws.ParseTraceParent("00-"+sampleTraceID+"-"+sampleSpanID+"-01", test.state)
			want := sampleSpan
			want.State = test.want
			if err != nil || got != want {
				t.Errorf("tracestate %q gave %+v, %v, want %+v", test.state, got, err, want)
			}
		})
	}
}

func TestSpanContext(t *testing.T) {
	noTrace, noSpan, noFlags, allFlags := sampleSpan, sampleSpan, sampleSpan, sampleSpan
	noTrace.TraceID = [16]byte{}
	noSpan.SpanID = [8]byte{}
	noFlags.Flags = 0
	allFlags.Flags = 0xff
	lowest := apmws.SpanContext{TraceID: [16]byte{15: 1}, SpanID: [8]byte{7: 1}, Flags: 2}
	for _, test := range []struct {
		name           string
		sc             apmws.SpanContext
		valid, sampled bool
		traceparent    string
	}{
		{"zero", apmws.SpanContext{}, false, false, ""},
		{"no trace id", noTrace, false, true, ""},
		{"no span id", noSpan, false, true, ""},
		{"sampled", sampleSpan, true, true, "00-" + sampleTraceID + "-" + sampleSpanID + "-01"},
		{"not sampled", noFlags, true, false, "00-" + sampleTraceID + "-" + sampleSpanID + "-00"},
		{"reserved flags", allFlags, true, true, "00-" + sampleTraceID + "-" + sampleSpanID + "-03"},
		{"lowest ids", lowest, true, false, "00-00000000000000000000000000000001-0000000000000001-02"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := test.sc.IsValid(); got != test.valid {
				t.Errorf("IsValid() = %t", got)
			}
			if got := test.sc.Sampled(); got != test.sampled {
				t.Errorf("Sampled() = %t", got)
			}
			if got := test.sc.TraceParent(); got != test.traceparent {
				t.Errorf("TraceParent() = %q, want %q", got, test.traceparent)
			}
		})
	}
	if got := sampleSpan.TraceIDString(); got != sampleTraceID {
		t.Errorf("TraceIDString() = %q, want %q", got, sampleTraceID)
	}
	if got := sampleSpan.SpanIDString(); got != sampleSpanID {
		t.Errorf("SpanIDString() = %q, want %q", got, sampleSpanID)
	}
}

func TestTraceContextAllocs(t *testing.T) {
	traceparent := sampleSpan.TraceParent()
	for _, test := range []struct {
		name string
		want float64
		f    func()
	}{
		{"format", 1, func() { traceparent = sampleSpan.TraceParent() }},
		{"parse", 0, func() { _, _ = apmws.ParseTraceParent(traceparent, "") }},
		{"parse with a state", 0, func() { _, _ = apmws.ParseTraceParent(traceparent, "a=1,b=2") }},
		{"parse with a loose state", 1, func() { _, _ = apmws.ParseTraceParent(traceparent, "a=1, b=2") }},
		{"parse malformed", 0, func() { _, _ = apmws.ParseTraceParent("00-", "a=1") }},
	} {
		if n := testing.AllocsPerRun(100, test.f); n != test.want {
			t.Errorf("%s: %v allocations per call, want %v", test.name, n, test.want)
		}
	}
}

// FuzzParseTraceParent compares with regular expressions made from the grammar
// of the specification.
func FuzzParseTraceParent(f *testing.F) {
	traceparent := regexp.MustCompile(`(?s)^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$`)
	zeros := regexp.MustCompile(`^0+$`)
	member := regexp.MustCompile(`^[a-z0-9][a-z0-9_*/@-]{0,255}=[ -+\--<>-~]{0,255}[!-+\--<>-~]$`)

	const ids = sampleTraceID + "-" + sampleSpanID
	for _, seed := range [][2]string{
		{"00-" + ids + "-01", "a=1,b=2"},
		{"00-" + ids + "-ff", " a=1 ,, b= 2"},
		{"cc-" + ids + "-03-more", "42@vendor=x"},
		{"ff-" + ids + "-01", ""},
		{"00-" + ids + "-01-", "a"},
		{"00-" + strings.Repeat("0", 32) + "-" + sampleSpanID + "-01", "a=1=2"},
		{"00-" + strings.ToUpper(sampleTraceID) + "-" + sampleSpanID + "-01", "A=1"},
		{"01-" + ids + "-01", strings.Repeat("a=1,", 33)},
		{"01-" + ids + "-01", strings.Repeat("a", 256) + "=" + strings.Repeat("b", 255)},
		{"", ""},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, parent, state string) {
		sc, err := apmws.ParseTraceParent(parent, state)

		m := traceparent.FindStringSubmatch(parent)
		valid := m != nil && m[1] != "ff" && (m[1] != "00" || m[5] == "") &&
			!zeros.MatchString(m[2]) && !zeros.MatchString(m[3])
		if !valid {
			if !errors.Is(err, apmws.ErrTraceParent) || sc != (apmws.SpanContext{}) {
				t.Fatalf("malformed %q gave %+v, %v", parent, sc, err)
			}
			return
		}
		if err != nil {
			t.Fatalf("well-formed %q gave %v", parent, err)
		}
		if !sc.IsValid() || sc.TraceIDString() != m[2] || sc.SpanIDString() != m[3] {
			t.Fatalf("%q gave the ids %q and %q", parent, sc.TraceIDString(), sc.SpanIDString())
		}
		flags, err := hex.DecodeString(m[4])
		if err != nil {
			t.Fatal(err)
		}
		if sc.Flags != flags[0]&3 || sc.Sampled() != (flags[0]&1 == 1) {
			t.Fatalf("%q gave the flags %#x", parent, sc.Flags)
		}

		var members []string
		stateOK := len(state) <= 512
		for s := range strings.SplitSeq(state, ",") {
			if s = strings.Trim(s, " \t"); s != "" {
				members = append(members, s)
				stateOK = stateOK && member.MatchString(s)
			}
		}
		want := strings.Join(members, ",")
		if !stateOK || len(members) > 32 {
			want = ""
		}
		if sc.State != want {
			t.Fatalf("tracestate %q gave %q, want %q", state, sc.State, want)
		}

		formatted := sc.TraceParent()
		if want := fmt.Sprintf("00-%s-%s-%02x", m[2], m[3], sc.Flags); formatted != want {
			t.Fatalf("%q was formatted as %q, want %q", parent, formatted, want)
		}
		again, err := apmws.ParseTraceParent(formatted, sc.State)
		if err != nil || again != sc {
			t.Fatalf("%q with %q gave %+v, %v, want %+v", formatted, sc.State, again, err, sc)
		}
	})
}

func BenchmarkParseTraceParent(b *testing.B) {
	traceparent := sampleSpan.TraceParent()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := apmws.ParseTraceParent(traceparent, "es=s:0.5,vendor=a1"); err != nil {
			b.Fatal(err)
		}
	}
}
