package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/apmws/go-apmws/dashboards"
)

// explain writes what happened and what to do about it, and returns the exit
// status.
func explain(w io.Writer, err error) int {
	text := strings.TrimPrefix(err.Error(), "dashboards: ")
	var failure *dashboards.ImportError
	if errors.As(err, &failure) {
		text = failure.Text
	}
	fmt.Fprintf(w, "import: %s.\n", strings.TrimRight(text, ".:"))
	if failure != nil {
		for i := range failure.Objects {
			fmt.Fprintf(w, "  - %s\n", failure.Objects[i].String())
		}
	}
	status, advice := judge(err)
	fmt.Fprintf(w, "What to do: %s\n", advice)
	return status
}

// judge returns the exit status and the advice.
func judge(err error) (int, string) {
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.Is(err, dashboards.ErrOptions):
		return statusUsage, "give -kibana as https://host:5601, with the base path if Kibana has one, and the space by -space. For help: import -h"
	case errors.Is(err, dashboards.ErrConflict):
		return statusConflict, "run the import again. If it fails again, delete the objects named above in Kibana (Stack Management, Saved Objects), or import into another space."
	case errors.Is(err, dashboards.ErrMissingReferences):
		return statusMissingReferences, "import the whole file that -print writes, with its data views; if it is whole, the objects named above were deleted while it was imported: run the import again."
	case errors.Is(err, dashboards.ErrAuth):
		return statusAuth, "give an API key (KIBANA_API_KEY, the form called encoded) or a user (-user, KIBANA_PASSWORD) that may write Dashboards, Data Views and Discover, and use Saved Objects Management, in that space. If it is right, a proxy before Kibana may want its own login: use an address behind it."
	case errors.Is(err, dashboards.ErrVersion):
		return statusVersion, "update Kibana. Older versions cannot read the dashboards, and there is no other file for them."
	case errors.Is(err, dashboards.ErrSpace):
		return statusSpace, "give the space's id, which is in the address of its pages after /s/, or create the space (Stack Management, Spaces), or leave out -space for the default one."
	case errors.As(err, &certificate):
		return statusOther, "give the certificate of the CA that signed Kibana's by -ca, and the host's name as the certificate has it."
	case errors.Is(err, dashboards.ErrUnreachable):
		return statusOther, "look whether Kibana runs and the address and the port are right (Kibana's port is usually 5601; http or https must be as Kibana is set up), and whether -timeout is long enough."
	case errors.Is(err, dashboards.ErrUnavailable):
		return statusOther, "wait until Kibana is ready and run the import again; Kibana's log says more."
	case errors.Is(err, dashboards.ErrAnswer):
		return statusOther, "look whether the address is Kibana's (not Elasticsearch's), with its base path if it has one, and no proxy answers in its place."
	default:
		return statusOther, "import the file that -print writes, unchanged; if Kibana refuses that, too, please report what it says, with its version."
	}
}
