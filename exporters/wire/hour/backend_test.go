package hour

import (
	"bytes"
	"compress/zlib"
	"testing"
)

// TestUnpack: of a body that breaks off, as that of an agent which is closed, the
// whole lines are taken.
func TestUnpack(t *testing.T) {
	var body bytes.Buffer
	w := zlib.NewWriter(&body)
	for _, text := range []string{"one\ntwo\n", "thr"} {
		if _, err := w.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	broken := bytes.Clone(body.Bytes())
	if _, err := w.Write([]byte("ee\n")); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		body []byte
		want string
		ok   bool
	}{
		"whole":            {body.Bytes(), "one\ntwo\nthree\n", true},
		"in a line":        {broken, "one\ntwo\n", true},
		"without a line":   {broken[:3], "", true},
		"after one byte":   {broken[:1], "", true},
		"of another kind":  {[]byte(`{"metadata":{}}`), "", false},
		"with a wrong sum": {append(bytes.Clone(body.Bytes()[:body.Len()-1]), body.Bytes()[body.Len()-1]^1), "", false},
	} {
		got, err := unpack(test.body)
		if string(got) != test.want && test.ok || (err == nil) != test.ok {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}
