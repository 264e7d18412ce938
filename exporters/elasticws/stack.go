package elasticws

import (
	"strconv"
	"strings"

	"go.elastic.co/apm/v2/stacktrace"
)

// panicFrames parses what runtime/debug.Stack prints in a function that is
// deferred by a panic: two lines per frame, innermost first,
//
//	example.org/chat.(*room).say(0xc000012345, {0x1, 0x2})
//		/src/chat/room.go:42 +0x1d
//
// The frames down to the panic itself, which are the deferred functions', are
// left out.
func panicFrames(stack []byte) []stacktrace.Frame {
	var frames []stacktrace.Frame
	function := ""
	panicked := false
	for line := range strings.Lines(string(stack)) {
		line = strings.TrimRight(line, "\n")
		position, isPosition := strings.CutPrefix(line, "\t")
		switch {
		case !isPosition:
			function = functionName(line)
		case function == "":
		case function == "panic" && !panicked:
			panicked = true
			frames = nil
		default:
			file, number := filePosition(position)
			frames = append(frames, stacktrace.Frame{Function: function, File: file, Line: number})
		}
	}
	return frames
}

// functionName returns the function of a frame's first line, or nothing for the
// lines that are no frames: the goroutine's state and what created it.
func functionName(line string) string {
	if strings.HasPrefix(line, "goroutine ") || strings.HasPrefix(line, "created by ") {
		return ""
	}
	if i := strings.LastIndexByte(line, '('); i > 0 {
		return line[:i]
	}
	return ""
}

// filePosition splits "/src/chat/room.go:42 +0x1d".
func filePosition(position string) (file string, line int) {
	if i := strings.LastIndex(position, " +0x"); i >= 0 {
		position = position[:i]
	}
	i := strings.LastIndexByte(position, ':')
	if i < 0 {
		return position, 0
	}
	line, err := strconv.Atoi(position[i+1:])
	if err != nil {
		return position, 0
	}
	return position[:i], line
}
