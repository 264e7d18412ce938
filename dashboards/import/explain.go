package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/apmws/go-apmws/dashboards"
)

// explain writes what happened, what was imported in spite of it and what to do
// about it, and returns the exit status. The report may be nil; own says that the
// file was given by -file.
func explain(w io.Writer, err error, report *dashboards.Report, own bool) int {
	text := strings.TrimPrefix(err.Error(), "dashboards: ")
	var failure *dashboards.ImportError
	if errors.As(err, &failure) {
		text = failure.Text
	}
	fmt.Fprintf(w, "import: %s.\n", strings.TrimRight(text, ".:"))
	if failure != nil {
		for _, o := range failure.Objects {
			fmt.Fprintf(w, "  - %s\n", o)
		}
	}
	if report != nil {
		if len(report.Objects) > 0 {
			write(w, "Imported all the same into Kibana", report)
			fmt.Fprintln(w)
		}
		warn(w, report)
	}
	status, advice := judge(err, report != nil, own)
	fmt.Fprintf(w, "What to do: %s\n", advice)
	return status
}

// judge returns the exit status and the advice.
func judge(err error, imported, own bool) (int, string) {
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.Is(err, dashboards.ErrOptions):
		return statusUsage, "give -kibana as https://host:5601, with the base path if Kibana has one, and the space by -space. For help: import -h"
	case errors.Is(err, dashboards.ErrConflict):
		return statusConflict, "run the import again. If it fails again, delete the objects named above in Kibana (Stack Management, Saved Objects), or import into another space."
	case errors.Is(err, dashboards.ErrMissingReferences):
		return statusMissingReferences, missingAdvice(own)
	case errors.Is(err, dashboards.ErrAuth):
		return statusAuth, "give an API key (KIBANA_API_KEY, the form called encoded) or a user (-user, KIBANA_PASSWORD) that may write Dashboards, Data Views and Discover, and use Saved Objects Management, in that space. If it is right, a proxy before Kibana may want its own login: use an address behind it."
	case errors.Is(err, dashboards.ErrVersion):
		return statusVersion, versionAdvice(answered(err) == http.StatusUnprocessableEntity, own)
	case errors.Is(err, dashboards.ErrSpace):
		return statusSpace, "give the space's id, which is in the address of its pages after /s/, or create the space (Stack Management, Spaces), or leave out -space for the default one."
	case errors.Is(err, dashboards.ErrNotStored):
		return statusOther, "run the import again: something may have deleted the objects in the meantime. If they are missing again, Kibana's log may say why; please report that, with Kibana's version."
	case errors.As(err, &certificate):
		return statusOther, "give the certificate of the CA that signed Kibana's by -ca, and the host's name as the certificate has it."
	case errors.Is(err, context.Canceled):
		return statusOther, "run the import again; it does no harm to import twice."
	case errors.Is(err, dashboards.ErrUnreachable) && imported:
		return statusOther, "run the import again with a longer -timeout, to have it confirmed; it does no harm to import twice."
	case errors.Is(err, dashboards.ErrUnreachable):
		return statusOther, "look whether Kibana runs and the address and the port are right (Kibana's port is usually 5601; http or https must be as Kibana is set up), and whether -timeout is long enough."
	case errors.Is(err, dashboards.ErrUnavailable):
		return statusOther, "wait until Kibana is ready and run the import again; Kibana's log says more."
	case errors.Is(err, dashboards.ErrAnswer):
		return statusOther, "look whether the address is Kibana's (not Elasticsearch's), with its base path if it has one, and no proxy answers in its place."
	default:
		return statusOther, refusedAdvice(answered(err) == http.StatusRequestEntityTooLarge, own)
	}
}

// answered is the HTTP status that an error is from, or 0.
func answered(err error) int {
	var failure *dashboards.ImportError
	if errors.As(err, &failure) {
		return failure.Status
	}
	return 0
}

func missingAdvice(own bool) string {
	if own {
		return "add the objects named above to the file, or import them into the same space before it. A changed copy of what -print writes must keep the data views and the searches."
	}
	return "run the import again: the file has all that it refers to, so the objects named above were deleted while it was imported."
}

// versionAdvice: either Kibana is older than any that this command imports into,
// or it has refused the file for being of a newer one.
func versionAdvice(refused, own bool) string {
	switch {
	case refused && own:
		return "export the file from a Kibana that is not newer than this one, or update this one to the version that the file is from."
	case refused:
		return "update Kibana. The file is made for 8.12 and newer: if this one is, please report what it says, with its version."
	case own:
		return "update Kibana, or import the file by Kibana's own page (Stack Management, Saved Objects, Import) if it is from a Kibana that is not newer: this command needs 8.12, whatever the file."
	default:
		return "update Kibana. Older versions cannot read the dashboards, and there is no other file for them."
	}
}

func refusedAdvice(tooLarge, own bool) string {
	switch {
	case tooLarge:
		return "raise the limit of Kibana, or that of the proxy, or use an address behind the proxy."
	case own:
		return "mend the file by what is said above. It must hold saved objects as Kibana exports them, one JSON document a line; what -print writes is an example."
	default:
		return "Kibana's log may say more. The file is this command's own: please report what Kibana says, with its version."
	}
}
