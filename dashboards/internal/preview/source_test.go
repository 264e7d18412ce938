package preview

import (
	"bytes"
	"image"
	"image/png"
	"testing"
)

func TestSource(t *testing.T) {
	var plain bytes.Buffer
	if err := png.Encode(&plain, image.NewGray(image.Rect(0, 0, 3, 2))); err != nil {
		t.Fatal(err)
	}
	for _, source := range []string{"", "apmws.ndjson", hostile, "日本"} {
		named, err := withSource(plain.Bytes(), source)
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := Source(named); !ok || got != source {
			t.Errorf("%q became %q, %v", source, got, ok)
		}
		if _, err := png.Decode(bytes.NewReader(named)); err != nil {
			t.Errorf("with the source %q: %v", source, err)
		}
		for cut := range named {
			if got, ok := Source(named[:cut]); ok && got != source {
				t.Fatalf("cut to %d bytes it says %q", cut, got)
			}
		}
		broken := bytes.Replace(named, []byte(sourceChunk), []byte("source\x00\x00\x00\x00x"), 1)
		if got, ok := Source(broken); ok {
			t.Errorf("broken, it says %q", got)
		}
	}
	if got, ok := Source(plain.Bytes()); ok {
		t.Errorf("a picture without a source says %q", got)
	}
	for _, other := range [][]byte{nil, []byte("GIF89a"), []byte(pngHead)} {
		if _, ok := Source(other); ok {
			t.Errorf("%q has a source", other)
		}
		if _, err := withSource(other, "x"); err == nil {
			t.Errorf("%q was given a source", other)
		}
	}
}
