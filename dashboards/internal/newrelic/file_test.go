package newrelic_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/newrelic/newrelic-client-go/v2/pkg/dashboards"

	"github.com/apmws/go-apmws/dashboards/internal/newrelic"
	"github.com/apmws/go-apmws/dashboards/internal/newrelic/lint"
)

const path = "../../newrelic/apmws.json"

func committed(t *testing.T) []byte {
	t.Helper()
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func TestFileIsWhatIsGenerated(t *testing.T) {
	want, err := newrelic.JSON()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(committed(t), want) {
		t.Error("dashboards/newrelic/apmws.json differs: go run ./dashboards/internal/generate")
	}
}

func TestFileHasNoFindings(t *testing.T) {
	for _, finding := range lint.Check(committed(t)) {
		t.Error(finding)
	}
}

// The vendor's own types take every key, and write it again. They look at no raw
// configuration; the linter does.
func TestFileIsADashboardInput(t *testing.T) {
	file := committed(t)
	var input dashboards.DashboardInput
	decoder := json.NewDecoder(bytes.NewReader(file))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&input); err != nil {
		t.Fatal(err)
	}
	again, err := json.Marshal(input)
	if err != nil {
		t.Fatal(err)
	}
	for _, problem := range lost("", decode(t, file), decode(t, again)) {
		t.Error(problem)
	}
	widgets := 0
	for _, page := range input.Pages {
		for _, widget := range page.Widgets {
			widgets++
			typed := !reflect.ValueOf(widget.Configuration).IsZero()
			if raw := len(widget.RawConfiguration) > 0; raw == typed {
				t.Errorf("%s: raw configuration %v, typed configuration %v", widget.Title, raw, typed)
			}
		}
	}
	if len(input.Pages) != 5 || widgets < 40 {
		t.Errorf("%d pages with %d widgets", len(input.Pages), widgets)
	}
}

// A key that the vendor does not know fails the test above.
func TestVendorsTypesAreStrict(t *testing.T) {
	file := bytes.Replace(committed(t), []byte(`"layout"`), []byte(`"lay_out"`), 1)
	decoder := json.NewDecoder(bytes.NewReader(file))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&dashboards.DashboardInput{}); err == nil {
		t.Error("an unknown key was taken")
	}
	if got := lost("", map[string]any{"a": []any{"b", 1.0}}, map[string]any{"a": []any{"b", 2.0}}); len(got) != 1 {
		t.Errorf("what is lost: %v", got)
	}
}

func decode(t *testing.T, file []byte) any {
	t.Helper()
	var v any
	if err := json.Unmarshal(file, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// lost tells what of before is not in after. Values that encoding/json leaves out,
// since they are empty, are not missed.
func lost(at string, before, after any) []string {
	var all []string
	switch before := before.(type) {
	case map[string]any:
		object, _ := after.(map[string]any)
		for key, v := range before {
			if object[key] == nil && empty(v) {
				continue
			}
			all = append(all, lost(at+"/"+key, v, object[key])...)
		}
	case []any:
		array, _ := after.([]any)
		if len(array) != len(before) {
			return []string{fmt.Sprintf("%s: %d of %d", at, len(array), len(before))}
		}
		for i, v := range before {
			all = append(all, lost(fmt.Sprintf("%s/%d", at, i), v, array[i])...)
		}
	default:
		if before != after {
			all = append(all, fmt.Sprintf("%s: %v became %v", at, before, after))
		}
	}
	return all
}

func empty(v any) bool { return v == nil || v == "" || v == false || v == 0.0 }

// The README's one line reaches every account: there is no other way to write one.
func TestEachAccountIsReplacedByTheSameLine(t *testing.T) {
	file := string(committed(t))
	queries := strings.Count(file, `"query": `)
	if got := strings.Count(file, `"accountIds": [0]`); got != queries || got != strings.Count(file, "account") {
		t.Errorf("%d accounts for %d queries, and the word %d times", got, queries, strings.Count(file, "account"))
	}
}
