package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// curlLine is the README's line that imports by curl, as a shell splits it.
func curlLine(t *testing.T, variables map[string]string) []string {
	t.Helper()
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	text := strings.ReplaceAll(strings.ReplaceAll(string(readme), "\r\n", "\n"), "\\\n", " ")
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "curl ") && strings.Contains(line, "/_import") {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	if len(lines) != 1 {
		t.Fatalf("the README has %d lines that import by curl: %q", len(lines), lines)
	}
	var words []string
	for i, part := range strings.Split(lines[0], `"`) {
		if i%2 == 0 {
			words = append(words, strings.Fields(part)...)
			continue
		}
		words = append(words, os.Expand(part, func(name string) string {
			value, known := variables[name]
			if !known {
				t.Errorf("the line has the variable %s", name)
			}
			return value
		}))
	}
	return words
}

// TestCurl: the README's curl line, as curl understands it, imports the file of the
// checkout; and when Kibana refuses, it shows what Kibana says, and fails.
func TestCurl(t *testing.T) {
	s := newStandIn(t)
	words := curlLine(t, map[string]string{"KIBANA_URL": s.url, "KIBANA_API_KEY": apiKey})
	var method, address, sent string
	var flags, headers []string
	for i := 1; i < len(words); i++ {
		word := words[i]
		switch word {
		case "-X", "-H", "--form":
			i++
			if i == len(words) {
				t.Fatalf("nothing follows %s", word)
			}
		}
		switch {
		case word == "-X":
			method = words[i]
		case word == "-H":
			name, value, _ := strings.Cut(words[i], ": ")
			headers = append(headers, name, value)
		case word == "--form":
			sent = words[i]
		case strings.HasPrefix(word, "-"):
			flags = append(flags, word)
		default:
			address += word // a second one spoils it
		}
	}
	// Without the first curl calls a refusal a success; --fail would keep the
	// reason to itself.
	if want := []string{"--fail-with-body", "-sS"}; !slices.Equal(flags, want) {
		t.Errorf("the flags are %q, want %q", flags, want)
	}
	target, ours := strings.CutPrefix(address, s.url)
	field, name, isFile := strings.Cut(sent, "=@")
	if method != "POST" || !ours || !isFile {
		t.Fatalf("%s %s with the form %q", method, address, sent)
	}
	file, err := os.ReadFile(filepath.Join("../..", name))
	if err != nil {
		t.Fatal(err)
	}
	// post has headers of its own, which are to be the line's.
	headers = append([]string{"Authorization", "", "kbn-xsrf", ""}, headers...)
	status, answer := post(t, s, target, form{field, filepath.Base(name), string(file)}, headers...)
	var said struct {
		Success      bool
		SuccessCount int
	}
	if err := json.Unmarshal([]byte(answer), &said); err != nil {
		t.Fatal(err)
	}
	// The last line of the file is the export's own.
	if status != 200 || !said.Success || said.SuccessCount != bytes.Count(file, []byte("\n"))-1 {
		t.Errorf("%d %s", status, answer)
	}
}
