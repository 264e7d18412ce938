package apmws

import (
	"bytes"
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// maxErrorMessage bounds the text of an error, which may repeat what a peer sent.
const maxErrorMessage = 2 << 10 // bytes

func panicFailure(value any, stack []byte) *Failure {
	err, _ := value.(error)
	text, _ := withoutURLs(fmt.Sprint(value), err) // the former recovers from the panics of methods
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
	if hadURL || endless(err) || causesTellURLs(err) {
		f.Err = nil // exporters would ask its causes for their texts
	}
	return f
}

// withoutURLs leaves scheme and host of the URLs in the text of an error: those that
// the errors of net/http carry, and what else looks like one. Paths, queries and
// passwords may be secret. It reports whether there was one.
func withoutURLs(text string, err error) (cut string, found bool) {
	defer func() {
		if recover() != nil { // of a method of the application's errors
			cut, found = "(error whose text cannot be cleaned)", true
		}
	}()
	all := urlErrors(err)
	// The longest first: another one may be its beginning.
	slices.SortFunc(all, func(x, y *url.Error) int { return cmp.Compare(len(y.URL), len(x.URL)) })
	for _, u := range all {
		short := "a URL"
		if parsed, err := url.Parse(u.URL); err == nil && parsed.Host != "" {
			short = parsed.Scheme + "://" + parsed.Host
		} else if u.Err != nil { // that of url.Parse quotes what it does not like
			why := u.Err.Error()
			unquoted, _, _ := strings.Cut(why, ` "`)
			text = strings.ReplaceAll(text, why, unquoted)
		}
		text = strings.ReplaceAll(text, strconv.Quote(u.URL), strconv.Quote(short)) // as url.Error has it
		if len(u.URL) > len("/") {                                                  // of a path alone, every slash would go
			text = strings.ReplaceAll(text, u.URL, short)
		}
	}
	cut, others := withoutPaths(text)
	return cut, others || len(all) > 0
}

// withoutPaths leaves scheme and host of what looks like a URL. It reports whether
// there was more of one.
func withoutPaths(text string) (cut string, found bool) {
	var b strings.Builder
	for {
		before, after, isURL := strings.Cut(text, "://")
		b.WriteString(before)
		if !isURL {
			return b.String(), found
		}
		b.WriteString("://")
		end := endOfURL(after)
		end = len(strings.TrimRight(after[:end], ".,:;!?)]}")) // of the sentence around it
		address := after[:end]
		host, _, more := cutAny(address, "/?#")
		if at := strings.LastIndexByte(host, '@'); at >= 0 {
			host, more = host[at+1:], true
		}
		b.WriteString(host)
		found = found || more
		text = after[end:]
	}
}

// endOfURL returns where a URL in a text ends. A quote with a backslash is a part of it:
// better too much is left out than too little.
func endOfURL(text string) int {
	for i := range len(text) {
		switch c := text[i]; {
		case c <= ' ', c == '<', c == '>', c == '`', c == '\'':
			return i
		case c == '"' && (i == 0 || text[i-1] != '\\'):
			return i
		}
	}
	return len(text)
}

// cutAny is strings.Cut at the first of several bytes.
func cutAny(s, bytes string) (before, after string, found bool) {
	if i := strings.IndexAny(s, bytes); i >= 0 {
		return s[:i], s[i+1:], true
	}
	return s, "", false
}

// causesTellURLs reports whether the text of a cause has a URL, or cannot be had: an
// error may keep the texts of its causes to itself.
func causesTellURLs(err error) (found bool) {
	defer func() { found = recover() != nil || found }()
	for cause := range causes(err) {
		if _, found = withoutPaths(cause.Error()); found {
			break
		}
	}
	return found
}

// urlErrors returns the url.Errors among an error and its causes.
func urlErrors(err error) (all []*url.Error) {
	for cause := range causes(err) {
		if u, ok := cause.(*url.Error); ok && u != nil && u.URL != "" { //nolint:errorlint // causes are walked here
			all = append(all, u)
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
	for range maxCauses {
		inner := firstCause(err)
		if inner == nil {
			break
		}
		err = inner
	}
	return fmt.Sprintf("%T", err)
}

func firstCause(err error) error {
	for _, cause := range causesOf(err) {
		return cause
	}
	return nil
}
