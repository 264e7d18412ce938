package apmws

import (
	"iter"
	"slices"
)

// An application's error may be its own cause, by mistake: errors.Is and errors.As
// never come back from that, and with them the connection.

// maxCauses bounds how many causes of an error are looked at: more than one has that is
// not its own.
const maxCauses = 1000

// causes walks an error and its causes in the order of errors.Is, each before its
// own, up to maxCauses of them.
func causes(err error) iter.Seq[error] {
	return func(yield func(error) bool) {
		waiting := []error{err}
		for range maxCauses {
			if len(waiting) == 0 {
				return
			}
			next := waiting[len(waiting)-1]
			waiting = waiting[:len(waiting)-1]
			if next == nil {
				continue
			}
			if !yield(next) {
				return
			}
			for _, cause := range slices.Backward(causesOf(next)) {
				waiting = append(waiting, cause)
			}
		}
	}
}

// causesOf returns the errors that an error wraps.
func causesOf(err error) []error {
	switch e := err.(type) { //nolint:errorlint // causes are walked here
	case interface{ Unwrap() []error }:
		return e.Unwrap()
	case interface{ Unwrap() error }:
		if cause := e.Unwrap(); cause != nil {
			return []error{cause}
		}
	}
	return nil
}

// endless reports whether an error has more causes than are looked at. Nobody else must
// ask such a one for them.
func endless(err error) bool {
	return len(slices.Collect(causes(err))) == maxCauses
}

// errorIs is errors.Is for an application's error.
func errorIs(err, target error) bool {
	for cause := range causes(err) {
		if cause == target { //nolint:errorlint // causes are walked here
			return true
		}
		if e, ok := cause.(interface{ Is(err error) bool }); ok && e.Is(target) {
			return true
		}
	}
	return false
}

// errorAs is errors.As for an application's error. The result is nil when there is
// none of that type.
func errorAs[T error](err error) (found T) {
	for cause := range causes(err) {
		if e, ok := cause.(T); ok { //nolint:errorlint // likewise
			return e
		}
		if e, ok := cause.(interface{ As(target any) bool }); ok && e.As(&found) {
			return found
		}
	}
	return found
}
