package exportertest

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/apmws/go-apmws/apmws"
)

// fault is planted in the reference.
type fault struct {
	name   string
	broken []string // the rules that must catch it
	limits limits
	// hooks are those of one exporter, made anew for each. nil: those of limits.
	hooks func() hooks
	edit  func(*Telemetry) // what reaches the back end
	hangs bool             // it is caught because something does not happen
	waits bool             // the end of a message waits for the back end
}

// backend opens the reference with the fault.
func (f *fault) backend() Backend {
	s := &shim{recorder: NewRecorder()}
	s.hooks = f.limits.hooks()
	if f.hooks != nil {
		s.hooks = f.hooks()
	}
	sent := func() (Telemetry, error) {
		telemetry, err := s.recorder.Sent()
		f.limits.edit(&telemetry)
		if f.edit != nil {
			f.edit(&telemetry)
			telemetry.Raw += fmt.Sprintf("%+v", telemetry.Transactions)
		}
		return telemetry, err
	}
	var stalled sync.RWMutex // while it is locked
	if f.waits {
		s.messageEnd = func(_ *shimMessage, e apmws.MessageEnd, next func(apmws.MessageEnd)) {
			stalled.RLock()
			defer stalled.RUnlock()
			next(e)
		}
	}
	stall := func() (resume func()) {
		stalled.Lock()
		return stalled.Unlock
	}
	return Backend{Exporter: s, Sent: sent, Stall: stall, Limits: f.limits.Limits}
}

// violations checks a rule without a test.
func violations(r rule, patience time.Duration, open ...func() Backend) (found []string) {
	r.run(&kit{open: open, patience: patience, report: func(violation string) { found = append(found, violation) }})
	return found
}

func allRules() []rule { return slices.Concat(aloneRules(), togetherRules()) }

func isTogether(name string) bool {
	return slices.ContainsFunc(togetherRules(), func(r rule) bool { return r.name == name })
}

// TestReference: whatever a back end lacks, with its substitutes it meets every
// rule.
func TestReference(t *testing.T) {
	snake := func(name string) string { return strings.ReplaceAll(name, ".", "_") }
	for name, l := range map[string]Limits{
		"none":        {},
		"NoLinks":     {NoLinks: true},
		"OwnClock":    {OwnClock: true},
		"NoLateStart": {NoLateStart: true},
		"NoWeights":   {NoWeights: true},
		"NoIDs":       {NoIDs: true},
		"BareErrors":  {BareErrors: true},
		"MaxString":   {MaxString: 64},
		"Spelling":    {Spelling: snake},
		"all but ids": {
			NoLinks: true, OwnClock: true, NoLateStart: true, NoWeights: true, BareErrors: true, MaxString: 255, Spelling: snake,
		},
		"all": {
			NoLinks: true, OwnClock: true, NoLateStart: true, NoWeights: true, NoIDs: true, BareErrors: true, MaxString: 255, Spelling: snake,
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := fault{limits: limits{Limits: l}}
			open := func(testing.TB) Backend { return f.backend() }
			Run(t, open)
			RunTogether(t, open, func(testing.TB) Backend { return NewRecorder().Backend() }, open)
		})
	}
}

// TestRecorder: the Recorder meets every rule, alone and with others of its kind.
func TestRecorder(t *testing.T) {
	open := func(testing.TB) Backend { return NewRecorder().Backend() }
	Run(t, open)
	RunTogether(t, open)
	RunTogether(t, open, open, open, open, open, open, open)
}

// TestMutants: each planted fault is caught by the rules that are there for it, and
// each rule catches one.
func TestMutants(t *testing.T) {
	rules := make(map[string]rule)
	for _, r := range allRules() {
		if _, twice := rules[r.name]; twice {
			t.Errorf("two rules have the name %s", r.name)
		}
		rules[r.name] = r
	}
	bites := make(map[string]bool)
	names := make(map[string]bool)
	for _, f := range faults() {
		if names[f.name] || len(f.broken) == 0 {
			t.Errorf("the fault %q is there twice, or breaks no rule", f.name)
		}
		names[f.name] = true
		for _, name := range f.broken {
			r, ok := rules[name]
			if !ok {
				t.Errorf("%s: there is no rule %q", f.name, name)
				continue
			}
			bites[name] = true
			t.Run(name+"/"+f.name, func(t *testing.T) {
				patience := patience
				if f.hangs {
					patience = 300 * time.Millisecond
				}
				found := violations(r, patience, f.backend, f.backend) // two together
				if len(found) == 0 {
					t.Errorf("not caught by: %s", r.sentence)
				}
				for _, violation := range found {
					if violation == "" || strings.Contains(violation, "%!") {
						t.Errorf("the violation is %q", violation)
					}
				}
				t.Logf("%s", strings.Join(found, "\n"))
			})
		}
	}
	for name := range rules {
		if !bites[name] {
			t.Errorf("no fault breaks the rule %q: it may never bite", name)
		}
	}
}

// TestRules: what is listed is what is checked.
func TestRules(t *testing.T) {
	listed := Rules()
	all := allRules()
	if len(listed) != len(all) {
		t.Fatalf("%d rules are listed, want %d", len(listed), len(all))
	}
	for i, r := range listed {
		if r.Name != all[i].name || r.Together != isTogether(r.Name) {
			t.Errorf("rule %d is %+v, want %s", i, r, all[i].name)
		}
		if len(r.Sentence) < 20 || strings.HasSuffix(r.Sentence, ".") {
			t.Errorf("the sentence of %s is %q", r.Name, r.Sentence)
		}
	}
}

// TestCauses: each close cause with an outcome of its own is among those that the
// rules go through, and none twice.
func TestCauses(t *testing.T) {
	outcomes := make(map[apmws.Outcome]int)
	seen := make(map[apmws.CloseCause]bool)
	for _, cause := range causes() {
		if seen[cause] {
			t.Errorf("%s is there twice", cause)
		}
		seen[cause] = true
		outcomes[cause.Outcome()]++
	}
	for outcome, n := range map[apmws.Outcome]int{apmws.OutcomeSuccess: 3, apmws.OutcomeUnknown: 4, apmws.OutcomeFailure: 4} {
		if outcomes[outcome] != n {
			t.Errorf("%d causes have the outcome %s, want %d", outcomes[outcome], outcome, n)
		}
	}
}
