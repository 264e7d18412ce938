// Package goroutine tells goroutines apart, for exporters whose vendor lets a
// transaction be changed only where it will be ended.
package goroutine

import (
	"bytes"
	"runtime"
	"strconv"
)

// ID returns the number of the calling goroutine, which the runtime tells in
// stack traces only, or 0. It takes some microseconds: it is for handshakes, not for
// messages.
func ID() uint64 {
	var buf [64]byte
	trace := buf[:runtime.Stack(buf[:], false)]
	number, _, _ := bytes.Cut(bytes.TrimPrefix(trace, []byte("goroutine ")), []byte(" "))
	id, err := strconv.ParseUint(string(number), 10, 64)
	if err != nil {
		return 0
	}
	return id
}
