package livews

import (
	"fmt"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// escapeFormat escapes format characters in JSON: a name with U+202E would
// otherwise turn round what follows it wherever the JSON is looked at. Outside
// ASCII there are only strings in JSON, so nothing else is changed.
func escapeFormat(src []byte) []byte {
	dst := make([]byte, 0, len(src))
	for i := 0; i < len(src); {
		if src[i] < utf8.RuneSelf {
			dst = append(dst, src[i])
			i++
			continue
		}
		r, size := utf8.DecodeRune(src[i:])
		switch {
		case !unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Co):
			dst = append(dst, src[i:i+size]...)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			dst = fmt.Appendf(dst, `\u%04x\u%04x`, high, low)
		default:
			dst = fmt.Appendf(dst, `\u%04x`, r)
		}
		i += size
	}
	return dst
}
