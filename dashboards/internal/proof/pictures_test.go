//go:build !race

package proof

import (
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apmws/go-apmws/dashboards/internal/kibana"
	"github.com/apmws/go-apmws/dashboards/internal/preview"
)

var update = flag.Bool("update", false, "draw the pictures anew")

// pictures are where the README's are.
const pictures = "../../kibana"

// TestPictures draws each dashboard with the hour's numbers, in Chromium. The
// pictures that are committed are of the dashboards as they are: each says of which
// dashboard it was made.
func TestPictures(t *testing.T) {
	s := newScene(t)
	for _, d := range s.file.Dashboards {
		page, err := preview.HTML(s.file, d, s.show(t, d), preview.Options{From: s.Start, To: s.End})
		if err != nil {
			t.Fatal(err)
		}
		t.Run(d.ID, func(t *testing.T) {
			t.Parallel() // most of it is waiting for Chromium
			source := sourceOf(t, d)
			drawn, err := preview.Picture(t.Context(), page, source)
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(pictures, strings.TrimPrefix(d.ID, "apmws-")+".png")
			if *update {
				if err := os.WriteFile(path, drawn, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			committed, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if of, ok := preview.Source(committed); !ok || of != source {
				t.Errorf("%s is not of the dashboard as it is: go test -run TestPictures -update ./dashboards/internal/proof", path)
			}
		})
	}
}

// sourceOf identifies a dashboard by what is drawn of it.
func sourceOf(t *testing.T, d *kibana.Dashboard) string {
	t.Helper()
	only := &kibana.File{Dashboards: []*kibana.Dashboard{d}}
	written, err := only.Write()
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(written)
	return d.ID + " sha256:" + hex.EncodeToString(sum[:])
}
