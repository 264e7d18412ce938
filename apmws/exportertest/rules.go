package exportertest

import (
	"slices"
	"testing"
	"time"
)

// Rule is one demand on exporters.
type Rule struct {
	Name     string // of its subtest
	Sentence string // the demand, as it is shown when it is not met
	Together bool   // checked by RunTogether, else by Run
}

// Rules returns all rules, in the order in which they are checked.
func Rules() []Rule {
	all := make([]Rule, 0, 64)
	for _, r := range aloneRules() {
		all = append(all, Rule{Name: r.name, Sentence: r.sentence})
	}
	for _, r := range togetherRules() {
		all = append(all, Rule{Name: r.name, Sentence: r.sentence, Together: true})
	}
	return all
}

// Run checks an exporter, each rule in a subtest of its name. open makes a new
// Backend; what that needs to be released is for t.Cleanup. It may be called
// several times by one rule, always on the goroutine of the subtest. Do not call
// Run in a parallel test: two of the rules count goroutines.
func Run(t *testing.T, open func(t testing.TB) Backend) {
	t.Helper()
	runAll(t, aloneRules(), open)
}

// RunTogether checks that several exporters, or several of one kind, take nothing
// from each other when one apmws.Agent has them all. It drives the agent by
// handshakes over a loopback connection. It takes at least one function, each as
// Run does, and the order is that of apmws.Options.Exporters.
func RunTogether(t *testing.T, open ...func(t testing.TB) Backend) {
	t.Helper()
	if len(open) == 0 {
		t.Fatal("exportertest: RunTogether without an exporter")
	}
	runAll(t, togetherRules(), open...)
}

func runAll(t *testing.T, rules []rule, open ...func(t testing.TB) Backend) {
	t.Helper()
	for _, r := range rules {
		blocked := false
		t.Run(r.name, func(t *testing.T) {
			t.Helper()
			k := &kit{patience: patience, report: func(violation string) {
				t.Errorf("%s\n\trule: %s", violation, r.sentence)
			}}
			for _, o := range open {
				k.open = append(k.open, func() Backend { return o(t) })
			}
			blocked = !r.run(k)
		})
		if blocked {
			t.Fatalf("the rules after %s are not checked, since they would block as well", r.name)
		}
	}
}

// patience is how long the kit waits for what has to happen at once.
const patience = 20 * time.Second

// rule is a Rule with its check.
type rule struct {
	name, sentence string
	check          func(*kit)
}

// aloneRules are the rules of Run.
func aloneRules() []rule {
	return slices.Concat(
		timeRules(), attributeRules(), contextRules(), mappingRules(), failureRules(), linkRules(),
		samplingRules(), spanRules(), lateRules(), sharingRules(), identityRules(), lifecycleRules(), agentRules(),
		broadcastRules(),
	)
}
