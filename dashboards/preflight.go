package dashboards

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// minMajor and minMinor are those of the oldest Kibana that the file's format is
// made for; what the file uses is older: links panels are from 8.11, the units of
// durations from 8.10.
const minMajor, minMinor = 8, 12

// checkVersion asks Kibana for its version, which also shows whether it is a
// Kibana, is ready, and knows the credentials.
func (k *kibana) checkVersion(ctx context.Context) error {
	a, err := k.do(ctx, http.MethodGet, k.base+"/api/status", "", nil)
	if err != nil {
		return err
	}
	switch a.status {
	case http.StatusOK:
	case http.StatusForbidden:
		return k.failure(ErrAuth, a, k.base+" does not tell its version; it says")
	default:
		return k.failure(ErrAnswer, a, "there is no Kibana at "+k.base+", which answers")
	}
	var status struct {
		Status  any
		Version struct {
			Number string
			Flavor string `json:"build_flavor"`
		}
	}
	if err := k.decode(a, &status); err != nil {
		return err
	}
	k.version = k.words(status.Version.Number)
	if k.version == "" {
		if status.Status == nil {
			return &ImportError{Kind: ErrAnswer, Status: a.status, Text: "there is no Kibana at " + k.base + ", which answers without a version"}
		}
		// Kibana answers this request of a stranger, and so does not say 401 to
		// credentials that it does not know.
		return &ImportError{Kind: ErrAuth, Status: a.status, Text: k.base + " does not tell its version, which Kibana keeps from requests " + k.strangers()}
	}
	if status.Version.Flavor == "serverless" {
		return nil // always the newest, whatever its number
	}
	major, minor, ok := parseVersion(k.version)
	if !ok {
		return &ImportError{Kind: ErrAnswer, Status: a.status, Text: fmt.Sprintf("%s has a version that is none of Kibana's: %q", k.base, k.version)}
	}
	if major < minMajor || major == minMajor && minor < minMinor {
		return &ImportError{
			Kind: ErrVersion, Status: a.status,
			Text: fmt.Sprintf("the Kibana at %s is version %s, and the dashboards need %d.%d.0 or newer", k.base, k.version, minMajor, minMinor),
		}
	}
	return nil
}

// strangers are those who are not told the version.
func (k *kibana) strangers() string {
	if k.authorization == "" {
		return "without an API key or a user"
	}
	return "whose API key or user it does not know"
}

// parseVersion reads 8.12.0, 9.1.0-SNAPSHOT or 9.0.0-rc1.
func parseVersion(version string) (major, minor int, ok bool) {
	number, _, _ := strings.Cut(version, "-")
	parts := strings.Split(number, ".")
	if len(parts) != 3 {
		return 0, 0, false
	}
	var numbers [3]int
	for i, part := range parts {
		n, err := strconv.ParseUint(part, 10, 16)
		if err != nil {
			return 0, 0, false
		}
		numbers[i] = int(n)
	}
	return numbers[0], numbers[1], true
}

// checkSpace asks whether the space exists. Without this a mighty user would
// import into nowhere: Kibana's API takes objects for any space's id, and never
// shows them.
func (k *kibana) checkSpace(ctx context.Context) error {
	if k.space == "" {
		return nil
	}
	a, err := k.do(ctx, http.MethodGet, k.base+"/api/spaces/space/"+k.space, "", nil)
	if err != nil {
		return err
	}
	if a.status == http.StatusNotFound {
		return k.noSpace(a)
	}
	// 403 is said of a space that does not exist, too, and serverless answers 400
	// to everyone; the import will tell.
	return nil
}

func (k *kibana) noSpace(a *answer) error {
	return k.failure(ErrSpace, a, fmt.Sprintf("the Kibana at %s has no space %q, or not for these credentials; it says", k.base, k.space))
}
