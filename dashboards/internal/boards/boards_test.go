package boards

import (
	"bytes"
	"os"
	"testing"

	"github.com/apmws/go-apmws/dashboards/internal/kibana"
)

const committed = "../../kibana/apmws.ndjson"

// TestCommitted: the file that users import is what the code describes.
func TestCommitted(t *testing.T) {
	want, err := File().Write()
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(committed)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("dashboards/kibana/apmws.ndjson differs from what the code describes: go run ./dashboards/internal/generate")
	}
}

// TestRead: the types hold all that is in the file.
func TestRead(t *testing.T) {
	written, err := File().Write()
	if err != nil {
		t.Fatal(err)
	}
	f, err := kibana.Read(written)
	if err != nil {
		t.Fatal(err)
	}
	again, err := f.Write()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(again, written) {
		t.Error("what has been read is written in another way")
	}
}
