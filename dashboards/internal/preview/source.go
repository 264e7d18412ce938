package preview

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
)

const pngHead = "\x89PNG\r\n\x1a\n"

// sourceChunk is how the chunk of the source begins: its keyword, and that the text
// after it is UTF-8, not compressed, and in no language (PNG, section 11.3.3.4 iTXt).
const sourceChunk = "source\x00\x00\x00\x00\x00"

// errNotPNG is returned for what is no PNG.
var errNotPNG = errors.New("not a PNG")

// withSource adds a chunk behind the first, which is the picture's size.
func withSource(picture []byte, source string) ([]byte, error) {
	const first = len(pngHead) + 4 + 4 + 13 + 4
	if len(picture) < first || !bytes.HasPrefix(picture, []byte(pngHead)) {
		return nil, errNotPNG
	}
	body := []byte("iTXt" + sourceChunk + source)
	out := bytes.Clone(picture[:first])
	out = binary.BigEndian.AppendUint32(out, uint32(len(body)-4))
	out = append(out, body...)
	out = binary.BigEndian.AppendUint32(out, crc32.ChecksumIEEE(body))
	return append(out, picture[first:]...), nil
}

// Source returns what a picture says it was made from, and whether it says so.
func Source(png []byte) (string, bool) {
	rest, ok := bytes.CutPrefix(png, []byte(pngHead))
	for ok && len(rest) >= 12 {
		size := uint64(binary.BigEndian.Uint32(rest))
		if size+12 > uint64(len(rest)) {
			return "", false
		}
		if body := rest[4 : 8+size]; bytes.HasPrefix(body, []byte("iTXt"+sourceChunk)) &&
			crc32.ChecksumIEEE(body) == binary.BigEndian.Uint32(rest[8+size:]) {
			return string(body[4+len(sourceChunk):]), true
		}
		rest = rest[12+size:]
	}
	return "", false
}
