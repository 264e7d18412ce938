package apmws

import (
	"bytes"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// maxErrorMessage bounds the text of an error, which may repeat what a peer sent.
const maxErrorMessage = 2 << 10 // bytes

func panicFailure(value any, stack []byte) *Failure {
	text := fmt.Sprint(value) // which recovers from the panics of methods
	if err, ok := value.(error); ok {
		text, _ = withoutURLs(text, err)
	}
	return &Failure{Message: sanitize(text, maxErrorMessage), Type: "panic", Panic: value, Stack: firstPanic(stack)}
}

// firstPanic leaves out of a stack, as runtime/debug.Stack prints it, the panic that
// EndOnPanic has raised anew: the first one is where it happened.
func firstPanic(stack []byte) []byte {
	again := bytes.LastIndex(stack, []byte("apmws.(*Transaction).EndOnPanic("))
	if again < 0 {
		return stack
	}
	first := bytes.Index(stack[again:], []byte("\npanic("))
	goroutine := bytes.IndexByte(stack, '\n')
	if first < 0 {
		return stack
	}
	return slices.Concat(stack[:goroutine], stack[again+first:])
}

func newFailure(err error) (f *Failure) {
	f = &Failure{Message: "(error without a text)", Type: fmt.Sprintf("%T", err), Err: err}
	defer func() {
		if recover() != nil {
			f.Err = nil // of no use to exporters either
		}
	}()
	text, hadURL := withoutURLs(err.Error(), err)
	f.Message = sanitize(text, maxErrorMessage)
	f.Type = errorType(err)
	if hadURL {
		f.Err = nil // exporters would ask its causes for their texts
	}
	return f
}

// withoutURLs leaves scheme and host of the URLs that the errors of net/http carry:
// paths and queries may be secret. It reports whether there was one.
func withoutURLs(text string, err error) (cut string, found bool) {
	defer func() {
		if recover() != nil { // of a method of the application's errors
			cut, found = "(error whose text cannot be cleaned)", true
		}
	}()
	for _, u := range urlErrors(err) {
		short := "a URL"
		if parsed, err := url.Parse(u.URL); err == nil && parsed.Host != "" {
			short = parsed.Scheme + "://" + parsed.Host
		}
		text = strings.ReplaceAll(text, strconv.Quote(u.URL), strconv.Quote(short)) // as url.Error has it
		if len(u.URL) > len("/") {                                                  // of a path alone, every slash would go
			text = strings.ReplaceAll(text, u.URL, short)
		}
		found = true
	}
	return text, found
}

// urlErrors returns the url.Errors among an error and its causes.
func urlErrors(err error) (all []*url.Error) {
	for waiting := []error{err}; len(waiting) > 0; {
		err, waiting = waiting[0], waiting[1:]
		if u, ok := err.(*url.Error); ok && u != nil && u.URL != "" { //nolint:errorlint // causes are walked here
			all = append(all, u)
		}
		switch e := err.(type) { //nolint:errorlint // likewise
		case interface{ Unwrap() []error }:
			waiting = append(waiting, e.Unwrap()...)
		case interface{ Unwrap() error }:
			if cause := e.Unwrap(); cause != nil {
				waiting = append(waiting, cause)
			}
		}
	}
	return all
}

// withoutAddresses takes the addresses of the connection to that peer out of the
// message, as net.OpError has them: the port differs each time, and so would the
// message, by which back ends group errors without a stack.
func (f *Failure) withoutAddresses(peer string) {
	before, after, found := strings.Cut(f.Message, "->"+peer)
	if i := strings.LastIndexByte(before, ' '); found && peer != "" && i >= 0 {
		f.Message = before[:i] + after
	}
}

// errorType names the innermost error's type: the outer ones are mostly
// *fmt.wrapError. Of several errors in one the first counts.
func errorType(err error) string {
	for {
		inner := errors.Unwrap(err)
		if several, ok := err.(interface{ Unwrap() []error }); ok && len(several.Unwrap()) > 0 {
			inner = several.Unwrap()[0]
		}
		if inner == nil {
			return fmt.Sprintf("%T", err)
		}
		err = inner
	}
}
