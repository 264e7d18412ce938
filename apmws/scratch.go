package apmws

import (
	"log/slog"
	"sync"
)

// attrScratch is memory for the attributes of one event.
type attrScratch struct{ attrs []slog.Attr }

var attrPool = sync.Pool{New: func() any { return &attrScratch{attrs: make([]slog.Attr, 0, 32)} }}

func getScratch() *attrScratch { return attrPool.Get().(*attrScratch) }

// put gives back the scratch with what was built in it.
func (s *attrScratch) put(used []slog.Attr) {
	clear(used)
	s.attrs = used[:0]
	attrPool.Put(s)
}

// nameBuffer is memory for a message's name.
type nameBuffer struct{ buf []byte }

var namePool = sync.Pool{New: func() any { return &nameBuffer{buf: make([]byte, 0, 64)} }}

func getNameBuffer() *nameBuffer { return namePool.Get().(*nameBuffer) }

func (n *nameBuffer) put() { namePool.Put(n) }
