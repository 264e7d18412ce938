// Command look opens the dashboards in a browser, as a person would, and fails
// when a panel of one shows an error, or nothing at all, which a number that is
// N/A is, too. It keeps a picture of each.
//
//	KIBANA_PASSWORD=… go run ./examples/elastic/look -kibana http://127.0.0.1:5601 -user elastic
//
// It needs Chromium or Chrome. The exit status is 0 when all panels show
// something, 1 when one does not or the dashboards could not be opened, and 2 for a
// wrong command line.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// settings are what the command line and the environment say.
type settings struct {
	kibana         string // without a slash at its end
	space          string // empty: the default one
	user, password string
	since          time.Duration // the length of the time range
	until          time.Time     // its end; zero: now
	wait           time.Duration // for each dashboard
	pictures       string        // a directory; empty: no pictures
	mayBeEmpty     titles        // of panels
	dashboards     []string      // ids
}

const usage = `Usage of look: look [flags] [dashboard-id ...], of the environment KIBANA_PASSWORD
  -kibana URL      where Kibana is (default http://127.0.0.1:5601)
  -space id        of a space (default: the default one)
  -user name       who looks (default elastic)
  -since duration  how long a time they are to show (default 2h)
  -until time      when that ends, in RFC 3339 (default: now)
  -wait duration   until a dashboard has been drawn (default 2m)
  -pictures dir    keep a picture of each there
  -may-be-empty title
                   of a panel that may show nothing, on any dashboard; may be given
                   several times, and each must be the title of a panel
`

// all are the ids of the dashboards.
var all = []string{"apmws-overview", "apmws-connections", "apmws-messages", "apmws-outbound", "apmws-errors"}

// run is main, with what it has from the system.
func run(ctx context.Context, args []string, getenv func(string) string, out, complaints io.Writer) int {
	s, err := settingsFrom(args, getenv)
	if err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(complaints, err)
		}
		fmt.Fprint(complaints, usage)
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		return 2
	}
	b, err := startBrowser(ctx)
	if err != nil {
		fmt.Fprintln(complaints, "the browser does not start:", err)
		return 1
	}
	defer b.stop()
	if err := b.login(s); err != nil {
		fmt.Fprintln(complaints, "login:", err)
		return 1
	}
	code, seen := 0, map[string]bool{}
	for _, id := range s.dashboards {
		panels, err := b.look(s, id)
		for _, p := range panels {
			seen[p.Title] = true
			if complaint := p.complaint(slices.Contains(s.mayBeEmpty, p.Title)); complaint != "" {
				err = errors.Join(err, fmt.Errorf("%q %s", p.Title, complaint))
			}
		}
		if err != nil {
			fmt.Fprintf(complaints, "%s: %s\n", id, strings.ReplaceAll(err.Error(), "\n", "\n"+id+": "))
			code = 1
			continue
		}
		fmt.Fprintf(out, "%s: all %d panels are well\n", id, len(panels))
	}
	for _, title := range s.mayBeEmpty {
		if !seen[title] {
			fmt.Fprintf(complaints, "there is no panel %q, which may be empty\n", title)
			code = 1
		}
	}
	return code
}

func settingsFrom(args []string, getenv func(string) string) (settings, error) {
	var s settings
	flags := flag.NewFlagSet("look", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // all is said by run
	flags.StringVar(&s.kibana, "kibana", "http://127.0.0.1:5601", "")
	flags.StringVar(&s.space, "space", "", "")
	flags.StringVar(&s.user, "user", "elastic", "")
	flags.DurationVar(&s.since, "since", 2*time.Hour, "")
	flags.DurationVar(&s.wait, "wait", 2*time.Minute, "")
	flags.StringVar(&s.pictures, "pictures", "", "")
	flags.Var(&s.mayBeEmpty, "may-be-empty", "")
	until := flags.String("until", "", "")
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	s.kibana = strings.TrimRight(s.kibana, "/")
	s.password = getenv("KIBANA_PASSWORD")
	if s.dashboards = flags.Args(); len(s.dashboards) == 0 {
		s.dashboards = all
	}
	if *until != "" {
		var err error
		if s.until, err = time.Parse(time.RFC3339, *until); err != nil {
			return s, errors.New("-until is such as 2026-03-04T12:00:00Z")
		}
	}
	u, err := url.Parse(s.kibana)
	switch {
	case err != nil || u.Host == "":
		return s, errors.New("-kibana is such as http://127.0.0.1:5601")
	case s.password == "":
		return s, errors.New("KIBANA_PASSWORD is not set")
	case s.since < time.Minute || s.wait <= 0:
		return s, errors.New("-since is a minute or more, and -wait is more than nothing")
	}
	return s, nil
}

// address returns where a dashboard is, with a time range and nothing refreshed.
func (s settings) address(id string) string {
	space := ""
	if s.space != "" {
		space = "/s/" + url.PathEscape(s.space)
	}
	from, to := fmt.Sprintf("now-%dm", int(s.since.Minutes())), "now"
	if !s.until.IsZero() {
		const quoted = "'2006-01-02T15:04:05.000Z'"
		from, to = s.until.Add(-s.since).UTC().Format(quoted), s.until.UTC().Format(quoted)
	}
	return fmt.Sprintf("%s%s/app/dashboards#/view/%s?_g=(refreshInterval:(pause:!t,value:0),time:(from:%s,to:%s))",
		s.kibana, space, url.PathEscape(id), from, to)
}

// titles is a flag that is given once for each.
type titles []string

// String implements flag.Value.
func (t *titles) String() string { return strings.Join(*t, ", ") }

// Set implements flag.Value.
func (t *titles) Set(title string) error {
	*t = append(*t, title)
	return nil
}
