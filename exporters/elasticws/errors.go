package elasticws

import (
	"errors"
	"math"
	"time"

	"go.elastic.co/apm/v2"
	"go.elastic.co/apm/v2/stacktrace"

	"github.com/apmws/go-apmws/apmws"
)

// newError makes the error document of a failed transaction that has not ended.
// The caller sets its labels, which Elastic does not take over from the
// transaction, and sends it.
func (e *Exporter) newError(tx *apm.Transaction, at time.Time, user string, f *apmws.Failure) *apm.Error {
	doc, hasStack := e.describe(f)
	if !hasStack {
		// The agent has taken the stack of this call, which says nothing.
		doc.SetStacktrace(math.MaxInt32)
		if tx.TransactionData != nil {
			doc.Culprit = tx.Name
		}
	}
	doc.Timestamp = at
	doc.Handled = f.Panic == nil && f.Stack == nil
	doc.Context.SetUserID(user)
	doc.SetTransaction(tx)
	return doc
}

// describe makes an error document of a failure, and reports whether that has a
// stack. Causes and stacks are asked for by methods of the application's errors,
// which may panic, such as those of a nil pointer. Then the document is made
// without them.
func (e *Exporter) describe(f *apmws.Failure) (doc *apm.Error, hasStack bool) {
	defer func() {
		if f.Err != nil && recover() != nil {
			bare := *f
			bare.Err = nil
			doc, hasStack = e.describe(&bare)
		}
	}()
	described := &failure{Failure: f}
	switch {
	case f.Stack != nil:
		described.frames = panicFrames(f.Stack)
	case f.Err != nil:
		described.frames = stacktrace.AppendErrorStacktrace(nil, f.Err, -1)
	}
	// An unnamed type, since the agent sends the package of a named one as the
	// exception's module.
	return e.tracer.NewError(struct{ *failure }{described}), len(described.frames) > 0
}

// failure is an apmws.Failure in the shape that Elastic's agent looks for: the
// exception's type and stack are asked for by methods.
type failure struct {
	*apmws.Failure
	frames []stacktrace.Frame
}

// Error implements error.
func (f *failure) Error() string { return f.Message }

// Type returns the exception's type.
func (f *failure) Type() string { return f.Failure.Type }

// StackTrace returns the exception's stack.
func (f *failure) StackTrace() []stacktrace.Frame { return f.frames }

// Unwrap returns the causes of the error, each an exception of its own.
func (f *failure) Unwrap() []error {
	if f.Err == nil {
		return nil
	}
	if joined, ok := f.Err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	if cause := errors.Unwrap(f.Err); cause != nil {
		return []error{cause}
	}
	return nil
}
