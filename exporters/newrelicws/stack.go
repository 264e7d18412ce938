package newrelicws

import (
	"path"
	"strings"
)

// panicStack returns the innermost frames of what runtime/debug.Stack prints in a
// function that is deferred by a panic, as many as an attribute holds. The agent's
// own stacks are program counters, which cannot be got back from text.
//
// A frame is two lines, innermost first:
//
//	example.org/chat.(*room).say(0xc000012345, {0x1, 0x2})
//		/src/chat/room.go:42 +0x1d
//
// Those down to the panic itself, which are the deferred functions', and the
// runtime's are left out. Each frame becomes "chat.(*room).say (room.go:42)".
func panicStack(stack []byte) string {
	var frames strings.Builder
	function, panicked := "", false
	for line := range strings.Lines(string(stack)) {
		line = strings.TrimRight(line, "\n")
		position, isPosition := strings.CutPrefix(line, "\t")
		switch {
		case !isPosition:
			function = functionName(line)
		case function == "panic" && !panicked:
			panicked = true
			frames.Reset()
		case function != "" && !strings.HasPrefix(function, "runtime."):
			position, _, _ = strings.Cut(position, " +0x")
			frame := path.Base(function) + " (" + path.Base(position) + ")"
			if frames.Len() > 0 {
				frame = "\n" + frame
			}
			if frames.Len()+len(frame) > maxValue && panicked {
				return frames.String()
			}
			frames.WriteString(frame)
		}
	}
	return cut(frames.String())
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
