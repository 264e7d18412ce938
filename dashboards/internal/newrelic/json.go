package newrelic

import (
	"bytes"
	"encoding/json"
	"regexp"
)

// account stands for the account of whoever imports the dashboard, who replaces it.
const account = 0

func accounts() []int { return []int{account} }

var splitAccounts = regexp.MustCompile(`\[\s+0\s+\]`)

// JSON returns the file: indented, in UTF-8, with "accountIds": [0] on one line
// wherever there is an account to be put, and with a line break at the end.
func JSON() ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // > and < of queries are to be read by people
	e.SetIndent("", "  ")
	if err := e.Encode(New()); err != nil {
		return nil, err
	}
	return splitAccounts.ReplaceAll(b.Bytes(), []byte("[0]")), nil
}
