package hour

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

// TestLogIsECS: the lines have the fields that ecszerolog's have, in their order,
// none twice; of zerolog's own names there is none.
func TestLogIsECS(t *testing.T) {
	for _, line := range recorded(t).LogLines {
		decoder := json.NewDecoder(strings.NewReader(line))
		var fields []string
		for depth, isName := 0, true; decoder.More() || depth == 0; isName = !isName {
			token, err := decoder.Token()
			if err != nil {
				t.Fatalf("%v: %s", err, line)
			}
			if depth == 0 {
				depth, isName = 1, false // the next is a name
				continue
			}
			if _, nested := token.(json.Delim); nested {
				t.Fatalf("the line is not flat: %s", line)
			}
			if isName {
				fields = append(fields, token.(string))
			}
		}
		if fields[0] != "log.level" || fields[1] != "ecs.version" || !slices.Contains(fields, "@timestamp") {
			t.Fatalf("the line begins with %q: %s", fields[:2], line)
		}
		slices.Sort(fields)
		if all := len(fields); len(slices.Compact(fields)) != all {
			t.Fatalf("a field comes twice: %s", line)
		}
		for _, field := range fields {
			if !strings.Contains(field, ".") && field != "@timestamp" && field != "message" {
				t.Fatalf("the field %s is not of ECS: %s", field, line)
			}
		}
	}
}
