package exportertest

import (
	"fmt"
	"reflect"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"time"
)

// kit is what a rule is checked with. It needs no test, so that violations can be
// collected.
type kit struct {
	open     []func() Backend
	patience time.Duration

	mu     sync.Mutex
	report func(violation string) // nil when the rule is over
}

// abandoned is what a check that cannot go on panics with.
type abandoned struct{}

// run checks a rule, on a goroutine of its own since an exporter may block that or
// end it. It reports whether the check is over: when it is not, the goroutine is
// given up. Back ends are opened on the caller's, which is the test's.
func (r rule) run(k *kit) (over bool) {
	requests := make(chan func())
	gaveUp := make(chan struct{})
	defer close(gaveUp)
	defer k.finish()
	for i, open := range k.open {
		k.open[i] = func() (b Backend) {
			opened := make(chan struct{})
			request := func() {
				defer close(opened) // also when open ends the test
				b = open()
			}
			select {
			case requests <- request:
				<-opened
				return b
			case <-gaveUp:
				panic(abandoned{})
			}
		}
	}
	checked := make(chan struct{})
	go func() {
		defer close(checked)
		k.contained(func() { r.check(k) })
	}()
	const most = 2 // more often no check waits
	for {
		select {
		case request := <-requests:
			request()
		case <-checked:
			return true
		case <-time.After(most * k.patience):
			k.errorf("a call of the exporter, or Sent, has not returned after %v: %s", most*k.patience, calls())
			return false
		}
	}
}

// finish lets nothing be reported any more: the test may be over when a goroutine
// that was given up goes on.
func (k *kit) finish() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.report = nil
}

// contained does what calls an exporter. A panic of that breaks any rule.
func (k *kit) contained(work func()) {
	returned := false
	defer func() {
		switch p := recover().(type) {
		case nil:
			if !returned {
				k.errorf("a call of the exporter, or Sent, has ended its goroutine: by runtime.Goexit, or by a test's FailNow, Fatal or Skip")
			}
		case abandoned:
		default:
			k.errorf("the exporter panicked: %v\n%s", p, debug.Stack())
		}
	}()
	work()
	returned = true
}

// spawn is contained on a goroutine of the group.
func (k *kit) spawn(group *sync.WaitGroup, work func()) {
	group.Go(func() { k.contained(work) })
}

func (k *kit) errorf(format string, args ...any) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.report != nil {
		k.report(fmt.Sprintf(format, args...))
	}
}

// fatalf ends what the goroutine is doing for the check.
func (k *kit) fatalf(format string, args ...any) {
	k.errorf(format, args...)
	panic(abandoned{})
}

// within demands that work is over in time. When it is not, the goroutine that it
// runs on is given up.
func (k *kit) within(what string, work func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		k.contained(work)
	}()
	select {
	case <-done:
	case <-time.After(k.patience):
		k.fatalf("%s: not over after %v: %s", what, k.patience, calls())
	}
}

// eventually reports whether a condition becomes true in time.
func (k *kit) eventually(condition func() bool) bool {
	for deadline := time.Now().Add(k.patience); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			return false
		}
	}
	return true
}

// calls shows where the calls are that have not returned.
func calls() string {
	const most = 3
	var found []string
	own := reflect.TypeFor[kit]().PkgPath() + ".(*kit).contained("
	for goroutine := range strings.SplitSeq(allStacks(), "\n\n") {
		// What asks for this is not stuck.
		if frames, _, ok := strings.Cut(goroutine, own); ok && len(found) < most && !strings.Contains(frames, "calls(") {
			found = append(found, frames)
		}
	}
	return strings.Join(found, "\n")
}

// allStacks returns the stacks of all goroutines.
func allStacks() string {
	stacks := make([]byte, 64<<10)
	for {
		if n := runtime.Stack(stacks, true); n < len(stacks) {
			return string(stacks[:n])
		}
		stacks = make([]byte, 2*len(stacks))
	}
}
