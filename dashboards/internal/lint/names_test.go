package lint

import (
	"regexp"
	"strings"
	"testing"
)

// TestEveryName misspells each name of the valid file in turn, wherever it stands,
// as a wrong tag on a field of a Go struct would.
func TestEveryName(t *testing.T) {
	data := newDraft().write()
	names := make(map[string]bool)
	for _, l := range read(data, Options{}).lines {
		walk("", l.raw, func(_ string, value any) {
			for name := range members(value) {
				// Ids of layers and columns, and fields, are no names of Kibana's.
				if len(name) > 3 && !strings.ContainsAny(name, ".-") {
					names[name] = true
				}
			}
		})
	}
	if len(names) < 100 {
		t.Fatalf("only %d names", len(names))
	}
	for _, name := range sortedKeys(names) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			key := regexp.MustCompile(`(\\*")` + name + `(\\*"):`)
			if len(File(key.ReplaceAll(data, []byte("${1}"+name+"X${2}:")), Options{})) == 0 {
				t.Error("nothing is found")
			}
		})
	}
}
