package main

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// form is a file as a client sends it.
type form struct {
	field, name, file string
}

// curled is the body that curl makes of --form file=@apmws.ndjson, with its type.
func (f form) curled() (contentType, body string) {
	const boundary = "------------------------d74496d66958873e"
	return "multipart/form-data; boundary=" + boundary, "--" + boundary + "\r\n" +
		fmt.Sprintf("Content-Disposition: form-data; name=%q; filename=%q\r\n", f.field, f.name) +
		"Content-Type: application/octet-stream\r\n\r\n" + f.file + "\r\n--" + boundary + "--\r\n"
}

// post sends a form with the headers that an import needs, and others.
func post(t *testing.T, s *standIn, target string, f form, headers ...string) (status int, answer string) {
	t.Helper()
	contentType, body := f.curled()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+target, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", contentType)
	r.Header.Set("Authorization", "ApiKey "+apiKey)
	r.Header.Set("kbn-xsrf", "true")
	for i := 0; i < len(headers); i += 2 {
		r.Header.Del(headers[i])
		if headers[i+1] != "" {
			r.Header.Set(headers[i], headers[i+1])
		}
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	read, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(read)
}

const importPath = "/api/saved_objects/_import?overwrite=true"

// TestStandIn: it refuses what Kibana refuses, or the tests of the import would
// show nothing.
func TestStandIn(t *testing.T) {
	good := form{"file", "apmws.ndjson", whole}
	for _, c := range []struct {
		name    string
		target  string
		form    form
		headers []string
		status  int
		phrase  string
	}{
		{"good", importPath, good, nil, 200, `"success":true,"successCount":4`},
		{"in capitals", importPath, form{"file", "A.NDJSON", whole}, nil, 200, `"success":true`},
		{"blank lines and no details", importPath, form{"file", "a.ndjson", "\n" + dataView + "\n\n"}, nil, 200, `"success":true,"successCount":1`},
		{"json", importPath, form{"file", "apmws.json", whole}, nil, 400, "Invalid file extension .json"},
		{"no extension", importPath, form{"file", "apmws", whole}, nil, 400, "Invalid file extension "},
		{"another field", importPath, form{"files", "apmws.ndjson", whole}, nil, 400, "[request body.file]"},
		{"no form", importPath, good, []string{"Content-Type", "application/json"}, 415, "Unsupported Media Type"},
		{"another boundary", importPath, good, []string{"Content-Type", "multipart/form-data; boundary=x"}, 400, "[request body.file]"},
		{"no kbn-xsrf", importPath, good, []string{"kbn-xsrf", ""}, 400, "Request must contain a kbn-xsrf header."},
		{"a stranger", importPath, good, []string{"Authorization", ""}, 401, "missing authentication credentials"},
		{"overwrite and copies", importPath + "&createNewCopies=true", good, nil, 400, "cannot use [overwrite] with [createNewCopies]"},
		{"copies and compatibility", "/api/saved_objects/_import?createNewCopies=true&compatibilityMode=true", good, nil, 400, "cannot use [createNewCopies]"},
		{"a broken line", importPath, form{"file", "a.ndjson", dataView + "{"}, nil, 400, "JSON"},
		{"twice", importPath, form{"file", "a.ndjson", whole + first}, nil, 400, "Non-unique import objects detected: [dashboard:first]"},
		{"too new", importPath, form{"file", "a.ndjson", strings.Replace(whole, "8.9.0", "10.3.0", 1)}, nil, 422, "[10.3.0] when the last known version is [10.2.0]"},
		{"missing references", importPath, form{"file", "a.ndjson", second}, nil, 200, `"success":false`},
		{"another path", "/api/saved_objects/import", good, nil, 404, "Not Found"},
		// Kibana's API does not ask whether the space exists.
		{"no such space", "/s/nowhere" + importPath, good, nil, 200, `"success":true`},
	} {
		t.Run(c.name, func(t *testing.T) {
			status, answer := post(t, newStandIn(t), c.target, c.form, c.headers...)
			if status != c.status || !strings.Contains(answer, c.phrase) {
				t.Errorf("%d %s, want %d %q", status, answer, c.status, c.phrase)
			}
		})
	}
	t.Run("conflicts", func(t *testing.T) {
		s := newStandIn(t)
		const plain = "/api/saved_objects/_import"
		for _, want := range []string{`"success":true`, `"error":{"type":"conflict"}`} {
			if status, answer := post(t, s, plain, good); status != 200 || !strings.Contains(answer, want) {
				t.Errorf("%d %s, want %s", status, answer, want)
			}
		}
		if _, answer := post(t, s, "/s/team"+plain, good); !strings.Contains(answer, `"destinationId":"00000000-`) {
			t.Errorf("in another space: %s", answer)
		}
		if _, answer := post(t, s, "/s/team"+plain, good); !strings.Contains(answer, `"error":{"destinationId":"00000000-`) {
			t.Errorf("again in another space: %s", answer)
		}
	})
	t.Run("nothing is created beside what can be resolved", func(t *testing.T) {
		s := newStandIn(t)
		lone := strings.Replace(second, `"id":"view"`, `"id":"none"`, 1)
		_, answer := post(t, s, importPath, form{"file", "a.ndjson", dataView + lone})
		if !strings.Contains(answer, `"success":false,"successCount":1`) || s.spaceOf("index-pattern", "view") != "" {
			t.Errorf("%s; the data view is in the space %q", answer, s.spaceOf("index-pattern", "view"))
		}
	})
}
