package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/apmws/go-apmws/dashboards"
)

// settings are what the command line and the environment say.
type settings struct {
	kibana  string
	options dashboards.KibanaOptions // but for File and Client
	ca      string
	file    string
	timeout time.Duration
	print   bool
}

var errHelp = errors.New("help was asked for")

// parse reads the command line, which has precedence, and the environment. Its
// errors repeat no credential.
func parse(args []string, getenv func(string) string, messages io.Writer) (*settings, error) {
	var s settings
	var user string
	flags := flag.NewFlagSet("import", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&s.kibana, "kibana", "", "`URL` of Kibana, without /app and /s (environment: KIBANA_URL)")
	flags.StringVar(&s.options.APIKey, "api-key", "", "API `key`, in the form called encoded (environment: KIBANA_API_KEY)")
	flags.StringVar(&user, "user", "", "`name` or name:password (environment: KIBANA_USER and KIBANA_PASSWORD)")
	flags.StringVar(&s.options.Space, "space", "", "`id` of the space, as it is in addresses after /s/; default: the default space")
	flags.StringVar(&s.ca, "ca", "", "`file` with the certificate, in PEM form, of a CA to trust besides the system's")
	flags.StringVar(&s.file, "file", "", "import this NDJSON `file` instead, such as a changed copy of what -print writes")
	flags.DurationVar(&s.timeout, "timeout", time.Minute, "give up after this `time`")
	flags.BoolVar(&s.print, "print", false, "write the dashboards' NDJSON to standard output, and import nothing")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		usage(flags, messages)
		return nil, errHelp
	case err != nil:
		return nil, err
	case flags.NArg() > 0:
		return nil, errors.New("everything is given by flags, but there is more")
	case s.timeout <= 0:
		return nil, errors.New("-timeout must be positive")
	case s.print && s.file != "":
		return nil, errors.New("-print writes the file of this command, not another: -print and -file exclude each other")
	case s.options.APIKey != "" && user != "":
		return nil, errors.New("-api-key and -user exclude each other")
	}
	if s.options.APIKey == "" && user == "" {
		s.options.APIKey = strings.TrimSpace(getenv("KIBANA_API_KEY"))
		user = getenv("KIBANA_USER")
		if s.options.APIKey != "" && user != "" {
			return nil, errors.New("KIBANA_API_KEY and KIBANA_USER exclude each other; unset one, or use -api-key or -user")
		}
	}
	if user != "" {
		name, password, given := strings.Cut(user, ":")
		if !given {
			password = getenv("KIBANA_PASSWORD")
		}
		if name == "" || password == "" {
			return nil, errors.New("a user needs a name and a password: -user name with KIBANA_PASSWORD in the environment")
		}
		s.options.User, s.options.Password = name, password
	}
	s.kibana = cmp.Or(s.kibana, getenv("KIBANA_URL"))
	if s.kibana == "" && !s.print {
		return nil, errors.New("-kibana is needed: where is Kibana?")
	}
	return &s, nil
}

func usage(flags *flag.FlagSet, w io.Writer) {
	fmt.Fprint(w, `Imports the apmws dashboards into a Kibana, 8.12 or newer.

	import -kibana URL [-api-key key | -user name] [-space id] [-ca file]
	import -print > apmws.ndjson

Other users of the machine can see a command line while it runs: give the API
key as KIBANA_API_KEY, or the password as KIBANA_PASSWORD, in the environment.

`)
	flags.SetOutput(w)
	flags.PrintDefaults()
	fmt.Fprint(w, `
Exit status: 0 imported, 2 conflict, 3 missing references, 4 not permitted,
5 Kibana too old, 6 no such space, 64 wrong command line, 1 anything else.
go run makes 1 of each but 0; a script needs the command built, in a checkout by
	go build -o import-dashboards ./dashboards/import
`)
}
